"""Live queries: results that stay what the query gives, told by steps that lead there."""

import asyncio
import gc
import random
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.errors import (
    IndexNotFound,
    InvalidQuery,
    QuotaExceeded,
    SchemaValidationFailed,
    StoreClosed,
    Unsupported,
)
from holdfast.documents.live import hub as hub_module
from holdfast.documents.live import result as result_module
from holdfast.documents.live.query import LiveQuery
from holdfast.documents.query import F, Query
from holdfast.documents.results import LiveChange
from holdfast.documents.walking import Moment
from tests.store.scene import Scene, until


@dataclass
class City:
    name: str
    country: str
    population: int


def replayed(rows: list[tuple[str, Any]], change: LiveChange[Any]) -> None:
    """Do to a list what a change says."""
    match change.kind:
        case "added":
            assert (change.previous, change.before) == (-1, None)
            rows.insert(change.index, (change.key, change.value))
        case "removed":
            assert (change.index, change.value) == (-1, None)
            assert rows.pop(change.previous) == (change.key, change.before)
        case "changed":
            assert change.index == change.previous
            assert rows[change.index] == (change.key, change.before)
            rows[change.index] = (change.key, change.value)
        case "moved":
            assert change.index != change.previous
            assert rows.pop(change.previous) == (change.key, change.before)
            rows.insert(change.index, (change.key, change.value))


def shown(live: LiveQuery[Any]) -> list[tuple[str, Any]]:
    return [(one.key, one.value) for one in live.results]


async def settled(live: LiveQuery[Any], rows: list[tuple[str, Any]], wanted: Any) -> None:
    """Take changes until the result is what is wanted; each leads from one result to the next."""
    async with asyncio.timeout(20):
        while rows != wanted:
            change = await anext(live)
            replayed(rows, change)
            assert rows == shown(live)
            assert len(live) == len(rows)


async def test_a_result_tells_what_comes_changes_moves_and_goes(scene: Scene) -> None:
    async with scene.open() as db:
        cities = db.collection("cities", City)
        await cities.set("kyoto", City("Kyoto", "JP", 1_459))
        await cities.set("oslo", City("Oslo", "NO", 709))
        async with cities.live(F.country == "JP", order_by=-F.population) as live:
            assert [one.value.name for one in live.results] == ["Kyoto"]

            await cities.set("tokyo", City("Tokyo", "JP", 14_000))
            change = await anext(live)
            assert change == LiveChange(
                "added", "tokyo", City("Tokyo", "JP", 14_000), None, 0, -1, last=True
            )
            await cities.set("kyoto", City("Kyōto", "JP", 1_459))
            change = await anext(live)
            assert (change.kind, change.index, change.previous) == ("changed", 1, 1)
            assert change.before is not None
            assert (change.before.name, change.value and change.value.name) == ("Kyoto", "Kyōto")

            await cities.patch("kyoto", {"population": 20_000})
            change = await anext(live)
            assert (change.kind, change.index, change.previous) == ("moved", 0, 1)

            await cities.patch("tokyo", {"country": "NO"})
            change = await anext(live)
            assert (change.kind, change.key, change.previous, change.value) == (
                "removed", "tokyo", 1, None,
            )  # fmt: skip
            await cities.delete("kyoto")
            assert (await anext(live)).kind == "removed"
            assert live.results == []
            await cities.set("bergen", City("Bergen", "NO", 270))
            assert await live.poll(0.05) is None


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"order_by": -F.n},
        {"order_by": (F.kind, -F.n)},
        {"order_by": F.n, "limit": 3},
        {"order_by": -F.n, "limit": 3, "offset": 2},
        {"limit": 5, "offset": 1},
        {"order_by": F.n, "offset": 4},
        {"limit": 0},
    ],
)
async def test_steps_lead_to_what_the_query_gives_whatever_is_written(
    scene: Scene, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_module, "SPARE_MIN", 2)
    monkeypatch.setattr(hub_module, "READ_DOCUMENTS", 3)
    chance = random.Random(7)
    async with scene.open() as db:
        things = db.collection("things")
        for number in range(12):
            await things.set(f"k{number}", {"n": chance.randrange(9), "kind": "a"})
        async with things.live(F.n < 8, **asked) as live:
            rows = shown(live)
            for _ in range(25):
                async with db.transaction() as tx:
                    inside = tx.collection("things")
                    for _ in range(chance.randrange(1, 6)):
                        key = f"k{chance.randrange(16)}"
                        if chance.random() < 0.3:
                            await inside.delete(key)
                        else:
                            kind = chance.choice("ab")
                            await inside.set(key, {"n": chance.randrange(10), "kind": kind})
                wanted = [(one.key, one.value) async for one in things.query(F.n < 8, **asked)]
                await settled(live, rows, wanted)


