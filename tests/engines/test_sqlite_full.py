"""No room: reads go on, deletes work, nothing acknowledged is lost, writes go on after deletes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from holdfast.contract.errors import StorageFull
from holdfast.engines.sqlite import room
from holdfast.runtime.system import drive
from tests import needs
from tests.engines.sqlite_database import (
    child_command,
    child_environment,
    files_in,
    opened,
    put,
    run_child,
)

#: Fill the database, delete half of it, fill again; a promise is checked at each step.
PROGRAM = """
import os, resource
from holdfast.contract.batch import Batch, Delete, Put
from holdfast.contract.errors import StorageFull
path, durability, size, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

def value(key):
    return key * (size // len(key))

def fill(engine, prefix, most):
    keys = []
    for number in range(most):
        key = b"%s%06d" % (prefix, number)
        try:
            put(engine, key, value(key))
        except StorageFull:
            break
        keys.append(key)
    return keys

def all_there(engine, keys):
    records = drive(engine.read(keys))
    return all(record.value == value(key) for key, record in zip(keys, records))

with opened(path, durability=durability) as engine:
    first = fill(engine, b"first", 100_000)
    full = len(first) < 100_000
    assert full and len(first) * size > 1_500_000, len(first)
    assert all_there(engine, first), "reads go on"
    assert fill(engine, b"refused", 1) == []
    # In a row, because SQLite reuses whole pages only.
    gone, kept = first[: len(first) // 2], first[len(first) // 2 :]
    for key in gone:
        drive(engine.commit(Batch([Delete(key)])))
    assert drive(engine.read(gone)) == [None] * len(gone)
    assert all_there(engine, kept)
    second = fill(engine, b"second", len(gone) * 3 // 4)
    assert len(second) == len(gone) * 3 // 4, f"{len(second)} written into {len(gone)} deleted"
    assert drive(engine.check()) == []
    head = drive(engine.head())
with opened(path, durability=durability) as engine:
    assert all_there(engine, kept + second)
    assert drive(engine.head()) == head
    assert drive(engine.check()) == []
print("kept every promise")
"""


@pytest.mark.parametrize("size", [1_000, 40_000])
@pytest.mark.parametrize("durability", ["full", "relaxed"])
@needs.file_size_limit
def test_the_largest_file_a_process_may_make(tmp_path: Path, durability: str, size: int) -> None:
    answer = run_child(PROGRAM, tmp_path / "app.sqlite", durability, size, 4 * 2**20)
    assert answer.stdout.strip() == "kept every promise", answer.stderr


@pytest.mark.parametrize("size", [1_000, 40_000])
@pytest.mark.parametrize("durability", ["full", "relaxed"])
@needs.private_mounts
def test_a_small_medium(tmp_path: Path, durability: str, size: int) -> None:
    medium = tmp_path / "medium"
    medium.mkdir()
    program = child_command(PROGRAM, medium / "app.sqlite", durability, size, 0)
    mount = 'mount -t tmpfs -o size=6m none "$1" && shift && exec "$@"'
    answer = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh", str(medium), *program],
        capture_output=True,
        text=True,
        timeout=50,
        env=child_environment(),
        check=False,
    )
    assert answer.stdout.strip() == "kept every promise", answer.stderr


def test_a_commit_that_would_never_leave_the_log_is_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "app.sqlite"
    with opened(path) as engine:
        put(engine, b"small", bytes(1_000))
        monkeypatch.setattr(room, "medium_bytes", lambda folder: 1_000_000)
        monkeypatch.setattr(room.Room, "reserve", lambda self: False)
        with pytest.raises(StorageFull, match=r"would grow|put back"):
            put(engine, b"large", bytes(2_000_000))
        assert drive(engine.read([b"large"])) == [None]
        assert drive(engine.head()) == 1
        monkeypatch.undo()
        assert put(engine, b"large", bytes(2_000_000)) == 2


def test_the_reserve_comes_back_when_there_is_room_again(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    ballast = path.with_name("app.sqlite-ballast")
    with opened(path) as engine:
        assert ballast.stat().st_size == room.BALLAST_BYTES
        engine._make_room()
        assert ballast.stat().st_size == 0
        put(engine, b"key")
        assert ballast.stat().st_size == room.BALLAST_BYTES
        assert engine._open_parts().pen.room.scarce is False
    assert files_in(tmp_path) == ["app.sqlite"]


def test_the_reserve_stays_while_somebody_else_has_the_database_open(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    with opened(path):
        with opened(path):
            pass
        assert path.with_name("app.sqlite-ballast").stat().st_size == room.BALLAST_BYTES
