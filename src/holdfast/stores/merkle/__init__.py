"""Merkle trees of our own: a root over contents, and a root over a feed.

`content` is a history-independent tree over keys and values: same content, same root. `log` is an
append-only tree over the rows of a feed, as RFC 6962 has it: what was once there stays provable,
and that a feed only grew is provable too.
"""

from __future__ import annotations

from holdfast.stores.merkle.comparing import DigestChange
from holdfast.stores.merkle.content import ContentTree, Folded, value_digest
from holdfast.stores.merkle.log import FeedLog, Head, leaf_hash
from holdfast.stores.merkle.log_proofs import (
    consistency_holds,
    inclusion_holds,
)
from holdfast.stores.merkle.proofs import (
    ContentProof,
    decode_proof,
    encode_proof,
    proven_digest,
)
from holdfast.stores.merkle.signing import Ed25519Signer, SignedHead, verify_head

__all__ = [
    "ContentProof",
    "ContentTree",
    "DigestChange",
    "Ed25519Signer",
    "FeedLog",
    "Folded",
    "Head",
    "SignedHead",
    "consistency_holds",
    "decode_proof",
    "encode_proof",
    "inclusion_holds",
    "leaf_hash",
    "proven_digest",
    "value_digest",
    "verify_head",
]
