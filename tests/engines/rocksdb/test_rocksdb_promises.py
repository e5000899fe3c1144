"""What a log-structured engine and Badger's users expect: recovery, conflicts, versions in time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import Conflict, VersionNotFound
from holdfast.contract.record import Range
from holdfast.runtime.system import drive
from tests.crash.harness import environment
from tests.engines.lsm.lsm_database import opened, tables
from tests.store.scene import Scene

WRITE = """
import sys
from pathlib import Path
from random import Random
from tests.engines.lsm.lsm_database import *

chance, per_batch = Random(int(sys.argv[2])), 1000
with opened("rocksdb", Path(sys.argv[1]), write_buffer=1024 * 1024, compression="none") as engine:
    for number in range(int(sys.argv[3]) // per_batch):
        keys = [b"%07d" % chance.randrange(10**6) for _ in range(per_batch)]
        drive(engine.commit(Batch([Put(key, b"%d" % number + key * 4) for key in keys])))
        print(number, flush=True)
    print("written", flush=True)
    sys.stdin.readline()
"""


def _write_and_kill(path: Path, sets: int) -> None:
    """As many random sets; the process is killed, and what it was told is compared."""
    command = [sys.executable, "-c", WRITE, str(path), "5", str(sets)]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    )
    assert child.stdout is not None
    lines = iter(child.stdout.readline, b"")
    acknowledged = sum(1 for _ in iter(lambda: next(lines, b"written\n"), b"written\n"))
    child.kill()
    child.communicate()
    chance, expected = Random(5), {}
    for number in range(acknowledged):
        for key in [b"%07d" % chance.randrange(10**6) for _ in range(1000)]:
            expected[key] = b"%d" % number + key * 4
    assert acknowledged == sets // 1000
    with opened("rocksdb", path, write_buffer=1024 * 1024, compression="none") as engine:
        assert drive(engine.head()) == acknowledged
        rest: Range | None = Range()
        found = 0
        while rest is not None:
            page = drive(engine.scan(rest))
            assert all(expected[key] == record.value for key, record in page.rows)
            found += len(page.rows)
            rest = page.resume
        assert found == len(expected)
        names = {table.name for table in tables(path)}
        assert names, "the log became tables"
        first = min(names)
        assert int(first.partition(".")[0]) > 20, "the first tables were merged away"
        drive(engine.compact())
        assert drive(engine.check()) == []


@pytest.mark.row("E-080")
def test_random_sets_survive_a_kill_and_are_compacted(tmp_path: Path) -> None:
    _write_and_kill(tmp_path / "app", 60_000)


@pytest.mark.torture
@pytest.mark.row("E-080")
def test_a_million_random_sets_survive_a_kill_and_are_compacted(tmp_path: Path) -> None:
    _write_and_kill(tmp_path / "app", 1_000_000)


@pytest.mark.row("E-081")
def test_transactions_conflict_as_on_every_engine(tmp_path: Path) -> None:
    with holdfast.sync.open(f"rocksdb:///{tmp_path / 'app'}?separate_values=1KiB") as db:
        db.entries.set("account", 100)

        def withdraw() -> None:
            with db.transaction() as transaction:
                entry = transaction.entries.require("account")
                db.entries.set("account", 50)  # Somebody else, meanwhile.
                transaction.entries.set("account", entry.value - 10)

        with pytest.raises(Conflict):
            withdraw()
        assert db.entries.require("account").value == 50


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A place on RocksDB whose clock moves when told."""
    return Scene("rocksdb", tmp_path)


@pytest.mark.row("E-082")
async def test_an_old_version_is_readable_until_its_time_is_up(scene: Scene) -> None:
    async with scene.open() as db:
        await db.retention.keep_feed(age_s=0.2)
        await db.retention.keep("", values="feed")
        old = await db.entries.set("key", "old")
        await db.entries.set("key", "new")
        (past,) = [past async for past in db.entries.history("key")]
        assert past.value == "old"
        assert (await db.entries.get("key", at=old.revision)).value == "old"  # type: ignore[union-attr]
        scene.clock.advance(0.3)
        await db.entries.set("another", 1)
        await db.retention.trim()
        then = await db.entries.get("key", at=old.revision)
        assert then is not None, "who and when are kept for good"
        with pytest.raises(VersionNotFound):
            _ = then.value
        assert (await db.entries.require("key")).value == "new"


@pytest.mark.row("E-082")
async def test_so_many_versions_are_kept(scene: Scene) -> None:
    async with scene.open() as db:
        await db.retention.keep("", versions=2)
        for number in range(6):
            await db.entries.set("key", number)
        assert [past.value async for past in db.entries.history("key")] == [3, 4]


@pytest.mark.row("E-081")
def test_commits_are_given_the_revisions_that_their_author_manages(tmp_path: Path) -> None:
    """As Badger's managed mode: by loading, and in ascending order."""
    from holdfast.contract.record import Record

    with opened("rocksdb", tmp_path / "app") as engine:
        drive(engine.load([(b"a", Record(b"1", 1000))], next_revision=5000))
        assert drive(engine.commit(Batch([Put(b"b", b"2")]))).revision == 5000
        assert [record.revision for _, record in drive(engine.scan(Range())).rows] == [1000, 5000]
