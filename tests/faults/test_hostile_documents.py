"""User code around collections and stores that raises anything, calls back, or is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from holdfast.contract.errors import StoreError, WrongContext
from holdfast.database.handle import Database
from tests.faults.modes import MODES, ModeScene
from tests.store.scene import listed, until

RAISED = [
    StopIteration, StopAsyncIteration, GeneratorExit, asyncio.CancelledError, KeyError, ValueError,
    pytest.fail.Exception,
]  # fmt: skip


@pytest.fixture(params=MODES)
def scene(request: pytest.FixtureRequest, quick: Path) -> ModeScene:
    return ModeScene(request.param, quick)


async def works(db: Database) -> None:
    """The task lives on, and all is as it should be."""
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        people = db.collection("people")
        await people.set("last", {"n": 1})
        assert await people.get("last") == {"n": 1}
        assert await people.delete("last")
        assert await db.check() == []


@contextlib.contextmanager
def raises(kind: type[BaseException]) -> Any:
    """It is raised, or what a coroutine makes of it."""
    with pytest.raises((kind, RuntimeError)) as caught:
        yield
    if caught.type is RuntimeError and kind is not RuntimeError:
        assert issubclass(kind, StopIteration | StopAsyncIteration)


@pytest.mark.parametrize("kind", RAISED, ids=lambda kind: kind.__name__)
async def test_what_handlers_raise_concerns_their_caller_alone(
    scene: ModeScene, kind: type[BaseException]
) -> None:
    async with scene.open() as db:
        people, other = db.collection("people"), db.collection("other")
        told: list[str] = []
        armed = True

        def before(*_: Any) -> None:
            if armed:
                raise kind

        def after(*_: Any) -> None:
            raise kind

        for event in ("before:set", "before:get", "before:delete"):
            people.on(event, before)
        for call in (
            lambda: people.set("ada", {"n": 1}), lambda: people.get("ada"),
            lambda: people.delete("ada"),
        ):  # fmt: skip
            with raises(kind):
                await call()
        armed = False
        assert await people.get("ada") is None
        for event in ("after:set", "after:get", "after:delete"):
            people.on(event, after)
        people.on("change", after)
        people.on("change", lambda changes: told.extend(one.key for one in changes))
        # What is no error but an end (a cancellation) goes on to the caller, once all is done.
        with contextlib.suppress(*([] if issubclass(kind, Exception) else [kind])):
            await people.set("ada", {"n": 1})
        await other.set("ada", {"n": 1})
        await until(lambda: told == ["ada"])  # The others are told all the same.
        with contextlib.suppress(*([] if issubclass(kind, Exception) else [kind])):
            await people.delete("ada")
        await until(lambda: told == ["ada", "ada"])
        for event in ("after:set", "after:get", "after:delete", "change"):
            people.off(event, after)
        await works(db)


async def test_a_handler_that_writes_is_no_part_of_the_commit(scene: ModeScene) -> None:
    async with scene.open() as db:
        people = db.collection("people")

        async def note(key: str, *_: Any) -> None:
            if not key.startswith("note"):
                await people.set(f"note-{key}", {"n": 0})

        people.on("after:set", note)
        async with asyncio.timeout(20):
            await people.set("ada", {"n": 1})
        assert sorted(await listed(people.keys())) == ["ada", "note-ada"]
        await works(db)


async def test_a_change_that_writes_to_the_same_database_is_refused(scene: ModeScene) -> None:
    async with scene.open() as db, scene.handle() as other:
        people = db.collection("people")
        await people.set("ada", {"n": 1})
        store = await db.stores.create("ledger")
        refused: list[StoreError] = []

        def writing(found: Any) -> Any:
            for call in (
                other.collection("people").set("bob", {"n": 2}), store.set(b"k", b"v"),
                other.entries.set("a", 1),
            ):  # fmt: skip
                try:
                    call.send(None)
                except StoreError as error:
                    refused.append(error)
                finally:
                    call.close()
            return found

        async with asyncio.timeout(20):
            await people.modify("ada", writing)
        assert {type(one) for one in refused} == {WrongContext}
        assert len(refused) % 3 == 0
        assert await people.get("bob") is None
        assert not await store.has(b"k")
        await works(db)


@pytest.mark.parametrize("kind", RAISED, ids=lambda kind: kind.__name__)
async def test_a_class_that_raises_ends_no_walk_and_no_live_query(
    scene: ModeScene, kind: type[BaseException]
) -> None:
    raising = False

    @dataclass
    class Person:
        n: int

        def __post_init__(self) -> None:
            if raising:
                raise kind

    async with scene.open() as db:
        people = db.collection("people", Person)
        for n in range(5):
            await people.set(f"p{n}", Person(n))
        for _ in range(2):
            raising = True
            for call in (
                lambda: people.require("p1"), lambda: listed(people.values()),
                lambda: listed(people.query()),
                lambda: people.modify("p1", lambda found: found or Person(1)),
            ):  # fmt: skip
                with pytest.raises((kind, RuntimeError, StoreError)):
                    await call()
            raising = False
            assert [one.n for one in await listed(people.values())] == list(range(5))
        await works(db)


async def test_calls_of_collections_cancelled_at_any_moment_are_whole(scene: ModeScene) -> None:
    async with scene.open() as db:
        people, store = db.collection("people"), await db.stores.create("ledger")
        for step in range(24):
            value = {"n": step, "text": "x" * 300_000 if step % 3 == 0 else ""}
            calls = (
                lambda value=value: people.set("ada", value),
                lambda value=value: people.set_many({"ada": value, "bob": value}),
                lambda step=step: store.set(b"k", b"%d" % step),
                lambda value=value: people.modify("ada", lambda _: value),
            )
            task = asyncio.ensure_future(calls[step % 4]())
            for _ in range(step // 4):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await works(db)
            ada, bob = await people.get("ada"), await people.get("bob")
            if step % 4 == 1 and bob is not None and bob["n"] == step:
                assert ada == bob, "both or neither"
