"""The tree beside a dict for each version, through random histories."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from holdfast.contract.errors import Conflict, InvalidInput, VersionNotFound
from holdfast.stores.iavl import IavlTree, Kind, View
from tests.stores.iavl.memory import MemoryRows

KEYS = st.binary(min_size=1, max_size=2).map(lambda key: bytes(byte % 7 for byte in key))
VALUES = st.binary(max_size=3)
BOUNDS = st.none() | KEYS


def between(
    state: dict[bytes, bytes], start: bytes | None, end: bytes | None, *, reverse: bool
) -> list[tuple[bytes, bytes]]:
    keys = sorted(state, reverse=reverse)
    return [
        (key, state[key])
        for key in keys
        if (start is None or start <= key) and (end is None or key < end)
    ]


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.rows = MemoryRows()
        self.saved: dict[int, dict[bytes, bytes]] = {}
        self.hashes: dict[int, bytes] = {}
        self.working: dict[bytes, bytes] = {}
        self.base = 0
        self.views: list[View] = []

    @initialize(
        initial=st.sampled_from([1, 5]), index=st.booleans(), nodes=st.sampled_from([2, 9, 999])
    )
    def open(self, initial: int, index: bool, nodes: int) -> None:
        self.settings: dict[str, Any] = {
            "initial_version": initial,
            "fast_index": index,
            "cache_nodes": nodes,
        }
        self.tree = IavlTree(self.rows, **self.settings)

    @property
    def latest(self) -> int:
        return max(self.saved, default=0)

    @rule(key=KEYS, value=VALUES)
    def set(self, key: bytes, value: bytes) -> None:
        self.tree.set(key, value)
        self.working[key] = value
        self.base = self.latest

    @rule(key=KEYS)
    def remove(self, key: bytes) -> None:
        assert self.tree.remove(key) == self.working.pop(key, None)
        self.base = self.latest

    @rule(committed=st.booleans())
    def save(self, committed: bool) -> None:
        expected = self.tree.working_hash()
        step = self.tree.save_version()
        assert (step.kind, step.root_hash) == (Kind.SAVE, expected)
        self.base = self.latest
        if not committed:
            return
        assert step.version == (self.latest + 1 if self.saved else self.settings["initial_version"])
        self.rows.commit(self.tree, step)
        self.saved[step.version] = dict(self.working)
        self.hashes[step.version] = step.root_hash
        self.base = step.version

    @rule()
    def reopen(self) -> None:
        self.close_views()
        self.tree = IavlTree(self.rows, **self.settings)
        self.working = dict(self.saved.get(self.latest, {}))
        self.base = self.latest

    @rule()
    def discard(self) -> None:
        self.tree.discard()
        self.working = dict(self.saved.get(self.latest, {}))
        self.base = self.latest

    @precondition(lambda self: self.saved)
    @rule(data=st.data())
    def load(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(self.saved)))
        assert self.tree.load_version(version) == self.hashes[version]
        self.working = dict(self.saved[version])
        self.base = version

    @precondition(lambda self: len(self.saved) > 1)
    @rule(data=st.data())
    def prune(self, data: st.DataObject) -> None:
        to = data.draw(st.sampled_from(sorted(self.saved)[:-1]))
        self.rows.prune(self.tree, to)
        held = min([self.base, *(view.version for view in self.views)])
        for version in [one for one in self.saved if one <= to and one < held]:
            del self.saved[version], self.hashes[version]

    @precondition(lambda self: self.saved)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(self.saved)))
        if any(view.version > version for view in self.views):
            with pytest.raises(Conflict):
                self.tree.rollback(version)
            return
        self.rows.commit(self.tree, self.tree.rollback(version))
        for later in [one for one in self.saved if one > version]:
            del self.saved[later], self.hashes[later]
        self.working, self.base = dict(self.saved[version]), version

    @precondition(lambda self: self.saved and len(self.views) < 3)
    @rule(data=st.data())
    def view(self, data: st.DataObject) -> None:
        self.views.append(self.tree.view(data.draw(st.sampled_from(sorted(self.saved)))))

    @rule()
    def close_views(self) -> None:
        for view in self.views:
            view.close()
        self.views.clear()

    @precondition(lambda self: len(self.saved) > 1)
    @rule(data=st.data())
    def diff(self, data: st.DataObject) -> None:
        versions = st.sampled_from(sorted(self.saved))
        before, after = data.draw(versions), data.draw(versions)
        old, new = self.saved[before], self.saved[after]
        keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        expected = [(key, old.get(key), new.get(key)) for key in keys]
        assert list(self.tree.diff(before, after)) == expected

    @rule(start=BOUNDS, end=BOUNDS, reverse=st.booleans(), key=KEYS)
    def read(self, start: bytes | None, end: bytes | None, reverse: bool, key: bytes) -> None:
        for reader, state in [(self.tree, self.working)] + [
            (view, self.saved[view.version]) for view in self.views
        ]:
            expected = between(state, start, end, reverse=reverse)
            assert list(reader.items(start, end, reverse=reverse)) == expected
            assert reader.get(key) == state.get(key)
            assert (key in reader) is (key in state)
            assert len(reader) == len(state)
        for view in self.views:
            state = self.saved[view.version]
            assert view.rank(key) == sum(other < key for other in state)
            assert [view.at(place) for place in range(len(state))] == sorted(state.items())

    @invariant()
    def versions_are_what_was_saved(self) -> None:
        assert list(self.tree.list_versions()) == sorted(self.saved)
        assert self.tree.latest_version == self.latest
        assert self.tree.current_version == self.base
        for version in (0, self.latest + 1):
            with pytest.raises(VersionNotFound):
                self.tree.view(version)
        with pytest.raises(InvalidInput):
            next(self.tree.prune(self.latest))

    def teardown(self) -> None:
        tree = IavlTree(self.rows)
        for version, state in self.saved.items():
            view = tree.view(version)
            assert dict(view.items()) == state
            assert view.root_hash == self.hashes[version]
        if self.latest:
            self.close_views()
            self.tree.discard()
            self.rows.prune(self.tree, self.latest - 1)
            # Nothing is left behind: two nodes a key but one, a root hash, the saved versions, and
            # a root or what stands in its place when an earlier version made it.
            nodes = [key for key in self.rows.rows if key[:1] == b"s"]
            count = len(self.saved[self.latest])
            assert len(nodes) - max(2 * count - 1, 0) in {0, 1}
            if self.settings["fast_index"]:
                index = [key for key in self.rows.rows if key[:1] == b"f"]
                assert sorted(index) == sorted(b"f" + key for key in self.saved[self.latest])


Histories.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestHistories = Histories.TestCase
