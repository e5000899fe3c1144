"""Each field of the capabilities is proven from both sides: what it promises, and its absence."""

from __future__ import annotations

from dataclasses import fields

import pytest

from holdfast.contract.capability import Capabilities
from holdfast.testing import EngineContract, promises_of
from holdfast.testing.lacking import LACKING

#: By field: a promise that holds it where it is claimed, and one that holds the other side.
#: "lacking": the proof of `LACKING` that who does not claim it must refuse it.
PROVEN = {
    "engine": ("capabilities_are_a_frozen_value_of_the_right_types",
               "an_engine_names_its_configuration"),
    "io": ("an_engine_that_waits_for_a_server_lets_its_loop_turn_meanwhile",
           "an_engine_waits_the_way_it_says"),
    "isolation": ("write_skew_over_a_range_is_refused", "write_skew_between_keys_is_refused"),
    "durability": ("what_was_acknowledged_survives_the_end_of_its_process",
                   "reopening_finds_everything_as_it_was"),
    "persistent": ("reopening_finds_everything_as_it_was", "lacking"),
    "shared": ("another_process_reads_what_this_one_wrote", "lacking"),
    "writable": ("every_commit_gets_a_higher_revision",
                 "a_read_only_engine_reads_and_refuses_to_write"),
    "snapshots": ("a_snapshot_is_a_fixed_view", "lacking"),
    "transacts_once": ("a_decision_runs_exactly_once_and_knows_its_revision", "lacking"),
    "waits": ("a_commit_wakes_everybody_who_waits", "lacking"),
    "compacts": ("compaction_changes_nothing_but_space", "lacking"),
    "checks": ("a_sound_store_passes_its_own_check", "lacking"),
    "loads": ("loaded_rows_keep_their_revisions", "lacking"),
    "rewrites": ("a_rewritten_row_has_other_bytes_and_its_revision", "lacking"),
    # A limit works to the last unit, and one more is refused: both in one promise.
    "key_bytes_max": ("the_longest_key_works_and_one_byte_more_is_refused",) * 2,
    "value_bytes_max": ("the_largest_value_works_and_one_byte_more_is_refused",) * 2,
    "batch_operations_max": ("the_longest_batch_works_and_one_operation_more_is_refused",) * 2,
    "batch_bytes_max": ("a_batch_of_too_many_bytes_is_refused",) * 2,
    "check_range_rows_max": (
        "the_widest_check_of_a_range_works_and_one_row_more_is_refused",
    ) * 2,
    "page_rows_max": ("a_page_ends_at_the_row_limit_of_the_engine",
                      "a_page_of_many_rows_is_peeked_at_up_to_the_limit"),
    "page_bytes_max": ("a_page_ends_at_the_byte_limit_of_the_engine",
                       "a_row_above_the_byte_limit_of_a_page_is_a_page"),
    "snapshot_age_max_s": ("a_snapshot_is_never_wrong_however_old",) * 2,
}  # fmt: skip


@pytest.mark.row("trap 50")
def test_every_field_has_a_promise_for_both_sides() -> None:
    assert PROVEN.keys() == {field.name for field in fields(Capabilities)}
    promises = promises_of(EngineContract)  # type: ignore[type-abstract]
    for field, sides in PROVEN.items():
        for side in sides:
            known = field in LACKING if side == "lacking" else f"test_{side}" in promises
            assert known, f"{field}: there is no promise {side!r}"


@pytest.mark.row("trap 50")
def test_every_flag_that_can_be_lacked_has_a_promise_that_needs_it() -> None:
    needed = {
        test.func.terms.needs
        for test in promises_of(EngineContract).values()  # type: ignore[type-abstract]
        if hasattr(test, "func")
    }
    assert needed - {None} == LACKING.keys()
