"""Indexes: made online, kept exact, chosen and explained."""

import asyncio
import multiprocessing
from typing import Any

import pytest

import holdfast.sync
from holdfast.contract.errors import (
    Conflict,
    DuplicateKey,
    IndexExists,
    IndexNotFound,
    InvalidInput,
    InvalidName,
    InvalidQuery,
    InvalidValue,
    StoreError,
)
from holdfast.documents.indexing import build
from holdfast.documents.query import F, parse_expression
from holdfast.documents.steps import Put, Step
from tests.store.scene import Scene, engine_of, listed, rows_of

PEOPLE = [
    {"name": f"n{at:03}", "age": at % 50, "city": "abc"[at % 3], "at": {"lat": at / 3, "lon": at}}
    for at in range(150)
]


async def peopled(db: Any, name: str = "people") -> Any:
    people = db.collection(name)
    await people.set_many({f"k{at:03}": person for at, person in enumerate(PEOPLE)})
    return people


def stage_of(told: dict[str, Any], stage: str) -> dict[str, Any] | None:
    """The stage of that name in an explanation."""
    tree = told["plan"]
    while tree is not None:
        if tree["stage"] == stage:
            return tree  # type: ignore[no-any-return]
        tree = tree.get("input")
    return None


@pytest.mark.row("I-040", "trap 35")
async def test_an_index_survives_transactions_and_restarts(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        people = await peopled(db)
        await people.create_index("age", ["age", "-name"])
        async with db.transaction() as tx:
            await tx.collection("people").set("new", {"age": 7, "name": "new"})
            await tx.collection("people").delete("k007")
        tx = await db.transaction().begin()
        await tx.collection("people").set("never", {"age": 7})
        await tx.rollback()
    async with kept_scene.open() as db:
        people = db.collection("people")
        found = [one.key async for one in people.query(age=7, order_by="-name")]
        assert found == ["new", "k107", "k057"]
        assert stage_of(await people.explain(age=7), "index_scan") is not None


@pytest.mark.row("I-041")
async def test_a_name_is_taken_once(scene: Scene) -> None:
    async with scene.open() as db:
        people = await peopled(db)
        await people.create_index("age", "age")
        with pytest.raises(IndexExists):
            await people.create_index("age", "age")
        with pytest.raises(IndexExists):
            await people.create_index("age", "name")


@pytest.mark.row("I-041")
async def test_a_build_loses_no_write(scene: Scene) -> None:
    async with scene.open() as db:
        people = await peopled(db)
        await people.set_many({f"z{at:04}": {"age": 1000 + at} for at in range(3000)})
        told: list[int] = []

        async def write() -> None:
            for at in range(1000):
                if at % 3 == 0:
                    await people.set(f"w{at}", {"age": 5000 + at})
                elif at % 3 == 1:
                    await people.patch(f"z{at:04}", {"age": 9000 + at})
                else:
                    await people.delete(f"z{2999 - at:04}")
                if at % 50 == 0:
                    await asyncio.sleep(0)

        writing = asyncio.create_task(write())
        await asyncio.sleep(0)
        await people.create_index("age", "age", progress=told.append)
        await writing
        assert told[-1] > 3000 - 400
        assert told == sorted(told)
        by_scan = await people.find_many(F.age >= 1000, order_by="age", hint="")
        assert await people.find_many(F.age >= 1000, order_by="age", hint="age") == by_scan


@pytest.mark.row("I-041")
async def test_a_build_goes_on_where_it_was_broken_off(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "BUILD_ROWS", 20)
    async with scene.open() as db:
        people = await peopled(db)

        def broken(count: int) -> None:
            if count >= 60:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await people.create_index("age", "age", progress=broken)
        assert [one.state for one in await people.list_indexes()] == ["building"]
        assert stage_of(await people.explain(age=7), "collection_scan") is not None
        await people.set("k000", {"age": 7})
        await people.delete("k149")
        with pytest.raises(IndexExists):
            await people.create_index("age", "name")
        told: list[int] = []
        await people.create_index("age", "age", progress=told.append)
        assert max(told) < 100
        assert await people.count(age=7, hint="age") == 4
        assert await people.count(F.age >= 0, hint="age") == 149


@pytest.mark.row("I-042", "trap 36")
async def test_kinds_differ(scene: Scene) -> None:
    async with scene.open() as db:
        people = await peopled(db)
        for kind, field in (("btree", "age"), ("hash", "name"), ("text", "city"), ("geo", "at")):
            await people.create_index(kind, field, kind=kind)
        cases = [
            (F.age > 45, "btree"),
            (F.name == "n001", "hash"),
            (F.city.matches("a"), "text"),
            (F.at.within(west=1, south=0, east=9, north=3), "geo"),
            (F.at.near(10, 30, 500_000), "geo"),
        ]
        for condition, kind in cases:
            told = await people.explain(condition)
            scan = stage_of(told, "index_scan")
            assert scan is not None
            assert scan["kind"] == kind
            by_scan = [one.key async for one in people.query(condition, hint="")]
            assert by_scan
            assert [one.key async for one in people.query(condition)] == by_scan
            assert told["examined"]["documents"] < len(PEOPLE)
        assert stage_of(await people.explain(F.name > "n001"), "collection_scan") is not None


@pytest.mark.row("I-043")
async def test_directions_spare_the_sort(scene: Scene) -> None:
    async with scene.open() as db:
        people = await peopled(db)
        await people.create_index("city", ["city", "-age"])
        for order in (["city", "-age"], ["-city", "age"]):
            told = await people.explain(order_by=order, limit=5)
            assert stage_of(told, "index_scan") is not None
            assert stage_of(told, "top") is None
            assert told["examined"]["documents"] <= 32
            assert told["warnings"] == []
        mixed = await people.explain(order_by=["city", "age"], limit=5)
        assert stage_of(mixed, "top") is not None
        within = await people.explain(city="b", order_by="-age", limit=5)
        assert stage_of(within, "top") is None


@pytest.mark.row("I-044", "I-103", "I-117")
async def test_a_unique_index_refuses(scene: Scene) -> None:
    async with scene.open() as db:
        users = db.collection("users")
        await users.create_index("email", "email", unique=True)
        await users.set("a", {"email": "a@x"})
        await users.set("none", {})
        await users.set("null", {"email": None})
        await users.set("another null", {"email": None})
        with pytest.raises(DuplicateKey) as caught:
            await users.set("b", {"email": "a@x"})
        assert caught.value.details["index"] == "email"
        assert "a@x" not in str(caught.value)
        with pytest.raises(DuplicateKey):
            await users.set_many({"c": {"email": "c@x"}, "d": {"email": "c@x"}})
        assert await users.size() == 4
        async with db.transaction() as tx:
            with pytest.raises(DuplicateKey):
                await tx.collection("users").set("b", {"email": "a@x"})
            await tx.collection("users").set("b", {"email": "b@x"})
        await users.set("a", {"email": "a@x", "more": 1})
        await users.patch("a", {"email": "new@x"})
        await users.set("c", {"email": "a@x"})
        await users.delete("c")
        await users.set("d", {"email": "a@x"}, ttl=1)
        scene.clock.advance(5)
        await users.set("e", {"email": "a@x"})  # Nobody has swept what ran out.
        assert [one.key async for one in users.query(email="a@x", hint="email")] == ["e"]
        assert await users.count(email=1) == 0


@pytest.mark.row("I-044")
async def test_two_transactions_with_one_value(scene: Scene) -> None:
    async with scene.open() as db:
        users = db.collection("users")
        await users.create_index("email", "email", unique=True)
        one = await db.transaction().begin()
        await one.collection("users").set("a", {"email": "x"})
        await users.set("b", {"email": "x"})
        with pytest.raises((Conflict, DuplicateKey)):
            await one.commit()
        assert await listed(users.keys()) == ["b"]


async def test_a_unique_build_over_duplicates_fails_visibly(scene: Scene) -> None:
    async with scene.open() as db:
        people = await peopled(db)
        with pytest.raises(DuplicateKey):
            await people.create_index("city", "city", unique=True)
        [failed] = await people.list_indexes()
        assert (failed.state, failed.entries) == ("failed", 0)
        assert "DUPLICATE_KEY" in failed.failure
        await people.set("more", {"city": "a"})
        assert await people.count(city="a") == 51
        with pytest.raises(IndexExists):
            await people.create_index("city", "city")
        await people.drop_index("city")
        await people.create_index("city", "city")
        assert await people.count(city="a", hint="city") == 51


async def test_a_unique_index_while_it_is_built(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that wanders from a document not yet taken in leaves no wrong row."""
    monkeypatch.setattr(build, "BUILD_ROWS", 1)
    async with scene.open() as db:
        things = db.collection("things")
        await things.set_many({"a": {"n": 1}, "b": {"n": 1}, "c": {"n": 3}})

        def broken(_count: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await things.create_index("n", "n", unique=True, progress=broken)
        await things.set("b", {"n": 2, "note": 1})  # Its 1 is not its own in the index.
        await things.set("c", {"n": 3, "note": 1})
        with pytest.raises(DuplicateKey):
            await things.set("d", {"n": 1})
        await things.create_index("n", "n", unique=True)
        assert [one.key async for one in things.query(n=1, hint="n")] == ["a"]
        assert await things.count(F.n > 0, hint="n") == 3


@pytest.mark.row("I-045", "I-117")
async def test_a_sparse_index_leaves_out_what_lacks_the_field(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        rows = {f"k{at:02}": {"n": at} if at % 10 == 0 else {} for at in range(100)}
        await things.set_many(rows)
        await things.create_index("n", "n", sparse=True)
        assert (await things.list_indexes())[0].entries == 10
        assert await things.count(n=None) == 90
        assert len(await things.find_many(order_by="n")) == 100
        assert await things.count(F.n >= 50, hint="n") == 5
        with pytest.raises(InvalidQuery):
            await things.count(n=None, hint="n")


@pytest.mark.row("I-046")
async def test_facts_are_live(scene: Scene) -> None:
    async with scene.open() as db:
        people = await peopled(db)
        await people.create_index("age", ["age", "name"])
        [before] = await people.list_indexes()
        assert (before.entries, before.hits, before.misses) == (150, 0, 0)
        assert before.size > 150 * 10
        await people.find_many(age=7)
        await people.find_many(name="n001")
        await listed(people.query(age=8))
        assert await people.count(age=8) == 3
        await people.delete("k000")
        [after] = await people.list_indexes()
        assert (after.entries, after.hits, after.misses) == (149, 3, 1)
        assert after.size < before.size
        assert after.fields == ["age", "name"]


@pytest.mark.row("I-047")
async def test_drop_gives_the_rows_back(scene: Scene) -> None:
    async with scene.open() as db:
        people = await peopled(db)
        before = len(await rows_of(db))
        await people.create_index("age", "age")
        with pytest.raises(IndexNotFound):
            await people.drop_index("other")
        walk = people.query(F.age >= 0, order_by="age", hint="age")
        await anext(walk)
        await people.drop_index("age")
        assert len([one async for one in walk]) == 149
        assert len(await rows_of(db)) <= before + 1  # The catalogue remembers the number.
        assert await people.list_indexes() == []
        assert await people.count(age=7) == 3
        with pytest.raises(IndexNotFound):
            await people.count(age=7, hint="age")


async def test_a_drop_that_was_broken_off_is_finished(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        people = await peopled(db)
        before = len(await rows_of(db))
        await people.create_index("age", "age")

        async def broken(_storage: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(build, "finish_drops", broken)
            with pytest.raises(KeyboardInterrupt):
                await people.drop_index("age")
        assert await people.list_indexes() == []
        assert len(await rows_of(db)) > before + 100
        await people.create_index("age", "age")
        await people.drop_index("age")
        assert len(await rows_of(db)) <= before + 1


@pytest.mark.row("I-048")
async def test_explain_tells_what_really_happens(scene: Scene) -> None:
    async with scene.open() as db:
        people = await peopled(db)
        wanted = (F.age >= 10) & (F.age < 12) & (F.city == "b")
        told = await people.explain(wanted, order_by="name")
        assert stage_of(told, "collection_scan") is not None
        assert told["examined"] == {"keys": 0, "documents": 150}
        assert len(told["warnings"]) == 2
        returned = told["returned"]
        await people.create_index("age", "age")
        await people.create_index("city age", ["city", "age"])
        told = await people.explain(wanted, order_by="name")
        scan = stage_of(told, "index_scan")
        assert scan is not None
        assert scan["index"] == "city age"
        assert scan["bounds"] == {"city": ["'b'"], "age": ["[10, 12)"]}
        assert stage_of(told, "filter") is None
        assert told["returned"] == returned == told["examined"]["documents"]
        assert told["examined"]["keys"] == returned
        assert [one["index"] for one in told["rejected"]] == ["age"]
        assert told["seconds"] >= 0
        assert told["engine"] == scene.engine
        union = await people.explain((F.age == 3) | (F.city == "b"))
        assert stage_of(union, "union") is not None
        assert await people.find_many((F.age == 3) | (F.city == "b")) == await people.find_many(
            (F.age == 3) | (F.city == "b"), hint=""
        )


async def test_a_collection_that_is_not_there(scene: Scene) -> None:
    async with scene.open() as db:
        absent = db.collection("absent")
        assert await absent.list_indexes() == []
        assert (await absent.explain(a=1))["plan"] == {"stage": "empty_collection"}
        assert await absent.count(a=1) == 0
        assert await absent.clear() == 0
        assert (await absent.page()).results == []
        with pytest.raises(IndexNotFound):
            await absent.drop_index("a")
        assert await db.collection("other").get("k") is None
        assert await listed(absent.keys()) == []
        assert [one async for one in db._require_shared().keyspaces.list("documents")] == []


@pytest.mark.row("I-023")
async def test_a_count_within_bounds_reads_no_document(scene: Scene) -> None:
    async with scene.open() as db:
        people = await peopled(db)
        await people.create_index("age", "age")
        read: list[Any] = []
        engine = engine_of(db)
        original, sift = engine.scan, engine.peek_sifted

        async def scan(range: Any, **keywords: Any) -> Any:
            page = await original(range, **keywords)
            read.extend(key for key, _ in page.rows if key[5:6] == b"D")
            return page

        def sifted(range: Any, look: Any, at: Any) -> Any:
            assert sift is not None

            def noting(value: bytes) -> Any:
                read.append(value)
                return look(value)

            return sift(range, noting, at)

        engine.scan = scan  # type: ignore[method-assign]
        engine.peek_sifted = None if sift is None else sifted
        try:
            assert await people.count(F.age < 10) == 30
            assert read == []
            assert await people.count(F.age < 10, hint="") == 30
            assert len(read) == 150
        finally:
            engine.scan = original  # type: ignore[method-assign]
            engine.peek_sifted = sift


@pytest.mark.row("I-024")
async def test_find_one_stops_early(scene: Scene) -> None:
    async with scene.open() as db:
        people = await peopled(db)
        await people.create_index("name", "name")
        assert (await people.find_one(order_by="-name"))["name"] == "n149"
        assert (await people.explain(order_by="-name", limit=1))["examined"]["documents"] == 1
        assert await people.find_one(name="nobody") is None


@pytest.mark.parametrize("places", [[{"lat": 1, "lon": 2}, [3, 4]], None, []])
async def test_places_of_a_document(scene: Scene, places: Any) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.create_index("at", "at", kind="geo")
        await things.set("k", {"at": places})
        await things.set("k", {"at": places, "more": 1})
        assert (await things.list_indexes())[0].entries == len(places or ())
        for bad in ({"lat": 91, "lon": 0}, "nowhere", 7):
            with pytest.raises(InvalidValue) as caught:
                await things.set("bad", {"at": bad})
            assert caught.value.details["index"] == "at"
        assert await things.size() == 1


@pytest.mark.row("trap 36")
async def test_the_nearest_come_first(scene: Scene) -> None:
    async with scene.open() as db:
        places = db.collection("places")
        await places.set_many(
            {
                f"k{at:03}": {"at": [at * 1.1 - 179, (at * 7) % 170 - 85], "n": at}
                for at in range(300)
            }
            | {"none": {}}
        )
        await places.create_index("at", "at", kind="geo")
        for point in ((0, 0), (80, 179.9), (-89, 10)):
            for condition in (F.at.near(*point), F.at.near(*point) & (F.n > 100)):
                query: dict[str, Any] = {"order_by": F.at.distance(*point), "limit": 10}
                told = await places.explain(condition, **query)
                assert stage_of(told, "nearest") is not None
                by_scan = await places.find_many(condition, **query, hint="")
                assert await places.find_many(condition, **query) == by_scan
                assert len(by_scan) == 10


@pytest.mark.row("I-038", "trap 36")
async def test_search_ranks_by_relevance(scene: Scene) -> None:
    async with scene.open() as db:
        notes = db.collection("notes")
        with pytest.raises(IndexNotFound):
            await notes.search("red")
        await notes.create_index("text", ["title", "body"], kind="text", weights=[3, 1])
        await notes.set_many(
            {
                "often": {"title": "x", "body": "red red fox", "n": 1},
                "once": {"title": "x", "body": "red fox and a long tail of other words", "n": 1},
                "title": {"title": "red", "body": "nothing", "n": 2},
                "none": {"title": "blue", "body": "blue", "n": 1},
            }
        )
        found = await notes.search("red")
        assert [one.key for one in found] == ["title", "often", "once"]
        scores = [one.score for one in found if one.score is not None]
        assert scores == sorted(scores, reverse=True)
        assert [one.key for one in await notes.search('"red fox"', limit=1)] == ["often"]
        assert [one.key for one in await notes.search("red", n=1)] == ["often", "once"]
        assert await notes.search("red", limit=0) == []
        await notes.set("often", {"title": "x", "body": "green"})
        await notes.delete("title")
        await notes.set("late", {"title": "y", "body": "red"}, ttl=1)
        scene.clock.advance(5)
        assert [one.key for one in await notes.search("red")] == ["once"]
        await db.sweep()
        assert [one.key for one in await notes.search("red OR green")] == ["often", "once"]
        with pytest.raises(InvalidQuery):
            await notes.search("NOT red")
        await notes.create_index("second", "body", kind="text", language="english")
        with pytest.raises(InvalidQuery):
            await notes.search("red")
        assert [one.key for one in await notes.search("words", index="second")] == ["once"]
        with pytest.raises(IndexNotFound):
            await notes.search("red", index="third")


@pytest.mark.row("trap 36")
async def test_searches_agree_with_a_scan(scene: Scene) -> None:
    async with scene.open() as db:
        notes = db.collection("notes")
        words = ["red", "fox", "blue", "runs", "running"]
        await notes.set_many(
            {
                f"k{at:03}": {
                    "title": " ".join(words[(at + step * at) % 5] for step in range(at % 4)),
                    "texts": [words[at % 5], words[at % 3]] if at % 7 else "red fox",
                    "n": at,
                }
                for at in range(120)
            }
        )
        searches = ["red", "red fox", '"red fox"', "re*", "red OR blue", "red -fox", "nothing"]
        conditions = [
            condition
            for search in searches
            for condition in (
                F.title.matches(search),
                F.texts.matches(search),
                F.title.matches(search) & (F.n < 60),
            )
        ]
        before = [await notes.find_many(one) for one in conditions]
        await notes.create_index("text", ["title", "texts"], kind="text")
        for at in range(0, 120, 11):
            await notes.patch(f"k{at:03}", {"title": "red fox", "n": -1})
            await notes.delete(f"k{at + 1:03}")
        for condition in conditions:
            by_scan = await notes.find_many(condition, hint="")
            assert await notes.find_many(condition) == by_scan
        assert any(before)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"name": "", "fields": "a"}, InvalidName),
        ({"name": 7, "fields": "a"}, InvalidName),
        ({"name": "x" * 500, "fields": "a"}, InvalidName),
        ({"name": "x", "fields": []}, InvalidInput),
        ({"name": "x", "fields": ["a", "-a"]}, InvalidInput),
        ({"name": "x", "fields": 7}, InvalidQuery),
        ({"name": "x", "fields": "a", "kind": "tree"}, InvalidInput),
        ({"name": "x", "fields": "a", "kind": "hash", "unique": True}, InvalidInput),
        ({"name": "x", "fields": "a", "kind": "geo", "sparse": True}, InvalidInput),
        ({"name": "x", "fields": "-a", "kind": "text"}, InvalidInput),
        ({"name": "x", "fields": ["a", "b"], "kind": "geo"}, InvalidInput),
        ({"name": "x", "fields": "a", "weights": [1]}, InvalidInput),
        ({"name": "x", "fields": "a", "kind": "text", "weights": [1, 2]}, InvalidInput),
        ({"name": "x", "fields": "a", "kind": "text", "language": "klingon"}, InvalidInput),
    ],
)
async def test_indexes_that_cannot_be(
    scene: Scene, arguments: dict[str, Any], error: type[StoreError]
) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        with pytest.raises(error):
            await things.create_index(**arguments)
        assert await things.list_indexes() == []


async def test_one_and_one_point_nought_are_equal_and_true_is_not(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.create_index("n", "n", unique=True)
        await things.set("int", {"n": 1})
        with pytest.raises(DuplicateKey):
            await things.set("float", {"n": 1.0})
        await things.set("bool", {"n": True})
        await things.set("int", {"n": False})
        await things.set("float", {"n": 1.0})
        assert [one.key async for one in things.query(n=1, hint="n")] == ["float"]
        assert [one.key async for one in things.query(n=True, hint="n")] == ["bool"]


async def test_a_text_spelling_plans_as_any(scene: Scene) -> None:
    async with scene.open() as db:
        people = await peopled(db)
        await people.create_index("age", "age")
        text = "age >= 48 and city == 'a'"
        assert await people.find_many(text) == await people.find_many(parse_expression(text))
        assert stage_of(await people.explain(text), "index_scan") is not None


def _writes(url: str, told: Any, go: Any) -> None:
    with holdfast.sync.open(url) as db:
        things = db.collection("things")
        things.set("first", {"n": 0})
        told.set()
        go.wait(20)
        for at in range(20):
            things.set(f"k{at}", {"n": at})


async def test_another_process_learns_of_an_index_before_its_next_write(
    shared_scene: Scene,
) -> None:
    context = multiprocessing.get_context("spawn")
    told, go = context.Event(), context.Event()
    async with shared_scene.open() as db:
        await db.collection("things").set("here", {"n": 7})
        writer = context.Process(target=_writes, args=(shared_scene.url, told, go))
        writer.start()
        try:
            assert await asyncio.to_thread(told.wait, 30)
            await db.collection("things").create_index("n", "n")
            go.set()
            await asyncio.to_thread(writer.join, 30)
            assert writer.exitcode == 0
        finally:
            writer.kill()
        assert await db.collection("things").count(n=7, hint="n") == 2
        assert (await db.collection("things").list_indexes())[0].entries == 22


async def test_who_looks_at_an_earlier_catalogue_disturbs_no_commit(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set("old", {"n": 0})
        await things.create_index("n", "n")
        storage = await things._find()
        assert storage is not None
        put = Put(await storage.values.serialize({"n": 1}))

        def decide(_entry: object) -> Put:
            # A query of another thread, which reads as of before the index was made.
            assert storage.indexes_of(None).writers == []
            return put

        await storage.transact([Step("a", decide), Step("b", decide)])
        assert [await things.count(n=n, hint="n") for n in (0, 1)] == [1, 2]
