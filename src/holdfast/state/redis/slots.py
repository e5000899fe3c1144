"""Slots of a cluster: which keys live together, and which keys a command has."""

from __future__ import annotations

import binascii
from collections.abc import Sequence

from holdfast.contract.errors import Unsupported
from holdfast.state.redis.link import Word

SLOTS = 16_384

#: Commands of the adapter that any node answers.
_KEYLESS = frozenset(("PING", "PUBLISH", "SCAN", "INFO", "CLUSTER", "KEYS", "CONFIG", "SCRIPT"))


def slot_of(key: str | bytes) -> int:
    """The slot of a key: of what stands between its first braces, if anything does."""
    data = key.encode() if isinstance(key, str) else key
    start = data.find(b"{")
    if start >= 0:
        end = data.find(b"}", start + 1)
        if end > start + 1:
            data = data[start + 1 : end]
    # CRC-16/XMODEM is what the cluster hashes with.
    return binascii.crc_hqx(data, 0) % SLOTS


def keys_of(words: Sequence[Word]) -> list[str]:
    """The keys of a command that the adapter sends."""
    name = str(words[0])
    if name in _KEYLESS:
        return []
    if name in ("EVAL", "EVALSHA"):
        return [str(word) for word in words[3 : 3 + int(words[2])]]
    if name in ("MGET", "UNLINK"):
        return [str(word) for word in words[1:]]
    if name == "MSET":
        return [str(word) for word in words[1::2]]
    if name in ("XREAD", "XREADGROUP"):
        return [str(words[list(words).index("STREAMS") + 1])]
    if name == "XGROUP":
        return [str(words[2])]
    return [str(words[1])]


def one_slot(keys: Sequence[str]) -> int | None:
    """The slot that the keys share; None when there are no keys.

    Raises:
        Unsupported: they lie in several slots.
    """
    slots = {slot_of(key) for key in keys}
    if len(slots) > 1:
        raise Unsupported(
            "what happens together has to lie in one slot of the cluster; found keys of "
            f"{len(slots)} slots. Build the store with with_hash_tags(), which puts each scope's "
            "keys into one slot"
        )
    return next(iter(slots), None)
