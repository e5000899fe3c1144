"""What is damaged, missing or half-written: an error that names the place, and never wrong data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from holdfast.contract.errors import (
    Conflict,
    IntegrityFailed,
    InvalidInput,
    InvalidKey,
    InvalidValue,
    StoreClosed,
    StoreError,
    ValueTooLarge,
    VersionNotFound,
)
from holdfast.stores.iavl import VALUE_BYTES_MAX, IavlTree, index
from tests.stores.iavl.memory import MemoryRows


def saved(count: int = 13, *, fast_index: bool = False) -> tuple[MemoryRows, dict[bytes, bytes]]:
    """Rows of two versions; most nodes of the second are shared with the first."""
    rows = MemoryRows()
    tree = IavlTree(rows, fast_index=fast_index)
    state = {b"key %02d" % number: b"value %d" % number for number in range(count)}
    for key, value in state.items():
        tree.set(key, value)
    rows.save(tree)
    tree.set(b"key 07", b"new")
    tree.remove(b"key 11")
    rows.save(tree)
    state[b"key 07"] = b"new"
    del state[b"key 11"]
    return rows, state


def damages(row: bytes) -> Iterator[bytes | None]:
    """The row missing, cut, longer, and with each of its bytes changed."""
    yield None
    yield row[:-1]
    yield row + b"\x00"
    for place in range(len(row)):
        for flip in (1, 0x80):
            yield row[:place] + bytes([row[place] ^ flip]) + row[place + 1 :]


def lie(tree: IavlTree, state: dict[bytes, bytes]) -> str | None:
    """A question to which the tree gives a wrong answer."""
    everything = sorted(state.items())
    absent = [b"a", b"key 11", *(key + b"!" for key in state)]
    questions: list[tuple[Callable[[], object], object]] = [
        *((partial(tree.get, key), value) for key, value in state.items()),
        *((partial(tree.get, key), None) for key in absent),
        (lambda: list(tree.items()), everything),
        (lambda: list(tree.items(reverse=True)), everything[::-1]),
        (lambda: list(tree.items(b"key 05")), everything[5:]),
        (lambda: list(tree.items(b"key 05!")), everything[6:]),
        (lambda: list(tree.items(None, b"key 05")), everything[:5]),
        (lambda: list(tree.items(b"key 05", None, reverse=True)), everything[:4:-1]),
        (lambda: list(tree.items(None, b"key 05", reverse=True)), everything[4::-1]),
        (lambda: len(tree), len(state)),
    ]
    for number, (ask, expected) in enumerate(questions):
        error, found = answered(ask)
        assert error is None or "(version " in str(error) or "index" in str(error)
        if error is None and found != expected:
            return f"question {number}: {found!r}"
    return None


def answered(ask: Callable[[], object]) -> tuple[IntegrityFailed | None, object]:
    try:
        return None, ask()
    except IntegrityFailed as error:
        return error, None


@pytest.mark.row("E-035")
def test_a_row_that_changes_under_an_open_tree_is_found_too() -> None:
    rows, _ = saved()
    tree = IavlTree(rows)
    nodes = tree._nodes
    root = nodes.at(tree._root)  # type: ignore[arg-type]
    assert len(nodes) == 3  # the root was checked against its children
    for child in nodes.links(root):
        key = b"s" + bytes(child)[:12]  # type: ignore[arg-type]
        rows.rows[key] = rows.rows[key][:1] + b"\x04" + rows.rows[key][2:-8] + bytes(8)
    nodes.young.clear()
    for side in (nodes.left, nodes.right):
        with pytest.raises(IntegrityFailed):
            side(root)
    rows.rows |= {
        b"s" + bytes(link)[:12]: rows.rows[b"s" + bytes(other)[:12]]  # type: ignore[arg-type]
        for link, other in (nodes.links(root), nodes.links(root)[::-1])
    }
    for side in (nodes.left, nodes.right):
        with pytest.raises(IntegrityFailed):
            side(root)


@pytest.mark.row("E-035")
@pytest.mark.parametrize("index", [False, True])
def test_no_damaged_row_makes_a_wrong_answer(index: bool) -> None:
    rows, state = saved(fast_index=index)
    caught = 0
    for key, row in rows.rows.items():
        for damaged in damages(row):
            changed = dict(rows.rows)
            if damaged is None:
                del changed[key]
            else:
                changed[key] = damaged
            try:
                tree = IavlTree(MemoryRows(changed), fast_index=index)
            except (IntegrityFailed, VersionNotFound):
                caught += 1
                continue
            if tree.latest_version == 2:
                assert lie(tree, state) is None, (key, row, damaged)
            else:
                # Only the row that counts versions can hide the latest one, when it is lost or
                # tells of an earlier one. Whoever keeps a tree knows which version is the latest.
                assert key == b"msaved_versions"
    assert caught > 100


@pytest.mark.row("E-035")
def test_damage_is_found_before_a_write_builds_on_it() -> None:
    """A key that is set where a damaged node leads would stand in the wrong place."""
    rows, state = saved()
    found = 0
    for key, row in rows.rows.items():
        for damaged in damages(row):
            if key[:1] != b"s" or damaged is None:
                continue
            for written in (b"key 05!", b"key 12!", b"a", b"z"):
                changed = MemoryRows(rows.rows | {key: damaged})
                try:
                    tree = IavlTree(changed)
                    tree.set(written, b"!")
                    changed.save(tree)
                    assert dict(IavlTree(changed).items()) == state | {written: b"!"}
                except IntegrityFailed:
                    found += 1
    assert found > 100


@pytest.mark.row("E-035")
def test_a_check_of_all_versions_finds_every_damage() -> None:
    rows, state = saved()
    tree = IavlTree(rows)
    assert [tree.check(version) for version in (1, 2)] == [2 * 13 - 1, 2 * len(state) - 1]
    for key, row in rows.rows.items():
        for damaged in damages(row):
            if key[:1] not in b"sv":
                continue
            changed = dict(rows.rows)
            if damaged is None:
                del changed[key]
            else:
                changed[key] = damaged
            with pytest.raises((IntegrityFailed, VersionNotFound)):
                checked(changed)


@pytest.mark.row("E-035")
def test_a_version_that_no_tree_can_have_is_damage() -> None:
    rows, _ = saved()
    rows.rows[b"msaved_versions"] = b"\x02" + b"\xfe" + b"\xff" * 8 + b"\x7f"
    with pytest.raises(IntegrityFailed, match="row of saved versions"):
        IavlTree(rows)


def checked(rows: dict[bytes, bytes]) -> list[int]:
    tree = IavlTree(MemoryRows(rows))
    return [tree.check(version) for version in tree.list_versions()]


@pytest.mark.row("E-035")
def test_a_node_that_is_damaged_or_missing_is_named() -> None:
    rows, _ = saved()
    root = max(key for key in rows.rows if key[:1] == b"s" and key[8] == 1)
    for changed in (rows.rows | {root: rows.rows[root][:-1] + b"!"}, dict(rows.rows)):
        if changed == rows.rows:
            del changed[root]
        tree = IavlTree(MemoryRows(changed))
        number = int.from_bytes(root[9:], "big")
        with pytest.raises(IntegrityFailed) as caught:
            list(tree.items())
        assert f"(version 1, nonce {number})" in str(caught.value)


@pytest.mark.row("E-035")
def test_a_root_is_compared_with_the_one_that_is_wanted() -> None:
    rows, _ = saved()
    tree = IavlTree(rows)
    first, second = tree.root_hash(1), tree.root_hash(2)
    assert tree.load_version(1, root_hash=first) == first
    with pytest.raises(IntegrityFailed, match="another root hash"):
        tree.load_version(1, root_hash=second)
    assert tree.current_version == 1


class Broken(Exception):
    """What a medium raises."""


@pytest.mark.row("E-034")
def test_a_step_that_is_not_committed_leaves_the_last_version() -> None:
    """Whatever batch is lost, what was committed before it opens, and the tree goes on."""
    rows = MemoryRows()
    tree = IavlTree(rows, fast_index=True)
    states: list[dict[bytes, bytes]] = [{}]
    for turn in range(12):
        state = dict(states[-1])
        for number in range(turn % 5):
            key = b"%d" % ((turn * 7 + number * 3) % 10)
            tree.set(key, b"%d" % turn)
            state[key] = b"%d" % turn
        lost = tree.save_version()
        reopened = IavlTree(MemoryRows(dict(rows.rows)), fast_index=True)
        assert dict(reopened.items()) == states[-1]
        assert reopened.latest_version == len(states) - 1
        again = rows.save(tree)
        assert (again.root_hash, again.batch) == (lost.root_hash, lost.batch)
        states.append(state)
        for step in tree.prune(max(turn - 3, 0)):
            survivor = IavlTree(MemoryRows(dict(rows.rows)), fast_index=True)
            for version in survivor.list_versions():
                assert dict(survivor.view(version).items()) == states[version]
            rows.commit(tree, step)
    lost = tree.rollback(10)
    assert tree.latest_version == 12
    rows.commit(tree, lost)
    assert dict(IavlTree(rows, fast_index=True).items()) == states[10]
    assert all(IavlTree(rows, fast_index=True).get(key) == states[10][key] for key in states[10])


def test_a_medium_that_fails_in_the_middle_of_a_write_leaves_the_tree_as_it_was() -> None:
    rows, state = saved(50)
    failed = set()
    for failing in range(1, 25):
        for write in ("set", "remove"):
            flaky = FlakyRows(dict(rows.rows), failing)
            tree = IavlTree(flaky, cache_nodes=2)
            flaky.armed = True
            try:
                if write == "set":
                    tree.set(b"key 30!", b"!")
                else:
                    tree.remove(b"key 30")
            except Broken:
                failed.add(write)
                assert tree.working_hash() == IavlTree(rows).working_hash()
                assert dict(tree.items()) == state
    assert failed == {"set", "remove"}


class FlakyRows(MemoryRows):
    """Raises at one read, the n-th after it was armed."""

    def __init__(self, rows: dict[bytes, bytes], failing: int) -> None:
        super().__init__(rows)
        self.failing = failing
        self.armed = False

    def get(self, key: bytes) -> bytes | None:
        if self.armed:
            self.failing -= 1
            if self.failing == 0:
                self.armed = False
                raise Broken
        return super().get(key)


@pytest.mark.row("E-011")
def test_malformed_input_is_refused_and_nothing_changes() -> None:
    tree = IavlTree(MemoryRows())
    tree.set(b"key", b"value")
    before = tree.working_hash()
    for key in (b"", "text", None, 1, bytes(1 << 17)):
        with pytest.raises(InvalidKey):
            tree.set(key, b"value")  # type: ignore[arg-type]
        with pytest.raises(InvalidKey):
            tree.remove(key)  # type: ignore[arg-type]
    for value in ("text", None, 1):
        with pytest.raises(InvalidValue):
            tree.set(b"key", value)  # type: ignore[arg-type]
    with pytest.raises(ValueTooLarge):
        tree.set(b"key", bytes(VALUE_BYTES_MAX + 1))
    with pytest.raises(InvalidInput):
        IavlTree(MemoryRows(), initial_version=0)
    with pytest.raises(InvalidInput):
        IavlTree(MemoryRows(), cache_nodes=0)
    assert tree.working_hash() == before


@pytest.mark.row("E-010")
def test_what_the_caller_changes_later_is_not_what_is_stored() -> None:
    tree = IavlTree(MemoryRows())
    key, value = bytearray(b"key"), bytearray(b"value")
    tree.set(key, value)  # type: ignore[arg-type]
    key[0] = value[0] = 0
    assert list(tree.items()) == [(b"key", b"value")]


@pytest.mark.row("E-010")
@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_a_key_that_is_no_bytes_object_is_removed_from_the_index_too(
    kind: Callable[[bytes], bytes],
) -> None:
    rows, state = saved(fast_index=True)
    tree = IavlTree(rows, fast_index=True)
    for key in (b"key 01", b"key 02"):
        assert tree.remove(kind(key) if key == b"key 01" else key) == state.pop(key)
    rows.save(tree)
    assert dict(IavlTree(rows, fast_index=True).items()) == state
    assert not [key for key in rows.rows if key in {b"fkey 01", b"fkey 02"}]


def test_steps_that_something_else_overtook_are_refused() -> None:
    rows, _ = saved()
    tree = IavlTree(rows)
    step = tree.save_version()
    tree.set(b"later", b"!")
    with pytest.raises(Conflict):
        tree.adopt(step)
    assert tree.get(b"later") == b"!"
    prune = next(tree.prune(1))
    rows.save(tree)
    with pytest.raises(Conflict):
        tree.adopt(prune)
    steps = tree.prune(1)
    next(steps)
    with pytest.raises(Conflict, match="not adopted"):
        next(steps)


def test_a_view_is_closed_once_and_for_all() -> None:
    rows, state = saved()
    tree = IavlTree(rows)
    with tree.view(1) as view:
        items = view.items()
        next(items)
    view.close()
    for ask in (
        lambda: view.get(b"key"),
        lambda: len(view),
        lambda: list(view.items()),
        lambda: view.prove(b"key"),
        lambda: view.rank(b"key"),
        lambda: list(items),
    ):
        with pytest.raises(StoreClosed):
            ask()
    with pytest.raises(InvalidInput):
        tree.view(2).at(len(state))


def test_a_version_that_another_process_pruned_is_said_to_be_gone() -> None:
    rows, state = saved()
    other = IavlTree(rows)
    reader = IavlTree(rows, cache_nodes=2).view(1)
    assert reader.get(b"key 07") == b"value 7"
    rows.prune(other, 1)
    with pytest.raises(VersionNotFound, match="pruned while it was read"):
        list(reader.items())
    assert dict(other.items()) == state


def test_what_another_process_saved_is_seen_after_a_refresh() -> None:
    rows, _ = saved()
    mine, other = IavlTree(rows), IavlTree(rows)
    other.set(b"theirs", b"1")
    rows.save(other)
    assert mine.get(b"theirs") is None
    mine.refresh()
    assert (mine.get(b"theirs"), mine.latest_version) == (b"1", 3)
    rows.commit(other, other.rollback(2))
    other.set(b"theirs", b"2")
    rows.save(other)
    mine.refresh()
    assert mine.get(b"theirs") == b"2"


def test_an_index_that_is_not_complete_is_not_asked() -> None:
    rows, state = saved()
    tree = IavlTree(rows, fast_index=True)
    assert not tree.indexed
    assert all(tree.get(key) == value for key, value in state.items())
    for batch in tree.build_index():
        rows.write(batch)
    tree.refresh()
    assert tree.indexed
    rows.reads = 0
    assert all(tree.get(key) == value for key, value in state.items())
    assert rows.reads == len(state)
    # Saved by somebody without an index, which is then behind.
    plain = IavlTree(rows)
    plain.set(b"key 01", b"other")
    rows.save(plain)
    assert not IavlTree(rows, fast_index=True).indexed
    # And takes back what it saved: the index stands where it stood.
    rows.commit(plain, plain.rollback(2))
    assert IavlTree(rows, fast_index=True).indexed
    # Then another version 2: the index is of a version 2, but not of this one.
    rows.commit(plain, plain.rollback(1))
    plain.set(b"key 01", b"other")
    assert rows.save(plain).version == 2
    tree = IavlTree(rows, fast_index=True)
    assert not tree.indexed
    assert tree.get(b"key 01") == b"other"


@pytest.mark.row("E-034")
def test_an_index_that_is_made_anew_is_asked_when_all_of_it_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index, "BATCH_BYTES", 40)
    assert list(IavlTree(MemoryRows(), fast_index=True).build_index()) == []
    rows, state = saved(fast_index=True)
    rows.rows[b"fkey 01"] = b"damaged"
    tree = IavlTree(rows, fast_index=True)
    with pytest.raises(IntegrityFailed, match="build_index"):
        tree.get(b"key 01")
    batches = 0
    for batch in tree.build_index():
        assert sum(len(key) + len(row) for key, row in batch.puts) < 200
        # Whoever stops here, or opens the tree meanwhile, has no index and right answers.
        for one in (tree, IavlTree(rows, fast_index=True)) if batches else ():
            assert not one.indexed
            assert all(one.get(key) == value for key, value in state.items())
        rows.write(batch)
        batches += 1
    assert batches > 3
    tree.refresh()
    assert tree.indexed
    assert all(tree.get(key) == value for key, value in state.items())


@pytest.mark.row("E-034")
def test_writing_after_an_older_version_was_loaded_makes_the_next_one() -> None:
    rows, _ = saved()
    tree = IavlTree(rows)
    first = dict(tree.view(1).items())
    tree.load_version(1)
    tree.set(b"more", b"!")
    step = rows.save(tree)
    assert step.version == 3
    assert dict(tree.items()) == first | {b"more": b"!"}
    rows.prune(tree, 2)
    assert dict(IavlTree(rows).items()) == first | {b"more": b"!"}


@pytest.mark.row("E-032")
@pytest.mark.row("E-033")
@pytest.mark.row("E-036")
@pytest.mark.row("E-037")
def test_versions_count_from_one_also_after_opening_anew() -> None:
    rows = MemoryRows()
    tree = IavlTree(rows)
    assert (list(tree.list_versions()), tree.current_version) == ([], 0)
    with pytest.raises(VersionNotFound):
        tree.load_version(1)
    for number in (1, 2, 3):
        tree.set(b"key", b"%d" % number)
        assert rows.save(tree).version == number
    tree = IavlTree(rows)
    assert (list(tree.list_versions()), tree.current_version) == ([1, 2, 3], 3)
    assert tree.save_version().version == 4
    tree.load_version(1)
    assert (tree.get(b"key"), tree.current_version) == (b"1", 1)
    with pytest.raises(VersionNotFound) as caught:
        tree.load_version(99)
    assert isinstance(caught.value, StoreError)
    assert (caught.value.details["first"], caught.value.details["latest"]) == (1, 3)
