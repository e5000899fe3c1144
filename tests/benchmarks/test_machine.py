"""The machine that figures are of, and whether it had other work meanwhile."""

import pytest

from benchmarks import machine


@pytest.mark.parametrize(
    ("load", "cores", "busy"), [(0.4, 2, False), (1.0, 2, False), (6.7, 2, True), (1.5, 16, False)]
)
def test_a_busy_machine_is_said_to_be_one(load: float, cores: int, busy: bool) -> None:
    said = machine.load_said(load, cores)
    assert said.startswith(f"load average at the start {load:.2f}")
    assert ("busy with other work" in said) is busy


def test_a_system_without_a_load_average_says_so() -> None:
    assert machine.load_said(None, 2) == "load average at the start unknown"
