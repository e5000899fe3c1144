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
    "test_a_mapping_of_fields_to_keys_becomes_an_object",
    "test_a_payload_is_of_one_moment",
    "test_a_missing_key_raises_and_names_its_field",
    "test_a_missing_key_becomes_none_or_a_default",
    "test_a_missing_key_is_left_out",
    "test_an_expired_entry_is_missing_and_a_stored_none_is_not",
    "test_values_that_do_not_make_the_class_are_refused_by_path",
    "test_two_fields_of_one_key_do_not_share_their_value",
    "test_parts_are_the_same_in_a_transaction_a_snapshot_and_with_every_decorator",
    "test_scopes_stand_in_scopes_and_in_transactions_and_snapshots",
    "test_without_writing_back_only_the_reader_sees_the_new_shape",
))  # fmt: skip
#: They write a parameter behind the URL as if it had none yet.
SPELL_URLS = frozenset((
    "test_stores_are_found_by_name_and_kept",
    "test_a_database_opened_for_reading_registers_nothing",
    "test_a_database_opened_for_reading_migrates_for_its_reader",
))  # fmt: skip
#: They ask for just what a snapshot shows, or for limits of engines in this process. Without
#: snapshots a strong transaction is refused where another would go on with what was.
OF_OTHERS = frozenset((
    "test_each_level_allows_just_its_anomalies",
    "test_a_statement_of_read_committed_sees_one_moment",
    "test_a_read_only_transaction_reads_one_moment_and_writes_nothing",
    "test_a_moment_is_let_go_when_the_handle_closes_before_it_is_handed_out",
    "test_a_transaction_begun_twice_at_once_begins_once",
    "test_a_key_of_the_largest_size_does_everything",
    "test_the_most_keys_of_one_call_are_one_commit",
    "test_a_serializer_of_ones_own_reaches_open",
    "test_the_sync_handle_has_it_all",
))  # fmt: skip


def taken_from(name: str) -> dict[str, FunctionType]:
    """The tests of a module by a name that says whose they are; those that take a scene."""
    return {
        f"test_{name.rpartition('test_')[2]}_{test.removeprefix('test_')}": _fitting(function)
        for test, function in vars(import_module(name)).items()
        if test.startswith("test_")
        and isinstance(function, FunctionType)
        and test not in SPELL_URLS | OF_OTHERS
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
