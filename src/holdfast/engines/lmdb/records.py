"""How a record is stored: 8 bytes of revision, big endian, then the value."""

from __future__ import annotations

from holdfast.contract.record import Record

REVISION_BYTES = 8
_from_bytes = int.from_bytes
#: A named tuple is made a third faster through `tuple` than through its class.
_make = tuple.__new__


def unpack(stored: bytes) -> Record:
    """The record that is stored so."""
    return _make(Record, (stored[8:], _from_bytes(stored[:8])))


def pack(value: bytes, revision: int) -> bytes:
    """The stored form of a record."""
    return revision.to_bytes(REVISION_BYTES) + value
