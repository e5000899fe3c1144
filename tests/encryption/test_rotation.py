"""Keys are rotated while others read and write; a rotation that was killed goes on where it was."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import holdfast.sync
from holdfast.contract.errors import (
    DecryptionFailed,
    InvalidInput,
    ReadOnly,
    StoreLocked,
    Unsupported,
)
from holdfast.contract.record import Range
from holdfast.encryption import Encryption, EnvironmentKeys, FileKeys
from holdfast.layers.encrypt import walk
from holdfast.runtime.system import drive
from holdfast.store.encrypted import encryption_of
from tests.encryption.keys import SeededKeys

ENCRYPTION = Encryption(SeededKeys(), names={"stores/acme": "acme"})


def opened(folder: Path, engine: str = "lmdb", encryption: Encryption = ENCRYPTION) -> Any:
    return holdfast.sync.open(f"{engine}:///{folder}/app", encryption=encryption)


def numbers_of(db: Any) -> dict[int, int]:
    """How many rows are under each data key, as they are stored."""
    layer = encryption_of(db._inner._open_engine())
    assert layer is not None
    found: dict[int, int] = {}
    page = drive(layer.inner.scan(Range()))
    while True:
        for key, (stored, _) in page.rows:
            number = layer.rows.number_of(key, stored)
            if number:
                found[number] = found.get(number, 0) + 1
        if page.resume is None:
            return found
        page = drive(layer.inner.scan(page.resume))


def states(db: Any) -> list[tuple[str, int, str]]:
    return [(one.name, one.version, one.state) for one in db.data_keys.list()]


@pytest.mark.row("E-129")
@pytest.mark.parametrize("engine", ["lmdb", "sqlite", "file"])
def test_a_rotation_leaves_no_row_under_the_old_key_and_every_revision_as_it_was(
    engine: str, tmp_path: Path
) -> None:
    with opened(tmp_path, engine) as db:
        for number in range(100):
            db.entries.set(f"a:{number}", number)
            db.entries.set(f"a:{number}", -number, ttl=3600)
        db.stores.create("acme").set(b"k", b"theirs")
        before = {key: db.entries.require(key) for key in ("a:0", "a:99")}
        cursor = db.cursor
        seen: list[tuple[int, int]] = []
        with db.snapshot() as moment:
            done = db.data_keys.rotate(progress=lambda *so_far: seen.append(so_far))
            assert moment.entries.require("a:7").value == -7
        assert (done.version, done.resumed) == (2, False)
        assert seen[-1] == (done.looked_at, done.changed)
        assert done.changed >= 400, "values, past versions, changes"
        assert set(numbers_of(db)) == {2, 3}, "that of acme, and the new one"
        for key, entry in before.items():
            found = db.entries.require(key)
            assert (found.value, found.revision) == (entry.value, entry.revision)
        db.entries.set("a:0", "after", if_revision=before["a:0"].revision)
        with db.watch("#", since=cursor) as changes:
            assert next(iter(changes)).after.value == "after"
        assert [one.value for one in db.entries.history("a:99")] == [99]
        assert db.check() == []
        assert states(db) == [
            ("acme", 1, "active"), ("database", 1, "retired"), ("database", 2, "active"),
        ]  # fmt: skip
    with opened(tmp_path, engine) as db:
        assert db.check() == []
        assert db.data_keys.forget() == [1]
        assert db.data_keys.forget() == []
        assert db.entries.require("a:5").value == -5


@pytest.mark.row("E-129")
def test_others_write_while_a_key_is_rotated(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(walk, "STEP_ROWS", 16)
    with opened(tmp_path) as db:
        for number in range(100):
            db.entries.set(f"a:{number}", number)
        stop, wrote = threading.Event(), [0]

        def write() -> None:
            while not stop.is_set():
                db.entries.set(f"a:{wrote[0] % 100}", {"count": wrote[0]})
                wrote[0] += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(2):
                db.data_keys.rotate()
        finally:
            stop.set()
            writer.join()
        assert wrote[0] > 0
        assert set(numbers_of(db)) == {3}
        last = wrote[0] - 1
        assert db.entries.require(f"a:{last % 100}").value == {"count": last}
        assert db.check() == []


KILLED = """
import os, sys
import holdfast.sync
from holdfast.encryption import Encryption
from holdfast.layers.encrypt import walk
from tests.encryption.keys import SeededKeys

