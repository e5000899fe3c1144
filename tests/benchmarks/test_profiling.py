"""The profile beside a missed target names what is slow, per operation."""

import re

from benchmarks.profiling import LINES, profile


def slow(count: int) -> int:
    return sum(range(count))


def work() -> int:
    for _ in range(50):
        slow(20_000)
    return 50


def test_the_slowest_comes_first_in_microseconds_per_operation() -> None:
    lines = profile(work).splitlines()
    assert len(lines) <= LINES + 1
    assert "sum" in lines[1]
    calls = {line.split()[-1]: line.split()[2] for line in lines[1:]}
    assert calls["slow"] == "1.00"
    assert re.search(r"benchmarks/test_profiling\.py:\d+ slow", "\n".join(lines))
