"""Proofs of our trees: they hold here and outside, and nothing that was tampered with does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contract.errors import (
    DeserializationFailed,
    IntegrityFailed,
    InvalidName,
    StoreNotFound,
    Unsupported,
)
from holdfast.stores.iavl import IavlTree
from holdfast.stores.ics23 import (
    IAVL,
    TENDERMINT,
    ExistenceProof,
    NonExistenceProof,
    app_hash,
    decode,
    encode,
    prove_store,
    proven_value,
    proven_value_in,
    verify_absence,
)
from tests.stores.iavl.memory import MemoryRows
from tests.stores.ics23.outside import verifier

KEYS = st.binary(min_size=1, max_size=3)
VALUES = st.binary(min_size=1, max_size=5)


def tree_of(*saves: dict[bytes, bytes]) -> IavlTree:
    rows = MemoryRows()
    tree = IavlTree(rows)
    for pairs in saves:
        for key, value in pairs.items():
            tree.set(key, value)
        rows.save(tree)
    return IavlTree(rows)


def numbered(count: int) -> dict[bytes, bytes]:
    return {b"key %03d" % (2 * place): b"value %d" % place for place in range(count)}


@pytest.mark.row("E-083")
@given(st.lists(st.dictionaries(KEYS, VALUES, min_size=1), min_size=1, max_size=3), KEYS)
def test_every_version_proves_what_it_says_of_a_key(
    saves: list[dict[bytes, bytes]], key: bytes
) -> None:
    tree = tree_of(*saves)
    state: dict[bytes, bytes] = {}
    for version, pairs in enumerate(saves, 1):
        state |= pairs
        view = tree.view(version)
        for asked in {key, *state}:
            proof = view.prove(asked)
            assert decode(encode(proof)) == proof
            assert proven_value(IAVL, view.root_hash, encode(proof), asked) == state.get(asked)


@pytest.mark.row("E-083")
@pytest.mark.parametrize("count", range(1, 9))
def test_every_gap_of_a_small_tree_is_proven(count: int) -> None:
    """cardano-ibc-incubator#795: absence between the two leaves of a small tree was refused."""
    tree = tree_of(numbered(count))
    view = tree.view(1)
    for place in range(-1, 2 * count):
        key = b"key %03d" % place
        proof = view.prove(key)
        absent = place % 2 == 1
        assert isinstance(proof, NonExistenceProof if absent else ExistenceProof)
        found = proven_value(IAVL, view.root_hash, proof, key)
        assert found == (None if absent else b"value %d" % (place // 2))


@pytest.mark.row("E-083")
def test_a_changed_byte_of_a_proof_is_never_an_answer() -> None:
    """cosmos-sdk#6091: a failed proof of presence was read as absence."""
    tree = tree_of(numbered(5))
    view = tree.view(1)
    for key in (b"key 004", b"key 003", b"a", b"z"):
        proof = encode(view.prove(key))
        for place in range(len(proof)):
            for flip in (1, 0x80, 0xFF):
                changed = bytearray(proof)
                changed[place] ^= flip
                with pytest.raises((IntegrityFailed, DeserializationFailed)):
                    proven_value(IAVL, view.root_hash, bytes(changed), key)
        for cut in range(len(proof)):
            with pytest.raises((IntegrityFailed, DeserializationFailed)):
                proven_value(IAVL, view.root_hash, proof[:cut], key)


@pytest.mark.row("E-083")
def test_neighbours_that_are_none_do_not_prove_absence() -> None:
    view = tree_of(numbered(9)).view(1)
    proofs = {key: view.prove(key) for key, _ in view.items()}
    keys = list(proofs)
    for low, left in enumerate(keys):
        for high, right in enumerate(keys):
            if high == low + 1:
                continue
            key = left + b"!"
            wrong = NonExistenceProof(key, proofs[left], proofs[right])  # type: ignore[arg-type]
            with pytest.raises(IntegrityFailed):
                verify_absence(IAVL, view.root_hash, wrong, key)
    for place, key in enumerate(keys):
        one: ExistenceProof = proofs[key]  # type: ignore[assignment]
        if place:
            with pytest.raises(IntegrityFailed):
                verify_absence(IAVL, view.root_hash, NonExistenceProof(b"a", None, one), b"a")
        if place < len(keys) - 1:
            with pytest.raises(IntegrityFailed):
                verify_absence(IAVL, view.root_hash, NonExistenceProof(b"z", one, None), b"z")
    with pytest.raises(IntegrityFailed):
        verify_absence(IAVL, view.root_hash, NonExistenceProof(b"a", None, None), b"a")


def test_what_has_no_proof_says_so() -> None:
    view = tree_of({b"a": b"1", b"c": b"", b"e": b"2"}).view(1)
    for key in (b"b", b"c", b"d"):
        with pytest.raises(Unsupported, match="empty value"):
            view.prove(key)
    assert proven_value(IAVL, view.root_hash, view.prove(b"z"), b"z") is None
    with pytest.raises(Unsupported, match="empty tree"):
        tree_of({}).view(1).prove(b"a")


@pytest.mark.row("E-083")
def test_the_verifier_of_others_takes_our_proofs_and_no_others() -> None:
    """60 proofs are accepted and 60 tampered ones are not, by @confio/ics23."""
    tree = tree_of(numbered(20), {b"key 007": b"new", b"key 010": b"other"}, numbered(40))
    questions = []
    for version in (1, 2, 3):
        view = tree.view(version)
        present = [key for key, _ in view.items()]
        absent = [b"key 0011", b"a", b"z", b"key 0091", b"key 0121", b"key 0251", b"k", b"l"]
        assert not set(absent) & set(present)
        asked = (*present[:10], *absent)
        questions += [question(view.root_hash, view.prove(key), key) for key in asked]
    roots = {name: tree.root_hash(version) for version, name in enumerate("abc", 1)}
    questions += [
        question(app_hash(roots), prove_store(roots, name), name.encode()) for name in roots
    ]
    one = {"only": tree.root_hash(1)}
    two = dict(list(roots.items())[:2])
    questions += [question(app_hash(one), prove_store(one, "only"), b"only")]
    questions += [question(app_hash(two), prove_store(two, name), name.encode()) for name in two]
    assert len(questions) == 60
    tampered = [tamper(asked, turn) for turn, asked in enumerate(questions)]
    answers = verifier.verify(questions + tampered)
    assert answers == [True] * 60 + [False] * 60


def question(root: bytes, proof: ExistenceProof | NonExistenceProof, key: bytes) -> dict[str, str]:
    present = isinstance(proof, ExistenceProof)
    asked = {
        "kind": "presence" if present else "absence",
        "spec": "tendermint" if key in {b"a", b"b", b"c", b"only"} and present else "iavl",
        "root": root.hex(),
        "proof": encode(proof).hex(),
        "key": key.hex(),
    }
    return asked | ({"value": proof.value.hex()} if isinstance(proof, ExistenceProof) else {})


def tamper(asked: dict[str, str], turn: int) -> dict[str, str]:
    """Another byte at some place of the root, the key, the value, or the hashes of the proof."""
    part = ("root", "key", "value" if "value" in asked else "proof", "proof")[turn % 4]
    data = bytearray.fromhex(asked[part])
    if part == "proof":
        data[-1 - turn % 30] ^= 1  # within the last hash
    elif part == "key":
        data = bytearray(b"key 001" if asked["kind"] == "presence" else b"key 004")
    else:
        data[turn % len(data)] ^= 0x40
    return asked | {part: data.hex()}


@pytest.mark.row("E-083")
@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ({}, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ({"1": "1"}, "a44d3cc7daba1a4600b00a2434b30f8b970652169810d6dfa9fb1793a2189324"),
        ({"1": "2"}, "0638e99b3445caec9d95c05e1a3fc1487b4ddec6a952ff337080360b0dcc078c"),
        ({"2": "2", "1": "1"}, "8fd19b19e7bb3f2b3ee0574027d8a5a4cec370464ea2db2fbfa5c7d35bb0cff3"),
        (
            {"1": "1", "3": "3", "2": "2"},
            "1dd674ec6782a0d586a903c9c63326a41cbe56b3bba33ed6ff5b527af6efb3dc",
        ),
    ],
)
def test_one_hash_over_stores_is_that_of_cosmos(pairs: dict[str, str], expected: str) -> None:
    """The cases of TestMerkleMap in cosmos-sdk: `key1` has `value1`, and so on."""
    roots = {f"key{name}": f"value{value}".encode() for name, value in pairs.items()}
    assert app_hash(roots).hex() == expected


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=4), st.binary(min_size=32, max_size=32), min_size=1
    )
)
def test_every_store_is_proven_below_the_hash_of_all(roots: dict[str, bytes]) -> None:
    app = app_hash(roots)
    for name, root in roots.items():
        proof = prove_store(roots, name)
        assert proven_value(TENDERMINT, app, encode(proof), name.encode()) == root
        with pytest.raises(IntegrityFailed):
            proven_value(TENDERMINT, app, encode(proof), name.encode() + b"'")


def test_a_key_is_proven_in_its_store() -> None:
    tree = tree_of(numbered(3))
    view = tree.view(1)
    roots = {"users": view.root_hash, "orders": bytes(32)}
    app = app_hash(roots)
    users, orders = (prove_store(roots, name) for name in roots)
    for key, value in ((b"key 002", b"value 1"), (b"key 003", None)):
        proof = view.prove(key)
        assert proven_value_in(app, "users", users, proof, key) == value
        for name, store_proof in (("orders", orders), ("users", orders), ("orders", users)):
            with pytest.raises(IntegrityFailed):
                proven_value_in(app, name, store_proof, proof, key)
    between = NonExistenceProof(b"things", orders, users)
    assert proven_value(TENDERMINT, app, encode(between), b"things") is None
    with pytest.raises(IntegrityFailed, match="no store 'things'"):
        proven_value_in(app, "things", encode(between), tree.view(1).prove(b"key 002"), b"key 002")
    with pytest.raises(StoreNotFound):
        prove_store(roots, "nobody")
    with pytest.raises(InvalidName):
        app_hash({"": bytes(32)})
