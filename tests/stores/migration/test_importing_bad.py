"""Bad sources: truncated, foreign, pickled without a word, changed meanwhile; each says so."""

from __future__ import annotations

import gzip
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import diskcache
import plyvel
import pytest
import sqlitedict

from holdfast.contract.errors import (
    DeserializationFailed,
    IntegrityFailed,
    InvalidInput,
    InvalidKey,
    StoreError,
    ValueTooLarge,
)
from holdfast.stores.migration.importing import (
    KINDS,
    guess,
    import_documents,
    import_entries,
    import_pairs,
    open_source,
    tinydb_file,
)
from tests.stores.migration import legacy
from tests.stores.migration.test_importing import content, opened

pytestmark = pytest.mark.row("E-114")


def read(place: Path, kind: str | None = None, **options: Any) -> int:
    with open_source(place, kind, **options) as source:
        return len(list(source.items()))


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"redis"}))
def test_a_foreign_file_or_folder_is_refused_by_every_kind(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "foreign.txt"
    file.write_text("neither this nor that")
    (tmp_path / "empty").mkdir()
    for place in (file, tmp_path / "empty", tmp_path / "nope"):
        with pytest.raises(InvalidInput):
            read(place, kind, **({"unpickle": True} if kind == "zodb" else {}))
        with pytest.raises(InvalidInput, match="kind that can be imported"):
            guess(str(place))


def test_options_that_a_kind_lacks_are_refused(tmp_path: Path) -> None:
    legacy.tiny(tmp_path / "t.json", _default=[{"a": 1}])
    with pytest.raises(InvalidInput, match="no option unpickle"):
        read(tmp_path / "t.json", unpickle=True)
    with pytest.raises(InvalidInput, match="one of dbm"):
        read(tmp_path / "t.json", "nope")
    with pytest.raises(InvalidInput, match="found _default"):
        read(tmp_path / "t.json", table="nope")


def test_pickles_are_loaded_only_when_somebody_says_so(tmp_path: Path) -> None:
    legacy.cache(tmp_path / "cache")
    with pytest.raises(InvalidInput, match="--unpickle"):
        read(tmp_path / "cache")
    legacy.zodb(tmp_path / "Data.fs")
    with pytest.raises(InvalidInput, match="--unpickle"):
        read(tmp_path / "Data.fs")


def test_a_pickle_that_cannot_be_loaded_is_named_and_not_quoted(tmp_path: Path) -> None:
    with sqlitedict.SqliteDict(str(tmp_path / "d"), encode=bytes, autocommit=True) as table:
        table["bad"] = b"\x80\x04csecret\nmodule\n."
    with pytest.raises(DeserializationFailed, match="'bad'") as caught:
        read(tmp_path / "d", unpickle=True)
    assert "secret" not in str(caught.value)


def test_truncated_files_say_where(tmp_path: Path) -> None:
    written, _ = legacy.documents_of_a_dump()
    dump = tmp_path / "p.bson"
    legacy.dump(dump, written)
    whole = dump.read_bytes()
    dump.write_bytes(whole[:-3])
    with pytest.raises(IntegrityFailed, match="truncated"):
        read(dump)
    dump.write_bytes(whole + b"\x01\x00")
    with pytest.raises(IntegrityFailed, match=f"at the byte {len(whole)}"):
        read(dump)
    dump.write_bytes(b"\xff\xff\xff\x7f" + whole)
    with pytest.raises(IntegrityFailed, match="damaged, or no BSON"):
        read(dump)
    dump.write_bytes(whole[:4] + b"\x99" + whole[5:])
    with pytest.raises(IntegrityFailed, match="at the byte 0"):
        read(dump)
    dump.write_bytes(bytes.fromhex("6de29981") + whole)
    with pytest.raises(InvalidInput, match="--archive"):
        read(dump)
    packed = tmp_path / "q.bson.gz"
    packed.write_bytes(gzip.compress(whole)[:-20])
    with pytest.raises(IntegrityFailed, match="as gzip"):
        read(packed)
    tiny = tmp_path / "t.json"
    legacy.tiny(tiny, _default=[{"a": 1}])
    tiny.write_bytes(tiny.read_bytes()[:-2])
    with pytest.raises(InvalidInput, match="truncated"):
        read(tiny)
    legacy.sqlite_dict(tmp_path / "d", unnamed={f"k{n}": "v" * 500 for n in range(200)})
    with (tmp_path / "d").open("r+b") as stream:
        stream.truncate(8192)
    with pytest.raises(IntegrityFailed, match="PRAGMA integrity_check"):
        read(tmp_path / "d")


def test_a_json_file_that_is_too_big_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    legacy.tiny(tmp_path / "t.json", _default=[{"a": "x" * 100}])
    monkeypatch.setattr(tinydb_file, "FILE_BYTES_MAX", 50)
    with pytest.raises(ValueTooLarge, match="JSON Lines"):
        read(tmp_path / "t.json")


def test_damage_of_leveldb_is_said_with_its_own_path(tmp_path: Path) -> None:
    place = tmp_path / "level"
    legacy.level(place, {b"%05d" % n: b"v" * 100 for n in range(3000)})
    with plyvel.DB(str(place)) as db:
        db.compact_range()
    table = max(place.glob("*.ldb"), key=lambda file: file.stat().st_size)
    content = bytearray(table.read_bytes())
    content[1000:1010] = b"\xff" * 10
    table.write_bytes(content)
    with pytest.raises(IntegrityFailed, match=str(place)) as caught:
        read(place)
    assert "holdfast-leveldb" not in str(caught.value)


def test_a_file_of_leveldb_that_goes_while_it_is_copied_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "level"
    legacy.level(place, {b"a": b"b"})
    copy = shutil.copyfile

    def late(file: Path, target: Path) -> object:
        file.unlink()  # As the program does that has the folder open.
        return copy(file, target)

    monkeypatch.setattr(shutil, "copyfile", late)
    with pytest.raises(IntegrityFailed, match="a program has it open"):
        read(place)


def test_a_damaged_part_of_a_tree_of_zodb_is_said(tmp_path: Path) -> None:
    place = tmp_path / "Data.fs"
    legacy.zodb(place)
    place.write_bytes(place.read_bytes().replace(b"p700", b"p\xff00"))
    with pytest.raises(DeserializationFailed, match="'people'"):
        read(place, unpickle=True)


def test_a_cache_with_lost_and_smuggled_value_files(tmp_path: Path) -> None:
    place = tmp_path / "cache"
    with diskcache.Cache(str(place)) as table:
        table.set("big", b"x" * 100_000)
    (tmp_path / "secret").write_text("secret")
    with closing(sqlite3.connect(place / "cache.db")) as database, database:
        name = database.execute("SELECT filename FROM Cache").fetchone()[0]
        database.execute("UPDATE Cache SET filename = '../secret'")
    with pytest.raises(InvalidInput, match="found one outside"):
        read(place)
    with closing(sqlite3.connect(place / "cache.db")) as database, database:
        database.execute("UPDATE Cache SET filename = ?", (name,))
    (place / name).unlink()
    with pytest.raises(IntegrityFailed, match="found none"):
        read(place)


@pytest.mark.parametrize("kind", ["shelve", "sqlitedict", "tinydb", "mongodb", "leveldb"])
async def test_a_source_that_changes_meanwhile_is_said(tmp_path: Path, kind: str) -> None:
    place = tmp_path / {"tinydb": "t.json", "mongodb": "m.bson"}.get(kind, "old")
    make: dict[str, Any] = {
        "shelve": lambda some: legacy.shelf(place, some),
        "sqlitedict": lambda some: legacy.sqlite_dict(place, unnamed=some),
        "tinydb": lambda some: legacy.tiny(place, _default=[some]),
        "mongodb": lambda some: legacy.dump(place, [{"_id": 1, **some}]),
        "leveldb": lambda some: legacy.level(place, {key.encode(): b"v" for key in some}),
    }
    make[kind]({"a": 1})
    async with opened(tmp_path) as db:
        with open_source(place, kind) as source, pytest.raises(IntegrityFailed, match="chang"):
            await import_entries(
                source, db.entries, progress=lambda _: make[kind]({"b": 2, "c": 3})
            )


@pytest.mark.parametrize(("other", "said"), [(b"a", "as text"), (1.5, "found a float")])
async def test_keys_that_are_no_text_of_their_own_are_refused(
    tmp_path: Path, other: Any, said: str
) -> None:
    with diskcache.Cache(str(tmp_path / "cache")) as table:
        table.set("a", "text")
        table.set(other, "other")
    async with opened(tmp_path) as db:
        with open_source(tmp_path / "cache") as source, pytest.raises(InvalidKey, match=said):
            await import_entries(source, db.entries)
        assert await content(db) == {}


async def test_what_a_target_cannot_keep_is_refused(tmp_path: Path) -> None:
    with diskcache.Cache(str(tmp_path / "cache")) as table:
        table.set("a", b"b", expire=3600)
    async with opened(tmp_path) as db:
        with open_source(tmp_path / "cache") as source:
            with pytest.raises(InvalidInput, match="Import into entries"):
                await import_pairs(source, await db.stores.open("s"))
            with pytest.raises(InvalidInput, match="import into entries"):
                await import_documents(source, db.collection("c"))


def test_every_error_is_one_of_ours_whatever_byte_is_wrong(tmp_path: Path) -> None:
    written, _ = legacy.documents_of_a_dump()
    legacy.dump(tmp_path / "p.bson", written)
    whole = (tmp_path / "p.bson").read_bytes()
    for at in range(0, len(whole), 7):
        for byte in (0, 0x7F, 0xFF):
            (tmp_path / "p.bson").write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
            with suppress(StoreError):
                assert read(tmp_path / "p.bson") <= len(written)
