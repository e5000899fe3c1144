"""State as floor 3 sees it: how values expire, how changes are told, who checks them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from holdfast.codecs.pattern import Pattern
from holdfast.contract.batch import Need
from holdfast.contract.engine import Engine
from holdfast.contract.errors import StoreClosed, StoreError
from holdfast.contract.record import Range, Record
from holdfast.runtime.gate import Gate
from holdfast.state.embedded.filtering import head_of
from holdfast.state.embedded.rows import (
    FILTER,
    STATE,
    STREAM,
    TOLD,
    Head,
    Places,
    living,
    row_of,
)
from holdfast.state.embedded.site import Ground
from holdfast.state.embedded.trimming import give_up_old
from holdfast.store import layout
from holdfast.store.change import Change
from holdfast.store.feed_row import Act, Cause, FeedPosition
from holdfast.store.instances import SharedDatabase
from holdfast.store.instants import instant
from holdfast.store.keyspaces import Keyspace
from holdfast.store.plain.rows import check_plain, plain_expires_at_ms
from holdfast.store.plan import Plan
from holdfast.store.space import Space
from holdfast.store.views import ChangeReader, Progress, Report, ViewKeeper

__all__ = ["STATE", "StateKeeper"]


class StateKeeper(ViewKeeper):
    """Keeps the state of a database.

    Args:
        shared: the database.
    """

    def __init__(self, shared: SharedDatabase) -> None:
        self._engine = shared.engine
        self._components = shared.components

    async def expire(self, keyspace: Keyspace, data_keys: list[bytes]) -> int:
        components = self._components
        gate = Gate(components.host.runtime(), lambda: StoreClosed("the database is closed"))
        ground = Ground(Space(self._engine, keyspace, components.clock, _nothing, gate))
        if ground.places.news in data_keys:
            await give_up_old(ground.space, ground.places.news)
        rows = [key for key in data_keys if key.startswith(ground.places.data)]
        ended = 0

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            nonlocal ended
            ended = 0
            for data_key, record in zip(rows, records, strict=True):
                if record is not None and living(record, plan.now_ms) is None:
                    ground.remove(plan, data_key, record, Cause.EXPIRED)
                    ended += 1
            return None

        if rows:
            await ground.commit(rows, write)
        return ended

    async def check(
        self, moment: Engine, keyspace: Keyspace, report: Report, progress: Progress | None
    ) -> None:
        places, counted = Places(keyspace.number), _Counted()
        rest: Range | None = Range.prefix(places.data)
        while rest is not None:
            page = await moment.scan(rest)
            expiring = [key for key, record in page.rows if counted.row(key, record, report)]
            wanted = [layout.expiry_key(counted.ends[key], key) for key in expiring]
            missing = sum(one is None for one in await moment.read(wanted)) if wanted else 0
            if missing:
                report.wrong(f"state: {missing} rows of expiry are missing")
            counted.ends.clear()
            if progress is not None:
                progress(counted.rows)
            rest = page.resume
        found = await _count(moment, places.streams, places.is_message)
        if found != counted.messages:
            report.wrong(
                f"state: streams have {counted.messages} messages; found {found} rows of them"
            )
        found = await _count(moment, places.bounds, places.is_order)
        if found != counted.bounded:
            report.wrong(
                f"state: {counted.bounded} values are bounded; found {found} rows of their order"
            )
        [notes] = await moment.read((places.news,))
        ending = counted.expiring + (notes is not None and plain_expires_at_ms(notes.value) > 0)
        found = await _expiries(moment, keyspace)
        if found != ending:
            report.wrong(f"state: {ending} rows expire; found {found} rows of expiry")

    def reader(self, engine: Engine, keyspace: Keyspace) -> ChangeReader:
        return StateReader(engine, keyspace)


class _Counted:
    """What the rows of keys say that there is elsewhere."""

    def __init__(self) -> None:
        self.rows = self.expiring = self.messages = self.bounded = 0
        #: When rows of the page end.
        self.ends: dict[bytes, int] = {}

    def row(self, data_key: bytes, record: Record, report: Report) -> bool:
        """Count a row; whether it ends."""
        self.rows += 1
        try:
            check_plain(record.value)
            row = row_of(record.value)
            if row.kind == STREAM:
                head = Head.of(row.payload)
                self.messages += head.next - head.first
            elif row.kind == FILTER:
                head_of(row.payload)
        except StoreError as error:
            # The key may hold somebody's identity, so only its size is said.
            report.wrong(f"state, a row with a key of {len(data_key)} bytes: {error}")
            return False
        self.bounded += row.place is not None
        if row.until_ms:
            self.expiring += 1
            self.ends[data_key] = row.until_ms
        return row.until_ms > 0


class StateReader(ChangeReader):
    """Tells the changes of `kv`. Patterns match the parts of the whole key, between its colons.

    Values are the bytes that the store's serializer made.

    Args:
        engine: reads the values.
        keyspace: of the state.
    """

    def __init__(self, engine: Engine, keyspace: Keyspace) -> None:
        self._engine = engine
        self._keyspace = keyspace
        self._data = layout.region(keyspace.number, layout.DATA)

    def on(self, moment: Engine) -> ChangeReader:
        return StateReader(moment, self._keyspace)

    def key(self, packed: bytes) -> str:
        return packed.decode(errors="replace")

    def segments(self, key: Any) -> tuple[str, ...]:
        return tuple(key.split(":"))

    async def values(self, position: FeedPosition, key: Any) -> tuple[Any, Any]:
        """What is there now, if this change put it there: state keeps no past."""
        if position.row.act == Act.DELETE:
            return None, None
        [record] = await self._engine.read([self._data + position.row.key])
        if record is None or record.revision != position.revision:
            return None, None
        return None, row_of(record.value).payload

    def standing_range(self, pattern: Pattern) -> Range:
        return Range.prefix(self._data + ":".join(pattern.prefix).encode())

    async def standing(self, range: Range, pattern: Pattern) -> tuple[list[Change], Range | None]:
        page = await self._engine.scan(range)
        now_ms = self._engine.components.clock.now_ms()
        found = []
        for data_key, record in page.rows:
            key = self.key(data_key[layout.REGION_BYTES :])
            row = living(record, now_ms)
            if row is None or row.kind != TOLD or not self.shows(pattern, key):
                continue
            found.append(
                Change(
                    record.revision, 0, "set", key, None, row.payload, instant(now_ms),
                    "snapshot", view=self._keyspace.view, keyspace=self._keyspace.name,
                )
            )  # fmt: skip
        return found, page.resume


async def _count(moment: Engine, region: bytes, wanted: Callable[[bytes], bool]) -> int:
    """How many rows of a region are of a kind."""
    found = 0
    rest: Range | None = Range.prefix(region)
    while rest is not None:
        page = await moment.scan(rest)
        found += sum(wanted(key) for key, _ in page.rows)
        rest = page.resume
    return found


async def _expiries(moment: Engine, keyspace: Keyspace) -> int:
    found = 0
    rest: Range | None = Range.prefix(layout.EXPIRY)
    while rest is not None:
        page = await moment.scan(rest)
        found += sum(
            layout.keyspace_of(layout.expiry_of(key)[1]) == keyspace.number for key, _ in page.rows
        )
        rest = page.resume
    return found


def _nothing(_revision: int) -> None:
    """Nobody is told."""
