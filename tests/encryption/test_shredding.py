"""Who destroys a key destroys what is under it: in the database, in its files, in every backup."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import holdfast.sync
from holdfast.contract.errors import (
    DecryptionFailed,
    InvalidInput,
    StoreNotFound,
    Unsupported,
)
from holdfast.contract.record import Range
from holdfast.encryption import CallableKeys, Encryption, FileKeys
from holdfast.runtime.system import drive
from holdfast.store.encrypted import encryption_of
from tests.encryption.keys import SeededKeys

#: What a tenant stores.
SECRET = b"Gunnlaugur-Ormstunga"
NAMES = {"stores/acme*": "acme", "documents/acme*": "acme", "stores/globex": "globex"}


def opened(folder: Path, engine: str = "lmdb") -> Any:
    keys = FileKeys(folder / "keys")
    if not (folder / "keys").exists():
        FileKeys.create(folder / "keys")
    encryption = Encryption(keys, names=NAMES)
    return holdfast.sync.open(f"{engine}:///{folder}/app", encryption=encryption)


def fill(db: Any) -> None:
    """Two tenants, and what belongs to nobody."""
    for name in ("acme", "acme-archive", "globex"):
        store = db.stores.create(name)
        for number in range(20):
            store.set(b"k%d" % number, SECRET + name.encode(), ttl=3600 if number == 1 else None)
    people = db.collection("acme-people")
    people.set("one", {"name": SECRET.decode()})
    people.set("one", {"name": SECRET.decode() * 2})
    people.create_index("by_name", "name", kind="hash")
    db.entries.set("a:b", "ours")


def destroyed_numbers(db: Any) -> tuple[set[int], set[int]]:
    """(numbers that rows are under, numbers of keys that were destroyed)."""
    layer = encryption_of(db._inner._open_engine())
    assert layer is not None
    used: set[int] = set()
    rest: Range | None = Range()
    while rest is not None:
        page = drive(layer.inner.scan(rest))
        used |= {layer.rows.number_of(key, stored) for key, (stored, _) in page.rows}
        rest = page.resume
    return used, {n for n, key in layer.rows.ring.keys.items() if key.state == "destroyed"}


@pytest.mark.row("E-129", "E-130", "D-126")
@pytest.mark.parametrize("engine", ["lmdb", "sqlite", "file"])
def test_a_tenant_is_gone_with_its_key_and_nobody_else_is(engine: str, tmp_path: Path) -> None:
    with opened(tmp_path, engine) as db:
        fill(db)
        db.backup(tmp_path / "before.backup")
        copy_of_files = b"".join(
            one.read_bytes() for one in sorted(tmp_path.rglob("*")) if one.is_file()
        )
        assert SECRET not in copy_of_files
        cursor = db.cursor
        done = db.data_keys.destroy("acme")
        assert (done.version, done.resumed) == (0, False)
        assert done.changed >= 40 + 40 + 3, "values, past versions and changes"
        for name in ("acme", "acme-archive"):
            with pytest.raises(StoreNotFound):
                db.stores.get(name)
        assert db.collection("acme-people").get("one") is None
        assert db.stores.get("globex").get(b"k3") == SECRET + b"globex"
        assert db.entries.require("a:b").value == "ours"
        used, gone = destroyed_numbers(db)
        assert gone
        assert not used & gone, "no row is left under it"
        assert db.check() == []
        with db.watch("#", view="*", since=cursor) as changes:
            told = [next(iter(changes)).view for _ in range(3)]
        assert told == ["documents", "stores", "stores"], "that they went is told"
    assert "acme" not in (tmp_path / "keys").read_text()
    with opened(tmp_path, engine) as db:
        with pytest.raises(DecryptionFailed, match="nothing can be written under the key 'acme'"):
            db.stores.create("acme").set(b"k", b"v")
        assert db.check() == []


@pytest.mark.row("E-130")
def test_a_backup_from_before_holds_nothing_of_a_tenant_whose_key_is_destroyed(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as db:
        fill(db)
        db.backup(tmp_path / "before.backup")
        db.data_keys.destroy("acme")
    holdfast.sync.restore([tmp_path / "before.backup"], f"sqlite:///{tmp_path}/back.db")
    encryption = Encryption(FileKeys(tmp_path / "keys"), names=NAMES)
    with holdfast.sync.open(f"sqlite:///{tmp_path}/back.db", encryption=encryption) as db:
        assert db.entries.require("a:b").value == "ours"
        assert db.stores.get("globex").get(b"k3") == SECRET + b"globex"
        with pytest.raises(DecryptionFailed, match="'acme', version 1, cannot be read"):
            db.stores.get("acme").get(b"k3")
        # The restored database still lists the key; it can be told that the key is gone.
        db.data_keys.destroy("acme")
        assert db.check() == []


KILLED = """
import os, sys
from pathlib import Path
from tests.encryption.test_shredding import opened

def progress(looked_at, changed):
    os._exit(9)

from holdfast.layers.encrypt import walk
walk.STEP_ROWS = 8
with opened(Path(sys.argv[1])) as db:
    db.data_keys.destroy("acme", progress=progress)
"""


@pytest.mark.row("E-130")
def test_a_destruction_that_was_killed_goes_on(tmp_path: Path) -> None:
    with opened(tmp_path) as db:
        fill(db)
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == 9
    with opened(tmp_path) as db:
        used, gone = destroyed_numbers(db)
        assert used & gone, "rows are left"
        assert db.stores.get("acme").get(b"k3", None) is None, "and nobody can read them"
        assert db.data_keys.destroy("acme").resumed
        used, gone = destroyed_numbers(db)
        assert not used & gone
        assert db.check() == []


def test_what_cannot_be_destroyed_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    encryption = Encryption(SeededKeys(), names=NAMES)
    with holdfast.sync.open(f"lmdb:///{tmp_path}/app", encryption=encryption) as db:
        db.stores.create("acme").set(b"k", SECRET)
        with pytest.raises(Unsupported, match="SeededKeys destroys no master keys"):
            db.data_keys.destroy("acme")
        with pytest.raises(InvalidInput, match="not destroyed from within"):
            db.data_keys.destroy("database")
        assert db.stores.get("acme").get(b"k") == SECRET


def test_a_function_destroys_keys_that_are_kept_elsewhere(tmp_path: Path) -> None:
    kept = {"database": b"1" * 32, "acme": b"2" * 32}

    def fetch(name: str, _version: str | None) -> tuple[str, bytes] | None:
        return ("1", kept[name]) if name in kept else None

    keys = CallableKeys(fetch, destroyed=kept.__delitem__)
    url = f"lmdb:///{tmp_path}/app"
    with holdfast.sync.open(url, encryption=Encryption(keys, names=NAMES)) as db:
        db.stores.create("acme").set(b"k", SECRET)
        with pytest.raises(DecryptionFailed, match=r"'globex' was wanted; .* gave none"):
            db.stores.create("globex").set(b"k", SECRET)
        assert db.data_keys.destroy("acme").version == 0
    assert kept.keys() == {"database"}
