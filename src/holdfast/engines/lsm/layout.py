"""Where things stand in the driver's one ordered space: by the first byte of the key.

f        facts of the database: JSON
h        the newest revision
i ...    ids of batches: revision and instant
r ...    rows: revision, then the value
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import orjson

from holdfast.contract.record import Range, Record

FACTS = b"f"
HEAD = b"h"
IDS, IDS_END = b"i", b"j"
ROWS, ROWS_END = b"r", b"s"
#: The format that this version writes.
FORMAT = 1

_revision = struct.Struct(">Q")
_id = struct.Struct(">QQ")
_REVISION_BYTES = _revision.size
_make = tuple.__new__


class Facts(NamedTuple):
    """What a database says of itself.

    Attributes:
        engine: that made it.
        format: of its rows.
        lineage: of its revisions.
        unflushed: the start of the machine since which commits were acknowledged before they were
            flushed; None: all were flushed.
    """

    engine: str
    format: int
    lineage: str
    unflushed: str | None

    def encode(self) -> bytes:
        """As it is stored."""
        return orjson.dumps({"holdfast": self.engine, **self._asdict()})

    @classmethod
    def decode(cls, data: bytes) -> Facts:
        """Raises ValueError, KeyError or TypeError where that is something else."""
        told: dict[str, Any] = orjson.loads(data)
        if told["holdfast"] != told["engine"]:
            raise ValueError("the facts of a database name two engines")
        return cls(told["engine"], int(told["format"]), told["lineage"], told["unflushed"])


def encode_row(value: bytes, revision: int) -> bytes:
    """A row's value as it is stored."""
    return _revision.pack(revision) + value


def decode_row(data: bytes) -> tuple[bytes, int]:
    """(value, revision)."""
    return data[_REVISION_BYTES:], _revision.unpack_from(data)[0]


def record_of(data: bytes) -> Record:
    """The same as a record."""
    return _make(Record, (data[_REVISION_BYTES:], _revision.unpack_from(data)[0]))


def encode_head(revision: int) -> bytes:
    """The newest revision as it is stored."""
    return _revision.pack(revision)


def decode_head(data: bytes | None) -> int:
    """The newest revision; 0 before the first."""
    return 0 if data is None else int(_revision.unpack(data)[0])


def encode_id(revision: int, now_ms: int) -> bytes:
    """What is remembered of a batch with an id."""
    return _id.pack(revision, now_ms)


def decode_id(data: bytes) -> tuple[int, int]:
    """(revision, instant in ms)."""
    revision, now_ms = _id.unpack(data)
    return revision, now_ms


def bounds(range: Range) -> tuple[bytes, bytes]:
    """Where the rows of the range stand: from the first key up to the second."""
    start = ROWS if range.start is None else ROWS + range.start
    return start, ROWS_END if range.end is None else ROWS + range.end
