"""Retention: how much of the past is kept, and giving up the rest.

Who, when and what of past versions is small and kept for good unless a namespace says otherwise.
Their values are kept as long as the feed reaches back: seven days, or a million changes. The
oldest feed rows are the work list: each names the version that its change displaced, so what is
given up is found without walking the data.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from holdfast.codecs import envelope
from holdfast.codecs.text import StoreKey
from holdfast.contract.batch import (
    Batch,
    Delete,
    DeleteRange,
    Operation,
    Put,
    append_key,
)
from holdfast.contract.engine import Engine
from holdfast.contract.errors import IntegrityFailed, InvalidInput
from holdfast.contract.record import Range, Record, after_prefix
from holdfast.contract.runtime import Clock
from holdfast.store import layout
from holdfast.store.feed.feed import Feed
from holdfast.store.feed.row import Act, FeedPosition
from holdfast.store.keyspaces import Keyspaces
from holdfast.store.text_keys import unpack_key
from holdfast.store.versions.past_rows import past_parts, without_value
from holdfast.store.versions.policy import DEFAULT_POLICY, Policy, Values
from holdfast.store.versions.rows import Rows

FEED_AGE_S = 7 * 86400.0
FEED_CHANGES_MAX = 1_000_000
#: How many feed rows one commit of a compaction gives up.
TRIM_BATCH = 500


class Settings(msgspec.Struct, frozen=True, array_like=True):
    """Retention of a database, as stored.

    Attributes:
        feed_age_s: feed rows older than this go.
        feed_changes_max: more feed rows than this go, the oldest first.
        namespaces: policies by namespace (its segments), the longest prefix wins.
    """

    feed_age_s: float = FEED_AGE_S
    feed_changes_max: int = FEED_CHANGES_MAX
    namespaces: tuple[tuple[tuple[str, ...], Policy], ...] = ()


class _Counted(msgspec.Struct, frozen=True, array_like=True):
    """How many feed rows there are up to a revision, so that counting goes on from there."""

    revision: int
    rows: int


class Trimmed(msgspec.Struct, frozen=True):
    """What a compaction gave up."""

    changes: int = 0
    values: int = 0
    versions: int = 0


_SETTINGS = layout.SYSTEM + b"retention"
_COUNTED = layout.SYSTEM + b"feed counted"
_encode = msgspec.msgpack.Encoder().encode
_decode_settings = msgspec.msgpack.Decoder(Settings).decode
_decode_counted = msgspec.msgpack.Decoder(_Counted).decode
_FEED_END = after_prefix(layout.FEED)


class Retention:
    """The retention settings of a database, and what carries them out.

    Args:
        engine, feed, keyspaces: of the database.
        clock: tells how old a change is.
    """

    def __init__(self, engine: Engine, feed: Feed, keyspaces: Keyspaces, clock: Clock) -> None:
        self._engine = engine
        self._feed = feed
        self._keyspaces = keyspaces
        self._clock = clock
        self._settings = Settings()
        self._policies: dict[tuple[str, ...], Policy] = {}

    # --- Settings ---------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The settings as last read."""
        return self._settings

    async def refresh(self) -> Settings:
        """Read the settings, which another process may have changed."""
        [record] = await self._engine.read([_SETTINGS])
        if record is not None:
            self._use(_read_settings(record))
        return self._settings

    async def keep(
        self,
        namespace: str,
        *,
        values: Values = "feed",
        versions: int | None = None,
    ) -> None:
        """Say what is kept of the past of the entries in a namespace, and in those below it.

        Applies to versions displaced from now on at once, to older ones at the next compaction.
        `namespace` is written as in keys, such as `users/active`; empty means every namespace.
        """
        if values not in ("feed", "forever", "none"):
            raise InvalidInput(f"values is feed, forever or none; found {values!r}")
        if versions is not None and (not isinstance(versions, int) or versions < 0):
            raise InvalidInput(f"versions is a number from 0, or None for all; found {versions!r}")
        segments = StoreKey.parse(f"{namespace}:x").namespace if namespace else ()
        policy = Policy(values, versions)

        def change(settings: Settings) -> Settings:
            others = tuple(one for one in settings.namespaces if one[0] != segments)
            if policy != DEFAULT_POLICY or not segments:
                others += ((segments, policy),)
            return msgspec.structs.replace(settings, namespaces=others)

        await self._change(change)

    async def keep_feed(
        self, *, age_s: float = FEED_AGE_S, changes_max: int = FEED_CHANGES_MAX
    ) -> None:
        """Say how far the feed, and with it the values of past versions, reach back."""
        if age_s <= 0 or changes_max < 0:
            raise InvalidInput(
                f"age_s lies above 0 and changes_max is not negative; found {age_s} and "
                f"{changes_max}"
            )
        await self._change(
            lambda settings: msgspec.structs.replace(
                settings, feed_age_s=float(age_s), feed_changes_max=changes_max
            )
        )

    def policy(self, segments: tuple[str, ...]) -> Policy:
        """What is kept of the past of the entry with these segments."""
        if not self._policies:
            return DEFAULT_POLICY
        for length in range(len(segments) - 1, -1, -1):
            policy = self._policies.get(segments[:length])
            if policy is not None:
                return policy
        return DEFAULT_POLICY

    def policy_of(self, data_key: bytes) -> Policy:
        """The same, from the key of a data row; on the path of every overwrite."""
        if not self._policies:
            return DEFAULT_POLICY
        return self.policy(unpack_key(data_key[layout.REGION_BYTES :]).segments)

    # --- Carrying out -----------------------------------------------------------------------

    async def trim(self, progress: Callable[[int, int], None] | None = None) -> Trimmed:
        """Give up what the settings no longer keep.

        Args:
            progress: called with (feed rows given up, feed rows to give up at most).
        """
        await self.refresh()
        counted = await self._count()
        surplus = max(0, counted.rows - self._settings.feed_changes_max)
        before_ms = self._clock.now_ms() - round(self._settings.feed_age_s * 1000)
        total = Trimmed()
        while True:
            positions = await self._feed.oldest_rows(TRIM_BATCH)
            due: list[FeedPosition] = []
            for position in positions:
                spare = surplus - total.changes - len(due)
                if spare <= 0 and position.row.at_ms >= before_ms:
                    break
                due.append(position)
            if not due:
                return total
            done = await self._give_up(due, counted)
            total = Trimmed(
                total.changes + done.changes,
                total.values + done.values,
                total.versions + done.versions,
            )
            counted = _Counted(counted.revision, counted.rows - done.changes)
            if progress is not None:
                progress(total.changes, max(surplus, total.changes))

    # --- Inside -----------------------------------------------------------------------------

    async def _give_up(self, due: list[FeedPosition], counted: _Counted) -> Trimmed:
        """Give up some of the oldest feed rows and what they displaced, as one commit."""
        last = due[-1]
        # A commit may go in two parts: once its first row is gone, none of it counts.
        operations: list[Operation] = [
            DeleteRange(Range(layout.FEED, append_key(layout.FEED, last.revision, last.index + 1))),
            Put(layout.SYSTEM_FEED_OLDEST, (last.revision + 1).to_bytes(8, "big")),
            Put(_COUNTED, _encode(_Counted(counted.revision, counted.rows - len(due)))),
        ]
        values = versions = 0
        for position in due:
            row = position.row
            displaced = row.version if row.act == Act.DELETE else row.version - 1
            keyspace = await self._keyspaces.by_number(row.keyspace)
            if displaced < 1 or keyspace is None:
                continue
            rows = Rows(keyspace)
            policy = self.policy(unpack_key(row.key).segments)
            past_key = rows.past_key(row.identity, row.incarnation, displaced)
            [record] = await self._engine.read([past_key])
            if record is None or policy.values == "forever":
                continue
            stored = past_parts(record).stored
            if policy.versions == 0:
                operations.append(Delete(past_key))
                versions += 1
            elif not stored[1] & envelope.VALUE_GONE:
                operations.append(Put(past_key, without_value(record)))
            else:
                continue
            values += 1
            if stored[1] & envelope.BLOB:
                operations += [Delete(key) for key in rows.blob_keys(stored)]
        await self._engine.commit(Batch(operations))
        return Trimmed(len(due), values, versions)

    async def _count(self) -> _Counted:
        """How many feed rows there are, counting on from where the last count ended."""
        [record] = await self._engine.read([_COUNTED])
        counted = _decode_counted(record.value) if record is not None else _Counted(0, 0)
        head = await self._engine.head()
        rows = counted.rows
        rest: Range | None = Range(
            append_key(layout.FEED, counted.revision + 1, 0), append_key(layout.FEED, head + 1, 0)
        )
        while rest is not None:
            page = await self._engine.scan(rest)
            rows += len(page.rows)
            rest = page.resume
        return _Counted(head, rows)

    async def _change(self, change: Callable[[Settings], Settings]) -> None:
        changed: Settings | None = None

        def decide(records: list[Record | None], _revision: int) -> Batch:
            nonlocal changed
            [record] = records
            changed = change(_read_settings(record) if record is not None else Settings())
            return Batch([Put(_SETTINGS, _encode(changed))])

        await self._engine.transact([_SETTINGS], decide)
        assert changed is not None
        self._use(changed)

    def _use(self, settings: Settings) -> None:
        self._settings = settings
        self._policies = dict(settings.namespaces)


def _read_settings(record: Record) -> Settings:
    try:
        return _decode_settings(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityFailed(
            "the retention settings cannot be read; run `holdfast check`"
        ) from error


async def was_set(engine: Engine) -> bool:
    """Whether retention was ever set in the database, so that versions may be missing rightly."""
    [record] = await engine.read([_SETTINGS])
    return record is not None
