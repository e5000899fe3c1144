"""Giving up the past: what retention no longer keeps goes, in bounded commits.

The oldest feed rows are the work list: each names the version that its change displaced, so what
is given up is found without walking the data. Every commit checks that the feed begins where it
was when the rows were chosen, so that several processes can trim at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from holdfast.codecs import envelope
from holdfast.contract.batch import CheckKey, Draft, append_key
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict, IntegrityFailed, StoreError
from holdfast.contract.record import Range, Record
from holdfast.store import layout
from holdfast.store.feed.feed import Feed
from holdfast.store.feed_row import Act, Cause, FeedPosition
from holdfast.store.keyspaces import Keyspaces, dropped_key
from holdfast.store.versions.moves import forget_moves
from holdfast.store.versions.past_rows import past_parts, read_grave, without_value
from holdfast.store.versions.policy import NamespacePolicy, Policy
from holdfast.store.versions.rows import Rows

#: How many feed rows one commit gives up.
TRIM_BATCH: Final = 500
#: How many rows of a key's past one commit gives up.
PURGE_BATCH: Final = 500
#: How often a commit that another process overtook is tried again.
TRIM_ATTEMPTS: Final = 8


class Trimmed(msgspec.Struct, frozen=True):
    """What a compaction gave up.

    Attributes:
        changes: rows of the feed.
        values: values of past versions.
        versions: past versions with all that was known of them.
    """

    changes: int = 0
    values: int = 0
    versions: int = 0

    def plus(self, other: Trimmed) -> Trimmed:
        """Both together."""
        return Trimmed(
            self.changes + other.changes,
            self.values + other.values,
            self.versions + other.versions,
        )


class _Counted(msgspec.Struct, frozen=True, array_like=True):
    """How many feed rows there are up to a revision, so that counting goes on from there."""

    revision: int
    rows: int


class _Standing(NamedTuple):
    """What is known of the feed before some of it is given up.

    Attributes:
        counted: how many rows it has.
        checks: that no other process has given up any since.
    """

    counted: _Counted
    checks: list[CheckKey]


_encode = msgspec.msgpack.Encoder().encode
_decode_counted = msgspec.msgpack.Decoder(_Counted).decode


class Limits(NamedTuple):
    """How far the feed reaches back.

    Attributes:
        since_ms: changes before this instant go.
        changes_max: of more changes than this the oldest go.
    """

    since_ms: int
    changes_max: int


#: What is kept of the past of the value under a packed key of a keyspace.
PolicyOf = Callable[[int, bytes], Policy]


async def trim(
    engine: Engine,
    feed: Feed,
    keyspaces: Keyspaces,
    limits: Limits,
    policy_of: PolicyOf,
    progress: Callable[[int, int], None] | None,
) -> Trimmed:
    """Give up the feed beyond its limits, and what only it kept; see `Retention.trim`."""
    total = Trimmed()
    attempts = TRIM_ATTEMPTS
    surplus = 0
    while attempts:
        standing = await _count(engine)
        spare = standing.counted.rows - limits.changes_max
        surplus = max(surplus, spare)
        due: list[FeedPosition] = []
        for position in await feed.oldest_rows(TRIM_BATCH):
            if len(due) >= spare and position.row.at_ms >= limits.since_ms:
                break
            due.append(position)
        if not due:
            break
        try:
            done = await _give_up(engine, keyspaces, policy_of, due, standing)
        except Conflict:
            attempts -= 1  # Another process trims too: look again.
            continue
        attempts = TRIM_ATTEMPTS
        total = total.plus(done)
        if progress is not None:
            progress(total.changes, max(surplus, total.changes))
    return total


async def purge(
    engine: Engine, rows: Rows, identity: bytes, last: tuple[int, int] | None = None
) -> Trimmed:
    """Remove the past of an identity, in bounded commits.

    Args:
        last: incarnation and version of the last version that goes; None: all go.
    """
    values = versions = 0
    whole = Range.prefix(rows.past + identity)
    end = whole.end if last is None else rows.past_key(identity, last[0], last[1] + 1)
    rest: Range | None = Range(whole.start, end)
    while rest is not None:
        page = await engine.scan(Range(rest.start, rest.end, limit=PURGE_BATCH))
        draft = Draft()
        for key, record in page.rows:
            draft.rows[key] = None
            has_value, chunks = _contents(rows, record)
            versions += 1
            values += has_value
            for chunk in chunks:
                draft.rows[chunk] = None
        await _write(engine, draft)
        rest = page.resume
    return Trimmed(0, values, versions)


# --- Inside -----------------------------------------------------------------------------------


async def _give_up(
    engine: Engine,
    keyspaces: Keyspaces,
    policy_of: PolicyOf,
    due: list[FeedPosition],
    standing: _Standing,
) -> Trimmed:
    """Give up some of the oldest feed rows and what they displaced, as one commit."""
    last = due[-1]
    draft = Draft()
    checks: list[CheckKey] = [*standing.checks]
    # A commit may go in two parts: once its first row is gone, none of it counts.
    draft.ranges = [Range(layout.FEED, append_key(layout.FEED, last.revision, last.index + 1))]
    draft.rows[layout.SYSTEM_FEED_OLDEST] = (last.revision + 1).to_bytes(8, "big")
    counted = standing.counted
    draft.rows[layout.SYSTEM_FEED_COUNTED] = _encode(
        _Counted(counted.revision, counted.rows - len(due))
    )
    done = Trimmed(len(due))
    for position in due:
        row = position.row
        if row.act == Act.DROP:
            draft.rows[dropped_key(row.keyspace)] = None
        keyspace = await keyspaces.by_number(row.keyspace)
        if not row.identity or keyspace is None or keyspace.state != "living":
            continue
        rows = Rows(keyspace)
        policy = policy_of(row.keyspace, row.key)
        done = done.plus(await _displaced(engine, draft, rows, policy, position))
        if row.act == Act.DELETE and _goes(policy, row.cause):
            buried = await _give_up_grave(engine, draft, checks, rows, position)
            # Where nothing is kept nothing is buried, but a rename may have brought a past along.
            if buried or policy.versions == 0:
                identity, ended = row.identity, (row.incarnation, row.version)
                # Before its grave and this feed row go: broken off here, they lead to the rest.
                done = done.plus(await purge(engine, rows, identity, ended))
                await forget_moves(engine, rows, draft, row.key, identity, ended)
                past = rows.past + identity
                for key in [key for key in draft.rows if key.startswith(past)]:
                    draft.rows[key] = None  # What was to lose its value is gone as a whole.
    draft.checks = checks
    await engine.commit(draft.batch())
    return done


def _goes(policy: Policy, cause: int) -> bool:
    """Whether the past of a key goes with the feed row of its end."""
    if cause == Cause.RENAMED:
        return False  # It lives on under another key.
    if policy.versions == 0:
        return True
    if policy.values == "forever":
        return False
    return policy.gone == "feed" or (policy.gone == "expired" and cause == Cause.EXPIRED)


async def _displaced(
    engine: Engine, draft: Draft, rows: Rows, policy: Policy, position: FeedPosition
) -> Trimmed:
    """Give up the value of the version that a change displaced, or the version."""
    row = position.row
    if row.act != Act.DELETE and row.cause == Cause.RENAMED:
        return Trimmed()  # What it displaced stood under the other key, whose end tells of it.
    displaced = row.version if row.act == Act.DELETE else row.version - 1
    if displaced < 1 or policy.values == "forever":
        return Trimmed()
    past_key = rows.past_key(row.identity, row.incarnation, displaced)
    [record] = await engine.read([past_key])
    if record is None:
        return Trimmed()
    has_value, chunks = _contents(rows, record)
    if policy.versions == 0:
        draft.rows[past_key] = None
    elif has_value:
        draft.rows[past_key] = without_value(record)
    else:
        return Trimmed()
    for chunk in chunks:
        draft.rows[chunk] = None
    return Trimmed(0, has_value, policy.versions == 0)


async def _give_up_grave(
    engine: Engine, draft: Draft, checks: list[CheckKey], rows: Rows, position: FeedPosition
) -> bool:
    """Give up the grave of a key that is still gone; whether there was one."""
    row = position.row
    grave_key = rows.graves + row.key
    [record] = await engine.read([grave_key])
    if record is None:
        return False
    try:
        grave = read_grave(record)
    except IntegrityFailed:
        return False
    if (grave.identity, grave.incarnation) != (row.identity, row.incarnation):
        return False
    # It may come back meanwhile: then the commit is refused, and all is looked at again.
    checks.append(CheckKey(grave_key, record.revision))
    draft.rows[grave_key] = None
    return True


async def apply(engine: Engine, keyspaces: Keyspaces, wanted: NamespacePolicy) -> Trimmed:
    """Bring the past that was written before a policy under it."""
    keyspace = await keyspaces.by_number(wanted.keyspace)
    if keyspace is None or keyspace.state != "living":
        return Trimmed()
    rows = Rows(keyspace)
    total = Trimmed()
    for region, identity_of in ((rows.data, _living_identity), (rows.graves, _gone_identity)):
        rest: Range | None = Range.prefix(region + wanted.prefix)
        while rest is not None:
            page = await engine.scan(rest)
            for _, record in page.rows:
                try:
                    identity = identity_of(record)
                except StoreError:
                    continue  # Damaged: `check` says so.
                total = total.plus(await _shorten(engine, rows, identity, wanted.policy))
            rest = page.resume
    return total


async def _shorten(engine: Engine, rows: Rows, identity: bytes, policy: Policy) -> Trimmed:
    """Give up what a policy does not keep of one identity's past, newest first."""
    values = versions = kept = 0
    rest: Range | None = Range.prefix(rows.past + identity, reverse=True)
    while rest is not None:
        page = await engine.scan(Range(rest.start, rest.end, reverse=True, limit=PURGE_BATCH))
        draft, checks = Draft(), list[CheckKey]()
        for key, record in page.rows:
            kept += 1
            has_value, chunks = _contents(rows, record)
            if policy.versions is not None and kept > policy.versions:
                draft.rows[key] = None
                versions += 1
            elif policy.values == "none" and has_value:
                draft.rows[key] = without_value(record)
            else:
                continue
            # Its row may be trimmed by another process at the same time, to the same end.
            checks.append(CheckKey(key, record.revision))
            values += has_value
            for chunk in chunks:
                draft.rows[chunk] = None
        draft.checks = checks
        try:
            await _write(engine, draft)
        except Conflict:
            continue
        rest = page.resume
    return Trimmed(0, values, versions)


