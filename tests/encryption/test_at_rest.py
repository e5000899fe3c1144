"""Nothing of a value lies readable on the medium: database, logs, free pages, indexes, backups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.errors import DecryptionFailed, InvalidInput
from holdfast.encryption import Encryption
from holdfast.engines.lmdb import warm_up
from tests.encryption.keys import SeededKeys

#: What stands in values, comments and authors, and is looked for in every file.
SECRET = "Grettir-Asmundarson"

DATABASES = (
    "lmdb:///{}",
    "lmdb:///{}?durability=relaxed",
    "lmdb:///{}?journal=256KiB",
    "sqlite:///{}",
    "sqlite:///{}?durability=relaxed",
    "file:///{}",
)


def fill(db: Any, *, index: str) -> None:
    """Write the secret wherever users can: values, chunks, past, feed, log, indexes, schemas."""
    for number in range(40):
        db.entries.set(f"people:p{number}", {"name": SECRET, "at": number}, comment=SECRET)
        db.entries.set(f"people:p{number}", {"name": SECRET * 2}, modified_by=SECRET)
    for number in range(0, 40, 3):
        db.entries.delete(f"people:p{number}", comment=SECRET)
    db.entries.set("people:big", {"text": SECRET * 30_000})
    db.entries.set("people:short", {"name": SECRET}, ttl=3600)
    store = db.stores.create("ledger")
    store.set(b"first", SECRET.encode() * 100)
    store.set(b"first", SECRET.encode())
    people = db.collection("people")
    people.create_index("by_name", "name", kind=index)
    for number in range(20):
        people.set(f"p{number}", {"name": f"{SECRET} {number}", "number": number})
    with db.transaction() as tx:
        tx.entries.set("people:inside", SECRET)
    with pytest.raises(holdfast.StoreError):
        db.entries.set("people:p1", {"name": SECRET}, if_revision=1)


def readable(folder: Path) -> list[str]:
    """The files that hold the secret, in any of the encodings that engines write."""
    wanted = SECRET.encode()
    return [one.name for one in folder.rglob("*") if one.is_file() and wanted in one.read_bytes()]


@pytest.mark.row("E-129", "S-089")
@pytest.mark.parametrize("database", DATABASES)
def test_no_file_holds_the_plaintext(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_up, "WARM_UP_COMMITS", 0)
    url = database.format(tmp_path / "app")
    encryption = Encryption(SeededKeys())
    with holdfast.sync.open(url, encryption=encryption, logged=True) as db:
        fill(db, index="hash")
        assert readable(tmp_path) == [], "while it is open: logs and journals too"
        db.backup(tmp_path / "full.backup", compression="none")
        db.entries.set("people:later", {"name": SECRET})
        db.backup(tmp_path / "later.backup", since=tmp_path / "full.backup", compression="none")
        db.data_keys.rotate()
        assert readable(tmp_path) == []
        assert db.check() == []
        db.compact()
    assert readable(tmp_path) == []
    with holdfast.sync.open(url, encryption=encryption) as db:
        assert db.entries.require("people:p1").value == {"name": SECRET * 2}
        assert [one.value for one in db.entries.history("people:p1")] == [{"name": SECRET, "at": 1}]
        assert db.entries.require("people:big").value == {"text": SECRET * 30_000}
        assert db.stores.get("ledger").get(b"first") == SECRET.encode()
        found = db.collection("people").find_many(name=f"{SECRET} 7")
        assert [one["number"] for one in found] == [7]


@pytest.mark.parametrize("engine", ["lmdb", "sqlite", "file"])
def test_without_encryption_the_same_test_finds_it(engine: str, tmp_path: Path) -> None:
    with holdfast.sync.open(f"{engine}:///{tmp_path}/app", logged=True) as db:
        fill(db, index="hash")
        db.backup(tmp_path / "full.backup", compression="none")
    found = set(readable(tmp_path))
    assert "full.backup" in found
    assert len(found) > 1, "the database too"


@pytest.mark.row("E-129")
def test_a_restored_backup_wants_the_keys_of_its_database(tmp_path: Path) -> None:
    encryption = Encryption(SeededKeys("mine"))
    with holdfast.sync.open(f"lmdb:///{tmp_path}/app", encryption=encryption) as db:
        before = db.entries.set("a:b", SECRET)
        db.backup(tmp_path / "app.backup")
    target = f"sqlite:///{tmp_path}/back.db"
    holdfast.sync.restore([tmp_path / "app.backup"], target)
    with pytest.raises(DecryptionFailed, match="opened without its keys"):
        holdfast.sync.open(target)
    with pytest.raises(DecryptionFailed, match="not the one"):
        holdfast.sync.open(target, encryption=Encryption(SeededKeys("theirs")))
    with holdfast.sync.open(target, encryption=encryption) as db:
        after = db.entries.require("a:b")
        assert (after.value, after.revision) == (SECRET, before.revision)


@pytest.mark.row("E-129")
@pytest.mark.parametrize("engine", ["lmdb", "sqlite", "file"])
def test_a_plain_database_becomes_an_encrypted_one_by_a_copy(engine: str, tmp_path: Path) -> None:
    encryption = Encryption(SeededKeys(), names={"stores/*": "{name}"})
    plain, target = f"{engine}:///{tmp_path}/plain", f"{engine}:///{tmp_path}/new/app"
    (tmp_path / "new").mkdir()
    with holdfast.sync.open(plain) as db:
        fill(db, index="hash")
        head = db.head()
        db.copy_to(target, encryption=encryption)
    with pytest.raises(InvalidInput, match="is not encrypted, and would be half so"):
        holdfast.sync.open(plain, encryption=encryption)
    with holdfast.sync.open(target, encryption=encryption) as db:
        assert db.check() == []
        assert db.head() == head
        assert db.entries.require("people:p1").value == {"name": SECRET * 2}
        db.entries.set("people:p1", 1)
    assert readable(tmp_path / "new") == []
