"""Checking proofs of a feed: plain Python and SHA-256, nothing else.

An auditor can copy this file. RFC 6962 hashes a leaf as sha256(0x00 row) and two subtrees as
sha256(0x01 left right); a tree of n leaves is split at the largest power of two below n.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256


def inclusion_holds(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the leaf with a hash is number `index`, from 0, of `size` below a root."""
    if not 0 <= index < size:
        return False
    last, hash = size - 1, leaf
    for other in path:
        if last == 0:
            return False
        if index & 1 or index == last:
            hash = sha256(b"\x01" + other + hash).digest()
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            hash = sha256(b"\x01" + hash + other).digest()
        index, last = index >> 1, last >> 1
    return last == 0 and hash == root


def consistency_holds(
    old_size: int, size: int, old_root: bytes, root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether the first `old_size` of `size` leaves are those that the old root was made of."""
    if not 0 <= old_size <= size:
        return False
    if old_size in {0, size}:
        nothing = sha256(b"").digest()
        return not path and old_root == (root if old_size else nothing)
    hashes = list(path)
    if old_size & old_size - 1 == 0:
        hashes.insert(0, old_root)  # a whole subtree, which the proof leaves out
    if not hashes:
        return False
    index, last = old_size - 1, size - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    old = new = hashes[0]
    for other in hashes[1:]:
        if last == 0:
            return False
        if index & 1 or index == last:
            old = sha256(b"\x01" + other + old).digest()
            new = sha256(b"\x01" + other + new).digest()
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            new = sha256(b"\x01" + new + other).digest()
        index, last = index >> 1, last >> 1
    return last == 0 and old == old_root and new == root
