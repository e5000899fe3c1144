"""Handlers of a collection: around its operations, and of what is committed to it."""

import asyncio
import gc
import logging
import re
import sys
import textwrap
from dataclasses import dataclass
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.errors import (
    InvalidInput,
    InvalidKey,
    KeyNotFound,
    PatternInvalid,
    QuotaExceeded,
    StoreClosed,
    StoreError,
    Unsupported,
)
from holdfast.database.transaction import Transaction
from holdfast.documents.collection import REMOVE, Collection
from holdfast.documents.observing import hooks as hooks_module
from holdfast.documents.query import F
from holdfast.store.change import Change
from tests.store.scene import Scene, engine_of, first, until


@dataclass
class User:
    name: str
    age: int = 0


class Veto(Exception):
    """Raised by hooks."""


@pytest.mark.row("I-061")
async def test_handlers_come_and_go_by_the_name_of_an_event(scene: Scene) -> None:
    async with scene.open() as db:
        users = db.collection("users", User)
        seen: list[str] = []

        def handler(key: str, _value: User) -> None:
            seen.append(key)

        users.on("after:set", handler)
        await users.set("a", User("Ada"))
        assert seen == ["a"]
        users.off("after:set", handler)
        await users.set("b", User("Bob"))
        assert seen == ["a"]
        for call in (users.on, users.off):
            with pytest.raises(InvalidInput, match=r"before:get.*bogus"):
                call("bogus", handler)
        users.off("after:set", handler)
        users.off("change", lambda _: None)
        with pytest.raises(InvalidInput, match="function"):
            users.on("after:set", "print")  # type: ignore[arg-type]


@pytest.mark.row("I-062")
async def test_what_a_hook_before_raises_is_a_veto(scene: Scene) -> None:
    async with scene.open() as db:
        users = db.collection("users", User)
        await users.set("a", User("Ada"))
        order: list[str] = []

        async def slow(key: str, *_: object) -> None:
            await asyncio.sleep(0)
            order.append(f"slow {key}")

        async def refuses(key: str, *_: object) -> None:
            order.append(f"refuses {key}")
            if key != "free":
                raise Veto(key)

        head = await db.head()
        for event in ("before:get", "before:set", "before:delete"):
            users.on(event, slow)
            users.on(event, refuses)
        with pytest.raises(Veto):
            await users.get("a")
        for attempt in (
            users.set("a", User("Eve")),
            users.set_many({"free": User("Eve"), "b": User("Eve")}),
            users.delete("a"),
            users.delete_many(["free", "a"]),
            users.modify("a", lambda _: User("Eve")),
            users.modify("a", lambda _: REMOVE),
            users.patch("a", {"name": "Eve"}),
            users.batch([("set", "free", User("Eve")), ("delete", "a")]),
            users.clear(),
            users.get_many(["free", "a"]),
        ):
            with pytest.raises(Veto):
                await attempt
        assert order[:4] == ["slow a", "refuses a", "slow a", "refuses a"]
        assert await db.head() == head
        for event in ("before:get", "before:set", "before:delete"):
            users.off(event, slow)
            users.off(event, refuses)
        assert await users.get("a") == User("Ada")


@pytest.mark.parametrize(
    "error", [StopIteration(), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), Veto()]
)
async def test_whatever_a_hook_raises_nothing_is_written_and_nothing_stays_held(
    scene: Scene, error: BaseException
) -> None:
    async with scene.open() as db:
        users = db.collection("users", User)

        def raises(*_: object) -> None:
            raise error

        users.on("before:set", raises)
        # Python turns a StopIteration inside a coroutine into a RuntimeError.
        wanted = RuntimeError if isinstance(error, StopIteration) else type(error)
        with pytest.raises(wanted):
            await users.set("a", User("Ada"))
        with pytest.raises(wanted):
            await users.modify("a", lambda _: User("Ada"))
        users.off("before:set", raises)
        assert await users.size() == 0
        await users.set("a", User("Ada"))


