"""The content root: what it tells apart, what it does not, and what of it is proven."""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contract.errors import (
    Conflict,
    DeserializationFailed,
    IntegrityFailed,
    InvalidInput,
    InvalidKey,
    InvalidValue,
    StoreError,
    VersionNotFound,
)
from holdfast.stores.merkle import (
    ContentTree,
    Folded,
    decode_proof,
    encode_proof,
    proven_digest,
    value_digest,
)
from tests.stores.iavl.memory import MemoryRows

KEYS = st.binary(min_size=1, max_size=2)
DIGESTS = st.sampled_from([value_digest(b"%d" % number) for number in range(3)])
CONTENTS = st.dictionaries(KEYS, DIGESTS)
CHANGES = st.lists(st.dictionaries(KEYS, DIGESTS | st.none()), max_size=6)


class Kept:
    """A tree, its rows, and what should stand in it at each version."""

    def __init__(self) -> None:
        self.rows = MemoryRows()
        self.tree = ContentTree(self.rows)
        self.states: dict[int, dict[bytes, bytes]] = {}

    def fold(self, changes: Mapping[bytes, bytes | None]) -> Folded:
        step = self.tree.fold(changes)
        self.rows.write(step.batch)
        self.tree.adopt(step)
        state: dict[bytes, bytes | None] = {**self.states.get(step.version - 1, {}), **changes}
        self.states[step.version] = {key: one for key, one in state.items() if one is not None}
        return step


def kept(changes: Iterable[Mapping[bytes, bytes | None]]) -> Kept:
    made = Kept()
    for one in changes:
        made.fold(one)
    return made


@pytest.mark.row("E-031")
@pytest.mark.row("trap 33")
@given(CONTENTS, st.randoms(use_true_random=False), st.integers(1, 5), CONTENTS)
def test_the_same_content_has_the_same_root_whatever_its_history(
    content: dict[bytes, bytes], order: object, size: int, detour: dict[bytes, bytes]
) -> None:
    straight = kept([content])
    items = list(content.items())
    order.shuffle(items)  # type: ignore[attr-defined]
    parts = [dict(items[at : at + size]) for at in range(0, len(items), size)]
    gone = dict.fromkeys(detour.keys() - content.keys())
    crooked = kept([detour, *parts, gone])
    assert crooked.states[crooked.tree.version] == content
    assert crooked.tree.root_hash == straight.tree.root_hash


@pytest.mark.row("E-031")
@given(CONTENTS, CONTENTS)
def test_another_content_has_another_root(
    one: dict[bytes, bytes], other: dict[bytes, bytes]
) -> None:
    assert (kept([one]).tree.root_hash == kept([other]).tree.root_hash) is (one == other)


@pytest.mark.row("E-031")
def test_one_changed_byte_changes_the_root() -> None:
    content: dict[bytes, bytes | None] = {b"%d" % n: value_digest(b"v") for n in range(50)}
    first = kept([content]).tree.root_hash
    for key in list(content):
        assert kept([content | {key: value_digest(b"w")}]).tree.root_hash != first


@given(CHANGES, KEYS)
def test_every_version_stays_and_proves_what_it_says(
    changes: list[dict[bytes, bytes | None]], key: bytes
) -> None:
    made = kept(changes)
    tree = ContentTree(made.rows, cache_nodes=4)
    for version, state in made.states.items():
        root = tree.root_of(version)
        for asked in {key, *state}:
            assert tree.get(asked, version=version) == state.get(asked)
            proof = decode_proof(encode_proof(tree.prove(asked, version=version)))
            assert proven_digest(root, proof, asked) == state.get(asked)


@given(CHANGES)
def test_a_diff_tells_all_changes_in_order(changes: list[dict[bytes, bytes | None]]) -> None:
    made = kept(changes)
    for before, old in made.states.items():
        for after, new in made.states.items():
            keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
            expected = [(key, old.get(key), new.get(key)) for key in keys]
            assert list(made.tree.diff(before, after)) == expected


@given(CHANGES)
def test_deleting_old_versions_leaves_one_row_a_key(
    changes: list[dict[bytes, bytes | None]],
) -> None:
    made = kept([*changes, {}])
    latest = made.tree.version
    root = made.tree.root_hash
    for version in range(1, latest):
        made.rows.write(made.tree.without(version, version + 1))
        with pytest.raises(VersionNotFound):
            made.tree.root_of(version)
    tree = ContentTree(made.rows)
    assert tree.root_hash == root
    for key, digest in made.states[latest].items():
        assert tree.get(key) == digest
    assert len(made.rows.rows) == len(made.states[latest]) + 2  # and the root, and its version


def test_a_changed_byte_of_a_proof_shows_nothing() -> None:
    tree = kept([{b"key %d" % n: value_digest(b"%d" % n) for n in range(20)}]).tree
    for key in (b"key 7", b"absent"):
        proof = encode_proof(tree.prove(key))
        for place in range(len(proof)):
            for flip in (1, 0x80):
                changed = bytearray(proof)
                changed[place] ^= flip
                with pytest.raises((IntegrityFailed, DeserializationFailed)):
                    proven_digest(tree.root_hash, decode_proof(bytes(changed)), key)


