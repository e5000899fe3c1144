"""The SQLite engine and its file: what it makes, what it refuses, what it finds wrong."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from holdfast.contract.batch import Batch, DeleteRange, Put
from holdfast.contract.errors import (
    ConfigInvalid,
    FormatTooNew,
    IntegrityFailed,
    NotADatabase,
    PermissionDenied,
    ReadOnly,
    StoreNotFound,
    Unsupported,
)
from holdfast.contract.record import Range
from holdfast.engines.embedded import network
from holdfast.engines.sqlite import SqliteConfig
from holdfast.runtime.system import drive
from tests import needs
from tests.engines.sqlite_database import (
    child_command,
    child_environment,
    files_in,
    get,
    make,
    opened,
    put,
    run_child,
    sql,
)


def test_the_file_is_an_ordinary_sqlite_file_with_a_log(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    with opened(path) as engine:
        put(engine, b"key", b"value")
        assert sql(path, "PRAGMA journal_mode") == [("wal",)]
        assert sql(path, "SELECT key, value, revision FROM rows") == [(b"key", b"value", 1)]


def test_only_the_database_itself_is_left_after_closing(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    for durability in ("full", "relaxed"):
        with opened(path, durability=durability) as engine:
            put(engine, b"key", durability.encode())
        assert files_in(tmp_path) == ["app.sqlite"]


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_no_mode_switches_flushing_off(tmp_path: Path, durability: str) -> None:
    with opened(tmp_path / "app.sqlite", durability=durability) as engine:
        pen = engine._open_parts().pen
        (level,) = pen.connection.execute("PRAGMA synchronous").fetchone()
    assert level == {"full": 2, "relaxed": 1}[durability]


def test_the_file_of_another_program_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "theirs.sqlite"
    sql(path, "CREATE TABLE theirs (a)")
    before = path.read_bytes()
    with pytest.raises(NotADatabase, match="another program"):
        drive(make(path).open())
    assert path.read_bytes() == before
    assert files_in(tmp_path) == ["theirs.sqlite"]


@pytest.mark.parametrize("content", [b"no database at all" * 500, b"\0" * 8192])
def test_what_is_no_sqlite_file_is_refused_and_not_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "letter.txt"
    path.write_bytes(content)
    with pytest.raises(NotADatabase):
        drive(make(path).open())
    assert path.read_bytes() == content


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(NotADatabase, match="a folder"):
        drive(make(tmp_path).open())


def test_a_newer_format_is_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    with opened(path):
        pass
    sql(path, "PRAGMA user_version = 7")
    with pytest.raises(FormatTooNew) as refusal:
        drive(make(path).open())
    assert (refusal.value.found, refusal.value.supported) == (7, 2)


def test_an_older_format_is_refused_and_told_how_to_be_exported(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    sql(path, "CREATE TABLE rows (id INTEGER PRIMARY KEY, key BLOB, revision INTEGER, value BLOB)")
    sql(path, "PRAGMA application_id = 1215261796")
    sql(path, "PRAGMA user_version = 1")
    before = path.read_bytes()
    settings: tuple[dict[str, Any], ...] = ({}, {"read_only": True})
    for one in settings:
        with pytest.raises(Unsupported, match="with the version of Holdfast that wrote") as refusal:
            drive(make(path, **one).open())
        assert (refusal.value.found, refusal.value.supported) == (1, 2)
        assert path.read_bytes() == before
        assert files_in(tmp_path) == ["app.sqlite"]


def test_a_missing_database_is_not_made_when_told_not_to(tmp_path: Path) -> None:
    path = tmp_path / "absent.sqlite"
    unwilling: tuple[dict[str, Any], ...] = ({"create": False}, {"read_only": True})
    for settings in unwilling:
        with pytest.raises(StoreNotFound):
            drive(make(path, **settings).open())
        assert files_in(tmp_path) == []


def test_an_empty_file_is_not_made_a_database_when_told_not_to(tmp_path: Path) -> None:
    path = tmp_path / "empty.sqlite"
    path.touch()
    with pytest.raises(StoreNotFound):
        drive(make(path, create=False).open())
    assert path.read_bytes() == b""
    with opened(path) as engine:
        assert put(engine, b"key") == 1


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "per cent %20 # ?" / "app.sqlite"
    with opened(path) as engine:
        put(engine, b"key")
    assert path.exists()
    (tmp_path / "file").touch()
    with pytest.raises(PermissionDenied):
        drive(make(tmp_path / "file" / "app.sqlite").open())


def test_processes_that_create_at_once_make_one_database(tmp_path: Path) -> None:
    program = """
        with opened(Path(sys.argv[1])) as engine:
            put(engine, sys.argv[2].encode())
            print(engine.lineage)
    """
    path = tmp_path / "app.sqlite"
    children = [
        subprocess.Popen(
            child_command(program, path, number),
            stdout=subprocess.PIPE,
            text=True,
            env=child_environment(),
        )
        for number in range(6)
    ]
    lineages = {child.communicate(timeout=120)[0] for child in children}
    assert [child.returncode for child in children] == [0] * 6
    assert len(lineages) == 1
    with opened(path) as engine:
        assert len(drive(engine.scan(Range())).rows) == drive(engine.head()) == 6


@pytest.mark.row("trap 50")
def test_a_damaged_page_is_found_by_reading_and_by_checking(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    with opened(path) as engine:
        drive(engine.commit(Batch([Put(b"%04d" % number, b"x" * 500) for number in range(500)])))
        assert drive(engine.check()) == []
    content = bytearray(path.read_bytes())
    # The root page of the rows is left, so that the file still opens.
    content[8 * 4096 :] = b"\xa5" * (len(content) - 8 * 4096)
    path.write_bytes(content)
    with opened(path) as engine:
        with pytest.raises(IntegrityFailed) as failure:
            drive(engine.scan(Range()))
        assert isinstance(failure.value.__cause__, sqlite3.DatabaseError)
        assert drive(engine.check()) != []


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("UPDATE rows SET revision = 99", "revision 99"),
        ("UPDATE rows SET revision = 0", "revision 0"),
        ("UPDATE rows SET value = 'text'", "no bytes"),
        ("DELETE FROM meta", "meta holds 0 rows"),
        ("INSERT INTO batch_ids VALUES (x'01', 99, 0)", "batch id"),
    ],
)
def test_the_check_finds_what_the_tables_must_not_hold(
    tmp_path: Path, damage: str, finding: str
) -> None:
    path = tmp_path / "app.sqlite"
    with opened(path) as engine:
        put(engine, b"key")
        assert drive(engine.check()) == []
        sql(path, damage)
        assert any(finding in line for line in drive(engine.check()))


@pytest.mark.row("E-103")
@needs.root
def test_reading_works_where_nothing_may_be_written() -> None:
    # Not pytest's own folder, which nobody but its owner may enter.
    with TemporaryDirectory() as folder:
        _read_without_rights(Path(folder))


def _read_without_rights(folder: Path) -> None:
    path = folder / "app.sqlite"
    with opened(path) as engine:
        put(engine, b"key", b"value")
    folder.chmod(0o555)
    path.chmod(0o444)
    program = """
        import os
        from holdfast.contract.errors import ReadOnly, PermissionDenied
        path = Path(sys.argv[1])
        make_engine = make(path, read_only=True)
        os.setgid(65534); os.setuid(65534)
        drive(make_engine.open())
        assert get(make_engine, b"key") == b"value"
        assert drive(make_engine.check()) == []
        try:
            put(make_engine, b"key")
        except ReadOnly:
            print("refused")
        drive(make_engine.close())
        try:
            drive(make(path).open())
        except (ReadOnly, PermissionDenied) as error:
            print(type(error).__name__)
    """
    answer = run_child(program, path)
    assert answer.stdout.split() == ["refused", "ReadOnly"], answer.stderr
    assert files_in(path.parent) == ["app.sqlite"]


def test_a_reader_sees_what_a_writer_of_the_same_file_commits(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    with opened(path) as writer:
        put(writer, b"key", b"1")
        with opened(path, read_only=True) as reader:
            assert reader.lineage == writer.lineage
            assert get(reader, b"key") == b"1"
            put(writer, b"key", b"2")
            assert get(reader, b"key") == b"2"
            assert drive(reader.head()) == 2
            for verb in (reader.compact(), reader.load([])):
                with pytest.raises(ReadOnly):
                    drive(verb)


def test_compaction_gives_space_back(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    with opened(path) as engine:
        drive(engine.commit(Batch([Put(b"%04d" % number, bytes(10_000)) for number in range(200)])))
        drive(engine.commit(Batch([DeleteRange(Range(None, b"0190"))])))
        freed = drive(engine.compact())
        assert freed > 1_500_000
        assert path.stat().st_size < 200_000
        assert len(drive(engine.scan(Range())).rows) == 10


def test_page_size_is_the_databases_own(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    with opened(path, page_size=16384) as engine:
        put(engine, b"key")
    with opened(path) as engine:
        assert get(engine, b"key") == b"value"
    assert sql(path, "PRAGMA page_size") == [(16384,)]


@pytest.mark.parametrize(
    "settings",
    [
        {"durability": "server"},
        {"page_size": 5000},
        {"busy_timeout": -1.0},
        {"cache_size": 1},
        {"mmap_size": -1},
        {"checkpoint_pages": 0},
        {"snapshot_age_max": 0},
        {"flush_interval": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigInvalid, match=next(iter(settings))):
        SqliteConfig(path=Path("app.sqlite"), **settings)


def test_a_url_and_its_configuration_are_the_same() -> None:
    url = (
        "sqlite:////var/lib/app.sqlite?durability=relaxed&busy_timeout=2s&cache_size=1MiB"
        "&mmap_size=1GiB&page_size=8KiB&checkpoint_pages=1000&snapshot_age_max=1h"
    )
    config = SqliteConfig.from_url(url)
    assert config == SqliteConfig(
        path=Path("/var/lib/app.sqlite"),
        durability="relaxed",
        busy_timeout=2.0,
        cache_size=2**20,
        mmap_size=2**30,
        page_size=8192,
        checkpoint_pages=1000,
        snapshot_age_max=3600.0,
    )
    assert SqliteConfig.from_url(config.url) == config


def test_a_failing_open_leaves_no_connection_behind(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    with opened(path):
        pass
    sql(path, "PRAGMA user_version = 7")
    engine = make(path)
    with pytest.raises(FormatTooNew):
        drive(engine.open())
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # Leaving the log needs everybody else's absence.
        assert connection.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share = tmp_path / "my share"
    mounts = (
        "/dev/vda / ext4 rw 0 0\n"
        f"server:/a {str(share).replace(' ', chr(92) + '040')} nfs4 rw 0 0\n"
        f"tmpfs {share}/local tmpfs rw 0 0\n"
        "odd\n"
    )
    with pytest.raises(ConfigInvalid, match="nfs4"):
        network.refuse_network(share / "folder", mounts)
    mounts = mounts.replace("tmpfs " + str(share), "tmpfs " + str(share).replace(" ", "\\040"))
    network.refuse_network(share / "local" / "folder", mounts)
    network.refuse_network(tmp_path, mounts)
    monkeypatch.setattr(network, "file_system", lambda directory, mounts: "cifs")
    with pytest.raises(ConfigInvalid, match="cifs"):
        drive(make(tmp_path / "app.sqlite").open())
    assert files_in(tmp_path) == []