async def test_one_change_of_a_big_result_costs_one_evaluation(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set_many({f"k{number:05}": {"n": number} for number in range(2_000)})
        async with things.live(F.n >= 0, order_by=F.n) as live:
            assert len(live) == 2_000
            hub = live._hub
            before = hub.evaluations
            await things.set("k00007", {"n": 1_000.5})
            change = await anext(live)
            assert (change.kind, change.previous, change.index) == ("moved", 7, 1_000)
            assert hub.evaluations - before == 1


async def test_of_a_thousand_live_queries_those_are_asked_that_a_change_concerns(
    scene: Scene,
) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set("first", {"owner": 5, "size": 50})
        many = [
            things.live(owner=number) if number % 2 else things.live(
                (F.size >= 10 * number) & (F.size < 10 * number + 10)
            )
            for number in range(1_000)
        ]  # fmt: skip
        for one in many:
            await one.begin()
        hub = many[0]._hub
        before = hub.evaluations
        await things.set("second", {"owner": 7, "size": 85})
        change = await anext(many[7])
        assert (change.kind, change.key) == ("added", "second")
        assert (await anext(many[8])).kind == "added"
        assert hub.evaluations - before == 2
        # What one of them holds concerns it, whatever becomes of it.
        await things.set("second", {"owner": 9, "size": 0})
        assert (await anext(many[7])).kind == "removed"
        assert (await anext(many[9])).kind == "added"
        assert hub.evaluations - before == 2 + 4
        tail = db._require_shared().tail
        assert tail.joined == 1
        for one in many:
            await one.aclose()
        await until(lambda: tail.joined == 0)
        assert not hub.holders


async def test_a_commit_is_told_whole_or_not_at_all(scene: Scene) -> None:
    async with scene.open() as db:
        accounts = db.collection("accounts")
        await accounts.set_many({"a": {"money": 100}, "b": {"money": 100}})

        async def move() -> None:
            for _ in range(40):
                async with db.transaction() as tx:
                    inside = tx.collection("accounts")
                    a, b = await inside.require("a"), await inside.require("b")
                    await inside.set("a", {"money": a["money"] - 1})
                    await inside.set("b", {"money": b["money"] + 1})

        async with accounts.live() as live:
            rows = dict(shown(live))
            moving = asyncio.create_task(move())
            async with asyncio.timeout(20):
                while rows["b"]["money"] < 140:
                    change = await anext(live)
                    assert change.value is not None
                    rows[change.key] = change.value
                    if change.last:
                        assert rows["a"]["money"] + rows["b"]["money"] == 200
            await moving


async def test_a_slow_reader_is_told_the_last_state_of_each_document(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        async with things.live() as live:
            for number in range(50):
                await things.set("k", {"n": number})
            await things.set("other", {"n": 0})
            await things.delete("other")
            await until(lambda: live._hub.position >= db.revision)
            change = await anext(live)
            assert (change.kind, change.value, change.last) == ("added", {"n": 49}, True)
            assert await live.poll(0.01) is None


async def test_a_cancelled_wait_loses_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        async with things.live() as live:
            for number in range(20):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.002):
                        await anext(live)
                await things.set(f"k{number}", {"n": number})
                change = await anext(live)
                assert change.key == f"k{number}"


async def test_what_others_commit_is_told(shared_scene: Scene) -> None:
    code = """
        import sys, holdfast.sync
        with holdfast.sync.open(sys.argv[1]) as db:
            things = db.collection("things")
            things.set("elsewhere", {"n": 1})
            things.create_index("by_n", "n")
            things.set("elsewhere", {"n": 2})
    """
    async with shared_scene.open() as db:
        things = db.collection("things")
        async with things.live(F.n > 1) as live:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", textwrap.dedent(code), shared_scene.url
            )
            async with asyncio.timeout(30):
                change = await anext(live)
                assert await process.wait() == 0
            assert (change.kind, change.key, change.value) == ("added", "elsewhere", {"n": 2})


