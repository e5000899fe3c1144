"""ICS-23 proofs: made, written, read and verified, so that they count outside as ours do here."""

from __future__ import annotations

from holdfast.stores.ics23.batch import decode_batch, encode_batch, encode_compressed
from holdfast.stores.ics23.commitment import app_hash, prove_store, proven_value_in
from holdfast.stores.ics23.proofs import (
    IAVL,
    TENDERMINT,
    ExistenceProof,
    InnerOp,
    LeafOp,
    NonExistenceProof,
    Proof,
    Spec,
)
from holdfast.stores.ics23.verify import proven_value, verify_absence, verify_presence
from holdfast.stores.ics23.wire import decode, encode

__all__ = [
    "IAVL",
    "TENDERMINT",
    "ExistenceProof",
    "InnerOp",
    "LeafOp",
    "NonExistenceProof",
    "Proof",
    "Spec",
    "app_hash",
    "decode",
    "decode_batch",
    "encode",
    "encode_batch",
    "encode_compressed",
    "prove_store",
    "proven_value",
    "proven_value_in",
    "verify_absence",
    "verify_presence",
]
