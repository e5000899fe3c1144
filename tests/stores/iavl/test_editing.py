"""Many keys changed together come to what they come to one by one, or to nothing at all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contract.errors import IntegrityFailed, InvalidKey, InvalidValue
from holdfast.stores.iavl import IavlTree
from holdfast.stores.iavl.rows import NODE
from tests.stores.iavl.memory import MemoryRows

KEYS = st.binary(min_size=1, max_size=2).map(lambda key: bytes(byte % 11 for byte in key))
CHANGES = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=2)), max_size=60)


def one_by_one(tree: IavlTree, changes: list[tuple[bytes, bytes | None]]) -> None:
    for key, value in changes:
        if value is None:
            tree.remove(key)
        else:
            tree.set(key, value)


@given(versions=st.lists(st.lists(CHANGES, max_size=3), max_size=5), index=st.booleans())
def test_rows_are_those_of_single_changes(
    versions: list[list[list[tuple[bytes, bytes | None]]]], index: bool
) -> None:
    together, alone = MemoryRows(), MemoryRows()
    tree = IavlTree(together, fast_index=index, cache_nodes=40)
    other = IavlTree(alone, fast_index=index)
    for parts in versions:
        for changes in parts:
            tree.apply(changes)
            one_by_one(other, changes)
            assert list(tree.items()) == list(other.items())
            assert tree.working_hash() == other.working_hash()
        together.save(tree)
        alone.save(other)
        assert together.rows == alone.rows
    tree.check_all()


def test_a_large_tree_has_the_same_rows() -> None:
    drawn = random.Random(7)
    together, alone = MemoryRows(), MemoryRows()
    tree, other = IavlTree(together), IavlTree(alone)
    for _ in range(4):
        changes: list[tuple[bytes, bytes | None]] = [
            (drawn.randbytes(2), None if drawn.random() < 0.2 else drawn.randbytes(3))
            for _ in range(3_000)
        ]
        tree.apply(iter(changes))
        one_by_one(other, changes)
        together.save(tree)
        alone.save(other)
        assert together.rows == alone.rows


def test_what_fails_half_way_leaves_the_tree_as_it_was() -> None:
    rows = MemoryRows()
    tree = IavlTree(rows)
    tree.apply((b"%03d" % n, b"v") for n in range(200))
    rows.save(tree)
    tree.set(b"unsaved", b"1")
    before, stood = tree.working_hash(), list(tree.items())
    bad: list[Any] = [(b"", b"v"), (b"x", 7), ("x", b"v")]
    for wrong in bad:
        with pytest.raises((InvalidKey, InvalidValue)):
            tree.apply([(b"new", b"1"), (b"007", b"other"), (b"008", None), wrong])
        assert (tree.working_hash(), list(tree.items())) == (before, stood)
    for error in (StopIteration(), KeyboardInterrupt(), SystemExit(1)):
        with pytest.raises((RuntimeError, KeyboardInterrupt, SystemExit)):
            tree.apply(broken(error))
        assert (tree.working_hash(), list(tree.items())) == (before, stood)
    tree.apply([(bytearray(b"007"), memoryview(b"mine"))])  # type: ignore[list-item]
    assert tree.get(b"007") == b"mine"


def broken(error: BaseException) -> Iterator[tuple[bytes, bytes | None]]:
    """Changes that end with an error in the middle."""
    yield b"new", b"1"
    yield b"100", b"other"
    yield b"101", None
    raise error


def test_a_missing_node_leaves_the_tree_as_it_was() -> None:
    rows = MemoryRows()
    tree = IavlTree(rows)
    tree.apply((b"%03d" % n, b"v") for n in range(64))
    rows.save(tree)
    tree = IavlTree(rows)
    before = tree.working_hash()
    nodes = sorted(key for key in rows.rows if key.startswith(NODE))
    for key in nodes[-20:]:
        del rows.rows[key]
    with pytest.raises(IntegrityFailed):
        tree.apply((b"%03d+" % n, b"other") for n in range(64))
    assert tree.working_hash() == before
    tree.apply([(b"000", b"new")])
    assert tree.get(b"000") == b"new"


def test_a_walk_believes_newer_rows_only_where_they_fit() -> None:
    """Another history under the same numbers is told by its hashes, and the moment is read."""
    moment, newer = MemoryRows(), MemoryRows()
    for rows, value in ((moment, b"ours"), (newer, b"theirs")):
        tree = IavlTree(rows)
        tree.apply((b"%03d" % n, b"first") for n in range(100))
        rows.save(tree)
        tree.apply((b"%03d" % n, value) for n in range(0, 100, 3))
        rows.save(tree)
    expected = [(b"%03d" % n, b"first", b"ours") for n in range(0, 100, 3)]
    for newest in (None, moment, newer, MemoryRows()):
        tree = IavlTree(moment, cache_nodes=2)
        assert [tuple(one) for one in tree.diff(1, 2, newest=newest)] == expected
    damaged = MemoryRows(dict(moment.rows))
    [root_key] = [key for key in moment.rows if key == NODE + (2 << 32 | 1).to_bytes(12, "big")]
    for key in [key for key in moment.rows if key.startswith(NODE) and key > root_key]:
        damaged.rows[key] = damaged.rows[key][:-1] + b"?"
    with pytest.raises(IntegrityFailed):
        list(IavlTree(damaged, cache_nodes=2).diff(1, 2, newest=newer))


def test_nodes_that_two_versions_share_are_read_once() -> None:
    rows = MemoryRows()
    tree = IavlTree(rows)
    tree.apply((b"%04d" % n, b"v") for n in range(2_000))
    rows.save(tree)
    tree.apply((b"%04d" % n, b"w") for n in range(0, 2_000, 50))
    rows.save(tree)
    tree, rows.reads = IavlTree(rows), 0
    changes = len(list(tree.diff(1, 2)))
    assert changes == 40
    differing = sum(key.startswith(NODE + (2).to_bytes(8, "big")) for key in rows.rows)
    # Of either version what is new in it, and what stands beside that once.
    assert rows.reads < 3 * differing + 20
