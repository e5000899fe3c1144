"""Where two databases of one history differ: rows of one moment against rows that stand elsewhere.

Rows are compared with their values: the rotation of a key of an encrypted database changes those,
and leaves revisions as they are. Both sides are read in pages and compared in the order of keys;
memory stays flat.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncIterator, Iterable, Sequence

from holdfast.backups.standby import OWN
from holdfast.contract.engine import Engine
from holdfast.contract.record import Range, Record

#: How many rows are asked for by their keys at once.
READ_KEYS = 500

#: A row that has to be written, or (None) removed.
Difference = tuple[bytes, Record | None]


async def of_range(source: Engine, target: Engine, range: Range) -> AsyncIterator[list[Difference]]:
    """What makes the target's rows of a range the source's, in steps."""
    ours, theirs = _Side(source, range), _Side(target, range)
    while True:
        await ours.fill()
        await theirs.fill()
        border = min(ours.border, theirs.border)
        mine, standing = ours.up_to(border), theirs.up_to(border)
        if not mine and not standing and ours.done and theirs.done:
            return
        found = compared(mine, standing)
        if found:
            yield found


async def of_keys(
    source: Engine, target: Engine, keys: Iterable[bytes]
) -> AsyncIterator[list[Difference]]:
    """The same of single keys."""
    wanted = [key for key in keys if not key.startswith(OWN)]
    for at in range(0, len(wanted), READ_KEYS):
        step = wanted[at : at + READ_KEYS]
        mine, standing = await source.read(step), await target.read(step)
        found = compared(
            [(key, one) for key, one in zip(step, mine, strict=True) if one is not None],
            [(key, one) for key, one in zip(step, standing, strict=True) if one is not None],
        )
        if found:
            yield found


def compared(
    mine: Sequence[tuple[bytes, Record]], standing: Sequence[tuple[bytes, Record]]
) -> list[Difference]:
    """What makes the standing rows mine."""
    known = dict(standing)
    found: list[Difference] = []
    for key, record in mine:
        if known.pop(key, None) != record and not key.startswith(OWN):
            found.append((key, record))
    found.extend((key, None) for key in known if not key.startswith(OWN))
    return found


#: Behind every key.
_END = b"\xff" * 5_000


class _Side:
    """Rows of a range, page by page."""

    def __init__(self, engine: Engine, range: Range) -> None:
        self._engine = engine
        self._rest: Range | None = range
        self._rows: list[tuple[bytes, Record]] = []

    @property
    def done(self) -> bool:
        return self._rest is None and not self._rows

    @property
    def border(self) -> bytes:
        """Up to which key everything is here."""
        return _END if self._rest is None else self._rows[-1][0]

    async def fill(self) -> None:
        """Read a page if there is none."""
        while not self._rows and self._rest is not None:
            page = await self._engine.scan(self._rest)
            self._rows, self._rest = page.rows, page.resume

    def up_to(self, border: bytes) -> list[tuple[bytes, Record]]:
        """The rows up to a key, which are taken out."""
        rows = self._rows
        if not rows or rows[-1][0] <= border:
            self._rows = []
            return rows
        count = bisect_right(rows, border, key=lambda row: row[0])
        self._rows = rows[count:]
        return rows[:count]
