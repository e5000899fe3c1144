"""Cells: squares of latitude and longitude, halved again and again, in Z-order.

A point's code has 32 bits of its latitude and 32 of its longitude, in turn. Codes that begin with
the same bits are a cell, so a cell is one range of codes, and the four cells that it divides into
follow each other. Poles have longitude 0 and the date line is -180 here, so that every place has
one code.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from holdfast.documents.geo.shapes import LATITUDE_MAX, LONGITUDE_MAX, Box, Point

LEVELS = 32
"""How often the earth is halved in each direction: the smallest cell is about a centimetre."""

CODE_BYTES = 8
"""The bytes of a code."""

COVERING_CELLS_MAX = 16
"""How many ranges of codes a covering has at most, if the caller does not say otherwise."""

_SCALE = 1 << LEVELS
_LAST = _SCALE - 1


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        level: 0 is the whole earth; each further level halves both sides.
        row: its place from south to north, 0 to 2 ** level - 1.
        column: its place from west to east.
    """

    level: int
    row: int
    column: int

    @property
    def box(self) -> Box:
        """The area of the cell, with all its edges."""
        count = 1 << self.level
        return Box(
            self.row / count * 180 - LATITUDE_MAX,
            self.column / count * 360 - LONGITUDE_MAX,
            (self.row + 1) / count * 180 - LATITUDE_MAX,
            (self.column + 1) / count * 360 - LONGITUDE_MAX,
        )

    @property
    def start(self) -> int:
        """The first code of the cell."""
        shift = LEVELS - self.level
        return _interleave(self.row << shift, self.column << shift)

    @property
    def end(self) -> int:
        """The first code behind the cell."""
        return self.start + (1 << 2 * (LEVELS - self.level))

    def children(self) -> tuple[Cell, Cell, Cell, Cell]:
        """The four cells it divides into, in the order of their codes."""
        level, row, column = self.level + 1, 2 * self.row, 2 * self.column
        return (
            Cell(level, row, column),
            Cell(level, row, column + 1),
            Cell(level, row + 1, column),
            Cell(level, row + 1, column + 1),
        )


EARTH = Cell(0, 0, 0)


def place_of(point: Point) -> Point:
    """The same place with the one longitude that its code has."""
    if abs(point.latitude) == LATITUDE_MAX:
        return Point(point.latitude, 0.0)
    if point.longitude == LONGITUDE_MAX:
        return Point(point.latitude, -LONGITUDE_MAX)
    return point


def code_of(point: Point) -> int:
    """The code of a place."""
    place = place_of(point)
    row = min(int((place.latitude + LATITUDE_MAX) / 180 * _SCALE), _LAST)
    column = min(int((place.longitude + LONGITUDE_MAX) / 360 * _SCALE), _LAST)
    return _interleave(row, column)


def covering(box: Box, cells_max: int = COVERING_CELLS_MAX) -> list[tuple[int, int]]:
    """Ranges of codes (first, behind the last) that hold every point of the box, and few others.

    They are in order, do not overlap, and are at most `cells_max`.
    """
    parts = [*box.parts(), *_seams(box)]
    # The cells that waste most are divided first, as long as there is room.
    open_ = [(-1.0, EARTH)]
    done: list[Cell] = []
    heapify(open_)
    order = 0
    queue: list[tuple[int, int, Cell]] = [(0, order, EARTH)]
    while queue:
        level, _, cell = heappop(queue)
        children = [child for child in cell.children() if _touches(child.box, parts)]
        room = len(done) + len(queue) + len(children) <= cells_max
        if level >= LEVELS - 1 or not room:
            done.append(cell)
            continue
        for child in children:
            if _inside(child.box, parts):
                done.append(child)
            else:
                order += 1
                heappush(queue, (child.level, order, child))
    return _joined(sorted((cell.start, cell.end) for cell in done))


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in ranges:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _seams(box: Box) -> list[Box]:
    """Where points of the box have another longitude in their code than in the box."""
    seams = []
    for pole in (-LATITUDE_MAX, LATITUDE_MAX):
        if pole in (box.south, box.north):
            seams.append(Box(pole, 0.0, pole, 0.0))
    if box.west <= box.east == LONGITUDE_MAX:
        seams.append(Box(box.south, -LONGITUDE_MAX, box.north, -LONGITUDE_MAX))
    return seams


def _touches(cell: Box, parts: list[Box]) -> bool:
    return any(
        cell.south <= part.north
        and part.south <= cell.north
        and cell.west <= part.east
        and part.west <= cell.east
        for part in parts
    )


def _inside(cell: Box, parts: list[Box]) -> bool:
    return any(
        part.south <= cell.south
        and cell.north <= part.north
        and part.west <= cell.west
        and cell.east <= part.east
        for part in parts
    )


def _interleave(row: int, column: int) -> int:
    """The bits of both numbers in turn, the row's first."""
    return _spread(row) << 1 | _spread(column)


def _spread(number: int) -> int:
    """32 bits with a zero before each."""
    number = (number | number << 16) & 0x0000FFFF0000FFFF
    number = (number | number << 8) & 0x00FF00FF00FF00FF
    number = (number | number << 4) & 0x0F0F0F0F0F0F0F0F
    number = (number | number << 2) & 0x3333333333333333
    return (number | number << 1) & 0x5555555555555555
