"""No room, and room again: growth of the map, full disks, compaction, readers that hold space."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import StorageFull, StoreClosed, StoreLocked
from holdfast.contract.record import Range, Record
from holdfast.contract.runtime import ManualClock
from holdfast.engines.embedded.group import BATCH_ID_MS
from holdfast.engines.lmdb import LmdbEngine
from holdfast.runtime.system import drive
from tests import needs
from tests.engines.lmdb_database import (
    child,
    child_command,
    child_environment,
    delete,
    get,
    opened,
    put,
    run_child,
    with_clock,
)

#: Fill the database, delete half of it, fill again; a promise is checked at each step. LMDB frees
#: pages, not rows, so what is deleted are neighbours.
PROGRAM = """
import resource
from holdfast.contract.errors import StorageFull
path, durability = Path(sys.argv[1]), sys.argv[2]
size, limit = map(int, sys.argv[3:])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
settings = {"durability": durability, "ballast": 256 * 1024, "flush_interval": 0.001}

def fill(engine, prefix, most):
    written = []
    for number in range(most):
        key = b"%s%06d" % (prefix, number)
        try:
            put(engine, key, key * (size // len(key)))
            if durability == "relaxed" and number % 10 == 0:
                flush(engine)
        except StorageFull:
            break
        written.append(key)
    return written

def all_there(engine, keys):
    return all(get(engine, key) == key * (size // len(key)) for key in keys)

with opened(path, **settings) as engine:
    first = fill(engine, b"first", 100_000)
    assert len(first) * size > 1_000_000, len(first)
    assert all_there(engine, first), "reads go on"
    assert len(fill(engine, b"refused", 20)) < 20
    for key in first[: len(first) // 2]:
        delete(engine, key)
    assert all(get(engine, key) is None for key in first[: len(first) // 2])
    kept = first[len(first) // 2 :]
    assert all_there(engine, kept)
    second = fill(engine, b"second", len(first) // 4)
    assert len(second) == len(first) // 4, f"{len(second)} written after {len(first) // 2} deletes"
    assert drive(engine.check()) == []
    head = drive(engine.head())
with opened(path, **settings) as engine:
    assert all_there(engine, kept + second)
    assert drive(engine.head()) == head
    assert drive(engine.check()) == []
print("kept every promise")
"""


@pytest.mark.parametrize("size", [1_000, 40_000])
@pytest.mark.parametrize("durability", ["full", "relaxed"])
@needs.file_size_limit
def test_the_largest_file_a_process_may_make(tmp_path: Path, durability: str, size: int) -> None:
    answer = run_child(PROGRAM, tmp_path / "app", durability, size, 4 * 2**20)
    assert answer.stdout.strip() == "kept every promise", answer.stderr


@pytest.mark.parametrize("size", [1_000, 40_000])
@pytest.mark.parametrize("durability", ["full", "relaxed"])
@needs.private_mounts
def test_a_full_disk(tmp_path: Path, durability: str, size: int) -> None:
    command = child_command(PROGRAM, tmp_path / "app", durability, size, 0)
    mount = 'mount -t tmpfs -o size=4m none "$0" && exec "$@"'
    answer = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, tmp_path, *command],
        capture_output=True,
        text=True,
        env=child_environment(),
        timeout=50,
        check=False,
    )
    assert answer.stdout.strip() == "kept every promise", answer.stderr


@needs.private_mounts
def test_the_ballast_is_what_lets_deletes_through(tmp_path: Path) -> None:
    """Every page is in use and not one is left on the disk."""
    program = """
    from holdfast.contract.errors import StorageFull
    path, ballast = Path(sys.argv[1]), int(sys.argv[2])
    with opened(path, ballast=ballast) as engine:
        rest = Path(sys.argv[1]).parent / "rest"
        for number in range(100):
            put(engine, b"%d" % number, bytes(2000))
        snapshot = drive(engine.snapshot())  # So that no page is used again.
        with rest.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        deleted = 0
        try:
            for number in range(100):
                delete(engine, b"%d" % number)
                deleted += 1
        except StorageFull:
            pass
        print(deleted)
        rest.unlink()
        snapshot.close()
        for number in range(200):
            put(engine, b"again", b"%d" % number)
        print((path / "ballast").exists() and (path / "ballast").stat().st_size)
    """
    mount = 'mount -t tmpfs -o size=2m none "$0" && exec "$@"'
    answers = []
    for ballast in (256 * 1024, 0):
        command = child_command(program, tmp_path / "app", ballast)
        answer = subprocess.run(
            ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, tmp_path, *command],
            capture_output=True,
            text=True,
            env=child_environment(),
            timeout=50,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        answers.append(answer.stdout.splitlines())
    (with_ballast, filled_again), (without, never_made) = answers
    assert int(with_ballast) > int(without) + 5
    assert (filled_again, never_made) == ("262144", "False")


def test_the_map_grows_under_readers_and_writers(tmp_path: Path) -> None:
    with opened(tmp_path / "app", map_size=64 * 1024) as engine:
        before = engine._medium.env.info()["map_size"]
        snapshot = drive(engine.snapshot())
        decided = []

        def decide(records: list[Record | None], revision: int) -> Batch:
            decided.append(revision)
            return Batch([Put(b"big", bytes(300_000))])

        put(engine, b"first", b"1")
        drive(engine.transact([b"first"], decide))
        assert len(decided) == 1, "what grew in between does not run the decision again"
        assert engine._medium.env.info()["map_size"] >= before * 4
        for number in range(200):
            put(engine, b"row %d" % number, bytes(5_000))
        assert get(engine, b"first") == b"1"
        with pytest.raises(StoreClosed, match="outgrew its memory map"):
            drive(engine.read([b"first"], at=snapshot))
        assert drive(engine.check()) == []
    with opened(tmp_path / "app", map_size=64 * 1024) as engine:
        assert len(get(engine, b"big") or b"") == 300_000


def test_growth_of_another_process_is_followed(tmp_path: Path) -> None:
    program = """
    with opened(Path(sys.argv[1]), map_size=64 * 1024) as engine:
        for number in range(100):
            put(engine, b"theirs %d" % number, bytes(10_000))
    """
    with opened(tmp_path / "app", map_size=64 * 1024) as engine:
        put(engine, b"ours")
        answer = run_child(program, tmp_path / "app")
        assert answer.returncode == 0, answer.stderr
        assert len(get(engine, b"theirs 99") or b"") == 10_000
        answer = run_child(program, tmp_path / "app")
        assert answer.returncode == 0, answer.stderr
        assert put(engine, b"ours") == 202


def test_the_greatest_map_is_a_limit_that_deletes_pass(tmp_path: Path) -> None:
    with opened(tmp_path / "app", map_size=1 << 20, map_size_max=1 << 20) as engine:
        written = []

        def fill() -> None:
            for number in range(10_000):
                put(engine, b"%05d" % number, bytes(1000))
                written.append(b"%05d" % number)

        with pytest.raises(StorageFull, match="map_size_max"):
            fill()
        assert len(written) > 400
        assert get(engine, written[0]) == get(engine, written[-1]) == bytes(1000)
        for key in written[: len(written) // 2]:
            delete(engine, key)
        for key in written[: len(written) // 4]:
            put(engine, key, bytes(1000))
        assert drive(engine.check()) == []


def test_one_batch_without_room_does_not_fail_its_neighbours(tmp_path: Path) -> None:
    async def main() -> list[object]:
        return await asyncio.gather(
            *(
                engine.commit(Batch([Put(b"%d" % n, bytes(50_000 if n == 3 else 10))]))
                for n in range(6)
            ),
            return_exceptions=True,
        )

    with opened(tmp_path / "app", map_size=128 * 1024, map_size_max=128 * 1024) as engine:
        put(engine, b"fill", bytes(40_000))
        outcomes = asyncio.run(main())
        assert [type(one) is StorageFull for one in outcomes] == [n == 3 for n in range(6)]
        assert get(engine, b"5") == bytes(10)
        assert get(engine, b"3") is None


def test_compacting_shrinks_the_file_and_keeps_everything(tmp_path: Path) -> None:
    with opened(tmp_path / "app") as engine:
        for number in range(200):
            put(engine, b"%d" % number, bytes(20_000))
        put(engine, b"long" * 300, b"kept")
        delete(engine, *(b"%d" % number for number in range(190)))
        rows, head, lineage = engine.scan, drive(engine.head()), engine.lineage
        before = drive(rows(Range())).rows
        size = (tmp_path / "app" / "data.mdb").stat().st_size
        snapshot = drive(engine.snapshot())
        freed = drive(engine.compact())
        assert freed > size // 2
        assert (tmp_path / "app" / "data.mdb").stat().st_size == size - freed
        assert drive(engine.scan(Range())).rows == before
        assert (drive(engine.head()), engine.lineage) == (head, lineage)
        assert put(engine, b"1") == head + 1
        assert drive(engine.read([b"1"], at=snapshot)) == [None], "snapshots outlive it"
        snapshot.close()
        assert drive(engine.check()) == []
        assert drive(engine.compact()) >= 0
    with opened(tmp_path / "app") as engine:
        assert get(engine, b"long" * 300) == b"kept"
        assert {path.name for path in (tmp_path / "app").iterdir()} == {
            "data.mdb", "lock.mdb", "holdfast.lock", "ballast",
        }  # fmt: skip


def test_compacting_needs_the_database_to_itself(tmp_path: Path) -> None:
    program = """
    with opened(Path(sys.argv[1]), read_only=True) as engine:
        print("ready", flush=True)
        sys.stdin.read()
    """
    with opened(tmp_path / "app") as engine:
        put(engine, b"key")
        with child(program, tmp_path / "app"):
            with pytest.raises(StoreLocked, match="to itself"):
                drive(engine.compact())
            assert put(engine, b"key") == 2
        drive(engine.compact())
        assert put(engine, b"key") == 3


def test_a_compaction_that_died_leaves_no_file_behind(tmp_path: Path) -> None:
    with opened(tmp_path / "app") as engine:
        put(engine, b"key")
    (tmp_path / "app" / "data.mdb.compact").write_bytes(b"half a copy")
    with opened(tmp_path / "app") as engine:
        assert get(engine, b"key") == b"value"
        assert not (tmp_path / "app" / "data.mdb.compact").exists()


READER = """
with opened(Path(sys.argv[1])) as engine:
    snapshot = drive(engine.snapshot())
    print("ready", flush=True)
    sys.stdin.read()
"""


def _overwrite(engine: LmdbEngine, times: int) -> None:
    for number in range(times):
        put(engine, b"key %d" % (number % 5), bytes(10_000))


def test_a_killed_reader_does_not_make_the_file_grow(tmp_path: Path) -> None:
    file = tmp_path / "app" / "data.mdb"
    with opened(tmp_path / "app") as engine:
        _overwrite(engine, 100)
        settled = file.stat().st_size
        with child(READER, tmp_path / "app"):
            _overwrite(engine, 100)
            held = file.stat().st_size
            assert held > settled * 3, "a living one holds what it sees"
        _overwrite(engine, 200)
        freed = file.stat().st_size
        _overwrite(engine, 400)
        assert file.stat().st_size == freed, "pages are used again"


def test_a_snapshot_that_is_too_old_is_closed_and_lets_its_space_go(tmp_path: Path) -> None:
    clock = ManualClock()
    with opened(tmp_path / "app", with_clock(clock), snapshot_age_max=60.0) as engine:
        put(engine, b"key", b"1")
        snapshot = drive(engine.snapshot())
        put(engine, b"key", b"2")
        clock.advance(59)
        assert drive(engine.read([b"key"], at=snapshot)) == [Record(b"1", 1)]
        clock.advance(2)
        put(engine, b"key", b"3")
        assert not engine._snapshots, "the commit closed it"
        for read in (engine.read([b"key"], at=snapshot), engine.scan(Range(), at=snapshot)):
            with pytest.raises(StoreClosed, match="snapshot_age_max"):
                drive(read)


def test_ids_of_batches_are_forgotten_and_leave_no_space_behind(tmp_path: Path) -> None:
    clock = ManualClock()
    with opened(tmp_path / "app", with_clock(clock)) as engine:

        def commit(number: int) -> int:
            return drive(engine.commit(Batch([Put(b"key", b"")], id=b"%d" % number))).revision

        assert [commit(number % 50) for number in range(100)] == list(range(1, 51)) * 2
        clock.advance(BATCH_ID_MS / 1000 + 1)
        assert commit(0) == 51, "forgotten, so it counts again"
        for number in range(1000, 1010):
            commit(number)
        left = engine._medium.reading(lambda one: one.stat(engine._medium.batches)["entries"])
        assert left == 22


def test_a_copy_of_the_directory_is_a_database(tmp_path: Path) -> None:
    """Made while it is closed."""
    with opened(tmp_path / "app") as engine:
        put(engine, b"key")
    shutil.copytree(tmp_path / "app", tmp_path / "copy")
    with opened(tmp_path / "copy") as engine:
        assert get(engine, b"key") == b"value"