@pytest.mark.row("E-035")
def test_a_changed_or_missing_row_is_never_an_answer() -> None:
    made = kept([{b"key %d" % n: value_digest(b"%d" % n) for n in range(30)}, {b"key 3": None}])
    state, root = made.states[2], made.tree.root_hash
    untouched = dict(made.rows.rows)
    for key, row in untouched.items():
        for changed in (None, row[:-1], row + b"\x00", bytes([row[0] ^ 1]) + row[1:]):
            rows = untouched | {key: changed or b""}
            if changed is None:
                del rows[key]
            error, found = asked_of(rows, state, root)
            assert found in {None, "another root", "the truth"}
            # The row of a node names its node, or where its link to a child leads to.
            assert key[:1] != b"t" or error is None or "node (version" in str(error)


def asked_of(
    rows: dict[bytes, bytes], state: dict[bytes, bytes], root: bytes
) -> tuple[StoreError | None, str | None]:
    try:
        tree = ContentTree(MemoryRows(rows))
        found = {key: tree.get(key) for key in state}
    except (IntegrityFailed, VersionNotFound) as error:
        return error, None
    if tree.root_hash != root:
        return None, "another root"  # whoever compares roots sees it
    return None, "the truth" if found == state else "a lie"


def test_malformed_input_is_refused_and_nothing_is_made() -> None:
    tree = ContentTree(MemoryRows())
    for key in (b"", bytes(70_000), "text", None):
        with pytest.raises(InvalidKey):
            tree.fold({key: value_digest(b"")})  # type: ignore[dict-item]
    for digest in (b"", bytes(31), "text"):
        with pytest.raises(InvalidValue):
            tree.fold({b"key": digest})  # type: ignore[dict-item]
    with pytest.raises(InvalidInput):
        tree.fold({}, version=0)
    with pytest.raises(InvalidInput):
        ContentTree(MemoryRows(), cache_nodes=1)
    with pytest.raises(StoreError):
        tree.root_of(1)


def test_a_step_that_is_not_committed_changes_nothing() -> None:
    made = kept([{b"a": value_digest(b"1")}])
    root = made.tree.root_hash
    step = made.tree.fold({b"b": value_digest(b"2")})
    other = made.tree.fold({b"a": None}, version=9)
    assert made.tree.root_hash == root
    made.rows.write(other.batch)
    made.tree.adopt(other)
    assert (made.tree.version, made.tree.root_hash) == (9, bytes(32))
    with pytest.raises(Conflict):
        made.tree.adopt(step)


def test_one_change_among_many_keys_writes_little() -> None:
    made = Kept()
    made.fold({b"%07d" % number: sha256(b"").digest() for number in range(100_000)})
    sizes = []
    for number in range(0, 100_000, 997):
        step = made.tree.fold({b"%07d" % number: sha256(b"%d" % number).digest()})
        sizes.append(sum(len(key) + len(row) for key, row in step.batch.puts))
    assert max(sizes) < 10_000


def test_a_chain_of_chosen_keys_is_slow_but_whole() -> None:
    """Keys can be chosen so that the tree is a list; nothing runs out of stack."""
    # The longest run of keys that rise while their priorities fall, by patience sorting.
    ranked = sorted((sha256(b"%06d" % n).digest(), b"%06d" % n) for n in range(300_000))
    tops: list[bytes] = []
    before: dict[bytes, bytes | None] = {}
    for _, key in reversed(ranked):
        place = bisect_left(tops, key)
        before[key] = tops[place - 1] if place else None
        tops[place : place + 1] = [key]
    chain: list[bytes] = []
    last: bytes | None = tops[-1]
    while last is not None:
        chain.append(last)
        last = before[last]
    assert len(chain) > sys.getrecursionlimit()
    digest = value_digest(b"")
    made = kept([dict.fromkeys(chain, digest)])
    proof = made.tree.prove(chain[0])
    assert len(proof.steps) == len(chain) - 1
    assert proven_digest(made.tree.root_hash, proof, chain[0]) == digest
    made.fold(dict.fromkeys(chain))
    assert made.tree.root_hash == bytes(32)
    assert sum(1 for _ in made.tree.diff(1, 2)) == len(chain)


@pytest.mark.parametrize("row", [b"", bytes(8), bytes(7) + b"\x01\x00", b"\x01"])
def test_a_latest_version_that_was_not_written_is_no_empty_tree(row: bytes) -> None:
    made = kept([{b"key": value_digest(b"value")}])
    made.rows.rows[b"mcontent"] = row
    with pytest.raises(IntegrityFailed, match="latest version"):
        ContentTree(made.rows)


@pytest.mark.torture
@pytest.mark.row("trap 33")
def test_one_change_among_a_million_keys_writes_less_than_100_kb() -> None:
    made = Kept()
    keys = [sha256(b"%d" % number).digest()[:16] for number in range(1_000_000)]
    made.fold(dict.fromkeys(keys, sha256(b"").digest()))
    for key in keys[::10_007]:
        step = made.tree.fold({key: sha256(key).digest()})
        assert sum(len(name) + len(row) for name, row in step.batch.puts) < 100_000
        assert step.root_hash != made.tree.root_hash
        assert proven_digest(made.tree.root_hash, made.tree.prove(key), key) == sha256(b"").digest()
