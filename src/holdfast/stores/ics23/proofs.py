"""What an ICS-23 proof is made of: recipes that lead from a key and a value to a root hash.

ICS-23 is the standard by which blockchains of the Cosmos family prove to each other what stands in
a store. A proof names each hash to be computed; a `Spec` says which recipes one particular kind of
tree can have, and a proof counts only together with it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TypeAlias

from msgspec import Struct


class Hash(IntEnum):
    """How bytes are hashed."""

    NONE = 0
    SHA256 = 1
    SHA512 = 2
    KECCAK256 = 3
    RIPEMD160 = 4
    BITCOIN = 5  # RIPEMD160 of SHA256
    SHA512_256 = 6
    BLAKE2B_512 = 7
    BLAKE2S_256 = 8
    BLAKE3 = 9


class Length(IntEnum):
    """How bytes tell their length when they are put together with others."""

    NO_PREFIX = 0
    VAR_PROTO = 1
    VAR_RLP = 2
    FIXED32_BIG = 3
    FIXED32_LITTLE = 4
    FIXED64_BIG = 5
    FIXED64_LITTLE = 6
    REQUIRE_32_BYTES = 7
    REQUIRE_64_BYTES = 8


class LeafOp(Struct, frozen=True):
    """Turns a key and a value into the hash of a leaf."""

    hash: int = Hash.NONE
    prehash_key: int = Hash.NONE
    prehash_value: int = Hash.NONE
    length: int = Length.NO_PREFIX
    prefix: bytes = b""


class InnerOp(Struct, frozen=True):
    """Turns the hash of a child into that of its parent: hash(prefix, child, suffix)."""

    hash: int = Hash.NONE
    prefix: bytes = b""
    suffix: bytes = b""


class ExistenceProof(Struct, frozen=True):
    """A key has a value: the steps from its leaf up to the root."""

    key: bytes = b""
    value: bytes = b""
    leaf: LeafOp | None = None
    path: tuple[InnerOp, ...] = ()


class NonExistenceProof(Struct, frozen=True):
    """A key is absent: its neighbours exist, and nothing is between them."""

    key: bytes = b""
    left: ExistenceProof | None = None
    right: ExistenceProof | None = None


Proof: TypeAlias = ExistenceProof | NonExistenceProof


class InnerSpec(Struct, frozen=True):
    """What inner nodes of a kind of tree look like; sizes in bytes."""

    child_order: tuple[int, ...] = ()
    child_size: int = 0
    min_prefix_length: int = 0
    max_prefix_length: int = 0
    empty_child: bytes = b""
    hash: int = Hash.NONE


class Spec(Struct, frozen=True):
    """Which proofs a kind of tree can have. A depth of 0 is the standard's: none, and 128."""

    leaf_spec: LeafOp = LeafOp()
    inner_spec: InnerSpec = InnerSpec()
    max_depth: int = 0
    min_depth: int = 0
    prehash_key_before_comparison: bool = False


_LEAF = LeafOp(hash=Hash.SHA256, prehash_value=Hash.SHA256, length=Length.VAR_PROTO, prefix=b"\x00")

#: Proofs of a key in an IAVL+ tree.
IAVL = Spec(
    leaf_spec=_LEAF,
    inner_spec=InnerSpec(
        child_order=(0, 1),
        child_size=33,  # a hash and the byte of its length
        min_prefix_length=4,
        max_prefix_length=12,
        hash=Hash.SHA256,
    ),
)

#: Proofs of a key in a simple Merkle tree, as `stores` commit their roots to one hash.
TENDERMINT = Spec(
    leaf_spec=_LEAF,
    inner_spec=InnerSpec(
        child_order=(0, 1),
        child_size=32,
        min_prefix_length=1,
        max_prefix_length=1,
        hash=Hash.SHA256,
    ),
)
