"""The ring: which data keys a database has, in which state, wrapped as they are stored.

    PREFIX                      the head: generation, digest of the keys, rotation under way
    PREFIX " key " number(4)    one data key

The rows are plain, so that a database can say which keys it wants before it has any. The head
carries a MAC under the newest key named `database`, and the digest of all other rows: whoever can
write the files but has no key cannot bring a retired key back.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Final, Literal

import msgspec

from holdfast.contract.errors import DecryptionFailed, FormatTooNew, IntegrityFailed
from holdfast.layers.encrypt.providers import Wrapped

#: The name of the key that encrypts what no other name was given for.
DATABASE: Final = "database"
#: How many data keys a database may have, destroyed ones included.
KEYS_MAX: Final = 10_000
NAME_BYTES_MAX: Final = 255
NUMBER_BYTES: Final = 4
FORMAT: Final = 1
#: What the head begins with, in plain bytes.
MARKER: Final = b"holdfast keys"
_MAC_BYTES: Final = 32

State = Literal["active", "retired", "destroyed"]


class DataKey(msgspec.Struct, frozen=True, array_like=True):
    """One data key.

    Attributes:
        number: stands in every row written under it; never given out again.
        name: what it is for.
        version: of the name, from 1.
        state: `active`: what is written under the name is written under it; `retired`: rows may
            still be under it; `destroyed`: it is gone, and with it what was under it.
        made_at_ms: when, in milliseconds since 1970 UTC.
        master: the version of the master key that wraps it.
        wrapped: what its provider unwraps; empty once it is destroyed.
    """

    number: int
    name: str
    version: int
    state: State
    made_at_ms: int
    master: str
    wrapped: bytes

    @property
    def context(self) -> bytes:
        """What is authenticated with the wrapped key."""
        return self.number.to_bytes(NUMBER_BYTES, "big") + self.version.to_bytes(4, "big")

    @property
    def as_wrapped(self) -> Wrapped:
        """The wrapped key as its provider takes it."""
        return Wrapped(self.master, self.wrapped)


class Rotation(msgspec.Struct, frozen=True, array_like=True):
    """A walk over all rows that is under way.

    Attributes:
        name: whose rows are written anew, or removed.
        up_to: the highest number of a key that rows are not to be under any more.
        after: every row before this key is done.
        looked_at, changed: how many rows that were, and how many of them were changed.
        left_at: the key of the first row that could not be changed; empty: there is none so far.
        ended: the walk went to its end, and left rows that could not be changed.
    """

    name: str
    up_to: int
    after: bytes = b""
    looked_at: int = 0
    changed: int = 0
    left_at: bytes = b""
    ended: bool = False


class _Head(msgspec.Struct, frozen=True, array_like=True):
    format: int
    generation: int
    digest: bytes
    rotation: Rotation | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode_key = msgspec.msgpack.Decoder(DataKey).decode
_decode_head = msgspec.msgpack.Decoder(_Head).decode


class Ring:
    """The data keys of a database, as of one generation. Replaced, never changed.

    Args:
        keys: by number.
        generation: how often the ring was changed.
        rotation: the walk under way.

    Attributes:
        active: the key that each name is written under.
    """

    def __init__(
        self, keys: Mapping[int, DataKey], generation: int = 0, rotation: Rotation | None = None
    ) -> None:
        self.keys = dict(keys)
        self.generation = generation
        self.rotation = rotation
        self.active = {key.name: key for key in self.keys.values() if key.state == "active"}

    def of_name(self, name: str) -> list[DataKey]:
        """The keys of a name, the oldest first."""
        return sorted(
            (key for key in self.keys.values() if key.name == name), key=lambda key: key.number
        )

    def next_number(self) -> int:
        """The number that the next key gets."""
        return max(self.keys, default=0) + 1

    def changed(self, *keys: DataKey, rotation: Rotation | Literal["same"] | None = "same") -> Ring:
        """The next generation, with these keys new or in place of those of their numbers."""
        after = self.rotation if rotation == "same" else rotation
        return Ring(self.keys | {key.number: key for key in keys}, self.generation + 1, after)

    def rows(self, prefix: bytes, before: Ring | None, mac_key: bytes) -> dict[bytes, bytes]:
        """The rows to write: the head, and each key that `before` does not have like this."""
        known = before.keys if before is not None else {}
        rows = {
            key_row(prefix, number): _encode(key)
            for number, key in self.keys.items()
            if known.get(number) != key
        }
        head = _encode(_Head(FORMAT, self.generation, self.digest(), self.rotation))
        rows[prefix] = MARKER + _mac(mac_key, head) + head
        return rows

    def digest(self) -> bytes:
        """What the head says of all keys."""
        return _digest(_encode(self.keys[number]) for number in sorted(self.keys))


def read_ring(head: bytes, rows: Iterable[bytes]) -> Ring:
    """The ring in its rows, not verified yet. Raises IntegrityFailed, FormatTooNew."""
    stored = head[len(MARKER) + _MAC_BYTES :]
    try:
        found = _decode_head(stored)
        keys = [_decode_key(row) for row in rows]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityFailed(
            "the keys of the database cannot be read; restore a backup"
        ) from error
    if found.format > FORMAT:
        raise FormatTooNew(
            f"this Holdfast reads keys of format {FORMAT}; found {found.format}. Open the database "
            "with the version that wrote it, or a later one",
            found=found.format,
            supported=FORMAT,
        )
    ring = Ring({key.number: key for key in keys}, found.generation, found.rotation)
    if not head.startswith(MARKER) or found.digest != ring.digest():
        raise IntegrityFailed(
            "the keys of the database do not agree with their head: rows of them were changed or "
            "lost. Restore a backup"
        )
    return ring


def verify(head: bytes, mac_key: bytes) -> None:
    """Raise DecryptionFailed unless the head was written by somebody who had the key."""
    mac, stored = head[len(MARKER) :][:_MAC_BYTES], head[len(MARKER) + _MAC_BYTES :]
    if not hmac.compare_digest(mac, _mac(mac_key, stored)):
        raise DecryptionFailed(
            "the list of the database's keys was changed by somebody who did not have them. "
            "Restore a backup",
            name=DATABASE,
        )


def key_row(prefix: bytes, number: int) -> bytes:
    """The row of a data key."""
    return prefix + b" key " + number.to_bytes(NUMBER_BYTES, "big")


def mac_key_of(data_key: bytes) -> bytes:
    """What the head is authenticated with, from the newest key named `database`."""
    return hmac.digest(data_key, b"holdfast ring", "sha256")


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _digest(parts: Iterable[bytes]) -> bytes:
    hashed = sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(4, "big") + part)
    return hashed.digest()
