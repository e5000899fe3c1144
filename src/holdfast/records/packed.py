"""Keys of entries as they stand in rows: packed segments, read back."""

from __future__ import annotations

from holdfast.codecs.keys import unpack
from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import IntegrityFailed

#: What a packed str begins with, what ends it and begins the next, and how a NUL in it is written.
_FIRST = b"\x20"
_BETWEEN = b"\0\x20"
_END = b"\0"
_ESCAPE = b"\0\xff"


def unpack_key(packed: bytes) -> StoreKey:
    """The key with these packed segments.

    Raises:
        IntegrityFailed: they are not the segments of an entry's key.
    """
    # Segments are all str and seldom hold NUL: then they are what stands between the marks.
    if packed[:1] == _FIRST and packed[-1:] == _END and _ESCAPE not in packed:
        try:
            return StoreKey.of_stored(tuple(map(bytes.decode, packed[1:-1].split(_BETWEEN))))
        except UnicodeDecodeError as error:
            raise _no_key() from error
    segments = unpack(packed)
    if not segments or not all(isinstance(segment, str) for segment in segments):
        raise _no_key()
    return StoreKey.of_stored(tuple(map(str, segments)))


def _no_key() -> IntegrityFailed:
    return IntegrityFailed(
        "a row of a keyspace of entries has a key that is no entry key; run `holdfast check`"
    )
