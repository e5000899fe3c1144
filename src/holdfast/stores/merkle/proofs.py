"""Proofs against a content root: that a key has a digest, or is absent.

A proof is the way from the root to the key's place. At each step it names the key and digest of the
node there and the hash of the subtree that the way leaves aside; with those, the root can be
computed anew from the bottom. The way has to be the one that the order of keys demands.
"""

from __future__ import annotations

from msgspec import DecodeError as MsgspecDecodeError
from msgspec import Struct, ValidationError, msgpack

from holdfast.contract.errors import DeserializationFailed, IntegrityFailed
from holdfast.stores.merkle.nodes import DIGEST_BYTES, EMPTY, node_hash

PROOF_BYTES_MAX = 16 << 20


class Step(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A node on the way: its key, its digest, and the hash of the subtree left aside."""

    key: bytes
    digest: bytes
    other: bytes


class ContentProof(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a content root says of a key.

    Attributes:
        digest: the digest of its value; None when it is absent.
        left, right: the hashes of the subtrees below the key's own node; empty when it is absent.
        steps: the nodes above, from the root downwards.
    """

    key: bytes
    digest: bytes | None
    left: bytes
    right: bytes
    steps: tuple[Step, ...]


def encode_proof(proof: ContentProof) -> bytes:
    """The proof as bytes (MessagePack)."""
    return msgpack.encode(proof)


def decode_proof(data: bytes) -> ContentProof:
    """The proof in bytes. Raises DeserializationFailed."""
    if len(data) > PROOF_BYTES_MAX:
        raise DeserializationFailed(
            f"a proof has at most {PROOF_BYTES_MAX} bytes; found {len(data)}",
            limit=PROOF_BYTES_MAX,
            found=len(data),
        )
    try:
        proof = msgpack.decode(data, type=ContentProof)
    except (ValidationError, MsgspecDecodeError) as error:
        raise DeserializationFailed(f"the bytes are no proof: {error}") from None
    if msgpack.encode(proof) != data:
        raise DeserializationFailed("the bytes are a proof in an unusual form")
    return proof


def proven_digest(root: bytes, proof: ContentProof, key: bytes) -> bytes | None:
    """What a proof says of a key below a content root: its digest, or None when it is absent.

    Raises:
        IntegrityFailed: the proof says neither of that key and root.
    """
    if proof.key != key or not _is_well_formed(proof):
        raise _refused("it is of another key, or a hash in it has not 32 bytes")
    hash = EMPTY
    if proof.digest is not None:
        hash = node_hash(key, proof.digest, proof.left, proof.right)
    for step in reversed(proof.steps):
        if key == step.key:
            raise _refused("it goes past the key")
        lower = key < step.key
        left, right = (hash, step.other) if lower else (step.other, hash)
        hash = node_hash(step.key, step.digest, left, right)
    if hash != root:
        raise _refused("it leads to another root")
    return proof.digest


def _is_well_formed(proof: ContentProof) -> bool:
    below = DIGEST_BYTES if proof.digest is not None else 0
    return (
        (proof.digest is None or len(proof.digest) == DIGEST_BYTES)
        and len(proof.left) == len(proof.right) == below
        and all(len(step.digest) == len(step.other) == DIGEST_BYTES for step in proof.steps)
    )


def _refused(why: str) -> IntegrityFailed:
    return IntegrityFailed(
        f"the proof shows nothing of that key below that root: {why}. Ask for another proof"
    )
