"""One holder for each database: who does the work that must not be done by every process.

On a server each look at what is due costs a round trip, and a hundred processes would look at the
same rows. So one of them holds a lease: a row with its identity, renewed by writing it again. Who
sees the same revision of the row for the whole time takes it over. Only durations count, each
measured by one process's own clock: clocks of machines need not agree.
"""

from __future__ import annotations

from holdfast.contract.batch import Answer, Draft
from holdfast.contract.engine import Engine
from holdfast.contract.errors import InvalidInput
from holdfast.contract.record import Record

#: For how long a renewal lasts.
LEASE_S = 10.0
#: The holder renews after this part of the time,
RENEW_PART = 1 / 3
#: and stops believing that it holds after this part, so that clocks may differ in speed.
BELIEVE_PART = 0.9


class Lease:
    """A lease on one row of a database, wanted or held by this process.

    Args:
        engine: of the database; any that can `transact`.
        key: of the row.
        seconds: how long a renewal lasts; the same in every process.
    """

    def __init__(self, engine: Engine, key: bytes, *, seconds: float = LEASE_S) -> None:
        if seconds <= 0:
            raise InvalidInput(f"a lease lasts longer than 0 seconds; found {seconds}")
        self._engine = engine
        self._key = key
        self._seconds = seconds
        self._me = engine.components.ids.new()
        #: Until when this process may believe that it holds it, by its monotonic clock.
        self._until = float("-inf")
        self._renew_at = float("-inf")
        #: The revision of somebody else's row, and when it was first seen.
        self._seen: tuple[int, float] | None = None

    @property
    def held(self) -> bool:
        """Whether this process holds it now. Asks nobody."""
        return self._engine.components.clock.monotonic() < self._until

    async def hold(self) -> bool:
        """Take it if it is free, renew it when that is due; whether this process holds it.

        Costs a round trip when it is not held or due to be renewed, else nothing. Raises what the
        engine raises; what was believed before then still holds, for its time.
        """
        now = self._engine.components.clock.monotonic()
        if now < self._renew_at:
            return True
        took = False

        def decide(records: list[Record | None], revision: int) -> Answer:
            nonlocal took
            del revision
            took = self._may_take(records[0], now)
            if not took:
                return None
            draft = Draft()
            draft.rows[self._key] = self._me
            return draft

        await self._engine.transact([self._key], decide)
        if took:
            # From before the request: others count from when they see the row, which is later.
            self._until = now + self._seconds * BELIEVE_PART
            self._renew_at = now + self._seconds * RENEW_PART
            self._seen = None
        else:
            self._until = self._renew_at = float("-inf")
        return self.held

    async def release(self) -> None:
        """Let others have it at once; releasing what is not held does nothing."""
        self._until = self._renew_at = float("-inf")

        def decide(records: list[Record | None], revision: int) -> Answer:
            del revision
            if records[0] is None or records[0].value != self._me:
                return None
            draft = Draft()
            draft.rows[self._key] = None
            return draft

        await self._engine.transact([self._key], decide)

    def _may_take(self, record: Record | None, now: float) -> bool:
        if record is None or record.value == self._me:
            return True
        if self._seen is None or self._seen[0] != record.revision:
            self._seen = (record.revision, now)
            return False
        return now - self._seen[1] >= self._seconds
