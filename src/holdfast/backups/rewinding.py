"""Rewinding: from a backup's moment back to an earlier revision, by the past that it holds.

The feed names what changed since, and the past has what each change displaced. So the living
values, their past, tags, expiries and the feed come back as they stood, with their revisions. Views
that keep no past cannot come back, which is said before anything is written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from holdfast.codecs import envelope
from holdfast.contract.batch import append_key
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Compacted, QuotaExceeded, VersionNotFound
from holdfast.contract.record import Range, Record, after_prefix
from holdfast.store import layout
from holdfast.store.feed.feed import Feed
from holdfast.store.feed_row import Act, Cause, FeedPosition
from holdfast.store.instants import milliseconds
from holdfast.store.keyspaces import Keyspace, Keyspaces
from holdfast.store.versions.past_rows import Grave, ended_at, pack_grave, past_parts
from holdfast.store.versions.rows import Rows, pack_life

#: How many keys may have changed since the revision.
KEYS_MAX: Final = 1_000_000
#: How many rows are written at once.
STEP_ROWS: Final = 1_000
#: The views that keep a past.
KEPT: Final = ("entries", "documents")
#: What an incarnation and a version take in keys.
LIFE_BYTES: Final = len(pack_life(1, 1))

#: A row to be written, or (None) removed.
Row = tuple[bytes, Record | None]


@dataclass
class Changed:
    """What changed in a keyspace since the revision.

    Attributes:
        keyspace: which.
        firsts: the first change of each key.
        identities: of all values that changed.
    """

    keyspace: Keyspace
    firsts: dict[bytes, FeedPosition] = field(default_factory=dict)
    identities: set[bytes] = field(default_factory=set)


async def revision_at(engine: Engine, at: datetime) -> int:
    """The newest revision whose changes are no newer than an instant.

    Raises:
        VersionNotFound: the feed does not reach back to it.
    """
    instant_ms, feed = milliseconds(at), Feed(engine)
    oldest = await feed.oldest()
    found, earlier = oldest - 1, oldest == 1
    async for positions in feed.after(oldest - 1):
        for one in positions:
            if one.row.at_ms <= instant_ms:
                found, earlier = max(found, one.revision), True
    if not earlier:
        raise VersionNotFound(
            f"the feed in this backup begins at revision {oldest}, after {at.isoformat()}"
        )
    return found


async def changed_since(engine: Engine, revision: int) -> list[Changed]:
    """What changed since a revision, by keyspace.

    Raises:
        VersionNotFound: the past does not reach back so far, or something has none.
        QuotaExceeded: more than KEYS_MAX keys changed.
    """
    found: dict[int, Changed] = {}
    async for one in Keyspaces(engine).list(every=True):
        found[one.number] = Changed(one)
    without: set[str] = set()
    count = 0
    async for position in _changes(engine, revision):
        row = position.row
        changed = found.get(row.keyspace)
        if changed is None or row.act not in (Act.SET, Act.DELETE):
            without.add("a keyspace that was dropped" if changed is None else _name(changed))
            continue
        if row.key not in changed.firsts:
            count += 1
            if count > KEYS_MAX:
                raise QuotaExceeded(
                    f"more than {KEYS_MAX:,} keys changed since revision {revision}, which is the "
                    "most that are taken back. Restore a backup that is nearer, with `to`",
                    limit=KEYS_MAX,
                )
            changed.firsts[row.key] = position
        if row.identity:
            changed.identities.add(row.identity)
    for changed in found.values():
        if not _keeps_past(changed.keyspace) and await _is_newer(engine, changed, revision):
            without.add(_name(changed))
    if without:
        raise VersionNotFound(
            f"revision {revision} lies between backups, and these keep no past that leads back to "
            f"it: {', '.join(sorted(without))}. Restore to the backup before or after it, with `to`"
        )
    return [one for one in found.values() if one.firsts]


async def rewind(engine: Engine, revision: int, changed: list[Changed]) -> None:
    """Take back what changed since the revision. Raises VersionNotFound: a value is gone."""
    step: list[Row] = []
    for one in changed:
        async for row in _taken_back(engine, revision, one):
            step.append(row)
            if len(step) >= STEP_ROWS:
                await engine.load(step)
                step = []
    async for row in _of_the_feed(engine, revision):
        step.append(row)
        if len(step) >= STEP_ROWS:
            await engine.load(step)
            step = []
    await engine.load(step)


# --- Inside -----------------------------------------------------------------------------------


async def _changes(engine: Engine, revision: int) -> AsyncIterator[FeedPosition]:
    try:
        async for positions in Feed(engine).after(revision):
            for one in positions:
                yield one
    except Compacted as error:
        raise VersionNotFound(
            f"the feed in this backup no longer reaches back to revision {revision}; restore to "
            "an earlier backup, with `to`"
        ) from error


def _keeps_past(keyspace: Keyspace) -> bool:
    settings = keyspace.settings
    return keyspace.view in KEPT and settings.feed and settings.history == "values"


def _name(changed: Changed) -> str:
    return f"{changed.keyspace.view} {changed.keyspace.name!r}"


async def _is_newer(engine: Engine, changed: Changed, revision: int) -> bool:
    """Whether a keyspace has a row that is newer."""
    async for _, record in rows_of(engine, layout.keyspace_range(changed.keyspace.number)):
        if record.revision > revision:
            return True
    return bool(changed.firsts)


async def rows_of(engine: Engine, range: Range) -> AsyncIterator[tuple[bytes, Record]]:
    """The rows of a range, page by page."""
    rest: Range | None = range
    while rest is not None:
        page = await engine.scan(rest)
        rest = page.resume
        for row in page.rows:
            yield row


async def _taken_back(engine: Engine, revision: int, changed: Changed) -> AsyncIterator[Row]:
    """What the rows of a keyspace were at a revision."""
    rows = Rows(changed.keyspace)
    lives: dict[bytes, bytes] = {}  # By identity: the last life that there was then.
    for name, first in changed.firsts.items():
        data_key, grave_key = rows.data + name, rows.graves + name
        now, grave = await engine.read([data_key, grave_key])
        then = await _displaced(engine, rows, first)
        if then is not None:
            head = envelope.header_of(then.value)
            lives[head.identity] = pack_life(head.incarnation, head.version)
        for row in _derived(rows, data_key, now, then):
            yield row
        yield data_key, then
        if then is not None:
            yield grave_key, None
        elif grave is None or grave.revision > revision:
            yield grave_key, await _grave(engine, rows, first, revision)
        moves = layout.region(changed.keyspace.number, layout.MOVE) + name + b"\0"
        async for key, record in rows_of(engine, Range.prefix(moves)):
            if record.revision > revision:
                yield key, None
    for identity in changed.identities:
        async for key in _later_past(engine, rows, revision, identity, lives.get(identity, b"")):
            yield key, None


async def _later_past(
    engine: Engine, rows: Rows, revision: int, identity: bytes, last: bytes
) -> AsyncIterator[bytes]:
    """The past versions that were none at a revision, and the chunks of later versions.

    Args:
        last: the life that was the present one, as it stands in keys; empty: there was none.
    """
    async for key, record in rows_of(engine, Range.prefix(rows.past + identity)):
        if ended_at(record) > revision:
            yield key
        else:
            last = max(last, key[-LIFE_BYTES:])
    begin = len(rows.blobs) + len(identity)
    async for key, _ in rows_of(engine, Range.prefix(rows.blobs + identity)):
        if key[begin : begin + LIFE_BYTES] > last:
            yield key


async def _displaced(engine: Engine, rows: Rows, first: FeedPosition) -> Record | None:
    """The row that stood under a key before its first change; None: there was none."""
    row = first.row
    if row.act == Act.DELETE:
        version = row.version
    elif not first.previous or row.cause == Cause.RENAMED:
        return None
    else:
        version = row.version - 1
    past_key = rows.past_key(row.identity, row.incarnation, version)
    [record] = await engine.read([past_key])
    parts = None if record is None else past_parts(record)
    if parts is None or parts.stored[1] & envelope.VALUE_GONE:
        raise VersionNotFound(
            f"the value that a key of {rows.keyspace.view} {rows.keyspace.name!r} had before "
            f"revision {first.revision} was given up; restore to a backup, with `to`"
        )
    return Record(parts.stored, parts.revision)


async def _grave(engine: Engine, rows: Rows, first: FeedPosition, revision: int) -> Record | None:
    """The grave of a key that was gone at a revision; None: there was none."""
    row = first.row
    if row.cause == Cause.RENAMED:
        return None
    found: Record | None = None
    async for key, record in rows_of(engine, Range.prefix(rows.past + row.identity)):
        if ended_at(record) > revision:
            continue
        head = envelope.header_of(past_parts(record).stored)
        grave = Grave(row.identity, rows.past_position(key)[0], head.updated_at_ms)
        found = Record(pack_grave(grave), ended_at(record))
    return found


def _derived(rows: Rows, data_key: bytes, now: Record | None, then: Record | None) -> list[Row]:
    """The rows of tags and of the expiry."""
    found: dict[bytes, Record | None] = {}
    for record, stands in ((now, False), (then, True)):
        if record is None:
            continue
        keys = []
        expires = envelope.expires_at_ms(record.value)
        if expires:
            keys.append(layout.expiry_key(expires, data_key))
        length = envelope.header_of(record.value).extras_length
        if rows.keyspace.view == "entries":
            tags = envelope.extras_of(record.value, length).tags
            keys += [rows.tag_key(tag, data_key) for tag in tags]
        found |= dict.fromkeys(keys, Record(b"", record.revision) if stands else None)
    return list(found.items())


async def _of_the_feed(engine: Engine, revision: int) -> AsyncIterator[Row]:
    """The changes since, and what was reckoned from them."""
    newer = Range(append_key(layout.FEED, revision + 1, 0), after_prefix(layout.FEED))
    async for key, _ in rows_of(engine, newer):
        yield key, None
    yield layout.SYSTEM_FEED_COUNTED, None
    # The log by which the feed is proven begins anew where it has gone further.
    audit = [row async for row in rows_of(engine, Range.prefix(layout.SYSTEM_AUDIT))]
    if any(record.revision > revision for _, record in audit):
        for key, _ in audit:
            yield key, None
