"""Wrong, lost and missing keys, and rows that were changed or moved: each is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import (
    ConfigInvalid,
    DecryptionFailed,
    IntegrityFailed,
    InvalidKey,
)
from holdfast.contract.record import Range, Record
from holdfast.encryption import Encryption
from holdfast.engines.sqlite import SqliteConfig, SqliteEngine
from holdfast.runtime.system import drive, system_components
from holdfast.store import layout
from tests.encryption.keys import SeededKeys

ENCRYPTION = Encryption(SeededKeys(), names={"stores/acme": "acme"})


def engine_of(folder: Path) -> SqliteEngine:
    engine = SqliteEngine(SqliteConfig(path=folder / "app.db"), system_components())
    drive(engine.open())
    return engine


def rows_of(folder: Path, prefix: bytes = b"") -> dict[bytes, Record]:
    """The rows as they are stored."""
    engine = engine_of(folder)
    found: dict[bytes, Record] = {}
    rest: Range | None = Range.prefix(prefix)
    while rest is not None:
        page = drive(engine.scan(rest))
        found.update(page.rows)
        rest = page.resume
    drive(engine.close())
    return found


def overwrite(folder: Path, **statements: Any) -> None:
    """Change rows as somebody does who has the file and no key: revisions stay."""
    import sqlite3

    connection = sqlite3.connect(folder / "app.db")
    with connection:
        for statement, values in statements.values():
            assert connection.execute(statement, values).rowcount == 1
    connection.close()


def put(key: bytes, value: bytes, revision: int | None = None) -> tuple[str, tuple[Any, ...]]:
    if revision is None:
        return "UPDATE rows SET value = ? WHERE key = ?", (value, key)
    return "UPDATE rows SET value = ?, revision = ? WHERE key = ?", (value, revision, key)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A database with two entries and a store under a key of its own."""
    with holdfast.sync.open(f"sqlite:///{tmp_path}/app.db", encryption=ENCRYPTION) as db:
        db.entries.set("a:rich", 1_000_000)
        db.entries.set("a:poor", 1)
        db.stores.create("acme").set(b"k", b"theirs")
        db.stores.create("other").set(b"k", b"ours")
    return tmp_path


def opened(folder: Path, keys: SeededKeys | None = None) -> Any:
    encryption = ENCRYPTION if keys is None else Encryption(keys)
    return holdfast.sync.open(f"sqlite:///{folder}/app.db", encryption=encryption)


def data_keys(folder: Path) -> list[bytes]:
    """The keys of the two entries: the poor one, then the rich one."""
    with opened(folder) as db:
        assert db.entries.require("a:rich").value == 1_000_000
    prefix = layout.region(1, layout.DATA)
    return sorted(key for key in rows_of(folder, prefix) if key.startswith(prefix))


@pytest.mark.row("E-129")
def test_a_wrong_key_is_refused_before_anything_is_read(folder: Path) -> None:
    with pytest.raises(DecryptionFailed, match="not the one that this database was written with"):
        opened(folder, SeededKeys("wrong"))


@pytest.mark.row("E-129")
def test_without_keys_the_database_says_which_it_wants(folder: Path) -> None:
    with pytest.raises(DecryptionFailed, match=r"without its keys \(acme 1, database 1\)") as told:
        holdfast.sync.open(f"sqlite:///{folder}/app.db")
    assert told.value.versions == {"acme": [1], "database": [1]}


@pytest.mark.row("E-129")
def test_a_lost_key_says_which_versions_are_gone_and_the_rest_is_read(folder: Path) -> None:
    with opened(folder) as db:
        db.data_keys.rotate("acme", rewrite=False)
    with opened(folder, SeededKeys(lost=("acme",))) as db:
        with pytest.raises(DecryptionFailed, match=r"'acme', version 1, 2, cannot be read") as told:
            db.stores.get("acme").get(b"k")
        assert told.value.versions == [1, 2]
        assert db.stores.get("other").get(b"k") == b"ours"
        assert db.entries.require("a:rich").value == 1_000_000


@pytest.mark.row("E-129")
def test_a_row_that_was_changed_does_not_open(folder: Path) -> None:
    poor, _ = data_keys(folder)
    value = bytearray(rows_of(folder)[poor].value)
    for at in (0, 3, 10, 40, len(value) - 1):
        changed = bytearray(value)
        changed[at] ^= 1
        overwrite(folder, one=put(poor, bytes(changed)))
        with opened(folder) as db, pytest.raises(DecryptionFailed):
            db.entries.get("a:poor")
    for length in (0, 1, 20, 44):
        overwrite(folder, one=put(poor, bytes(value[:length])))
        with opened(folder) as db, pytest.raises(DecryptionFailed):
            db.entries.get("a:poor")


