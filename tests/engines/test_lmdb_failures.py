"""LMDB's errors become errors of the contract, and settings that cannot be are refused."""

import errno
from pathlib import Path
from typing import Any

import lmdb
import pytest

from holdfast.contract.errors import (
    ConfigInvalid,
    IntegrityFailed,
    NotADatabase,
    Overloaded,
    ReadOnly,
    StorageFull,
    StoreError,
    StoreLocked,
)
from holdfast.engines.lmdb import LmdbConfig
from holdfast.engines.lmdb.failures import found_no_room, translate

URL = "lmdb:///app"


@pytest.mark.row("E-060")
@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (lmdb.CorruptedError("page"), IntegrityFailed),
        (lmdb.InvalidError("header"), NotADatabase),
        (lmdb.ReadersFullError("readers"), Overloaded),
        (lmdb.MapFullError("map"), StorageFull),
        (lmdb.ReadonlyError("read-only"), ReadOnly),
        (lmdb.Error("the path is already open in this process"), StoreLocked),
        (lmdb.Error("something else"), StoreError),
    ],
)
def test_an_error_of_the_driver_becomes_one_of_the_contract(
    error: lmdb.Error, becomes: type[StoreError]
) -> None:
    translated = translate(error, URL)
    assert type(translated) is becomes
    assert translated.__cause__ is error
    assert URL in str(translated)


def test_what_failed_for_want_of_room_is_told_from_other_failures() -> None:
    broken = lmdb.Error(f"mdb_txn_commit: {errno.errorcode[errno.EIO]}")
    assert found_no_room(lmdb.MapFullError("map"), 0, 0)
    assert not found_no_room(broken, 100, 10)
    assert not found_no_room(lmdb.BadTxnError("transaction"), 0, 10)


@pytest.mark.row("E-052")
@pytest.mark.parametrize(
    ("settings", "parameter"),
    [
        ({"map_size": 2**30, "map_size_max": 2**20}, "map_size"),
        ({"reader_timeout": -1.0}, "reader_timeout"),
        ({"lock_timeout": -0.5}, "lock_timeout"),
        ({"snapshot_age_max": 0.0}, "snapshot_age_max"),
        ({"readers_max": 0}, "readers_max"),
        ({"relaxed_bytes_max": 0}, "relaxed_bytes_max"),
        ({"ballast": -1}, "ballast"),
        ({"durability": "server"}, "durability"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_its_name(
    settings: dict[str, Any], parameter: str
) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        LmdbConfig(path=Path("app"), **settings)
    assert refused.value.parameter == parameter
