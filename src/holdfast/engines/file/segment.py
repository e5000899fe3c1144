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


class Segment:
    """One file of the journal, open.

    Attributes:
        number: from 1; later segments hold later commits.
        format: that its records are written in.
        size: where its last commit ends, in bytes.
    """

    __slots__ = ("file", "format", "number", "path", "size")

    def __init__(self, path: Path, file: OpenFile) -> None:
        self.path = path
        self.file = file
        self.number, self.format = number_of(path.name), format_of(path.name)
        self.size = 0

    def read(self, at: int, length: int) -> bytes:
        """Bytes of the file; fewer where it ends."""
        return os.pread(self.file.fileno(), length, at)

    def write(self, at: int, data: bytes | memoryview) -> None:
        """Write all of the bytes there."""
        number = self.file.fileno()
        written = os.pwrite(number, data, at)
        while written < len(data):
            written += os.pwrite(number, memoryview(data)[written:], at + written)

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
