"""telemetry: the registry of what the state of services tells of itself."""

import pytest

from holdfast.state.telemetry import events
from tests.cli.conftest import Cli, process

ATTRIBUTES_OF_ERRORS = {"ctx.error.code": "str", "ctx.error.message": "str"}


@pytest.mark.row("D-103")
def test_each_event_has_a_level_and_errors_say_what_went_wrong(cli: Cli) -> None:
    listed = cli("telemetry", "--list", "--json").document
    assert {one["event"] for one in listed} == events().keys()
    assert len(listed) > 100
    for one in listed:
        failed = one["event"].endswith(".error")
        assert one["level"] == ("error" if failed else "debug")
        assert (one["attributes"] == ATTRIBUTES_OF_ERRORS) == failed


def test_a_table_for_people(cli: Cli) -> None:
    out = cli("telemetry").out
    for part in ("kv.get.success", "ctx.kv.found: bool?", "kv.get.error", "ctx.error.code: str"):
        assert part in out
    assert cli("telemetry", "--list").out == out


def test_alone_in_a_process_all_areas_are_there() -> None:
    """Nothing that was loaded before by chance has to register the operations."""
    out = process("telemetry").out
    for area in ("kv", "counter", "claim", "stream", "events", "bloom", "presence", "scope"):
        assert f"\n {area}." in out or f" {area}." in out
