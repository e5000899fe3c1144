"""What every verb stands on: the database, its keyspace of state, and how rows change in a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from holdfast.contract.batch import Need
from holdfast.contract.engine import NOT_NOW, Engine, NotNow
from holdfast.contract.errors import StoreClosed, ValueTooLarge
from holdfast.contract.record import Record
from holdfast.contract.runtime import Clock
from holdfast.runtime.gate import Gate
from holdfast.state.embedded.rows import (
    PARTED,
    QUIET,
    SETTINGS,
    STATE,
    TOLD,
    Group,
    Place,
    Places,
    Row,
    living,
    pack_row,
    row_of,
    value_of,
)
from holdfast.store.feed_row import Act, Cause
from holdfast.store.keyspaces import Keyspace, Keyspaces
from holdfast.store.plain.rows import pack_plain
from holdfast.store.plan import Plan
from holdfast.store.space import Space, WritePlan, Writer, commit

#: What a row adds to a value: its form, its expiry, its kind; its place, if it is bounded.
_FORM_BYTES = 11
_PLACE_BYTES_MAX = 9 + 255

#: A number that no keyspace has: under it nothing stands.
_NOWHERE = 0

_encode = msgspec.msgpack.Encoder().encode


class Site:
    """The keyspace of state on one database, or on one transaction or snapshot of it.

    Args:
        engine: of the database.
        keyspaces: its directory.
        clock: decides what has run out.
        wrote: told the revision of each commit.
        gate: of the handle.
    """

    def __init__(
        self,
        engine: Engine,
        keyspaces: Keyspaces,
        clock: Clock,
        wrote: Callable[[int], None],
        gate: Gate,
    ) -> None:
        self.engine = engine
        self.clock = clock
        self._keyspaces = keyspaces
        self._wrote = wrote
        self._gate = gate

    async def open(self) -> Ground:
        """The keyspace, made if there is none yet and this handle may write."""
        self._gate.check()
        if self.engine.capabilities.writable:
            keyspace = await self._keyspaces.require(STATE, STATE, SETTINGS)
        else:
            found = await self._keyspaces.get(STATE, STATE)
            keyspace = found or Keyspace(STATE, STATE, _NOWHERE, SETTINGS)
        return Ground(Space(self.engine, keyspace, self.clock, self._wrote, self._gate))


class Ground:
    """The rows of state, as one engine, transaction or snapshot has them.

    Attributes:
        space: where rows are read and written.
        places: their keys.
    """

    __slots__ = ("_number", "_value_bytes_max", "places", "row_key", "space")

    def __init__(self, space: Space) -> None:
        self.space = space
        self.places = Places(space.keyspace.number)
        self.row_key = self.places.row
        self._number = space.keyspace.number
        self._value_bytes_max = space.engine.capabilities.value_bytes_max - _FORM_BYTES

    def on(self, engine: Engine) -> Ground:
        """The same rows seen through a transaction or a snapshot."""
        return Ground(self.space.on(engine))

    @property
    def keyspace(self) -> Keyspace:
        """The keyspace."""
        return self.space.keyspace

    @property
    def lasting(self) -> bool:
        """Whether the keyspace is there; a handle for reading only asks again until it is."""
        return self._number != _NOWHERE

    def awaited(self, key: str) -> bytes:
        """The row whose change may concern `key`; without a keyspace that which makes it."""
        return self.row_key(key) if self.lasting else self.keyspace.directory_key

    # --- Reading ----------------------------------------------------------------------------

    async def find(self, key: str) -> Row | None:
        """What stands under a key."""
        row = self.find_now(key)
        if row is NOT_NOW:
            [record] = await self.space.read((self.row_key(key),))
            row = living(record, self.space.clock.now_ms())
        return row

    def find_now(self, key: str) -> Row | NotNow | None:
        """The same without waiting, where the engine can."""
        space = self.space
        space.check()
        found = space.peek(self.row_key(key))
        return found if found is NOT_NOW else living(found, space.clock.now_ms())

    def value_now(self, key: str) -> bytes | NotNow | None:
        """The value under a key without waiting, where the engine can. Raises InvalidValue."""
        space = self.space
        space.check()
        found = space.peek(self.row_key(key))
        if found is None or found is NOT_NOW:
            return found
        return value_of(found[0], space.clock.now_ms())

    async def record(self, data_key: bytes) -> Record | tuple[bytes, int] | None:
        """The record of a row, also of one that has run out."""
        space = self.space
        space.check()
        found = space.peek(data_key)
        if found is NOT_NOW:
            [found] = await space.read((data_key,))
        return found

    # --- Writing ----------------------------------------------------------------------------

    async def commit(self, keys: Sequence[bytes], write: WritePlan) -> None:
        """Decide and write as one commit."""
        space = self.space
        if space.commit_now(keys, write) is None:
            await commit([Writer(space, keys, write)])

    async def decide(self, key: str, write: Callable[[Plan, bytes, Record | None], None]) -> None:
        """The same for the row of one key."""
        data_key = self.row_key(key)

        def one(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            write(plan, data_key, records[0])
            return None

        space = self.space
        if space.commit_now((data_key,), one) is None:
            await commit([Writer(space, (data_key,), one)])

    def put(
        self,
        plan: Plan,
        data_key: bytes,
        record: Record | None,
        kind: int,
        payload: bytes,
        until_ms: int,
        group: Group | None = None,
    ) -> None:
        """Write a row over what stands there, and all that follows from it."""
        if len(payload) > self._value_bytes_max:
            raise ValueTooLarge(
                f"a value has at most {self._value_bytes_max} bytes on this engine; found "
                f"{len(payload)}. Split it",
                limit=self._value_bytes_max,
                found=len(payload),
            )
        row, place, previous = None, None, 0
        if record is not None:
            row = row_of(record[0])
            kind, previous = self._over(plan, data_key, record, row, kind)
        if group is not None:
            before = None if row is None else row.place
            place = Place(group.name, group.order(plan.now_ms, until_ms, before))
        if place is not None or (row is not None and row.place is not None):
            self._stands(plan, data_key, row, place, payload)
        plan.rows[data_key] = pack_row(kind, payload, until_ms, place)
        before_ms = 0 if row is None else row.until_ms
        if before_ms or until_ms:
            plan.expires(data_key, before_ms, until_ms)
        if kind == TOLD:
            self._tell(plan, Act.SET, data_key, previous, None)

    def lasts(self, plan: Plan, data_key: bytes, row: Row, until_ms: int) -> None:
        """Let a row end at another instant; that is not told."""
        plan.rows[data_key] = pack_row(row.kind, row.payload, until_ms, row.place)
        plan.expires(data_key, row.until_ms, until_ms)

    def moves(self, plan: Plan, data_key: bytes, row: Row, place: Place) -> None:
        """Let a row of a bounded area have another place; that is not told."""
        self._stands(plan, data_key, row, place, row.payload)
        plan.rows[data_key] = pack_row(row.kind, row.payload, row.until_ms, place)

    def remove(
        self, plan: Plan, data_key: bytes, record: Record, cause: Cause | None = None
    ) -> None:
        """Remove a row and all that follows from it."""
        row = row_of(record[0])
        if cause is None and 0 < row.until_ms <= plan.now_ms:
            cause = Cause.EXPIRED
        plan.delete(data_key)
        plan.expires(data_key, row.until_ms, 0)
        if row.place is not None:
            self._stands(plan, data_key, row, None, b"")
        if row.kind in PARTED:
            plan.delete_range(self.places.stream(data_key).everything)
        elif row.kind == TOLD:
            self._tell(plan, Act.DELETE, data_key, record[1], cause)

    def _over(
        self, plan: Plan, data_key: bytes, record: Record, row: Row, kind: int
    ) -> tuple[int, int]:
        """What follows for the row that is written over; the new kind, and the revision before."""
        over = 0 < row.until_ms <= plan.now_ms
        if row.kind in PARTED and (over or kind != row.kind):
            plan.delete_range(self.places.stream(data_key).everything)
        if row.kind != TOLD:
            return kind, 0
        if over:
            # Nobody has swept it yet, so this commit tells that it ran out.
            self._tell(plan, Act.DELETE, data_key, record[1], Cause.EXPIRED)
            return kind, 0
        if kind not in (TOLD, QUIET):
            self._tell(plan, Act.DELETE, data_key, record[1], None)
            return kind, 0
        # Whoever watches the key is told of it, whoever writes it.
        return TOLD, record[1]

    def _stands(
        self, plan: Plan, data_key: bytes, row: Row | None, place: Place | None, payload: bytes
    ) -> None:
        """Keep the rows of bounded areas in step with a row that changes."""
        key = data_key[len(self.places.data) :]
        differences: dict[str, tuple[int, int]] = {}
        if row is not None and row.place is not None:
            there = self.places.bound(row.place.group)
            plan.delete(there.order(row.place.order, key))
            differences[row.place.group] = (-1, -len(key) - len(row.payload))
        if place is not None:
            plan.put(self.places.bound(place.group).order(place.order, key), b"")
            items, size = differences.get(place.group, (0, 0))
            differences[place.group] = (items + 1, size + len(key) + len(payload))
        for group, difference in differences.items():
            if difference != (0, 0):
                packed = pack_plain(_encode(difference))
                plan.append(self.places.bound(group).differences, packed)

    def _tell(
        self, plan: Plan, act: Act, data_key: bytes, previous: int, cause: Cause | None
    ) -> None:
        key = data_key[len(self.places.data) :]
        plan.tell(self._number, act, key, previous, plan.now_ms, cause=cause)


def closed() -> StoreClosed:
    """The error after `close`."""
    return StoreClosed("the adapter was closed; make another one")
