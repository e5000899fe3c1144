"""A medium without room, a log that may not grow, a process without files: each is told as such."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from holdfast.contract.errors import StorageFull
from tests import needs
from tests.engines.lsm.lsm_database import every_engine, every_mode, run_child

FULL = """
import resource
from holdfast.contract.batch import Batch, Delete, Put
from holdfast.contract.errors import OutcomeUnknown, StorageFull, StoreError

name, path, filler = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[2]).with_name("filler")
filler.write_bytes(bytes(7_000_000))
settings = {"compression": "none", "write_buffer": 512 * 1024, "ballast": 1024 * 1024}
with opened(name, path, **settings) as engine:
    there = {}
    def fill(prefix, most=20_000):
        done = 0
        for number in range(most):
            key, value = b"%s %05d" % (prefix, number), os.urandom(3000)
            try:
                put(engine, key, value)
            except StorageFull:
                return done
            there[key] = value
            done += 1
        return done
    first = fill(b"first")
    assert 100 < first < 20_000, first
    assert contents(engine) == there, "what was acknowledged is there, and nothing else"
    head = drive(engine.head())
    try:
        drive(engine.commit(Batch([Put(b"many %d" % n, bytes(20_000)) for n in range(100)])))
    except StorageFull:
        pass
    else:
        raise AssertionError("a large batch found room where a small one did not")
    assert drive(engine.head()) == head
    deleted = 0
    for key in list(there)[: len(there) // 2]:
        try:
            delete(engine, key)
        except StoreError as error:
            assert isinstance(error, StorageFull | OutcomeUnknown), error
            assert "leveldb" in name, "deletes go on, with what is kept aside"
            break
        del there[key]
        deleted += 1
    if "leveldb" not in name:
        assert contents(engine) == there
        assert drive(engine.check()) == []
    filler.unlink()
    assert fill(b"more", 200) == 200, "there is room again"
    assert contents(engine).items() - there.items() == set()
    there = contents(engine)
    drive(engine.compact())
    assert contents(engine) == there
    # A delete of unknown outcome may be there as well.
    assert first - deleted + 200 - len(there) in (0, 1)
    assert drive(engine.check()) == []
with opened(name, path, **settings) as engine:
    assert contents(engine) == there
print("kept every promise")
"""


@pytest.mark.row("I-108")
@every_mode
@needs.private_mounts
def test_a_small_medium(tmp_path: Path, name: str) -> None:
    mount = 'mount -t tmpfs -o size=20m none "$1" && shift && exec "$@"'
    before = ("unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh", str(tmp_path))
    assert run_child(FULL, name, tmp_path / "app", before=before) == "kept every promise\n"


LIMITED = """
import resource
from holdfast.contract.errors import StorageFull

name, path = sys.argv[1], Path(sys.argv[2])
with opened(name, path) as engine:
    put(engine, b"before", os.urandom(1000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    done = 0
    try:
        for _ in range(5):
            put(engine, b"large", os.urandom(150_000))
            done += 1
        raise AssertionError("no write met the limit")
    except StorageFull:
        pass
    assert len(get(engine, b"before")) == 1000
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    put(engine, b"after")
    assert get(engine, b"after") == b"value"
    assert drive(engine.check()) == []
print("kept every promise")
"""


@every_mode
@needs.file_size_limit
def test_a_log_that_may_not_grow_is_followed_by_another(tmp_path: Path, name: str) -> None:
    """The first write that meets the limit is refused or finds a new log; later ones go on."""
    program = LIMITED.replace('raise AssertionError("no write met the limit")', "pass")
    assert run_child(program, name, tmp_path / "app") == "kept every promise\n"


def test_the_errors_of_a_full_medium_are_known() -> None:
    from holdfast.engines.lsm.failures import translate

    said = "IO error: No space left on device: While appending to file: x.log"
    assert isinstance(translate(Exception(said), Path("app")), StorageFull)


FEW_FILES = """
import resource
from holdfast.contract.errors import QuotaExceeded

name, path = sys.argv[1], Path(sys.argv[2])
engine = make(name, path)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
first = os.dup(0)
os.close(first)
for spare in range(16):
    resource.setrlimit(resource.RLIMIT_NOFILE, (first + spare, hard))
    try:
        drive(engine.open())
    except QuotaExceeded as error:
        assert "ulimit -n" in str(error)
    else:
        break
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
drive(engine.close())
print("told each time")
"""


@every_engine
@needs.needs(sys.platform != "win32", "files run out by RLIMIT_NOFILE, which Windows lacks")
def test_a_process_without_files_to_spare_is_told_so(tmp_path: Path, name: str) -> None:
    assert run_child(FEW_FILES, name, tmp_path / "app") == "told each time\n"
