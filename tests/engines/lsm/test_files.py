"""The files of a database: removed, replaced, damaged, of others, or refused by the system."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from holdfast.contract.errors import (
    ConfigInvalid,
    FormatTooNew,
    IntegrityFailed,
    NotADatabase,
    StoreNotFound,
)
from holdfast.engines.lsm import layout
from holdfast.engines.lsm.layout import Facts
from holdfast.runtime.system import drive
from tests import needs
from tests.engines.lsm.lsm_database import (
    contents,
    every_engine,
    every_mode,
    get,
    make,
    opened,
    put,
    run_child,
    tables,
)

OTHER = """
with opened(sys.argv[1], Path(sys.argv[2])) as engine:
    put(engine, b"theirs")
"""


@every_mode
def test_a_write_after_the_folder_was_removed_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "app"
    engine = make(name, path)
    drive(engine.open())
    put(engine, b"before")
    assert not engine.stale()
    shutil.rmtree(path)
    assert engine.stale()
    for _ in range(2):
        with pytest.raises(StoreNotFound, match="removed or replaced"):
            put(engine, b"after")
    with pytest.raises(StoreNotFound, match="removed or replaced"):
        drive(engine.compact())
    assert get(engine, b"before") == b"value"
    drive(engine.close())
    assert not path.exists()
    with opened(name, path) as again:
        assert contents(again) == {}


@every_mode
def test_a_write_after_the_folder_was_replaced_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "app"
    engine = make(name, path)
    drive(engine.open())
    put(engine, b"before")
    path.rename(tmp_path / "elsewhere")
    run_child(OTHER, name, path)
    with pytest.raises(StoreNotFound, match="removed or replaced"):
        put(engine, b"after")
    drive(engine.close())
    with opened(name, path) as other:
        assert contents(other) == {b"theirs": b"value"}
    with opened(name, tmp_path / "elsewhere") as moved:
        assert contents(moved) == {b"before": b"value"}


@every_engine
def test_what_is_no_database_is_left_alone(tmp_path: Path, name: str) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("mine")
    folder.mkdir()
    (folder / "letter.txt").write_text("mine")
    for path in (file, folder):
        with pytest.raises(NotADatabase), opened(name, path):
            pass
    assert file.read_text() == (folder / "letter.txt").read_text() == "mine"
    assert sorted(folder.iterdir()) == [folder / "letter.txt"]


@needs.leveldb
def test_neither_engine_opens_the_others_database(tmp_path: Path) -> None:
    """RocksDB would read LevelDB's tables, and write them anew in its own format."""
    for name, other in (("rocksdb", "leveldb"), ("leveldb", "rocksdb")):
        with opened(name, tmp_path / name) as engine:
            put(engine, b"a")
        before = sorted((tmp_path / name).rglob("*"))
        with pytest.raises(NotADatabase, match=name), opened(other, tmp_path / name):
            pass
        assert sorted((tmp_path / name).rglob("*")) == before


@needs.leveldb
def test_tables_of_another_program_are_left_alone(tmp_path: Path) -> None:
    import plyvel

    (tmp_path / "app").mkdir()
    theirs = plyvel.DB(str(tmp_path / "app" / "leveldb"), create_if_missing=True)
    theirs.put(b"key", b"value")
    theirs.close()
    with pytest.raises(NotADatabase, match="another program"), opened("leveldb", tmp_path / "app"):
        pass
    theirs = plyvel.DB(str(tmp_path / "app" / "leveldb"))
    assert list(theirs) == [(b"key", b"value")]
    theirs.close()


@every_engine
def test_a_list_of_files_that_is_gone_is_not_taken_for_an_empty_database(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "app"
    with opened(name, path) as engine:
        put(engine, b"a")
        drive(engine.compact())
    kept = tables(path)
    assert kept
    (path / name / "CURRENT").unlink()
    with pytest.raises(IntegrityFailed, match="CURRENT is missing"), opened(name, path):
        pass
    assert tables(path) == kept


@every_engine
def test_a_damaged_table_is_told_and_never_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "app"
    with opened(name, path, compression="none") as engine:
        for number in range(300):
            put(engine, b"%04d" % number, b"v" * 1000)
        drive(engine.compact())
    (table,) = tables(path)
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 0xFF
    table.write_bytes(bytes(data))
    with opened(name, path, compression="none") as engine:
        found = drive(engine.check())
        assert len(found) == 1
        assert "damaged" in found[0]
        with pytest.raises(IntegrityFailed, match="restore a backup"):
            contents(engine)


@every_engine
def test_a_format_of_a_later_version_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "app"
    with opened(name, path) as engine:
        facts = Facts(name, layout.FORMAT + 1, engine.lineage, None)
        engine._opened_now.driver.write([(layout.FACTS, facts.encode())], flush=True)
    with pytest.raises(FormatTooNew, match="update holdfast"), opened(name, path):
        pass


@every_engine
def test_facts_that_cannot_be_read_are_damage(tmp_path: Path, name: str) -> None:
    path = tmp_path / "app"
    with opened(name, path) as engine:
        engine._opened_now.driver.write([(layout.FACTS, b"{}")], flush=True)
    with pytest.raises(IntegrityFailed, match="says of itself"), opened(name, path):
        pass


@every_engine
def test_a_row_that_nobody_wrote_is_found(tmp_path: Path, name: str) -> None:
    with opened(name, tmp_path / "app") as engine:
        put(engine, b"a")
        strange = [(b"rshort", b"1"), (b"rlate", layout.encode_row(b"", 99))]
        engine._opened_now.driver.write(strange, flush=True)
        found = drive(engine.check())
        assert found == ["the key b'late' has revision 99; the head is 1",
                         "the key b'short' has no revision"]  # fmt: skip


@needs.leveldb
def test_leveldb_has_no_relaxed_mode(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="Use rocksdb"):
        make("leveldb relaxed", tmp_path / "app")
