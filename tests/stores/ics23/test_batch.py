"""Many proofs in one message: what they say one by one, and that others can read it."""

from __future__ import annotations

import pytest

from holdfast.contract.errors import DeserializationFailed, IntegrityFailed, InvalidInput
from holdfast.stores.ics23 import (
    IAVL,
    Proof,
    decode_batch,
    encode,
    encode_batch,
    encode_compressed,
    proven_value,
)
from holdfast.stores.ics23.wire import field
from tests.stores.ics23.outside import verifier
from tests.stores.ics23.test_proofs import numbered, tree_of

PRESENT = [b"key %03d" % number for number in range(10, 30, 2)]
ABSENT = [b"a", b"key 011", b"key 013", b"z"]


def some() -> tuple[bytes, list[Proof]]:
    view = tree_of(numbered(100)).view(1)
    return view.root_hash, [view.prove(key) for key in PRESENT + ABSENT]


@pytest.mark.parametrize("encoded", [encode_batch, encode_compressed])
def test_the_proofs_come_back(encoded: type) -> None:
    _, proofs = some()
    assert decode_batch(encoded(proofs)) == proofs
    assert decode_batch(encoded(proofs[:1])) == proofs[:1]
    with pytest.raises(InvalidInput):
        encoded([])


def test_what_proofs_share_stands_once() -> None:
    _, proofs = some()
    assert len(encode_compressed(proofs)) < len(encode_batch(proofs)) / 2


@pytest.mark.row("E-083")
@pytest.mark.parametrize("encoded", [encode_batch, encode_compressed])
def test_the_verifier_of_others_finds_each_of_them(encoded: type) -> None:
    root, proofs = some()
    data = encoded(proofs).hex()
    questions = [
        {"spec": "iavl", "root": root.hex(), "proof": data, "key": key.hex(), "kind": "presence"}
        | {"value": numbered(100)[key].hex()}
        for key in PRESENT
    ]
    questions += [
        {"spec": "iavl", "root": root.hex(), "proof": data, "key": key.hex(), "kind": "absence"}
        for key in ABSENT
    ]
    wrong = [question | {"root": bytes(32).hex()} for question in questions]
    assert verifier.verify(questions + wrong) == [True] * 14 + [False] * 14


@pytest.mark.parametrize("encoded", [encode_batch, encode_compressed])
def test_a_changed_byte_makes_another_answer_of_no_proof(encoded: type) -> None:
    root, proofs = some()
    keys = PRESENT + ABSENT
    truth = numbered(100)
    data = encoded(proofs[8:11])
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        for key in keys[8:11]:
            assert answer(root, bytes(changed), key) in {None, ("says", truth.get(key))}


def answer(root: bytes, data: bytes, key: bytes) -> tuple[str, bytes | None] | None:
    try:
        proofs = decode_batch(data)
    except DeserializationFailed:
        return None
    for proof in proofs:
        try:
            return "says", proven_value(IAVL, root, proof, key)
        except IntegrityFailed:
            continue
    return None


def test_other_bytes_are_no_batch() -> None:
    _, proofs = some()
    whole = encode_compressed(proofs)
    unknown = field(4, field(1, field(1, b"")) + field(3, b""))
    for data in (
        b"", b"\x00", encode(proofs[0]), whole[:-1], whole + b"\x00", b"\x1a\x02\x0a\x00", unknown,
    ):  # fmt: skip
        with pytest.raises(DeserializationFailed):
            decode_batch(data)
    with pytest.raises(DeserializationFailed, match="at most"):
        decode_batch(bytes(5 << 20))
    # A small message that would become a large one.
    entry = field(1, field(1, field(4, bytes(1 << 16))))
    with pytest.raises(DeserializationFailed, match="more than"):
        decode_batch(field(4, entry * 5 + field(2, b"\x08\x01")))
