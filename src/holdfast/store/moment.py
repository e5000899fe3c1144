"""What a transaction reads below its own writes: one moment, or one moment for each statement."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from holdfast.contract.engine import Engine, Snapshot
from holdfast.contract.record import Page, Range, Record
from holdfast.store.isolation import ReadSet

#: How many walks of a `read_committed` transaction may be under way, each with its moment.
WALKS_MAX: Final = 16

#: The keys that are left of a walk: where it goes on.
_Walk = tuple[bytes | None, bytes | None, bool]


class Moment:
    """The rows of the database as a transaction sees them.

    Args:
        engine: where they are.
        snapshot: of the moment that is read, and closed with this; None where the engine has none:
            then what was read once is not read again.
        reads: what the transaction has read so far.
        weak: whether each statement sees a moment of its own.
    """

    def __init__(
        self, engine: Engine, snapshot: Snapshot | None, reads: ReadSet, *, weak: bool
    ) -> None:
        self._engine = engine
        #: Of the moment, where the engine has one.
        self.snapshot = snapshot
        self._reads = reads
        self._weak = weak
        self._walks: OrderedDict[_Walk, Snapshot] = OrderedDict()

    async def read(self, keys: Sequence[bytes]) -> list[Record | None]:
        """The rows under the keys."""
        if self.snapshot is not None:
            return await self._engine.read(keys, at=None if self._weak else self.snapshot)
        known = [self._reads.known(key) for key in keys]
        unknown = [key for key, one in zip(keys, known, strict=True) if one is None]
        found = iter(await self._engine.read(unknown) if unknown else ())
        return [next(found) if one is None else one[0] for one in known]

    async def scan(self, range: Range) -> Page:
        """A page of the rows of a range."""
        if self.snapshot is None:
            return await self._engine.scan(range)
        if not self._weak:
            return await self._engine.scan(range, at=self.snapshot)
        # Each walk is a statement: all its pages are of the moment of the first.
        moment = self._walks.pop((range.start, range.end, range.reverse), None)
        if moment is None:
            moment = await self._engine.snapshot()
        try:
            page = await self._engine.scan(range, at=moment)
        except BaseException:
            moment.close()
            raise
        rest = page.resume
        if rest is None:
            moment.close()
        else:
            self._walks[rest.start, rest.end, rest.reverse] = moment
            if len(self._walks) > WALKS_MAX:
                self._walks.popitem(last=False)[1].close()
        return page

    def close(self) -> None:
        """Let go of every snapshot."""
        if self.snapshot is not None:
            self.snapshot.close()
        while self._walks:
            self._walks.popitem()[1].close()
