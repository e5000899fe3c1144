"""Every adapter makes the operations tell the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from holdfast.state.telemetry import RecordingTelemetry
from tests.state.conftest import opened, run
from tests.state.operations import OPERATIONS, VARIANTS
from tests.state.places import Place
from tests.state.test_telemetry import GOLDEN


@pytest.mark.row(
    "D-129", "D-116", "D-005", "D-015", "D-030", "D-038", "D-041", "D-043", "D-058", "D-160",
    "D-162", "D-169", "D-170", "D-171", "D-172", "D-173", "D-174", "D-175", "D-176", "D-177",
    "D-178", "D-179", "D-180", "D-181", "D-182", "D-183", "D-184", "D-185", "D-186",
)  # fmt: skip
def test_what_is_told_is_the_golden_record(place: Place, service: str) -> None:
    golden = json.loads(GOLDEN.read_text())
    found: dict[str, Any] = {}

    async def main() -> None:
        for number, (name, work) in enumerate((OPERATIONS | VARIANTS).items()):
            if name == "group.consume":
                continue  # It reads as often as there is time.
            prefix = f"{service}{number}"
            telemetry = RecordingTelemetry(prefix)
            async with opened(
                place,
                "api",
                lambda b: b.with_prefix(prefix).with_telemetry(telemetry),  # noqa: B023
            ) as store:
                await work(store)
            assert telemetry.complaints == []
            found[name] = [
                [event.name.removeprefix(prefix + "."), event.level, dict(event.attributes)]
                for event in telemetry.recorded
            ]

    run(main())
    # A server walks all its keys, in as many steps as those of other tests take, too.
    steps = found["dev.iterate"]
    assert steps == steps[:2] * (len(steps) // 2)
    found["dev.iterate"] = steps[:2]
    for name, told in found.items():
        assert json.loads(json.dumps(told)) == golden[name]["well"], name
    assert len(found) > 55