walk.STEP_ROWS, walk.NOTED_ROWS = 16, 64

def progress(looked_at, changed):
    if looked_at >= 300:
        os._exit(9)

with holdfast.sync.open(sys.argv[1], encryption=Encryption(SeededKeys())) as db:
    db.data_keys.rotate(progress=progress)
"""


@pytest.mark.row("E-129")
@pytest.mark.parametrize("engine", ["lmdb", "sqlite"])
def test_a_rotation_that_was_killed_goes_on_where_it_was(engine: str, tmp_path: Path) -> None:
    with opened(tmp_path, engine, Encryption(SeededKeys())) as db:
        for number in range(400):
            db.entries.set(f"a:{number}", number)
    url = f"{engine}:///{tmp_path}/app"
    killed = subprocess.run([sys.executable, "-c", KILLED, url], check=False)
    assert killed.returncode == 9
    with opened(tmp_path, engine, Encryption(SeededKeys())) as db:
        assert set(numbers_of(db)) == {1, 2}, "half of it"
        assert [one.in_rotation for one in db.data_keys.list()] == [True, False]
        assert db.entries.require("a:1").value == 1
        with pytest.raises(StoreLocked, match="for the key 'database'"):
            db.data_keys.forget()
        first: list[int] = []
        done = db.data_keys.rotate(progress=lambda looked_at, _: first.append(looked_at))
        assert done.resumed
        assert done.version == 2
        assert first[0] > 64, "it did not begin anew"
        assert set(numbers_of(db)) == {2}
        assert db.check() == []
        assert db.data_keys.rotate().version == 3


OTHER = """
import sys
import holdfast.sync
from holdfast.encryption import Encryption
from tests.encryption.keys import SeededKeys

with holdfast.sync.open(sys.argv[1], encryption=Encryption(SeededKeys())) as db:
    print(db.entries.require("a:0").value, flush=True)
    for line in sys.stdin:
        db.entries.set(line.strip(), "theirs")
        print(db.entries.require("a:0").value, db.entries.require("a:new").value, flush=True)
