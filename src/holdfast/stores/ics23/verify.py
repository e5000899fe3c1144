"""Whether a proof holds: a key has a value below a root, or is absent there.

The answer is never a mere False. A proof of presence that was given for absence, a proof for
another root and a damaged proof all raise `IntegrityFailed`, so "the check failed" cannot be taken
for "it is not there".
"""

from __future__ import annotations

from holdfast.contract.errors import DeserializationFailed, IntegrityFailed
from holdfast.stores.ics23.neighbours import are_neighbours, is_leftmost, is_rightmost
from holdfast.stores.ics23.operations import Refused, digest, inner_hash, leaf_hash
from holdfast.stores.ics23.proofs import (
    IAVL,
    ExistenceProof,
    InnerSpec,
    NonExistenceProof,
    Proof,
    Spec,
)
from holdfast.stores.ics23.shape import check_shape
from holdfast.stores.ics23.wire import decode


def proven_value(spec: Spec, root: bytes, proof: Proof | bytes, key: bytes) -> bytes | None:
    """What a proof says of a key below a root hash: its value, or None when it is absent.

    Raises:
        IntegrityFailed: the proof says neither of that key and root.
        DeserializationFailed: the bytes are no proof.
    """
    found = decode(proof) if isinstance(proof, bytes) else proof
    if isinstance(found, ExistenceProof):
        verify_presence(spec, root, found, key, found.value)
        return found.value
    verify_absence(spec, root, found, key)
    return None


def verify_presence(
    spec: Spec, root: bytes, proof: Proof | bytes, key: bytes, value: bytes
) -> None:
    """Raise IntegrityFailed unless the proof shows that the key has the value below the root."""
    try:
        found = decode(proof) if isinstance(proof, bytes) else proof
        if not isinstance(found, ExistenceProof):
            raise Refused("it is a proof of absence")
        _check_existence(spec, root, found, key, value)
    except (Refused, DeserializationFailed) as why:
        raise IntegrityFailed(
            f"the proof does not show that the key has that value: {why}. Ask for another proof"
        ) from None


def verify_absence(spec: Spec, root: bytes, proof: Proof | bytes, key: bytes) -> None:
    """Raise IntegrityFailed unless the proof shows that the key is absent below the root."""
    try:
        found = decode(proof) if isinstance(proof, bytes) else proof
        if not isinstance(found, NonExistenceProof):
            raise Refused("it is a proof of presence")
        _check_non_existence(spec, root, found, key)
    except (Refused, DeserializationFailed) as why:
        raise IntegrityFailed(
            f"the proof does not show that the key is absent: {why}. Ask for another proof"
        ) from None


def proven_root(proof: ExistenceProof) -> bytes:
    """The root hash that a proof leads to, whatever tree it is of. Raises IntegrityFailed."""
    try:
        return _root(proof)
    except Refused as why:
        raise IntegrityFailed(f"the proof leads nowhere: {why}") from None


def _root(proof: ExistenceProof) -> bytes:
    if proof.leaf is None:
        raise Refused("it does not say how its leaf is hashed")
    hash = leaf_hash(proof.leaf, proof.key, proof.value)
    for step in proof.path:
        hash = inner_hash(step, hash)
    return hash


def _check_existence(
    spec: Spec, root: bytes, proof: ExistenceProof, key: bytes, value: bytes
) -> None:
    check_shape(spec, proof, is_iavl=is_iavl(spec))
    if proof.key != key:
        raise Refused("it is of another key")
    if proof.value != value:
        raise Refused("it is of another value")
    if _root(proof) != root:
        raise Refused("it leads to another root")


def _check_non_existence(spec: Spec, root: bytes, proof: NonExistenceProof, key: bytes) -> None:
    place = _comparable(spec, key)
    # Trees of hashed keys may name the hash.
    if not key or proof.key not in {key, place}:
        raise Refused("it is of another key")
    left, right = proof.left, proof.right
    for side in (left, right):
        if side is not None:
            _check_existence(spec, root, side, side.key, side.value)
    if left is not None and _comparable(spec, left.key) >= place:
        raise Refused("its left neighbour is not left of the key")
    if right is not None and _comparable(spec, right.key) <= place:
        raise Refused("its right neighbour is not right of the key")
    if _is_room(spec.inner_spec, left, right):
        raise Refused("there is room for the key beside its neighbours, or between them")


def _is_room(spec: InnerSpec, left: ExistenceProof | None, right: ExistenceProof | None) -> bool:
    """Whether something could be between two neighbours, or beyond the only one."""
    if left is not None and right is not None:
        return not are_neighbours(spec, left.path, right.path)
    if left is not None:
        return not is_rightmost(spec, left.path)
    return right is None or not is_leftmost(spec, right.path)


def _comparable(spec: Spec, key: bytes) -> bytes:
    hashed = spec.prehash_key_before_comparison and spec.leaf_spec.prehash_key
    return digest(spec.leaf_spec.prehash_key, key) if hashed else key


def is_iavl(spec: Spec) -> bool:
    """Whether a spec is that of IAVL+ trees, which have rules of their own for prefixes."""
    return spec is IAVL or (spec.leaf_spec, spec.inner_spec) == (IAVL.leaf_spec, IAVL.inner_spec)
