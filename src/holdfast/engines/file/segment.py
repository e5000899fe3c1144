"""Segments: the files that a journal consists of."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from holdfast.engines.embedded.open_file import OpenFile
from holdfast.engines.file.frames import Frames
from holdfast.engines.file.json_lines import JsonLines
from holdfast.engines.file.records import Format

FORMATS: dict[str, Format] = {"json": JsonLines(), "msgpack": Frames()}
_BY_SUFFIX = {format.suffix: format for format in FORMATS.values()}
#: Segments are numbered with so many digits, so that they sort by name.
_DIGITS = 8
#: The unit in which a medium writes; what it did not write of a new file reads as zeros.
SECTOR_BYTES = 512
#: How much is read at once to find the end of what was written.
PIECE_BYTES = 64 * 1024


class Segment:
    """One file of the journal, open.

    Attributes:
        number: from 1; later segments hold later commits.
        format: that its records are written in.
        size: where its last commit ends, in bytes.
        reach: how far it was written: behind what is written, padding may stand already.
    """

    __slots__ = ("file", "format", "number", "path", "reach", "size")

    def __init__(self, path: Path, file: OpenFile) -> None:
        self.path = path
        self.file = file
        self.number, self.format = number_of(path.name), format_of(path.name)
        self.size = self.reach = 0

    def read(self, at: int, length: int) -> bytes:
        """Bytes of the file; fewer where it ends."""
        return os.pread(self.file.fileno(), length, at)

    def write(self, at: int, data: bytes | memoryview) -> None:
        """Write all of the bytes there."""
        number = self.file.fileno()
        written = os.pwrite(number, data, at)
        while written < len(data):
            written += os.pwrite(number, memoryview(data)[written:], at + written)

    def write_ahead(self, end: int) -> None:
        """Fill the file up to there, so that what is written next does not make it longer.

        A flush of a file that grew costs twice as much: the file system notes its new length, too.
        """
        self.write(self.reach, self.format.padding * (end - self.reach))
        self.reach = end

    def trim(self) -> None:
        """Cut off whatever stands behind the last commit, if anything does; not flushed."""
        self.reach = self.size
        if self.length > self.size:
            os.ftruncate(self.file.fileno(), self.size)

    def written(self) -> int:
        """Where padding begins that reaches to the end of the file."""
        end = self.length
        while end > 0:
            start = max(end - PIECE_BYTES, 0)
            filled = len(self.read(start, end - start).rstrip(b"\0" + self.format.padding))
            if filled:
                return start + filled
            end = start
        return 0

    def unwritten(self, start: int, end: int) -> bool:
        """Whether a whole sector between the two places was never written."""
        nothing = {b"\0" * SECTOR_BYTES, self.format.padding * SECTOR_BYTES}
        at = start
        while at < end:
            stop = min((at // SECTOR_BYTES + 1) * SECTOR_BYTES, end)
            part = self.read(at, stop - at)
            if part and any(one.startswith(part) for one in nothing):
                return True
            at = stop
        return False

    def flush(self) -> None:
        """Have the medium hold what was written."""
        flush(self.file.fileno())

    @property
    def length(self) -> int:
        """Of the file, whatever stands in it."""
        return os.fstat(self.file.fileno()).st_size


def name_of(number: int, format: Format) -> str:
    """The name of a segment."""
    return f"{number:0{_DIGITS}}{format.suffix}"


def where(segment: Segment, at: int) -> str:
    """Which record begins there, as a person counts."""
    if segment.format.unit == "line":
        before = segment.read(0, at).count(b"\n")
    else:
        before = sum(1 for _ in segment.format.walk(segment.read, 0, at))
    return f"the {segment.format.unit} {before + 1} (at byte {at})"


def is_segment(name: str) -> bool:
    """Whether a file of this name is a segment."""
    stem, dot, suffix = name.partition(".")
    return stem.isascii() and stem.isdigit() and len(stem) >= _DIGITS and dot + suffix in _BY_SUFFIX


def number_of(name: str) -> int:
    """The number in the name of a segment."""
    return int(name.partition(".")[0])


def format_of(name: str) -> Format:
    """The format that the name of a segment tells."""
    return _BY_SUFFIX[name[name.index(".") :]]


def flush(descriptor: int) -> None:
    """Have the medium hold what was written to the file."""
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(descriptor)
