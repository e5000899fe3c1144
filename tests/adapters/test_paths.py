"""Files and directories as keys of a store: any order of operations, beside a dict and a set."""

from __future__ import annotations

import itertools
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from holdfast.adapters.fsspec import HoldfastFileSystem
from holdfast.adapters.place import close_databases

FileSystem = Any  # fsspec ships no types

_numbers = itertools.count()


class Paths(RuleBasedStateMachine):
    """Files and directories in any order, beside a dict and a set."""

    paths = st.lists(st.sampled_from(["a", "b", "a-", "a.b"]), min_size=1, max_size=3).map("/".join)

    def __init__(self) -> None:
        super().__init__()
        self.fs: FileSystem = HoldfastFileSystem(f"memory://?name=paths-{next(_numbers)}")
        self.files: dict[str, bytes] = {}
        self.made: set[str] = set()

    def directories(self) -> set[str]:
        names = [*self.files, *(f"{one}/" for one in self.made)]
        return {name[:place] for name in names for place in range(len(name)) if name[place] == "/"}

    def is_below_a_file(self, path: str) -> bool:
        return any(path[:place] in self.files for place in range(len(path)) if path[place] == "/")

    @rule(path=paths, content=st.binary(max_size=4))
    def write(self, path: str, content: bytes) -> None:
        if self.is_below_a_file(path):
            wanted: type[OSError] = NotADirectoryError
        elif path in self.directories():
            wanted = IsADirectoryError
        else:
            self.fs.pipe_file(path, content)
            self.files[path] = content
            return
        with pytest.raises(wanted):
            self.fs.pipe_file(path, content)

    @rule(path=paths)
    def make_directory(self, path: str) -> None:
        if path in self.files or path in self.directories():
            wanted: type[OSError] = FileExistsError
        elif self.is_below_a_file(path):
            wanted = NotADirectoryError
        else:
            self.fs.mkdir(path)
            self.made.add(path)
            return
        with pytest.raises(wanted):
            self.fs.mkdir(path)

    @rule(path=paths)
    def remove(self, path: str) -> None:
        if path in self.files or path in self.directories():
            self.fs.rm(path, recursive=True)
            below = f"{path}/"
            self.made = {one for one in self.made if one != path and not one.startswith(below)}
            for name in [one for one in self.files if one == path or one.startswith(below)]:
                del self.files[name]
        else:
            with pytest.raises(FileNotFoundError):
                self.fs.rm(path, recursive=True)

    @rule(old=paths, new=paths)
    def move(self, old: str, new: str) -> None:
        free = new not in self.files and new not in self.directories()
        if old in self.files and free and not self.is_below_a_file(new):
            self.fs.mv(old, new)
            self.files[new] = self.files.pop(old)

    @invariant()
    def agree(self) -> None:
        found = self.fs.find("", withdirs=True, detail=True)
        kinds = {name: one["type"] for name, one in found.items() if name}
        wanted = dict.fromkeys(self.directories(), "directory") | dict.fromkeys(self.files, "file")
        assert kinds == wanted
        assert {name: self.fs.cat_file(name) for name in self.files} == self.files


def test_any_order_of_operations() -> None:
    run_state_machine_as_test(
        Paths, settings=hypothesis.settings(max_examples=20, stateful_step_count=25, deadline=None)
    )
    HoldfastFileSystem.clear_instance_cache()
    close_databases()
