"""Carrying out the steps of a proof. Each raises `Refused` where the standard allows no result."""

from __future__ import annotations

import hashlib

from holdfast.stores.ics23.proofs import Hash, InnerOp, LeafOp, Length
from holdfast.stores.ics23.wire import varint

_FIXED = {
    Length.FIXED32_BIG: (4, "big"),
    Length.FIXED32_LITTLE: (4, "little"),
    Length.FIXED64_BIG: (8, "big"),
    Length.FIXED64_LITTLE: (8, "little"),
}
_REQUIRED = {Length.REQUIRE_32_BYTES: 32, Length.REQUIRE_64_BYTES: 64}
# KECCAK256 and BLAKE3 are named by the standard and carried out by none of its verifiers.
_ALGORITHMS = {
    Hash.SHA512: "sha512",
    Hash.RIPEMD160: "ripemd160",
    Hash.SHA512_256: "sha512_256",
    Hash.BLAKE2B_512: "blake2b",
    Hash.BLAKE2S_256: "blake2s",
}


class Refused(Exception):
    """Why a proof does not hold; `verify.py` makes a StoreError of it."""


def leaf_hash(op: LeafOp, key: bytes, value: bytes) -> bytes:
    """The hash of a leaf. Neither key nor value may be empty."""
    if not key or not value:
        raise Refused("a leaf has a key and a value, neither of them empty")
    return digest(
        op.hash,
        op.prefix
        + _with_length(op.length, _prehash(op.prehash_key, key))
        + _with_length(op.length, _prehash(op.prehash_value, value)),
    )


def inner_hash(op: InnerOp, child: bytes) -> bytes:
    """The hash of a parent over that of its child."""
    if not child:
        raise Refused("an inner step needs the hash of a child")
    return digest(op.hash, op.prefix + child + op.suffix)


def digest(hash: int, data: bytes) -> bytes:
    """The hash of bytes."""
    if hash == Hash.SHA256:
        return hashlib.sha256(data).digest()
    if hash == Hash.BITCOIN:
        return digest(Hash.RIPEMD160, hashlib.sha256(data).digest())
    name = _ALGORITHMS.get(hash)  # type: ignore[call-overload]
    if name is None or name not in hashlib.algorithms_available:
        raise Refused(f"the hash {hash} is unknown, or not available here")
    return hashlib.new(name, data).digest()


def _prehash(hash: int, data: bytes) -> bytes:
    return data if hash == Hash.NONE else digest(hash, data)


def _with_length(length: int, data: bytes) -> bytes:
    if length == Length.NO_PREFIX:
        return data
    if length == Length.VAR_PROTO:
        return varint(len(data)) + data
    if length in _REQUIRED and len(data) == _REQUIRED[Length(length)]:
        return data
    if length in _FIXED:
        size, order = _FIXED[Length(length)]
        return len(data).to_bytes(size, "big" if order == "big" else "little") + data
    raise Refused(f"bytes with the length {length} are unknown, or are not so long")
