"""Keys longer than LMDB's own limit: order, ranges and space are those of any other key."""

from __future__ import annotations

from pathlib import Path

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.contract.batch import Batch, DeleteRange
from holdfast.contract.record import Range
from holdfast.engines.lmdb.long_keys import Tree
from holdfast.runtime.system import drive
from tests.engines.lmdb_database import delete, driver, get, keys, opened, put

STEMS = [b"", b"a" * 479, b"a" * 480, b"a" * 481, b"a" * 480 + b"\0", b"a" * 951, b"a" * 952]
STEMS += [b"a" * 953, b"a" * 479 + b"b", b"\xff" * 480, b"\xff" * 1500, b"\0" * 2000]
KEYS = st.builds(
    lambda stem, end, repeat: (stem + end * repeat)[:4096],
    st.sampled_from(STEMS),
    st.sampled_from([b"", b"\0", b"a", b"\xff", b"ab"]),
    st.sampled_from([1, 2, 300, 1000]),
).filter(bool)
STEPS = st.lists(st.tuples(st.booleans(), KEYS), max_size=40)


@given(steps=STEPS, bounds=st.lists(st.tuples(KEYS | st.none(), KEYS | st.none()), max_size=8))
@settings(max_examples=150)
def test_long_keys_sort_like_any_other(
    steps: list[tuple[bool, bytes]],
    bounds: list[tuple[bytes | None, bytes | None]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    environment = _environment(tmp_path_factory)
    rows, long = environment.open_db(b"rows"), environment.open_db(b"long")
    model: dict[bytes, bytes] = {}
    with environment.begin(write=True) as transaction:
        tree = Tree(transaction, rows, long)
        for number, (keep, key) in enumerate(steps):
            if keep:
                model[key] = b"%d" % number
                tree.put_many([(key, model[key])])
            else:
                model.pop(key, None)
                tree.delete(key)
        for key in {key for _, key in steps}:
            assert tree.get(key) == model.get(key)
        for start, end in [(None, None), *bounds]:
            inside = sorted(row for row in model.items() if row[0] in Range(start, end))
            assert list(tree.walk(start, end)) == inside
            assert list(tree.walk(start, end, reverse=True)) == inside[::-1]
        assert all(holds for _, holds in tree.pointers())
        for key in list(model):
            tree.delete(key)
        assert tree.count() == 0, "subtrees without rows leave nothing behind"
        transaction.abort()


def _environment(factory: pytest.TempPathFactory) -> lmdb.Environment:
    """One environment for all examples: each takes its writes back."""
    global _kept  # noqa: PLW0603
    if _kept is None:
        _kept = lmdb.open(str(factory.mktemp("long")), max_dbs=2, map_size=1 << 26)
    return _kept


_kept: lmdb.Environment | None = None


def test_ranges_that_begin_and_end_inside_subtrees(tmp_path: Path) -> None:
    stem = b"s" * 480
    stored = [b"r", stem, *(stem + b"%04d" % number * 50 for number in range(300)), b"t"]
    with opened(tmp_path / "app") as engine:
        for key in stored:
            put(engine, key)
        assert keys(engine) == stored
        assert keys(engine, Range(stored[100], stored[200])) == stored[100:200]
        assert keys(engine, Range(stored[100], stored[200], reverse=True)) == stored[199:99:-1]
        assert keys(engine, Range(stem + b"0", None)) == stored[2:]
        drive(engine.commit(Batch([DeleteRange(Range(stored[3], stored[-2]))])))
        assert keys(engine) == stored[:3] + stored[-2:]
        delete(engine, *stored)
        assert keys(engine) == []
        assert drive(engine.check()) == []


def test_keys_that_lmdb_could_hold_itself_need_no_subtree(tmp_path: Path) -> None:
    with opened(tmp_path / "app") as engine:
        put(engine, b"k" * 480)
        assert engine._medium.reading(lambda one: one.stat(engine._medium.long)["entries"]) == 0
        put(engine, b"k" * 481)
        assert get(engine, b"k" * 480) == get(engine, b"k" * 481) == b"value"
    with driver(tmp_path / "app") as environment:
        rows, long = environment.open_db(b"rows"), environment.open_db(b"long")
        with environment.begin() as transaction:
            stored = dict(transaction.cursor(rows).iternext())
            assert stored == {
                b"k" * 480: (1).to_bytes(8) + b"value",
                b"k" * 480 + b"\0": (1).to_bytes(8),
            }
            assert dict(transaction.cursor(long).iternext()) == {
                (1).to_bytes(8) + b"k": (2).to_bytes(8) + b"value"
            }
