"""What SQLite says becomes an error of the contract, with the next step in it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from holdfast.contract.errors import (
    IntegrityFailed,
    NotADatabase,
    PermissionDenied,
    QuotaExceeded,
    ReadOnly,
    StorageFull,
    StoreClosed,
    StoreError,
    StoreLocked,
    StoreNotFound,
    ValueTooLarge,
)
from holdfast.engines.sqlite import room
from holdfast.engines.sqlite.failures import Translated
from holdfast.runtime.system import drive
from tests import needs
from tests.engines.sqlite_database import opened, run_child


def said(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("as SQLite puts it")
    error.sqlite_errorcode = code
    error.sqlite_errorname = "SQLITE_NAME"
    return error


@pytest.mark.parametrize(
    ("code", "expected", "next_step"),
    [
        (sqlite3.SQLITE_BUSY, StoreLocked, "busy_timeout"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreLocked, "try again"),
        (sqlite3.SQLITE_LOCKED, StoreLocked, "try again"),
        (sqlite3.SQLITE_FULL, StorageFull, "Make room"),
        (sqlite3.SQLITE_IOERR_WRITE, StoreError, "check the medium"),
        (sqlite3.SQLITE_CORRUPT, IntegrityFailed, "restore a backup"),
        (sqlite3.SQLITE_NOTADB, NotADatabase, "another path"),
        (sqlite3.SQLITE_READONLY, ReadOnly, "check the rights"),
        (sqlite3.SQLITE_READONLY_CANTINIT, ReadOnly, "check the rights"),
        (sqlite3.SQLITE_CANTOPEN, PermissionDenied, "check the rights"),
        (sqlite3.SQLITE_PERM, PermissionDenied, "check the rights"),
        (sqlite3.SQLITE_TOOBIG, ValueTooLarge, "size"),
        (sqlite3.SQLITE_ERROR, StoreError, "system's log"),
    ],
)
def test_each_code_has_its_error(
    tmp_path: Path, code: int, expected: type[StoreError], next_step: str
) -> None:
    cause = said(code)
    with pytest.raises(expected, match=next_step) as failure, Translated(tmp_path / "a.sqlite"):
        raise cause
    assert type(failure.value) is expected
    assert failure.value.__cause__ is cause


def test_a_failed_write_on_a_full_medium_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "medium_bytes", lambda folder: 4096)
    with pytest.raises(StorageFull), Translated(tmp_path / "a.sqlite"):
        raise said(sqlite3.SQLITE_IOERR_WRITE)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "absent"
    with pytest.raises(StoreNotFound, match=str(folder)), Translated(folder / "a.sqlite"):
        raise said(sqlite3.SQLITE_CANTOPEN)


def test_a_closed_connection_is_a_closed_store_and_other_refusals_are_not(tmp_path: Path) -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(StoreError) as failure, Translated(tmp_path):
        connection.execute("SELECT ?", (object(),))
    assert type(failure.value) is StoreError
    connection.close()
    with pytest.raises(StoreClosed), Translated(tmp_path):
        connection.execute("SELECT 1")


def test_refused_memory_is_a_limit_and_says_which(tmp_path: Path) -> None:
    with pytest.raises(QuotaExceeded, match="cache_size"), Translated(tmp_path / "a.sqlite"):
        raise MemoryError


def test_what_is_no_error_of_the_driver_passes_untouched(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Translated(tmp_path):
        raise KeyError("key")


def test_a_key_that_is_no_bytes_is_an_error_of_the_contract(tmp_path: Path) -> None:
    with opened(tmp_path / "app.sqlite") as engine, pytest.raises(StoreError):
        drive(engine.read([object()]))  # type: ignore[list-item]


@needs.linux
def test_a_limit_of_memory_is_named_and_leaves_the_database_whole(tmp_path: Path) -> None:
    program = """
        import resource
        from holdfast.contract.errors import QuotaExceeded
        path = Path(sys.argv[1])
        engine = make(path)
        drive(engine.open())
        put(engine, b"key", b"1")
        get(engine, b"key")
        value = bytes(48 * 2**20)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 24 * 2**20, resource.RLIM_INFINITY))
        refused = None
        try:
            put(engine, b"large", value)
        except QuotaExceeded as error:
            refused = "ulimit -v" in str(error)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert get(engine, b"key") == b"1"
        assert get(engine, b"large") is None
        assert put(engine, b"key", b"2") == 2
        assert drive(engine.check()) == []
        drive(engine.close())
        print(refused)
    """
    answer = run_child(program, tmp_path / "app.sqlite")
    assert answer.stdout.split() == ["True"], answer.stderr[-2000:]
