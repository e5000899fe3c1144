"""Where adapters keep their values: opened once, closed when asked; and libraries that lack."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import holdfast
import holdfast.sync
from holdfast.adapters import steps
from holdfast.adapters.async_place import AsyncPlace
from holdfast.adapters.key_value import KeyValue
from holdfast.adapters.place import Place, close_databases, database_at
from holdfast.adapters.steps import one_step
from holdfast.contract.errors import ConfigInvalid, Conflict, InvalidInput, WrongContext
from holdfast.sync import StoreTransaction

#: Each adapter, the module that it imports, and what `pip install` calls that.
LIBRARIES = {
    "django": ("django", "Django"),
    "dogpile": ("dogpile", "dogpile.cache"),
    "fsspec": ("fsspec", "fsspec"),
    "key_value": ("key_value", "py-key-value-aio"),
    "litestar": ("litestar", "litestar"),
    "starlette": ("starlette", "starlette"),
    "zarr": ("zarr", "zarr"),
}


def test_a_library_that_is_missing_is_named() -> None:
    """In a process of its own, where none of them can be imported."""
    program = f"""
        import importlib, importlib.abc, sys

        libraries = {LIBRARIES!r}

        class Missing(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path, target=None):
                if name.partition(".")[0] in {{module for module, _ in libraries.values()}}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

        sys.meta_path.insert(0, Missing())
        import holdfast.adapters, holdfast.adapters.mapping
        for adapter, (_, package) in libraries.items():
            try:
                importlib.import_module(f"holdfast.adapters.{{adapter}}")
            except ImportError as error:
                assert error.code == "DRIVER_MISSING", error
                assert f"pip install '{{package}}" in str(error), error
            else:
                raise AssertionError(adapter)
        print("all named")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("all named\n", "")


def test_importing_holdfast_imports_no_adapter() -> None:
    program = "import sys, holdfast, holdfast.sync; print('holdfast.adapters' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_an_address_is_opened_once_and_again_after_it_was_closed(tmp_path: Path) -> None:
    address = f"lmdb:///{tmp_path}/app"
    one, two = Place(address, "s"), Place(address, "s")
    assert one.database is two.database is database_at(address)
    assert one == two
    assert hash(one) == hash(two)
    assert one != Place(address, "other")
    assert one != "s"
    one.store.set(b"k", b"v")
    before = one.store
    close_databases()
    assert two.store.get(b"k") == b"v"
    assert one.store is not before
    assert pickle.loads(pickle.dumps(one)) == one
    close_databases()


def test_a_path_is_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = Place(Path("app.db"), "s")
    folder = Place(tmp_path / "app", "s")
    file.store.set(b"k", b"file")
    folder.store.set(b"k", b"folder")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    close_databases()
    assert pickle.loads(pickle.dumps(file)).store.get(b"k") == b"file"
    assert folder.store.get(b"k") == b"folder"
    close_databases()
    assert (tmp_path / "app.db").is_file()
    assert (tmp_path / "app").is_dir()


def test_a_database_that_cannot_be_closed_keeps_no_other_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    addresses = [f"memory://?name=closing-{number}" for number in range(3)]
    databases = [database_at(address) for address in addresses]

    def fail() -> None:
        raise holdfast.StorageFull("no room left")

    with monkeypatch.context() as patched:
        patched.setattr(databases[1], "close", fail)
        with pytest.raises(holdfast.StorageFull):
            close_databases()
    for one in (databases[0], databases[2]):
        with pytest.raises(holdfast.StoreClosed):
            one.head()
    databases[1].close()


def test_a_database_that_cannot_be_be_opened_can_be_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    place = Place(f"sqlite:///{folder}/app.db?create=false", "s")
    for _ in range(2):
        with pytest.raises(holdfast.StoreError):
            _ = place.store
    folder.mkdir()
    with holdfast.sync.open(f"sqlite:///{folder}/app.db") as db:
        db.stores.open("s").set(b"k", b"v")
        assert place.store.get(b"k") == b"v"
    close_databases()
    with pytest.raises(ConfigInvalid):
        _ = Place("no address", "s").store


def test_secrets_of_an_address_are_not_shown() -> None:
    place = Place("memory://?name=shown", "s")
    assert repr(place) == "store 's' of memory://?name=***"
    secret = Place("postgres://user:hidden@localhost:1/db", "s")
    with pytest.raises(holdfast.StoreError) as error:
        _ = secret.store
    assert "hidden" not in str(error.value)
    assert "hidden" not in repr(secret)
    close_databases()


def test_a_handle_of_the_parent_is_refused_in_a_child() -> None:
    with holdfast.sync.open("memory://") as db:
        place = Place(db, "s")
        place.store.set(b"k", b"v")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                try:
                    place.store.get(b"k")
                except WrongContext:
                    code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(TypeError, match="address"):
        pickle.dumps(place)
    with pytest.raises(InvalidInput):
        Place(b"memory://", "s")  # type: ignore[arg-type]


def test_a_step_that_raises_writes_nothing() -> None:
    with holdfast.sync.open("memory://") as db:
        store = db.stores.open("s")

        def failing(failure: BaseException) -> Callable[[StoreTransaction], None]:
            def step(transaction: StoreTransaction) -> None:
                transaction.set(b"k", b"half")
                raise failure

            return step

        for failure in (StopIteration(), KeyboardInterrupt(), SystemExit(1)):
            with pytest.raises(type(failure)):
                one_step(store, failing(failure))
            assert not store.has(b"k")


def test_a_step_that_others_always_come_before_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "ATTEMPTS_MAX", 5)
    with holdfast.sync.open("memory://") as db:
        store, tries = db.stores.open("s"), []

        def step(transaction: StoreTransaction) -> None:
            tries.append(transaction.get(b"k", None))
            store.set(b"k", b"%d" % len(tries))
            transaction.set(b"other", b"")

        with pytest.raises(Conflict, match="each of 5 attempts"):
            one_step(store, step)
        assert tries == [None, b"1", b"2", b"3", b"4"]
        assert not store.has(b"other")


def test_each_loop_has_a_handle_of_its_own(tmp_path: Path) -> None:
    store = KeyValue(f"sqlite:///{tmp_path}/app.db")

    async def put(number: int) -> None:
        async with store:
            await store.put(str(number), {"n": number})

    for number in range(2):
        asyncio.run(put(number))

    async def look() -> list[str]:
        found = await store.keys()
        await store.close()
        await store.close()
        return found

    assert asyncio.run(look()) == ["0", "1"]


@pytest.mark.anyio
async def test_a_first_call_that_is_cancelled_leaves_the_next_one_its_turn(tmp_path: Path) -> None:
    place = AsyncPlace(f"sqlite:///{tmp_path}/app.db", "s")
    for turns in range(12):
        task = asyncio.create_task(place.store())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    store = await place.store()
    await store.set(b"k", b"v")
    assert await place.store() is store
    assert (await place.database()).stores is not None
    await place.close()


@pytest.mark.anyio
async def test_what_a_first_call_is_opening_is_closed_too(tmp_path: Path) -> None:
    place = AsyncPlace(f"sqlite:///{tmp_path}/app.db", "s")
    for turns in range(12):
        first = asyncio.create_task(place.database())
        for _ in range(turns):
            await asyncio.sleep(0)
        await place.close()
        database = await first
        if turns:  # It had begun when it was closed.
            with pytest.raises(holdfast.StoreClosed):
                await database.entries.get("k")
    await place.close()
    assert await (await place.store()).get(b"k", None) is None  # Opened again by itself.
    await place.close()