"""


@pytest.mark.row("E-129")
@pytest.mark.parametrize("engine", ["lmdb", "sqlite"])
def test_another_process_goes_on_under_the_new_key(engine: str, tmp_path: Path) -> None:
    url = f"{engine}:///{tmp_path}/app"
    with opened(tmp_path, engine, Encryption(SeededKeys())) as db:
        db.entries.set("a:0", "ours")
        command = [sys.executable, "-c", OTHER, url]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdin is not None
            assert other.stdout is not None
            assert other.stdout.readline() == "ours\n"
            db.data_keys.rotate()
            db.data_keys.forget()
            db.entries.set("a:new", "new")
            other.stdin.write("b:theirs\n")
            other.stdin.flush()
            assert other.stdout.readline() == "ours new\n"
            other.stdin.close()
        assert other.returncode == 0
        assert set(numbers_of(db)) == {2}, "nothing was written under the key that is gone"
        assert db.entries.require("b:theirs").value == "theirs"


def test_a_walk_for_another_key_is_finished_first(tmp_path: Path) -> None:
    def stop(_looked_at: int, _changed: int) -> None:
        raise KeyboardInterrupt

    with opened(tmp_path) as db:
        db.entries.set("a:b", 1)
        db.stores.create("acme").set(b"k", b"theirs")
        with pytest.raises(KeyboardInterrupt):
            db.data_keys.rotate("acme", progress=stop)
        for call in (db.data_keys.rotate, db.data_keys.forget):
            with pytest.raises(StoreLocked, match="for the key 'acme'"):
                call()
        assert db.data_keys.rotate("acme").resumed
        assert db.data_keys.rotate().version == 2


def test_what_cannot_be_rotated_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as db:
        db.entries.set("a:b", 1)
        for call in (db.data_keys.rotate, db.data_keys.forget, db.data_keys.destroy):
            with pytest.raises(
                InvalidInput, match="named 'nobody' in the database; found database"
            ):
                call("nobody")
    url = f"lmdb:///{tmp_path}/app"
    with holdfast.sync.open(url, encryption=ENCRYPTION, read_only=True) as db:
        assert states(db) == [("database", 1, "active")]
        with pytest.raises(ReadOnly):
            db.data_keys.rotate()
    with holdfast.sync.open("memory://", encryption=ENCRYPTION) as db:
        db.entries.set("a:b", 1)
        with pytest.raises(Unsupported, match="rewrite=False"):
            db.data_keys.rotate()
        assert db.data_keys.rotate(rewrite=False).version == 2
        assert db.entries.require("a:b").value == 1
        with pytest.raises(InvalidInput, match="rows are still under the key 'database'"):
            db.data_keys.forget()
    with holdfast.sync.open("memory://") as db, pytest.raises(InvalidInput, match="no keys"):
        db.data_keys.list()


@pytest.mark.row("E-129")
def test_master_keys_are_renewed_without_touching_a_row(tmp_path: Path) -> None:
    keys = FileKeys.create(tmp_path / "keys")
    encryption = Encryption(keys, names={"stores/*": "{name}"})
    with opened(tmp_path, encryption=encryption) as db:
        db.stores.create("acme").set(b"k", b"theirs")
        before = numbers_of(db)
        assert db.data_keys.wrap_anew(renew=True) == 2
        assert {one.master for one in db.data_keys.list()} == {"2"}
        assert {number: before[number] for number in before} == numbers_of(db)
    # The first versions may go from the file now.
    import json

    stored = json.loads((tmp_path / "keys").read_text())
    for versions in stored["keys"].values():
        del versions["1"]
    (tmp_path / "keys").write_text(json.dumps(stored))
    with opened(tmp_path, encryption=encryption) as db:
        assert db.stores.get("acme").get(b"k") == b"theirs"


def test_a_new_version_in_the_environment_wraps_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from base64 import b64encode

    one, two = b64encode(b"1" * 32).decode(), b64encode(b"2" * 32).decode()
    monkeypatch.setenv("APP_KEYS", one)
    encryption = Encryption(EnvironmentKeys("APP_KEYS"))
    with opened(tmp_path, encryption=encryption) as db:
        db.entries.set("a:b", 1)
        with pytest.raises(Unsupported, match="makes no new master keys"):
            db.data_keys.wrap_anew(renew=True)
        monkeypatch.setenv("APP_KEYS", f"1:{one},2:{two}")
        assert db.data_keys.wrap_anew() == 1
    monkeypatch.setenv("APP_KEYS", f"2:{two}")
    with opened(tmp_path, encryption=encryption) as db:
        assert db.entries.require("a:b").value == 1
    monkeypatch.setenv("APP_KEYS", f"1:{one}")
    with pytest.raises(DecryptionFailed, match="in version 2 was wanted"):
        opened(tmp_path, encryption=encryption)


@pytest.mark.row("E-129")
def test_what_is_still_under_a_forgotten_version_says_so(tmp_path: Path) -> None:
    with opened(tmp_path) as db:
        db.entries.set("a:old", 1)
        db.backup(tmp_path / "full.backup")
        with db.snapshot() as moment:
            db.data_keys.rotate()
            assert moment.entries.require("a:old").value == 1
            db.backup(tmp_path / "rotated.backup", since=tmp_path / "full.backup")
            db.data_keys.forget()
            with pytest.raises(DecryptionFailed, match="'database', version 1, cannot be read"):
                moment.entries.get("a:old")
        db.backup(tmp_path / "forgot.backup", since=tmp_path / "full.backup")
        db.backup(tmp_path / "after.backup")
    full = tmp_path / "full.backup"
    for name, files in (
        ("one", [full, tmp_path / "rotated.backup"]),
        ("two", [tmp_path / "after.backup"]),
        # What continues a backup across a rotation has every row anew.
        ("three", [full, tmp_path / "forgot.backup"]),
    ):
        (tmp_path / name).mkdir()
        holdfast.sync.restore(files, f"lmdb:///{tmp_path}/{name}/app")
        with opened(tmp_path / name) as db:
            assert db.entries.require("a:old").value == 1
