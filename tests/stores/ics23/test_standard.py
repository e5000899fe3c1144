"""The test data of the standard: what it says holds does hold here, what it refuses is refused."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.contract.errors import IntegrityFailed
from holdfast.stores.ics23 import (
    IAVL,
    TENDERMINT,
    ExistenceProof,
    LeafOp,
    Spec,
    decode,
    encode,
    proven_value,
    verify_absence,
    verify_presence,
)
from holdfast.stores.ics23.neighbours import are_empty
from holdfast.stores.ics23.operations import Refused, digest, inner_hash, leaf_hash
from holdfast.stores.ics23.proofs import Hash, InnerSpec, Length
from holdfast.stores.ics23.shape import check_leaf, check_shape
from holdfast.stores.ics23.verify import is_iavl, proven_root
from tests.stores.ics23.data import VECTORS, existence, inner_op, leaf_op, load, raw, spec

#: Sparse Merkle trees, of which we make none: a third kind of tree for the verifier.
SMT = Spec(
    LeafOp(Hash.SHA256, Hash.SHA256, Hash.SHA256, Length.NO_PREFIX, b"\x00"),
    InnerSpec((0, 1), 32, 1, 1, bytes(32), Hash.SHA256),
    max_depth=256,
    prehash_key_before_comparison=True,
)
KINDS = {"iavl": IAVL, "tendermint": TENDERMINT, "smt": SMT}
FILES = sorted(
    path.relative_to(VECTORS).as_posix() for kind in KINDS for path in (VECTORS / kind).iterdir()
)


def vector(name: str) -> tuple[Spec, bytes, bytes, bytes, bytes]:
    data = load(name)
    root, proof, key, value = (
        bytes.fromhex(data[field]) for field in ("root", "proof", "key", "value")
    )
    return KINDS[name.partition("/")[0]], root, proof, key, value


@pytest.mark.row("E-083")
def test_there_are_vectors_of_each_kind() -> None:
    assert len(FILES) == 18


@pytest.mark.row("E-083")
@pytest.mark.parametrize("name", FILES)
def test_proofs_of_others_hold(name: str) -> None:
    kind, root, proof, key, value = vector(name)
    assert encode(decode(proof)) == proof
    assert proven_value(kind, root, proof, key) == (value or None)
    if value:
        verify_presence(kind, root, proof, key, value)
    else:
        verify_absence(kind, root, proof, key)


@pytest.mark.row("E-083")
@pytest.mark.parametrize("name", FILES)
def test_a_proof_shows_nothing_else(name: str) -> None:
    kind, root, proof, key, value = vector(name)
    for other in KINDS.values():
        if other is not kind:
            with pytest.raises(IntegrityFailed):
                proven_value(other, root, proof, key)
    with pytest.raises(IntegrityFailed):
        proven_value(kind, root[::-1], proof, key)
    with pytest.raises(IntegrityFailed):
        proven_value(kind, root, proof, key + b"\x00")
    # A proof of the other kind is no answer, whatever it holds.
    with pytest.raises(IntegrityFailed, match="it is a proof of"):
        _verify_the_other(kind, root, proof, key, absent=not value)


def _verify_the_other(kind: Spec, root: bytes, proof: bytes, key: bytes, *, absent: bool) -> None:
    if absent:
        verify_presence(kind, root, proof, key, b"value")
    else:
        verify_absence(kind, root, proof, key)


def cases(name: str) -> list[Any]:
    return [pytest.param(case, id=title) for title, case in load(name).items()]


@pytest.mark.parametrize("case", cases("TestLeafOpData.json"))
def test_leaves_are_hashed(case: dict[str, Any]) -> None:
    arguments = leaf_op(case["Op"]), raw(case.get("Key")), raw(case.get("Value"))
    if case["IsErr"]:
        with pytest.raises(Refused):
            leaf_hash(*arguments)
    else:
        assert leaf_hash(*arguments) == raw(case["Expected"])


@pytest.mark.parametrize("case", cases("TestInnerOpData.json"))
def test_inner_nodes_are_hashed(case: dict[str, Any]) -> None:
    arguments = inner_op(case["Op"]), raw(case.get("Child"))
    if case["IsErr"]:
        with pytest.raises(Refused):
            inner_hash(*arguments)
    else:
        assert inner_hash(*arguments) == raw(case["Expected"])


@pytest.mark.parametrize("case", cases("TestDoHashData.json"))
def test_every_hash(case: dict[str, Any]) -> None:
    data = {name.lower(): content for name, content in case.items()}
    found = digest(data["hashop"], data["preimage"].encode())
    assert found.hex() == data["expectedhash"]


@pytest.mark.parametrize("case", cases("TestExistenceProofData.json"))
def test_proofs_lead_to_roots(case: dict[str, Any]) -> None:
    proof: ExistenceProof = existence(case["Proof"])
    if case["IsErr"]:
        with pytest.raises(IntegrityFailed):
            proven_root(proof)
    else:
        assert proven_root(proof) == raw(case["Expected"])


@pytest.mark.parametrize("case", cases("TestCheckLeafData.json"))
def test_leaves_have_the_shape_of_their_spec(case: dict[str, Any]) -> None:
    if case["IsErr"]:
        with pytest.raises(Refused):
            check_leaf(leaf_op(case["Spec"]), leaf_op(case["Leaf"]))
    else:
        check_leaf(leaf_op(case["Spec"]), leaf_op(case["Leaf"]))


@pytest.mark.parametrize("case", cases("TestCheckAgainstSpecData.json"))
def test_proofs_have_the_shape_of_their_spec(case: dict[str, Any]) -> None:
    kind = spec(case["Spec"])
    proof = existence(case["Proof"])
    if case.get("Err"):
        with pytest.raises(Refused):
            check_shape(kind, proof, is_iavl=is_iavl(kind))
    else:
        check_shape(kind, proof, is_iavl=is_iavl(kind))


@pytest.mark.parametrize("case", load("TestEmptyBranchData.json"))
def test_empty_branches_are_known(case: dict[str, Any]) -> None:
    kind, step = spec(case["Spec"]), inner_op(case["Op"])
    assert are_empty(kind.inner_spec, step, left=True) == case["IsLeft"]
    assert are_empty(kind.inner_spec, step, left=False) == case["IsRight"]
