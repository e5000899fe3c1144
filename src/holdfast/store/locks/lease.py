"""The lease of a lock: one row that says which process has it, and until when.

    S "lease " name   who holds it, until when, and who is next
    S "wait " caller  what a caller that holds some lock waits for

A row ends with its lock, so a free lock takes no space. The token of a holder is the
revision of the commit that made its lease: it grows with each holder of any lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from holdfast.contract.batch import Batch, Delete, Operation, Put
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Fenced, IntegrityFailed, LeaseLost
from holdfast.contract.record import Range, Record
from holdfast.contract.runtime import Clock
from holdfast.store import layout

T = TypeVar("T")

#: How long a lock that was let go is kept for who said first that it waits for it.
RESERVED_MS = 1_000
#: How long what a caller waits for is believed without being said again.
WAIT_ROW_MS = 60_000
#: How many dead rows one commit removes.
SWEEP_BATCH_MAX = 1_000
#: How many callers a cycle may have to be found.
CYCLE_MAX = 64


class Lease(msgspec.Struct, frozen=True, array_like=True):
    """The row of a lock.

    Attributes:
        owner: identity of this holding; empty: kept for `next`.
        caller: who holds, as the rows of waits name it.
        until_ms: when it ends unless it is renewed.
        next: a waiter that has waited long and comes next; None: there is none.
    """

    owner: bytes
    caller: bytes
    until_ms: int
    next: bytes | None = None


class WaitRow(msgspec.Struct, frozen=True, array_like=True):
    """What a caller that holds some lock waits for."""

    name: str
    until_ms: int


class Want(msgspec.Struct):
    """A caller that tries to get a lease.

    Attributes:
        owner: identity that its lease will have.
        caller: as the rows of waits name it.
        ttl_ms: for how long.
        patient: it has waited long enough to be next.
        is_next: the row says it is.
        told: other processes know that it waits.
    """

    name: str
    owner: bytes
    caller: bytes
    ttl_ms: int
    patient: bool = False
    is_next: bool = False
    told: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode_lease = msgspec.msgpack.Decoder(Lease).decode
_decode_wait = msgspec.msgpack.Decoder(WaitRow).decode


def lease_key(name: str) -> bytes:
    """Where the lease of a lock stands."""
    return layout.SYSTEM_LEASES + name.encode()


def wait_key(caller: bytes) -> bytes:
    """Where it stands what a caller waits for."""
    return layout.SYSTEM_WAITS + caller


def lease_of(record: Record | None) -> Lease | None:
    """The lease in a row."""
    return None if record is None else _decoded(record, _decode_lease)


def wait_of(record: Record | None) -> WaitRow | None:
    """The wait in a row."""
    return None if record is None else _decoded(record, _decode_wait)


class Leases:
    """Writes and reads the rows of locks."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def take(self, want: Want) -> int | None:
        """The token, when the lock was free; None while another owner has it."""
        taken = False

        def decide(records: list[Record | None], _revision: int) -> Batch | None:
            nonlocal taken
            taken = False
            there = lease_of(records[0])
            now = self._clock.now_ms()
            waiting = None if there is None else there.next
            want.is_next = waiting == want.owner
            if there is None or there.until_ms <= now or (not there.owner and want.is_next):
                taken = True
                following = None if want.is_next else waiting
                lease = Lease(want.owner, want.caller, now + want.ttl_ms, following)
                operations: list[Operation] = [Put(key, _encode(lease))]
                if want.told:
                    operations.append(Delete(wait_key(want.caller)))
                return Batch(operations)
            if want.patient and waiting is None:
                want.is_next = True
                said = Lease(there.owner, there.caller, there.until_ms, want.owner)
                return Batch((Put(key, _encode(said)),))
            return None

        key = lease_key(want.name)
        receipt = await self._engine.transact([key], decide)
        return receipt.revision if taken else None

    async def busy(self, want: Want) -> bool:
        """Whether it is not worth trying to take it now; reads, and writes nothing."""
        [record] = await self._engine.read([lease_key(want.name)])
        there = lease_of(record)
        if there is None or there.until_ms <= self._clock.now_ms():
            return False
        if not there.owner and there.next == want.owner:
            return False
        return not (want.patient and there.next is None)

    async def give(self, name: str, owner: bytes) -> None:
        """End a lease, or the wish to be next.

        Raises:
            LeaseLost, Fenced: it had been lost; see `require`.
        """
        lost: Lease | None = None
        found = False

        def decide(records: list[Record | None], _revision: int) -> Batch | None:
            nonlocal lost, found
            lost = there = lease_of(records[0])
            found = there is not None and owner in (there.owner, there.next)
            if there is None or not found:
                return None
            now = self._clock.now_ms()
            if there.owner == owner and there.next is not None:
                kept = Lease(b"", b"", now + RESERVED_MS, there.next)
            elif there.owner == owner or not there.owner:
                return Batch((Delete(key),))
            else:
                kept = Lease(there.owner, there.caller, there.until_ms)
            return Batch((Put(key, _encode(kept)),))

        key = lease_key(name)
        await self._engine.transact([key], decide)
        if not found:
            raise lease_lost(name, lost)

    async def renew(self, holdings: list[tuple[str, bytes, int]]) -> list[bool]:
        """Lengthen leases by (name, owner, milliseconds), as one commit; which still were."""
        renewed: list[bool] = []

        def decide(records: list[Record | None], _revision: int) -> Batch | None:
            renewed.clear()
            now = self._clock.now_ms()
            operations: list[Operation] = []
            for key, record, (_, owner, ttl_ms) in zip(keys, records, holdings, strict=True):
                there = lease_of(record)
                renewed.append(there is not None and there.owner == owner)
                if there is not None and there.owner == owner:
                    longer = Lease(owner, there.caller, now + ttl_ms, there.next)
                    operations.append(Put(key, _encode(longer)))
            return Batch(operations) if operations else None

        keys = [lease_key(name) for name, _, _ in holdings]
        await self._engine.transact(keys, decide)
        return renewed

    async def require(self, name: str, owner: bytes) -> None:
        """Raise unless the lease is still of that owner.

        Raises:
            Fenced: another owner has it.
            LeaseLost: it ran out, and the lock is free.
        """
        [record] = await self._engine.read([lease_key(name)])
        there = lease_of(record)
        if there is None or there.owner != owner or there.until_ms <= self._clock.now_ms():
            raise lease_lost(name, there, owner)

    # --- Waits ------------------------------------------------------------------------------

    async def tell_wait(self, caller: bytes, name: str) -> None:
        """Let other processes know what a holder waits for."""
        row = WaitRow(name, self._clock.now_ms() + WAIT_ROW_MS)
        await self._engine.commit(Batch((Put(wait_key(caller), _encode(row)),)))

    async def forget_wait(self, caller: bytes) -> None:
        """It waits no longer."""
        await self._engine.commit(Batch((Delete(wait_key(caller)),)))

    async def cycle(self, caller: bytes, name: str) -> list[tuple[bytes, str]] | None:
        """The callers that wait for each other from `caller`, who waits for `name`, round to it.

        Each with the lock that it waits for. None when there is no such cycle. What was walked is
        read again as of one moment, so a cycle that is told was one.
        """
        walked: list[tuple[bytes, str]] = [(caller, name)]
        keys: list[bytes] = []
        seen: list[object] = []
        while len(walked) <= CYCLE_MAX:
            keys += [lease_key(walked[-1][1]), b""]
            holder = self._holder((await self._engine.read(keys[-2:-1]))[0])
            seen += [holder, None]
            if holder is None:
                return None
            if holder == caller:
                keys.pop()
                seen.pop()
                break
            keys[-1] = wait_key(holder)
            wanted = self._wanted((await self._engine.read(keys[-1:]))[0])
            seen[-1] = wanted
            if wanted is None or any(holder == one for one, _ in walked):
                return None
            walked.append((holder, wanted))
        else:
            return None
        records = await self._engine.read(keys)
        now_seen: list[object] = [
            self._wanted(record) if place % 2 else self._holder(record)
            for place, record in enumerate(records)
        ]
        return walked if now_seen == seen else None

    def _holder(self, record: Record | None) -> bytes | None:
        lease = lease_of(record)
        living = lease is not None and lease.owner and lease.until_ms > self._clock.now_ms()
        return lease.caller if lease is not None and living else None

    def _wanted(self, record: Record | None) -> str | None:
        wait = wait_of(record)
        living = wait is not None and wait.until_ms > self._clock.now_ms()
        return wait.name if wait is not None and living else None

    # --- Care -------------------------------------------------------------------------------

    async def sweep(self) -> int:
        """Remove what killed processes left behind; how many rows."""
        removed = 0
        for prefix in (layout.SYSTEM_LEASES, layout.SYSTEM_WAITS):
            rest: Range | None = Range.prefix(prefix, limit=SWEEP_BATCH_MAX)
            while rest is not None:
                page = await self._engine.scan(rest)
                rest = page.resume
                dead = [key for key, record in page.rows if self._dead(key, record)]
                if dead:
                    removed += await self._remove(dead)
        return removed

    def _dead(self, key: bytes, record: Record) -> bool:
        try:
            row = lease_of(record) if key.startswith(layout.SYSTEM_LEASES) else wait_of(record)
        except IntegrityFailed:
            return False  # A caller that wants the lock gets the error; other rows go on.
        return row is not None and row.until_ms <= self._clock.now_ms()

    async def _remove(self, keys: list[bytes]) -> int:
        removed = 0

        def decide(records: list[Record | None], _revision: int) -> Batch | None:
            nonlocal removed
            dead = [
                Delete(key)
                for key, record in zip(keys, records, strict=True)
                if record is not None and self._dead(key, record)
            ]
            removed = len(dead)
            return Batch(dead) if dead else None

        await self._engine.transact(keys, decide)
        return removed


def lease_lost(name: str, there: Lease | None, owner: bytes = b"") -> LeaseLost | Fenced:
    """The error for a holder that is one no longer."""
    step = "Undo or check what was done since; take a longer ttl where holders can be held up"
    if there is None or not there.owner or there.owner == owner:
        return LeaseLost(
            f"the lease of lock {name!r} was to be held still; it ran out before it was renewed. "
            + step,
            lock=name,
        )
    return Fenced(
        f"the lease of lock {name!r} was to be held still; it ran out, and another holder has the "
        f"lock now. {step}",
        lock=name,
    )


def _decoded(record: Record, decode: Callable[[bytes], T]) -> T:
    try:
        return decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityFailed(
            "the row of a lock cannot be read; run `holdfast check` on the database"
        ) from error
