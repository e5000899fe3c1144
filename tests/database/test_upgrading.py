"""An upgrade of what this version wrote finds nothing to do; and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import (
    FormatTooNew,
    NotADatabase,
    StoreLocked,
    StoreNotFound,
    Unsupported,
)
from holdfast.contract.formats import Formats, steps_to
from holdfast.runtime.drive import drive
from holdfast.runtime.system import system_components
from holdfast.store import layout
from holdfast.store.format import Format, write_format
from holdfast.store.registry import engine_class, read_config

#: Of engines in files: the format of the engine.
NEWEST = {"lmdb": 1, "sqlite": 2, "file": 1}


@pytest.fixture(params=NEWEST)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}:///{tmp_path / 'app'}"


def commit(url: str, key: bytes, value: bytes) -> None:
    """Write a row past all views."""
    config = read_config(url)
    engine = engine_class(config.scheme)(config, system_components())
    drive(engine.open())
    try:
        drive(engine.commit(Batch([Put(key, value)])))
    finally:
        drive(engine.close())


async def test_nothing_to_do(url: str) -> None:
    async with holdfast.open(url) as db:
        await db.entries.set("a", 1)
        cursor = db.cursor
    told: list[Any] = []
    newest = NEWEST[url.partition(":")[0]]
    for dry_run in (True, False):
        done = await holdfast.upgrade(url, dry_run=dry_run, progress=lambda *one: told.append(one))
        assert (done.engine, done.rows) == (Formats(newest, newest), Formats(2, 2))
        assert (done.changes, done.dry_run, told) == (False, dry_run, [])
    async with holdfast.open(url) as db:
        assert db.cursor == cursor
        assert (await db.entries.require("a")).value == 1


async def test_it_makes_no_database(url: str, tmp_path: Path) -> None:
    for dry_run in (True, False):
        with pytest.raises(StoreNotFound, match="correct the address"):
            await holdfast.upgrade(url, dry_run=dry_run)
    assert not (tmp_path / "app").exists()


async def test_an_engine_that_no_view_wrote_to(url: str) -> None:
    config = read_config(url)
    engine = engine_class(config.scheme)(config, system_components())
    await engine.open()
    await engine.close()
    assert (await holdfast.upgrade(url)).rows is None
    commit(url, b"mine", b"")
    with pytest.raises(NotADatabase, match="did not write"):
        await holdfast.upgrade(url)


@pytest.mark.parametrize(
    ("row", "refusal"),
    [
        ((1).to_bytes(2, "big"), Unsupported),
        (write_format(Format(3)), FormatTooNew),
        (write_format(Format(2, ("unknown",))), FormatTooNew),
    ],
)
async def test_rows_that_no_step_begins_with(
    url: str, row: bytes, refusal: type[Exception]
) -> None:
    commit(url, layout.SYSTEM_FORMAT, row)
    for dry_run in (True, False):
        with pytest.raises(refusal):
            await holdfast.upgrade(url, dry_run=dry_run)


async def test_files_that_this_process_has_open_are_closed_first(tmp_path: Path) -> None:
    url = f"lmdb:///{tmp_path / 'app'}"
    async with holdfast.open(url):
        with pytest.raises(StoreLocked, match="close it first"):
            await holdfast.upgrade(url)


def test_formats_come_one_after_the_other() -> None:
    assert steps_to(1, 4) == (2, 3, 4)
    assert steps_to(4, 4) == ()