async def _count(engine: Engine) -> _Standing:
    """How many feed rows there are, counting on from where the last count ended."""
    keys = [layout.SYSTEM_FEED_OLDEST, layout.SYSTEM_FEED_COUNTED]
    records = await engine.read(keys)
    checks = [
        CheckKey(key, None if record is None else record.revision)
        for key, record in zip(keys, records, strict=True)
    ]
    counted = _Counted(0, 0) if records[1] is None else _decode_counted(records[1].value)
    head = await engine.head()
    rows = counted.rows
    rest: Range | None = Range(
        append_key(layout.FEED, counted.revision + 1, 0), append_key(layout.FEED, head + 1, 0)
    )
    while rest is not None:
        page = await engine.scan(rest)
        rows += len(page.rows)
        rest = page.resume
    return _Standing(_Counted(head, rows), checks)


async def _write(engine: Engine, draft: Draft) -> None:
    if draft.writes:
        await engine.commit(draft.batch())


def _contents(rows: Rows, record: Record) -> tuple[bool, list[bytes]]:
    """Whether a past version has its value, and the keys of the value's chunks.

    A damaged row has neither: `check` says so, and the rest of the past is not to wait for it.
    """
    try:
        stored = past_parts(record).stored
        flags = envelope.header_of(stored).flags
    except StoreError:
        return False, []
    return not flags & envelope.VALUE_GONE, rows.blob_keys(stored) if flags & envelope.BLOB else []


def _living_identity(record: Record) -> bytes:
    return envelope.header_of(record.value).identity


def _gone_identity(record: Record) -> bytes:
    return read_grave(record).identity
