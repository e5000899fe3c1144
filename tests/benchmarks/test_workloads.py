"""Each workload, with a few hundred records and without rivals: it measures and it verifies."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import __main__ as bench_main
from benchmarks import catalogue
from benchmarks.catalogue import SUBJECTS, Kind, Subject, Survives
from benchmarks.plan import QUICK, Bench
from benchmarks.report import document
from benchmarks.shim import compile_shim

TINY = replace(
    QUICK, rounds=2, measure_s=0.005, records=300, headline_chunk=20, headline_rounds=3,
    overwrites=200, versions=(2, 20), key_counts=(100, 600), cost_sets=10,
    survival_writes=10,
)  # fmt: skip

#: What must stand in the tables of each.
NAMED = {
    "headline": ("holdfast lmdb full, async", "holdfast lmdb full, sync", "raw lmdb"),
    "by-hand": ("memory", "lmdb relaxed", "lmdb full", "sqlite full"),
    "counters": ("memory, sync set", "lmdb full, async get"),
    "survival": ("holdfast lmdb full, async", "10 of 10"),
    "ycsb": ("holdfast memory, async", "holdfast lmdb full, async", "holdfast lmdb relaxed, sync"),
    "group-commit": ("holdfast lmdb full, async", "raw lmdb"),
    "hot-key": ("holdfast lmdb full, async",),
    "scan": ("holdfast memory, async", "holdfast lmdb full, sync"),
    "cold-open": ("holdfast lmdb full, async", "raw lmdb"),
    "file-growth": ("holdfast lmdb full, async", "raw lmdb"),
    "set-cost": ("holdfast lmdb full, async", "raw lmdb"),
    "documents": ("point by e-mail", "holdfast sqlite", "lmdb, 300 cities"),
    "engines": ("file", "rocksdb", "leveldb", "set, 16 tasks", "get, 1 task"),
    "events": ("the same handle, lmdb full", "holdfast, a whole `set` on memory"),
    "decorators": ("lmdb lock", "sqlite get, cached", "granting"),
    "state": (
        "holdfast",
        "holdfast on lmdb relaxed",
        "holdfast `cached`, memory",
        # The five rows that the seed's manual has, and what it says of one call.
        *(
            f"{rate} ({p99} ms)"
            for rate, p99 in (
                ("45.0k", "0.85"),
                ("38.0k", "0.95"),
                ("22.0k", "1.20"),
                ("41.0k", "0.88"),
                ("12.0k", "2.50"),
            )
        ),
        "get | under 0.5",
        "publish | 0.8 to 1.2",
        "batch of 10 | about 1.5",
    ),
    "validated": ("holdfast memory, async", "holdfast lmdb full, async", "namespace requires it"),
}


def test_every_workload_is_tried() -> None:
    assert NAMED.keys() == bench_main.WORKLOADS.keys()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.row("D-118", "D-140")) if name == "state" else name
        for name in NAMED
    ],
)
def test_a_workload_measures_and_verifies(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    bench = Bench(TINY, folder, None, compile_shim(tmp_path), with_peers=False)
    sections = bench_main.WORKLOADS[name](bench)
    text = document("# Try", sections)
    for wanted in NAMED[name]:
        assert f"{wanted} |" in text
    assert "does not hold" not in text
    assert any(section.parts for section in sections)


def test_the_command_prints_and_writes_one_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_main, "QUICK", TINY)
    out = tmp_path / "out.md"
    arguments = ["--quick", "--only", "hot-key", "--without-peers", "--out", str(out)]
    arguments += ["--folder", str(tmp_path)]
    assert bench_main.main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("# Benchmarks\n")
    assert out.read_text() in printed.out
    assert "one flush of 4 KiB" in printed.out
    assert "## One hot key" in printed.out
    assert "hot key: holdfast lmdb full, async" in printed.err
    assert [path.name for path in tmp_path.iterdir()] == ["out.md"], "folders are removed"


def test_a_missing_rival_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = Subject("absent", Kind.PEER, Survives.NOTHING, "x:Y", requires=("no_such_rival",))
    monkeypatch.setattr(catalogue, "SUBJECTS", (absent,))
    assert bench_main.main(["--only", "scan"]) == 2
    said = capsys.readouterr().err
    assert "no_such_rival" in said
    assert "--without-peers" in said


def test_every_class_has_one_champion_and_its_adapters_exist(tmp_path: Path) -> None:
    assert len({one.name for one in SUBJECTS}) == len(SUBJECTS)
    for survives in Survives:
        champions = [one for one in SUBJECTS if one.survives is survives and one.champion]
        assert len(champions) == 1
        assert champions[0].kind is Kind.OURS
    for one in SUBJECTS:
        # Rivals are imported when they are opened, not when they are named.
        assert one.store(tmp_path).folder == tmp_path
