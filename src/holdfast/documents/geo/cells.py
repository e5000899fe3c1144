"""Cells: squares of latitude and longitude, halved again and again, in Z-order.

A point's code has 32 bits of its latitude and 32 of its longitude, in turn. Codes that begin with
the same bits are a cell, so a cell is one range of codes, and the four cells that it divides into
follow each other. Poles have longitude 0 and the date line is -180 here, so that every place has
one code.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from holdfast.documents.geo.shapes import LATITUDE_MAX, LONGITUDE_MAX, Box, Point

LEVELS = 32
"""How often the earth is halved in each direction: the smallest cell is about a centimetre."""

CODE_BYTES = 8
"""The bytes of a code."""

COVERING_CELLS_MAX = 8
"""How many ranges of codes a covering has at most, if the caller does not say otherwise."""

_SCALE = 1 << LEVELS
_LAST = _SCALE - 1
_CODE_LAST = (1 << 2 * LEVELS) - 1
_POLES = (-LATITUDE_MAX, LATITUDE_MAX)


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
    def start(self) -> int:
        """The first code of the cell."""
        return _codes(self.level, self.row, self.column)[0]

    @property
    def end(self) -> int:
        """The first code behind the cell."""
        return _codes(self.level, self.row, self.column)[1]

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


def code_of(point: Point) -> int:
    """The code of a place."""
    return code_at(point.latitude, point.longitude)


def code_at(latitude: float, longitude: float) -> int:
    """The same of coordinates that are in range."""
    if latitude in _POLES:
        longitude = 0.0
    elif longitude == LONGITUDE_MAX:
        longitude = -LONGITUDE_MAX
    return _interleave(_row(latitude), _column(longitude))


#: South, west, north and east as rows and columns of smallest cells, the last ones included.
#: Whether a cell is needed is asked of whole numbers: these grow as coordinates do, so no point
#: is lost to rounding.
_Area = tuple[int, int, int, int]


def covering(box: Box, cells_max: int = COVERING_CELLS_MAX) -> list[tuple[int, int]]:
    """Ranges of codes (first, behind the last) that hold every point of the box, and few others.

    They are in order, do not overlap, and are at most `cells_max`, which is 4 at least.
    """
    areas = [_area(part) for part in (*box.parts(), *_seams(box))]
    done: list[_Place] = []
    # Larger cells waste more, so they are divided first, as long as there is room.
    queue = deque([_common(areas[0]) if len(areas) == 1 else (0, 0, 0)])
    while queue:
        cell = queue.popleft()
        children = _children(cell, areas)
        if len(done) + len(queue) + len(children) > max(cells_max, 4):
            done.append(cell)
            continue
        for child, held in children:
            (done if held or child[0] == LEVELS else queue).append(child)
    joined: list[tuple[int, int]] = []
    for start, end in sorted([_codes(*cell) for cell in done]):
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def corners(box: Box) -> tuple[int, int]:
    """The codes in the south-west and in the north-east of a box."""
    south, west, north, east = _area(box)
    return _interleave(south, west), _interleave(north, east)


#: Level, row and column of a cell: a covering looks at too many to make an object of each.
_Place = tuple[int, int, int]


def _codes(level: int, row: int, column: int) -> tuple[int, int]:
    """The first code of a cell, and the first behind it."""
    shift = LEVELS - level
    start = _interleave(row << shift, column << shift)
    return start, start + (1 << 2 * shift)


def _common(area: _Area) -> _Place:
    """The smallest cell that holds an area."""
    south, west, north, east = area
    # A cell of the last level cannot be divided, and is not asked whether it is needed.
    bits = max((south ^ north).bit_length(), (west ^ east).bit_length(), 1)
    return LEVELS - bits, south >> bits, west >> bits


def _children(cell: _Place, areas: list[_Area]) -> list[tuple[_Place, bool]]:
    """The cells it divides into that touch an area, and whether one holds them."""
    level, row, column = cell
    shift = LEVELS - level - 1
    side = (1 << shift) - 1
    children = []
    for down in (2 * row, 2 * row + 1):
        first_row = down << shift
        last_row = first_row + side
        for along in (2 * column, 2 * column + 1):
            first = along << shift
            last = first + side
            touched = held = False
            for south, west, north, east in areas:
                if first_row <= north and south <= last_row and first <= east and west <= last:
                    touched = True
                    if south <= first_row and last_row <= north and west <= first and last <= east:
                        held = True
            if touched:
                children.append(((level + 1, down, along), held))
    return children


def _area(box: Box) -> _Area:
    return _row(box.south), _column(box.west), _row(box.north), _column(box.east)


def _seams(box: Box) -> list[Box]:
    """Where points of the box have another longitude in their code than in the box."""
    seams = [
        Box(pole, 0.0, pole, 0.0)
        for pole in (-LATITUDE_MAX, LATITUDE_MAX)
        if pole in (box.south, box.north)
    ]
    if box.west <= box.east == LONGITUDE_MAX:
        seams.append(Box(box.south, -LONGITUDE_MAX, box.north, -LONGITUDE_MAX))
    return seams


def _row(latitude: float) -> int:
    row = int((latitude + LATITUDE_MAX) / 180 * _SCALE)
    return row if row < _SCALE else _LAST


def _column(longitude: float) -> int:
    column = int((longitude + LONGITUDE_MAX) / 360 * _SCALE)
    return column if column < _SCALE else _LAST


def _interleave(row: int, column: int) -> int:
    """The bits of both numbers in turn, the row's first."""
    # Both are spread at once, the row in the upper half: each step halves what stays together.
    pair = row << 64 | column
    pair = (pair | pair << 16) & 0x0000FFFF0000FFFF0000FFFF0000FFFF
    pair = (pair | pair << 8) & 0x00FF00FF00FF00FF00FF00FF00FF00FF
    pair = (pair | pair << 4) & 0x0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F
    pair = (pair | pair << 2) & 0x33333333333333333333333333333333
    pair = (pair | pair << 1) & 0x55555555555555555555555555555555
    return pair >> 63 | pair & _CODE_LAST


#: The bits of a code that are those of its latitude, and of its longitude.
ROWS, COLUMNS = _interleave(_LAST, 0), _interleave(0, _LAST)
