"""Checking what a store proved: with the root hash, the proof and the key, and no database."""

from __future__ import annotations

from holdfast.contract.errors import IntegrityFailed, InvalidInput
from holdfast.stores.ics23 import IAVL, TENDERMINT, proven_value
from holdfast.stores.merkle import decode_proof, proven_digest
from holdfast.stores.versions.together import StoreProof


def proven(kind: str, root: bytes, proof: bytes, key: bytes) -> bytes | None:
    """What a proof of `Store.prove` says of a key below a root hash.

    Args:
        kind: of the store, `iavl` or `plain`.
        root: of the version; get it from somewhere you trust.
        proof: as `prove` gave it.
        key: which.

    Returns:
        The value of a store of kind `iavl`, the SHA-256 digest of the value of a plain one; None
        when the key is absent.

    Raises:
        IntegrityFailed: the proof says nothing of that key below that root.
        DeserializationFailed: the bytes are no proof.
        InvalidInput: there is no such kind.
    """
    if kind == "iavl":
        return proven_value(IAVL, root, proof, key)
    if kind == "plain":
        return proven_digest(root, decode_proof(proof), key)
    raise InvalidInput(f"a store is of kind 'iavl' or 'plain'; found {kind!r}")


def proven_in(root: bytes, proof: StoreProof, name: str, key: bytes) -> bytes | None:
    """What a proof of `MultiStore.prove` says of a key of a named store; see `proven`.

    Args:
        root: the hash over all stores; get it from somewhere you trust.
        proof: as `db.stores.prove` gave it.
        name: of the store.
        key: which.

    Raises:
        IntegrityFailed: the proof says nothing of that key of that store below that hash.
    """
    store_root = proven_value(TENDERMINT, root, proof.store_proof, name.encode())
    if store_root is None:
        raise IntegrityFailed(f"the proof shows that no store {name!r} is below that hash")
    return proven(proof.kind, store_root, proof.key_proof, key)
