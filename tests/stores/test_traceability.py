"""Which tests hold which area of the plan's unit tests; a test that goes away is missed here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent

#: The plan's areas, and for each the file and the tests.
TESTS = {
    "create": ("test_store.py", ["test_stores_are_found_by_name_and_kept"]),
    "read": ("test_bytes.py", ["test_a_missing_key_is_an_error_with_a_code"]),
    "update": ("test_store.py", ["test_empty_and_large_values"]),
    "delete": ("test_bytes.py", ["test_a_batch_happens_at_once"]),
    "ranges": ("test_bytes.py", ["test_ranges_prefixes_and_counts"]),
    "iteration": ("test_bytes.py", ["test_a_visit_ends_when_the_callback_says_so"]),
    "error conditions": (
        "test_store.py",
        ["test_a_key_that_cannot_be_is_refused", "test_wrong_values_and_options_are_refused"],
    ),
    "transaction create": ("test_bytes.py", ["test_a_transaction_is_a_store"]),
    "transaction commit": ("test_lifecycle.py", ["test_transactions"]),
    "transaction rollback": ("test_bytes.py", ["test_a_transaction_has_only_so_much_time"]),
    "transaction concurrent": ("test_bytes.py", ["test_the_second_committer_loses"]),
    "version create": ("versions/test_trees.py", ["test_save_load_and_go_on"]),
    "version load": ("versions/test_trees.py", ["test_rollback_and_prune"]),
    "version list": ("versions/test_contents.py", ["test_presence_and_absence_are_proven"]),
    "version cleanup": ("versions/test_hard_times.py", ["test_old_versions_go_beyond_the_limit"]),
    "engine create": ("test_store_root.py", ["test_stores_by_name"]),
    "engine open": ("test_store_root.py", ["test_a_store_is_there_after_a_restart"]),
    "config parse": (
        "test_store_root.py",
        ["test_the_configuration_has_the_names_of_the_seed"],
    ),
    "capabilities": ("test_bytes.py", ["test_the_probes_tell_what_works"]),
}


@pytest.mark.row("E-119")
@pytest.mark.parametrize("area", TESTS)
def test_each_area_has_its_tests(area: str) -> None:
    file, names = TESTS[area]
    tree = ast.parse((FOLDER / file).read_text())
    there = {
        one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert names
    assert set(names) <= there
