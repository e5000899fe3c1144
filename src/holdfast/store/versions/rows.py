"""Where the versioned values of one keyspace stand: the keys of their rows."""

from __future__ import annotations

import struct
from collections.abc import Callable

from holdfast.codecs import envelope
from holdfast.codecs.keys import pack_text
from holdfast.codecs.text import KeyFormat, StoreKey
from holdfast.store import layout
from holdfast.store.keyspaces import Keyspace
from holdfast.store.text_keys import unpack_key

#: How many keys are remembered before the memory starts anew: some 50 MB when full.
CACHE_KEYS_MAX = 250_000

_LIFE = struct.Struct(">IQ")
#: (incarnation, version) as they stand in keys.
pack_life = _LIFE.pack


class _DataKeys(dict[str, bytes]):
    """Data keys by canonical text, remembered: a look-up is one step in C."""

    def __init__(self, prefix: bytes) -> None:
        super().__init__()
        self._prefix = prefix

    def __missing__(self, text: str) -> bytes:
        key = self._prefix + b"".join(map(pack_text, KeyFormat.path.parse(text)))
        if len(self) >= CACHE_KEYS_MAX:
            self.clear()
        self[text] = key
        return key


class Rows:
    """Keys of the rows of one keyspace.

    Args:
        keyspace: which.

    Attributes:
        data, graves, past, blobs, tags: what the keys of each region begin with.
        data_key: the row of a living entry, from its canonical text.
    """

    def __init__(self, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        number = keyspace.number
        self.data = layout.region(number, layout.DATA)
        self.graves = layout.region(number, layout.GRAVE)
        self.past = layout.region(number, layout.HISTORY)
        self.blobs = layout.region(number, layout.BLOB)
        self.tags = layout.region(number, layout.TAG)
        self.data_key: Callable[[str], bytes] = _DataKeys(self.data).__getitem__

    def prefix(self, segments: tuple[str, ...]) -> bytes:
        """What the rows of all keys below these segments begin with."""
        return self.data + b"".join(map(pack_text, segments))

    def grave_key(self, data_key: bytes) -> bytes:
        """The row that remembers the key once it is gone."""
        return self.graves + data_key[layout.REGION_BYTES :]

    def store_key(self, data_key: bytes) -> StoreKey:
        """The key that a data row belongs to."""
        return unpack_key(data_key[layout.REGION_BYTES :])

    def past_key(self, identity: bytes, incarnation: int, version: int) -> bytes:
        """The row of a past version."""
        return self.past + identity + _LIFE.pack(incarnation, version)

    def past_position(self, past_key: bytes) -> tuple[int, int]:
        """(incarnation, version) of a past version's row."""
        incarnation, version = _LIFE.unpack(past_key[-_LIFE.size :])
        return incarnation, version

    def tag_key(self, tag: str, data_key: bytes) -> bytes:
        """The row that says that the key carries the tag."""
        return self.tags + pack_text(tag) + data_key[layout.REGION_BYTES :]

    def blob_name(self, identity: bytes, incarnation: int, version: int) -> bytes:
        """What names the chunks of a version's big value: a version has one value for good."""
        return identity + _LIFE.pack(incarnation, version)

    def blob_key(self, name: bytes, index: int) -> bytes:
        """The row of one chunk of a big value."""
        return self.blobs + name + index.to_bytes(4, "big")

    def blob_keys(self, stored: bytes) -> list[bytes]:
        """The rows of the chunks that stored bytes refer to."""
        reference = stored[envelope.payload_offset(stored) :]
        count = int.from_bytes(reference[-4:], "big")
        return [self.blob_key(reference[:-4], index) for index in range(count)]


def blob_reference(name: bytes, chunks: int) -> bytes:
    """What stands in the place of a big value."""
    return name + chunks.to_bytes(4, "big")