@pytest.mark.row("E-129")
def test_rows_cannot_be_swapped_nor_put_under_another_revision(folder: Path) -> None:
    poor, rich = data_keys(folder)
    rows = rows_of(folder)
    overwrite(folder, one=put(poor, *rows[rich]))
    with opened(folder) as db, pytest.raises(DecryptionFailed, match="changed, moved"):
        db.entries.get("a:poor")
    overwrite(folder, one=put(poor, rows[poor].value, rows[poor].revision + 1))
    with opened(folder) as db, pytest.raises(DecryptionFailed):
        db.entries.get("a:poor")
    overwrite(folder, one=put(poor, *rows[poor]))
    with opened(folder) as db:
        assert db.entries.require("a:poor").value == 1


@pytest.mark.row("E-129")
def test_a_row_in_the_clear_is_refused(folder: Path) -> None:
    with holdfast.sync.open(f"sqlite:///{folder}/plain.db") as db:
        db.entries.set("a:poor", 1_000_000)
    poor, _ = data_keys(folder)
    overwrite(folder, one=put(poor, b"\1" * 200))
    with opened(folder) as db, pytest.raises(DecryptionFailed):
        db.entries.get("a:poor")
    overwrite(folder, one=put(poor, b"in the clear, and longer than any head of a row is"))
    with opened(folder) as db, pytest.raises(DecryptionFailed, match="one that is not"):
        db.entries.get("a:poor")


@pytest.mark.row("E-129")
def test_a_retired_key_cannot_be_brought_back_by_who_has_none(folder: Path) -> None:
    before = rows_of(folder, layout.SYSTEM_ENCRYPTION)
    with opened(folder) as db:
        db.data_keys.rotate()
    after = rows_of(folder, layout.SYSTEM_ENCRYPTION)
    head = layout.SYSTEM_ENCRYPTION
    first = head + b" key \0\0\0\1"
    overwrite(folder, one=put(first, before[first].value))
    with pytest.raises(IntegrityFailed, match="do not agree with their head"):
        opened(folder)
    overwrite(folder, one=put(first, after[first].value))
    forged = bytearray(after[head].value)
    forged[20] ^= 1
    overwrite(folder, one=put(head, bytes(forged)))
    with pytest.raises(DecryptionFailed, match="changed by somebody who did not have them"):
        opened(folder)


def test_the_rows_of_the_ring_are_nobodys_else(folder: Path) -> None:
    config = SqliteConfig(path=folder / "app.db")
    layer = ENCRYPTION(SqliteEngine(config, system_components()))
    drive(layer.open())
    head = layout.SYSTEM_ENCRYPTION
    assert drive(layer.read([head])) == [None]
    assert layer.peek is None or layer.peek(head) is None
    page = drive(layer.scan(Range.prefix(layout.SYSTEM)))
    assert page.rows
    assert not [key for key, _ in page.rows if key.startswith(head)]
    with pytest.raises(InvalidKey, match="the encryption's own"):
        drive(layer.commit(Batch([Put(head + b" key x", b"")])))
    drive(layer.close())


@pytest.mark.parametrize("given", [7, b"key", "file", "file:", "key:abc", ["file:a"]])
def test_what_is_no_encryption_is_refused_without_being_shown(given: Any) -> None:
    with pytest.raises(ConfigInvalid) as told:
        holdfast.sync.open("memory://", encryption=given)
    assert "abc" not in str(told.value)
    assert told.value.parameter == "encryption"


def test_names_of_keys_are_checked() -> None:
    with pytest.raises(ConfigInvalid, match="'view/keyspace'"):
        Encryption(SeededKeys(), names={"acme": "acme"})


def test_a_handle_with_other_keys_on_an_open_database_is_refused(tmp_path: Path) -> None:
    url = f"lmdb:///{tmp_path}/app"
    with holdfast.sync.open(url, encryption=Encryption(SeededKeys("one"))):
        same = Encryption(SeededKeys("one"))
        with holdfast.sync.open(url, encryption=same) as db:
            db.entries.set("a:b", 1)
        for other in (Encryption(SeededKeys("two")), None):
            with pytest.raises(ConfigInvalid, match="or others"):
                holdfast.sync.open(url, encryption=other)


def test_an_error_of_a_provider_does_not_show_what_it_says(tmp_path: Path) -> None:
    from holdfast.encryption import CallableKeys

    def fetch(_name: str, _version: str | None) -> tuple[str, bytes] | None:
        raise failure

    url, encryption = f"lmdb:///{tmp_path}/app", Encryption(CallableKeys(fetch))
    failure: BaseException
    for failure in (RuntimeError("secret"), StopIteration("secret"), KeyError("secret")):
        with pytest.raises(DecryptionFailed, match=type(failure).__name__) as told:
            holdfast.sync.open(url, encryption=encryption)
        assert "secret" not in str(told.value)
    for failure in (SystemExit(3), KeyboardInterrupt()):
        with pytest.raises(type(failure)):
            holdfast.sync.open(url, encryption=encryption)
    with holdfast.sync.open(url, encryption=ENCRYPTION) as db:
        db.entries.set("a:b", 1)
