"""One hash over many stores: the simple Merkle tree of cosmos, over store names and root hashes.

A leaf is the name and the hash of the store's root, an inner node its two children; names are
sorted, and a tree of n leaves is split at the largest power of two below n. Proofs of it are ICS-23
proofs of the `TENDERMINT` kind, so a key is proven by two: one below the root of its store, and one
that this root is the store's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

from holdfast.contract.errors import IntegrityFailed, InvalidName, StoreNotFound
from holdfast.stores.ics23.operations import leaf_hash
from holdfast.stores.ics23.proofs import (
    IAVL,
    TENDERMINT,
    ExistenceProof,
    Hash,
    InnerOp,
    Proof,
)
from holdfast.stores.ics23.verify import proven_value

_LEAF = TENDERMINT.leaf_spec
_INNER = b"\x01"


def app_hash(roots: Mapping[str, bytes]) -> bytes:
    """One hash over the root hashes of named stores; of none, the hash of nothing."""
    return _root([leaf for _, leaf in _leaves(roots)])


def prove_store(roots: Mapping[str, bytes], name: str) -> ExistenceProof:
    """The proof that a store has its root hash, below the hash of all. Raises StoreNotFound."""
    if name not in roots:
        raise StoreNotFound(f"no store of that name was committed: {name!r}", name=name)
    leaves = _leaves(roots)
    index = [key for key, _ in leaves].index(name.encode())
    path = _path([leaf for _, leaf in leaves], index)
    return ExistenceProof(name.encode(), roots[name], _LEAF, tuple(path))


def proven_value_in(
    app: bytes, name: str, store_proof: ExistenceProof | bytes, proof: Proof | bytes, key: bytes
) -> bytes | None:
    """What two proofs say of a key in a named store: its value, or None when it is absent.

    Raises:
        IntegrityFailed: they do not show it below the hash of all stores.
    """
    root = proven_value(TENDERMINT, app, store_proof, name.encode())
    if root is None:
        raise IntegrityFailed(
            f"the first proof shows that no store {name!r} was committed. Ask for a proof of its "
            "root hash"
        )
    return proven_value(IAVL, root, proof, key)


def _leaves(roots: Mapping[str, bytes]) -> list[tuple[bytes, bytes]]:
    if "" in roots:
        raise InvalidName("a store that is committed has a name; found an empty one")
    pairs = sorted((name.encode(), root) for name, root in roots.items())
    return [(name, leaf_hash(_LEAF, name, root)) for name, root in pairs]


def _root(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) < 2:  # noqa: PLR2004 - a pair
        return leaves[0] if leaves else sha256(b"").digest()
    split = _split(len(leaves))
    return sha256(_INNER + _root(leaves[:split]) + _root(leaves[split:])).digest()


def _path(leaves: Sequence[bytes], index: int) -> list[InnerOp]:
    """The steps from a leaf up to the root."""
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        step = InnerOp(Hash.SHA256, _INNER, _root(leaves[split:]))
        return [*_path(leaves[:split], index), step]
    step = InnerOp(Hash.SHA256, _INNER + _root(leaves[:split]))
    return [*_path(leaves[split:], index - split), step]


def _split(count: int) -> int:
    return 1 << (count - 1).bit_length() - 1
