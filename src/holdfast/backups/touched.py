"""From the feed to the rows that a round has to compare: those of the keys that it names.

The feed tells which keys of entries and documents changed, and the layout says where the rows of a
key stand: the value, its past, its chunks, tags, expiry. Other views write rows that no feed row
names, so that their keyspaces are compared whole. What is done without telling anybody (retention,
a purge) mostly shows in the rows of the system, and else waits for the next walk over everything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from holdfast.backups.differing import Difference, of_range
from holdfast.codecs import envelope
from holdfast.contract.batch import append_key
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Compacted, DecryptionFailed, IntegrityFailed
from holdfast.contract.record import Range, after_prefix
from holdfast.store import layout
from holdfast.store.feed.feed import Feed
from holdfast.store.feed_row import Act, FeedPosition
from holdfast.store.keyspaces import Keyspace, Keyspaces
from holdfast.store.versions.retention import SETTINGS_KEY, read_settings
from holdfast.store.versions.rows import Rows, pack_life

#: More changes than this in one round: everything is walked instead.
CHANGES_MAX: Final = 20_000
#: The views whose every write of a value is told.
TOLD: Final = ("entries", "documents")
#: Where documents keep their indexes, and which there are.
CATALOGUE: Final = b"C"
#: Rows of the system that change while nothing else does.
HARMLESS: Final = (
    layout.SYSTEM_FEED_COUNTED,
    layout.SYSTEM_OPERATIONS,
    layout.SYSTEM_OPERATION_NEXT,
    layout.SYSTEM_AUDIT,
    layout.SYSTEM_STORES,
)
#: Regions of a keyspace whose rows the feed leads to, in their order.
_LED_TO: Final = (
    layout.BLOB, layout.DATA, layout.GRAVE, layout.HISTORY, layout.MOVE, layout.TAG,
)  # fmt: skip


class WalkAll(Exception):
    """The feed does not lead to all that changed; the argument says why."""


@dataclass
class Touched:
    """What a round compares.

    Attributes:
        found: differences that are known already.
        keys: single rows.
        ranges: all rows of them.
    """

    found: list[Difference] = field(default_factory=list)
    keys: set[bytes] = field(default_factory=set)
    ranges: list[Range] = field(default_factory=list)


async def touched(
    source: Engine,
    target: Engine,
    since: int,
    opened: Callable[[Engine], Engine] | None = None,
) -> Touched:
    """What may differ between a moment of the source and a standby that is at a revision.

    Args:
        source: of one moment.
        target: the standby.
        since: the revision.
        opened: of an encrypted source: opens rows as they are stored, on either side.

    Raises:
        WalkAll: nothing less than everything will do.
    """
    result = Touched()
    async for step in of_range(source, target, Range.prefix(layout.SYSTEM)):
        for key, _ in step:
            if not key.startswith(HARMLESS):
                raise WalkAll("the directory, the retention or the begin of the feed changed")
        result.found += step
    # From here on, what is looked at is told by the values of rows; what differs, by their bytes.
    shown = _Both(source, target) if opened is None else _Both(opened(source), opened(target))
    try:
        await _follow_feed(result, source, target, shown, since)
    except DecryptionFailed:
        # The keys changed since that moment, or a row is damaged and is to be copied as it is.
        raise WalkAll("the feed of the source cannot be read with its keys of now") from None
    return result


# --- Inside -----------------------------------------------------------------------------------


class _Both(NamedTuple):
    """Both sides with their values in the clear."""

    source: Engine
    target: Engine


async def _follow_feed(
    result: Touched, source: Engine, target: Engine, shown: _Both, since: int
) -> None:
    """Add what the changes behind a revision lead to."""
    changes = await _changes(shown.source, since)
    result.ranges.append(Range(append_key(layout.FEED, since + 1, 0), after_prefix(layout.FEED)))
    result.ranges.append(Range.prefix(layout.EXPIRY))
    bounded = await _has_policies(shown.source)
    async for keyspace in Keyspaces(shown.source).list(every=True):
        told = changes.get(keyspace.number, [])
        if keyspace.view not in TOLD or not keyspace.settings.feed or _as_a_whole(told):
            result.ranges.append(layout.keyspace_range(keyspace.number))
            continue
        await _add(result, source, target, shown, keyspace, told, bounded=bounded)


async def _changes(source: Engine, since: int) -> dict[int, list[FeedPosition]]:
    """The changes behind a revision, by keyspace."""
    found: dict[int, list[FeedPosition]] = {}
    count = 0
    try:
        async for positions in Feed(source).after(since):
            count += len(positions)
            if count > CHANGES_MAX:
                raise WalkAll(f"there are more than {CHANGES_MAX:,} changes")
            for position in positions:
                found.setdefault(position.row.keyspace, []).append(position)
    except Compacted as error:
        raise WalkAll("the feed of the source no longer reaches back so far") from error
    return found


async def _has_policies(source: Engine) -> bool:
    """Whether a write may end the value of an older version than the one before."""
    [record] = await source.read([SETTINGS_KEY])
    return record is not None and bool(read_settings(record).namespaces)


def _as_a_whole(told: list[FeedPosition]) -> bool:
    """Whether a change concerns more than keys."""
    return any(one.row.act not in (Act.SET, Act.DELETE) or not one.row.identity for one in told)


async def _add(
    result: Touched,
    source: Engine,
    target: Engine,
    shown: _Both,
    keyspace: Keyspace,
    told: list[FeedPosition],
    *,
    bounded: bool,
) -> None:
    """Add what the changes of a keyspace lead to."""
    rows = Rows(keyspace)
    catalogue = Range.prefix(layout.region(keyspace.number, CATALOGUE))
    async for step in of_range(source, target, catalogue):
        if step:  # An index is made, or goes: its rows are told by nothing.
            result.ranges.append(layout.keyspace_range(keyspace.number))
            return
    if not told:
        return
    result.ranges += _between(keyspace.number)
    lives: dict[bytes, tuple[int, int]] = {}
    names = {one.row.key for one in told}
    for position in told:
        row = position.row
        life = row.incarnation, max(row.version - 1, 0)
        lives[row.identity] = min(life, lives.get(row.identity, life))
    for name in names:
        result.keys |= {rows.data + name, rows.graves + name}
        result.ranges.append(
            Range.prefix(layout.region(keyspace.number, layout.MOVE) + name + b"\0")
        )
    for identity, life in lives.items():
        for region in (rows.past, rows.blobs):
            begin = region + identity + (b"" if bounded else pack_life(*life))
            result.ranges.append(Range(begin, after_prefix(region + identity)))
    data_keys = sorted(rows.data + name for name in names)
    for engine in shown:
        result.keys |= await _tag_keys(engine, rows, data_keys)


async def _tag_keys(engine: Engine, rows: Rows, data_keys: list[bytes]) -> set[bytes]:
    """The rows of the tags that values carry."""
    found: set[bytes] = set()
    for key, record in zip(data_keys, await engine.read(data_keys), strict=True):
        if record is None or not record.value[1] & envelope.TAGGED:
            continue
        try:
            header = envelope.header_of(record.value)
        except IntegrityFailed:
            continue  # Copied as it is: `check` tells of it.
        for tag in envelope.extras_of(record.value, header.extras_length).tags:
            found.add(rows.tag_key(tag, key))
    return found


def _between(number: int) -> list[Range]:
    """The regions of a keyspace that the feed does not lead to, as ranges."""
    found, begin = [], layout.region(number, b"")
    end = after_prefix(begin)
    for region in _LED_TO:
        prefix = layout.region(number, region)
        found.append(Range(begin, prefix))
        begin = after_prefix(prefix) or begin
    return [*found, Range(begin, end)]