async def test_a_collection_that_is_dropped_leaves_an_empty_result(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set_many({"a": {"n": 1}, "b": {"n": 2}})
        async with things.live() as live:
            rows = shown(live)
            await things.drop()
            await settled(live, rows, [])
            await things.set("c", {"n": 3})
            await settled(live, rows, [("c", {"n": 3})])


async def test_a_document_that_runs_out_leaves(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set("short", {"n": 1}, ttl=5)
        async with things.live() as live:
            assert len(live) == 1
            scene.clock.advance(6)
            await db.sweep()
            assert (await anext(live)).kind == "removed"


async def test_selected_fields_and_big_documents(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        big = "x" * 300_000
        async with things.live(F.n == 1, select=["text"]) as live:
            await things.set("big", {"n": 1, "text": big})
            change = await anext(live)
            assert change.value == {"text": big}


async def test_what_is_told_is_the_readers_own(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set("k", {"tags": ["a"]})
        async with things.live() as live:
            live.results[0].value["tags"].append("spoiled")
            assert shown(live) == [("k", {"tags": ["a"]})]
            await things.set("k", {"tags": ["b"]})
            change = await anext(live)
            assert change.before == {"tags": ["a"]}


async def test_changes_that_the_feed_has_given_up_are_read_from_the_collection(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set("old", {"n": 0})
        async with things.live() as live:
            rows = shown(live)
            advance, go_on = live._hub._advance, asyncio.Event()

            async def late(runtime: Any) -> None:
                await go_on.wait()
                await advance(runtime)

            monkeypatch.setattr(live._hub, "_advance", late)
            for number in range(20):
                await things.set(f"k{number:02}", {"n": number})
            await things.delete("old")
            await db.retention.keep_feed(changes_max=1)
            await db.compact()
            assert await db._require_shared().feed.oldest() > live._hub.position + 1
            go_on.set()
            wanted = [(f"k{number:02}", {"n": number}) for number in range(20)]
            await settled(live, rows, wanted)


async def test_errors_say_what_is_wrong_and_end_that_query_alone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set("k", {"n": 1})
        with pytest.raises(InvalidQuery):
            things.live(Query(after="x"))
        with pytest.raises(IndexNotFound):
            async with things.live(F.n == 1, hint="absent"):
                pass
        async with db.transaction() as tx:
            with pytest.raises(Unsupported):
                tx.collection("things").live()
        monkeypatch.setattr(result_module, "RESULTS_MAX", 2)
        async with things.live(F.n == 1) as good, things.live() as full:
            await things.set_many({"a": {}, "b": {}})
            with pytest.raises(QuotaExceeded):
                await anext(full)
            await things.set("c", {"n": 1})
            assert (await anext(good)).key == "c"
        monkeypatch.setattr(hub_module, "LIVE_QUERIES_MAX", 0)
        with pytest.raises(QuotaExceeded):
            await things.live().begin()


async def test_closing_the_handle_ends_the_wait(scene: Scene) -> None:
    async with scene.handle() as keeper:
        await keeper.head()
        db = await scene.handle().open()
        live = await db.collection("things").live().begin()
        waiting = asyncio.create_task(anext(live))
        await asyncio.sleep(0.01)
        await db.close()
        with pytest.raises(StoreClosed):
            await waiting
        with pytest.raises(StoreClosed):
            await anext(live)


async def test_an_abandoned_live_query_leaves_nothing_behind(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set("k", {"n": 1})
        live: LiveQuery[Any] | None = await things.live().begin()
        assert live is not None
        hub, tail = live._hub, db._require_shared().tail
        live = None
        gc.collect()
        await until(lambda: tail.joined == 0)
        assert not hub.holders
        # And the next one finds everything in order.
        async with things.live() as again:
            assert len(again) == 1


def test_without_a_loop(tmp_path: Any) -> None:
    with holdfast.sync.open(f"lmdb:///{tmp_path / 'app'}") as db:
        things = db.collection("things")
        with things.live(F.n > 1, order_by=F.n) as live:
            assert live.results == []
            things.set("a", {"n": 5})
            things.set("b", {"n": 1})
            things.set("c", {"n": 3})
            kinds = [next(live) for _ in range(2)]
            assert {one.key for one in kinds} == {"a", "c"}
            assert [one.key for one in live.results] == ["c", "a"]
            assert live.poll(0.01) is None
            things.delete("a")
            for change in live:
                assert change.kind == "removed"
                break


async def test_full_text_and_places_are_understood_as_by_the_indexes(scene: Scene) -> None:
    async with scene.open() as db:
        notes = db.collection("notes")
        await notes.create_index("words", "text", kind="text", language="english")
        near = F.place.near(35.0, 135.7, 10_000)
        async with notes.live(F.text.matches("running")) as words, notes.live(near) as places:
            await notes.set("a", {"text": "he runs", "place": [0, 0]})
            assert (await anext(words)).key == "a"
            await notes.set("b", {"text": "he sits", "place": [135.71, 35.01]})
            assert (await anext(places)).key == "b"
            await notes.patch("a", {"text": "he sat"})
            assert (await anext(words)).kind == "removed"
            assert await places.poll(0.01) is None


async def test_a_document_that_does_not_fit_the_type_is_told_as_an_error_and_passed_over(
    scene: Scene,
) -> None:
    async with scene.open() as db:
        cities, plain = db.collection("cities", City), db.collection("cities")
        async with cities.live() as live:
            await plain.set("bad", {"name": 5})
            with pytest.raises(SchemaValidationFailed):
                await anext(live)
            await cities.set("oslo", City("Oslo", "NO", 709))
            assert (await anext(live)).key == "oslo"


async def test_beginning_can_be_cancelled_and_goes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set("k", {"n": 1})
        live, go_on = things.live(), asyncio.Event()
        load = live._hub._load

        async def late(*arguments: Any) -> None:
            await go_on.wait()
            await load(*arguments)

        monkeypatch.setattr(live._hub, "_load", late)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await live.begin()
        go_on.set()
        await live.begin()
        assert len(live) == 1
        await live.aclose()
        await live.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(live)


def test_another_thread_ends_the_wait(tmp_path: Any) -> None:
    with holdfast.sync.open(f"lmdb:///{tmp_path / 'app'}") as db:
        live = db.collection("things").live().begin()
        ended: list[object] = []

        def waits() -> None:
            ended.extend(live)
            ended.append("end")

        waiting = threading.Thread(target=waits)
        waiting.start()
        time.sleep(0.05)
        live.close()
        waiting.join(20)
        assert ended == ["end"]


@pytest.mark.platform("only systems with fork have children that inherit a handle")
def test_a_forked_child_is_refused_and_does_not_wait(tmp_path: Any) -> None:
    program = """
        import os, sys
        import holdfast.sync
        from holdfast.contract.errors import StoreError
        with holdfast.sync.open(sys.argv[1]) as db:
            live = db.collection("things").live().begin()
            child = os.fork()
            if child == 0:
                try:
                    next(live)
                except StoreError as error:
                    os.write(1, str(error.code).encode())
                os._exit(0)
            os.waitpid(child, 0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), f"lmdb:///{tmp_path / 'app'}"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout in ("STORE_CLOSED", "WRONG_CONTEXT")


async def test_what_was_written_before_is_in_a_result_that_begins(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that began while the reader brought others to an earlier moment was read at that."""
    taken: asyncio.Queue[asyncio.Event] = asyncio.Queue()
    slow = False

    class SlowMoment(Moment):
        async def begin(self) -> Any:
            view = await super().begin()
            if slow:
                go_on = asyncio.Event()
                taken.put_nowait(go_on)
                await go_on.wait()
            return view

    monkeypatch.setattr(hub_module, "Moment", SlowMoment)
    async with scene.open() as db, asyncio.timeout(20):
        things = db.collection("things")
        async with things.live(F.n >= 0) as other:
            slow = True
            await things.set("a", {"n": 1})
            before = await taken.get()
            await things.set("b", {"n": 2})
            live = things.live(F.n == 2)
            beginning = asyncio.ensure_future(live.begin())
            await asyncio.sleep(0)
            before.set()
            after = await taken.get()
            for _ in range(10):
                await asyncio.sleep(0)
            assert not beginning.done()
            slow = False
            after.set()
            await beginning
            assert [one.key for one in live.results] == ["b"]
            assert [(await anext(other)).key for _ in range(2)] == ["a", "b"]
            await live.aclose()
