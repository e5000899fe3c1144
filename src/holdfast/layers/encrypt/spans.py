"""Ranges that span the rows of the ring, which those above the layer do not see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from holdfast.contract.batch import CheckRange
from holdfast.contract.engine import Engine
from holdfast.contract.record import Range, after_prefix
from holdfast.layers.encrypt.ring import key_row
from holdfast.layers.encrypt.rows import Again

#: How many keys stand before the ring in the ranges of checks.
Counts = dict[CheckRange, int]


class Spans:
    """Keeps the rows of the ring out of ranges.

    Args:
        ring: what their keys begin with.
    """

    def __init__(self, ring: bytes) -> None:
        self._ring = ring
        end = after_prefix(ring)
        assert end is not None
        self._end = end

    def around(self, range: Range) -> list[Range]:
        """A range without the rows of the ring."""
        if (range.end is not None and range.end <= self._ring) or (range.start or b"") >= self._end:
            return [range]
        parts = [Range(range.start, self._ring), Range(self._end, range.end)]
        return [part for part in parts if not part.empty]

    def checked(
        self,
        check: CheckRange,
        revision: int | None,
        numbers: Iterable[int],
        counts: Counts,
    ) -> list[CheckRange]:
        """A check as the engine is to make it.

        Args:
            check: of what those above see.
            revision: of the ring; None: it is not stored.
            numbers: of the keys in it.
            counts: of checks that had to know.

        Raises:
            Again: that has to be counted first.
        """
        if revision is None:
            return [check]
        inside = sum(
            key in check.range for key in (self._ring, *(key_row(self._ring, n) for n in numbers))
        )
        if not inside:
            return [check]
        if check.at_revision >= revision:
            return [replace(check, count=check.count + inside)]
        # The ring is newer than the check, and would be told as what came since.
        parts = self.around(check.range)
        if len(parts) < 2:  # noqa: PLR2004 - one on either side
            return [replace(check, range=part) for part in parts]
        first = counts.get(check)
        if first is None:
            raise Again(check=check)
        return [
            replace(check, range=parts[0], count=first),
            replace(check, range=parts[1], count=check.count - first),
        ]

    async def count(self, engine: Engine, check: CheckRange) -> int:
        """How many keys stand before the ring in the range of a check."""
        rest: Range | None = self.around(check.range)[0]
        found = 0
        while rest is not None:
            page = await engine.scan(rest)
            found, rest = found + len(page.rows), page.resume
        return found