@pytest.mark.row("I-063")
async def test_hooks_after_get_what_was_done(scene: Scene) -> None:
    async with scene.open() as db:
        users = db.collection("users", User)
        seen: list[tuple[Any, ...]] = []
        for event in ("after:get", "after:set", "after:delete"):
            users.on(event, lambda *found, event=event: seen.append((event, *found)))
        await users.set("a", User("Ada", 36))
        await users.get("a")
        await users.get("absent")
        await users.modify("a", lambda user: User(user.name, 37) if user else User(""))
        await users.patch("a", {"age": 38})
        await users.delete("a")
        await users.delete("a")
        await users.set_many({"b": User("Bob"), "c": User("Cy")})
        await users.get_many(["b", "x"])
        assert seen == [
            ("after:set", "a", User("Ada", 36)),
            ("after:get", "a", User("Ada", 36)),
            ("after:get", "absent", None),
            ("after:set", "a", User("Ada", 37)),
            ("after:set", "a", User("Ada", 38)),
            ("after:delete", "a", True),
            ("after:delete", "a", False),
            ("after:set", "b", User("Bob")),
            ("after:set", "c", User("Cy")),
            ("after:get", "b", User("Bob")),
            ("after:get", "x", None),
        ]


async def test_what_a_hook_after_raises_undoes_nothing(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene.open() as db:
        users = db.collection("users", User)
        called: list[str] = []

        def raises(*_: object) -> None:
            raise Veto("secret")

        def interrupts(*_: object) -> None:
            raise KeyboardInterrupt

        users.on("after:set", raises)
        users.on("after:set", lambda *_: called.append("second"))
        with caplog.at_level(logging.ERROR, "holdfast"):
            await users.set("a", User("Ada"))
        assert called == ["second"]
        assert "Veto" in caplog.text
        assert "secret" not in caplog.text
        users.on("after:set", interrupts)
        users.on("after:set", lambda *_: called.append("last"))
        with pytest.raises(KeyboardInterrupt):
            await users.set("b", User("Bob"))
        assert called == ["second", "second", "last"]
        assert await users.get("b") == User("Bob")


async def test_a_document_that_became_another_while_hooks_ran_is_decided_anew(
    scene: Scene,
) -> None:
    async with scene.open() as db:
        users = db.collection("users", User)
        await users.set("a", User("Ada", 1))
        disturbed: list[int] = []

        async def disturbs(_key: str, value: User) -> None:
            if not disturbed:
                disturbed.append(value.age)
                async with scene.handle() as other:
                    await other.collection("users", User).set("a", User("Ada", 10))

        users.on("before:set", disturbs)
        changed = await users.modify("a", lambda user: User("Ada", (user or User("")).age + 1))
        assert disturbed == [2]
        assert changed == User("Ada", 11)
        assert await users.get("a") == User("Ada", 11)


@pytest.mark.row("I-064")
async def test_a_commit_is_one_change_event_with_all_it_did(scene: Scene) -> None:
    async with scene.open() as db:
        users = db.collection("users", User)
        commits: list[list[Change]] = []
        users.on("change", commits.append)
        await users.set("a", User("Ada"))
        assert [len(one) for one in commits] == [1]
        await users.batch(
            [
                ("set", "b", User("Bob")),
                ("set", "c", User("Cy")),
                ("set", "d", User("Di")),
                ("delete", "a"),
                ("set", "e", User("Ed")),
            ]
        )
        assert [len(one) for one in commits] == [1, 5]
        assert [(one.op, one.key, one.before, one.after) for one in commits[1]] == [
            ("set", "b", None, User("Bob")),
            ("set", "c", None, User("Cy")),
            ("set", "d", None, User("Di")),
            ("delete", "a", User("Ada"), None),
            ("set", "e", None, User("Ed")),
        ]
        await db.collection("others").set("x", {"n": 1})
        await users.set_many({f"m{number:03}": User("M") for number in range(300)})
        assert [len(one) for one in commits] == [1, 5, 300]


@pytest.mark.row("I-065")
async def test_nothing_is_told_before_a_commit_or_after_a_rollback(scene: Scene) -> None:
    async with scene.open() as db:
        users = db.collection("users", User)
        commits: list[list[Change]] = []
        users.on("change", commits.append)
        async with db.transaction() as tx:
            await tx.collection("users", User).set("a", User("Ada"))
            await tx.collection("users", User).set("b", User("Bob"))
            await db.collection("others").set("x", {})
            assert commits == []
        assert [len(one) for one in commits] == [2]
        async with db.transaction() as tx:
            await tx.collection("users", User).set("c", User("Cy"))
            await tx.rollback()

        async def fails(tx: Transaction) -> None:
            await tx.collection("users", User).set("c", User("Cy"))
            raise Veto

        with pytest.raises(Veto):
            await db.transact(fails)
        await db.collection("others").set("y", {})
        await asyncio.sleep(0.02)
        assert [len(one) for one in commits] == [2]


@pytest.mark.row("I-066")
async def test_failures_are_events(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene.open() as db:
        users = db.collection("users", User)
        await users.set("a", User("Ada"))
        seen: list[StoreError] = []
        users.on("error", seen.append)
        with pytest.raises(InvalidKey):
            await users.get("")
        with pytest.raises(StoreError):
            await users.set("a", "no user")  # type: ignore[arg-type]
        with pytest.raises(KeyNotFound):
            await users.patch("absent", {})
        failing = engine_of(db)

        async def fails(*_: object, **__: object) -> Any:
            raise holdfast.StoreError("the medium is broken")

        storage = await users._require()
        monkeypatch.setattr(storage.space, "peek", lambda _: holdfast_not_now())
        monkeypatch.setattr(storage.space, "read", fails)
        with pytest.raises(StoreError, match="broken"):
            await users.get("a")
        assert [type(one) for one in seen[:3]] == [InvalidKey, type(seen[1]), KeyNotFound]
        assert "broken" in seen[3].message
        assert len(seen) == 4
        assert failing is engine_of(db)


def holdfast_not_now() -> Any:
    from holdfast.contract.engine import NOT_NOW

    return NOT_NOW


@pytest.mark.row("I-068")
async def test_watching_by_pattern_expression_and_condition(scene: Scene) -> None:
    async with scene.open() as db:
        users = db.collection("users", User)
        seen: dict[str, list[str]] = {"text": [], "regex": [], "query": [], "name": []}

        def into(name: str) -> Any:
            return lambda change: seen[name].append(f"{change.op} {change.key}")

        subscriptions = [
            users.subscribe("user:*", into("text")),
            users.subscribe(re.compile(r"user:\d+"), into("regex")),
            users.subscribe(F.age >= 18, into("query")),
            users.subscribe("exact", into("name")),
        ]
        await users.set("user:1", User("Ada", 36))
        await users.set("user:1x", User("Bob", 3))
        await users.set("exact", User("Cy", 18))
        await users.set("exact", User("Cy", 17))
        await users.delete("user:1")
        assert seen == {
            "text": ["set user:1", "set user:1x", "delete user:1"],
            # The expression matches the whole key, anchored or not.
            "regex": ["set user:1", "delete user:1"],
            "query": ["set user:1", "set exact", "set exact", "delete user:1"],
            "name": ["set exact", "set exact"],
        }
        for one in subscriptions:
            one.unsubscribe()
            one.unsubscribe()
        await users.set("user:1", User("Ada"))
        assert len(seen["text"]) == 3
        await until(lambda: db._require_shared().tail.joined == 0)
        for wanted, error in (
            (5, InvalidInput),
            (re.compile(b"x"), InvalidInput),
            ("[", PatternInvalid),
        ):
            with pytest.raises(error):
                users.subscribe(wanted, print)


@pytest.mark.row("I-068")
async def test_a_watch_is_an_iterator_that_can_be_resumed(scene: Scene) -> None:
    async with scene.open() as db:
        users = db.collection("users", User)
        await users.set("user:0", User("Zoe"))
        begin = await db.head()
        await users.set("user:1", User("Ada", 36))
        await users.set("other", User("Bob"))
        await users.set("user:2", User("Cy", 18))
        watch = users.watch("user:*", since=begin)
        found = await first(watch, 2)
        assert [(one.key, one.after) for one in found] == [
            ("user:1", User("Ada", 36)),
            ("user:2", User("Cy", 18)),
        ]
        again = users.watch(re.compile(r"user:\d"), since=str(found[0].cursor))
        assert [one.key for one in await first(again, 1)] == ["user:2"]
        grown = users.watch(F.age >= 18, snapshot=True)
        told = await first(grown, 3)
        assert [(one.op, one.key) for one in told] == [
            ("set", "user:1"), ("set", "user:2"), ("snapshot_end", None),
        ]  # fmt: skip
        with pytest.raises(Unsupported):
            async with db.transaction() as tx:
                tx.collection("users").watch()


async def test_a_dropped_collection_is_told_to_every_watch(scene: Scene) -> None:
    async with scene.open() as db:
        users = db.collection("users", User)
        await users.set("a", User("Ada"))
        seen: list[str] = []
        with users.subscribe("none", lambda change: seen.append(change.op)):
            await users.drop()
            await until(lambda: bool(seen))
        assert seen == ["drop"]


async def test_expiry_and_other_processes_are_told(shared_scene: Scene) -> None:
    code = """
        import sys, holdfast.sync
        with holdfast.sync.open(sys.argv[1]) as db:
            db.collection("users").set("there", {"name": "Eve", "age": 1})
    """
    async with shared_scene.open() as db:
        users = db.collection("users", User)
        seen: list[tuple[str, str, str]] = []
        users.subscribe("*", lambda change: seen.append((change.key, change.op, change.cause)))
        await users.set("here", User("Ada"), ttl=5)
        shared_scene.clock.advance(6)
        await db.sweep()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", textwrap.dedent(code), shared_scene.url
        )
        assert await process.wait() == 0
        await until(lambda: len(seen) == 3)
        assert seen == [
            ("here", "set", "write"),
            ("here", "delete", "expired"),
            ("there", "set", "write"),
        ]


async def test_a_handler_may_write_and_what_it_raises_stops_nobody(scene: Scene) -> None:
    async with scene.open() as db:
        users, log = db.collection("users", User), db.collection("log")
        told: list[int] = []

        async def audits(changes: list[Change]) -> None:
            for one in changes:
                await log.set(f"{one.revision}-{one.index}", {"key": one.key})
                if one.key == "a":
                    await users.set("copy", User("Copy"))
            raise Veto

        users.on("change", audits)
        users.on("change", lambda changes: told.append(len(changes)))
        await users.set("a", User("Ada"))
        await until(lambda: told == [1, 1])
        assert {one["key"] async for one in log.values()} == {"a", "copy"}


async def test_a_handler_gets_objects_of_its_own_and_of_the_type(scene: Scene) -> None:
    async with scene.open() as db:
        plain = db.collection("users")
        spoiled: list[Any] = []
        second: list[Any] = []

        def spoils(changes: list[Change]) -> None:
            changes[0].after["tags"].append("spoiled")
            spoiled.append(changes[0].after)

        plain.on("change", spoils)
        plain.on("change", lambda changes: second.append(changes[0].after))
        await plain.set("a", {"tags": []})
        assert second == [{"tags": []}]
        assert await plain.get("a") == {"tags": []}


async def test_limits_and_places_where_nothing_is_told(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        users = db.collection("users", User)
        async with db.transaction() as tx:
            inside = tx.collection("users", User)
            with pytest.raises(Unsupported):
                inside.on("change", print)
            with pytest.raises(Unsupported):
                inside.subscribe("*", print)
        monkeypatch.setattr(hooks_module, "HANDLERS_MAX", 1)
        users.on("after:set", print)
        with pytest.raises(QuotaExceeded):
            users.on("after:set", print)
        users.on("change", print)
        with pytest.raises(QuotaExceeded):
            users.subscribe("*", print)
        users.off("after:set", print)
    with pytest.raises(StoreClosed):
        users.on("after:set", print)


async def test_hooks_run_inside_transactions(scene: Scene) -> None:
    async with scene.open() as db:
        users: Collection[User] = db.collection("users", User)
        seen: list[str] = []
        users.on("before:set", lambda key, _: seen.append(key))
        async with db.transaction() as tx:
            await tx.collection("users", User).set("a", User("Ada"))
        assert seen == ["a"]


def test_without_a_loop(tmp_path: Any) -> None:
    with holdfast.sync.open(f"sqlite:///{tmp_path / 'app'}") as db:
        users = db.collection("users", User)
        commits: list[list[Change]] = []
        users.on("change", commits.append)
        users.set("a", User("Ada"))
        assert [(one.key, one.after) for one in commits[0]] == [("a", User("Ada"))]

        async def coroutine(*_: object) -> None:
            raise AssertionError

        with pytest.raises(InvalidInput, match="event loop"):
            users.on("before:set", coroutine)

        def refuses(*_: object) -> None:
            raise Veto

        users.on("before:delete", refuses)
        with pytest.raises(Veto):
            users.delete("a")
        assert users.has("a")


async def test_names_that_are_asked_for_and_forgotten_leave_nothing(scene: Scene) -> None:
    """A handle that serves many tenants asks for each by name."""
    async with scene.open() as db:
        told: list[str] = []
        kept = db.collection("kept")
        kept.on("after:set", lambda key, _: told.append(key))
        collections = kept._collections
        del kept
        for number in range(1000):
            assert await db.collection(f"tenant {number}").get("a") is None
        gc.collect()
        assert len(collections._hooks) == 1
        await db.collection("kept").set("a", {"n": 1})
        assert told == ["a"]
