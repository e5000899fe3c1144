"""The core of the views' tests, for engines with a server: import them beside a fixture `scene`."""

from __future__ import annotations

from functools import wraps
from importlib import import_module
from inspect import signature
from types import FunctionType
from typing import Any

import pytest

from holdfast.contract.errors import Unsupported

#: Whose tests take a `scene`, and know nothing of files.
MODULES = (
    "tests.records.test_entries",
    "tests.records.test_conditions",
    "tests.records.test_history",
    "tests.records.test_time_to_live",
    "tests.records.test_values",
    "tests.records.test_past",
    "tests.records.test_purging",
    "tests.stores.test_store",
)
#: They take a snapshot of the database at some point, which a server like this does not have.
NEED_SNAPSHOTS = frozenset((
    "test_all_read_paths_agree_at_the_same_millisecond",
    "test_a_snapshot_taken_before_does_not_show_what_has_expired_since",
    "test_big_values_take_part_in_everything",
    "test_stores_and_entries_share_a_transaction",
))  # fmt: skip
#: They write a parameter behind the URL as if it had none yet.
SPELL_URLS = frozenset(("test_stores_are_found_by_name_and_kept",))


def taken_from(name: str) -> dict[str, FunctionType]:
    """The tests of a module by a name that says whose they are; those that take a scene."""
    return {
        f"test_{name.rpartition('test_')[2]}_{test.removeprefix('test_')}": _fitting(function)
        for test, function in vars(import_module(name)).items()
        if test.startswith("test_")
        and isinstance(function, FunctionType)
        and test not in SPELL_URLS
        and _takes_a_scene(function)
    }


def _takes_a_scene(function: FunctionType) -> bool:
    return not {"scene", "kept_scene"}.isdisjoint(signature(function).parameters)


def _fitting(function: FunctionType) -> FunctionType:
    """The test, or one that sees it refused for the lack of snapshots, and nothing else."""
    if function.__name__ not in NEED_SNAPSHOTS:
        return function

    @wraps(function)
    async def refused(*arguments: Any, **fixtures: Any) -> None:
        with pytest.raises(Unsupported, match="snapshots"):
            await function(*arguments, **fixtures)

    # Rows are proved where the whole of it works.
    refused.pytestmark = [  # type: ignore[attr-defined]
        mark for mark in getattr(function, "pytestmark", ()) if mark.name != "row"
    ]
    return refused  # type: ignore[return-value]


def view_tests() -> dict[str, FunctionType]:
    """Name to test, for the globals of a test module."""
    return {name: test for module in MODULES for name, test in taken_from(module).items()}
