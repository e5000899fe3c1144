"""A range of a large database costs what it holds, not what the database holds (E-020)."""

from pathlib import Path
from time import perf_counter

import pytest

from holdfast.contract.engine import Engine
from holdfast.contract.record import Range, Record
from holdfast.runtime.system import drive, system_components
from holdfast.store.registry import engine_class, read_config
from tests.store.scene import ENGINES, url_of

KEYS = 1_000_000
#: Rows of one load: what an engine takes at once.
PART = 50_000
#: A walk over everything takes tens of thousands of times as long as a seek; so much is certain.
RATIO = 500


def key(number: int) -> bytes:
    return b"%08d" % number


def counted(engine: Engine, range: Range) -> int:
    """How many rows the engine read for the range."""
    count = 0
    rest: Range | None = range
    while rest is not None:
        page = drive(engine.scan(rest))
        count += len(page.rows)
        rest = page.resume
    return count


def seconds_of(engine: Engine, range: Range) -> float:
    start = perf_counter()
    counted(engine, range)
    return perf_counter() - start


@pytest.mark.row("E-020")
@pytest.mark.parametrize("name", ENGINES)
def test_a_range_of_ten_among_a_million_is_sought(name: str, tmp_path: Path) -> None:
    url = url_of(name, tmp_path) + ("" if name == "memory" else "?durability=relaxed")
    config = read_config(url)
    engine = engine_class(config.scheme)(config, system_components())
    drive(engine.open())
    try:
        for first in range(0, KEYS, PART):
            rows = [(key(n), Record(b"v", n + 1)) for n in range(first, first + PART)]
            drive(engine.load(rows))
        start = perf_counter()
        assert counted(engine, Range()) == KEYS
        walk = perf_counter() - start
        for reverse in (False, True):
            ten = Range(key(500_000), key(500_010), reverse=reverse)
            page = drive(engine.scan(ten))
            expected = [key(500_000 + n) for n in range(10)]
            assert [one for one, _ in page.rows] == expected[:: -1 if reverse else 1]
            assert page.resume is None
            seek = min(seconds_of(engine, ten) for _ in range(10))
            # Rows that were passed over show in the time, not in the page.
            assert seek * RATIO < walk, f"{seek:.6f} s for ten, {walk:.3f} s for all"
    finally:
        drive(engine.close())
