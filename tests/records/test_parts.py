"""Parts of a walk: limits, bounds, and places to go on from, on every engine and in each view."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast import Pattern, StoreKey
from holdfast.contract.errors import InvalidInput, InvalidKey
from holdfast.contract.record import Range
from holdfast.database.handle import Database
from tests.store.scene import Scene, engine_of, listed

NAMES = [f"{number:03}" for number in range(120)]


async def filled(db: Database) -> None:
    await db.entries.set_many({f"n:{name}": int(name) for name in NAMES}, tags=["all"])
    await db.entries.set_many({"a": 1, "n/b:x": 2, "z": 3})


def texts(found: list[Any]) -> list[str]:
    return [str(getattr(one, "key", one)) for one in found]


class Rows:
    """How many rows the engine was asked for, scan by scan."""

    def __init__(self, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.limits: list[int | None] = []
        engine = engine_of(db)
        scan = engine.scan

        async def counted(range: Range, **options: Any) -> Any:
            self.limits.append(range.limit)
            return await scan(range, **options)

        monkeypatch.setattr(engine, "scan", counted)


async def test_a_limit_ends_a_walk_and_no_more_rows_are_read_than_it_needs(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        await filled(db)
        rows = Rows(db, monkeypatch)
        assert texts(await listed(db.entries.keys("n:+", limit=5))) == [
            f"n:{name}" for name in NAMES[:5]
        ]
        # What matches begins with what the range begins with, so the first page is enough.
        assert rows.limits == [5]
        rows.limits.clear()
        assert [one.value async for one in db.entries.items("n/#", limit=5)] == list(range(5))
        assert rows.limits == [5]
        rows.limits.clear()
        found = await listed(db.entries.find_by_tag("all", limit=5))
        assert [one.value for one in found] == list(range(5))
        assert rows.limits == [5]
        for name in range(10):
            await db.entries.set("h", name)
        rows.limits.clear()
        assert [one.value async for one in db.entries.history("h", limit=5)] == list(range(5))
        assert rows.limits == [5]


async def test_a_limit_counts_what_matches_and_not_what_was_looked_at(scene: Scene) -> None:
    async with scene.open() as db:
        await filled(db)
        await db.entries.set_many({f"n:{name}": 0 for name in NAMES[:50]}, ttl=5)
        scene.clock.advance(10)
        assert texts(await listed(db.entries.keys("n:+", limit=3))) == ["n:050", "n:051", "n:052"]
        assert len(await listed(db.entries.keys("+/b:x", limit=3))) == 1
        glob = Pattern.glob("n:*7")
        assert texts(await listed(db.entries.items(glob, limit=2))) == ["n:057", "n:067"]
        assert texts(await listed(db.entries.items(limit=2, reverse=True))) == ["z", "n/b:x"]
        assert texts(await listed(db.entries.find_by_tag("all", "n:+", limit=2, reverse=True))) == [
            "n:119",
            "n:118",
        ]


async def test_bounds_take_keys_above_from_below_and_up_to(scene: Scene) -> None:
    async with scene.open() as db:
        await filled(db)
        between = db.entries.keys("n:+", gte="n:010", lt="n:013")
        assert texts(await listed(between)) == ["n:010", "n:011", "n:012"]
        between = db.entries.keys("n:+", gt="n:010", lte=StoreKey("013", ("n",)))
        assert texts(await listed(between)) == ["n:011", "n:012", "n:013"]
        backwards = db.entries.keys("n:+", gte="n:010", lt="n:013", reverse=True)
        assert texts(await listed(backwards)) == ["n:012", "n:011", "n:010"]
        # Bounds need not be keys that are there, nor lie within the pattern.
        assert len(await listed(db.entries.items("n:+", gt="m", lt="nn"))) == len(NAMES)
        assert await listed(db.entries.items("n:+", gt="o")) == []
        assert await listed(db.entries.items(gt="n:013", lt="n:010")) == []
        # What lies below a key stands behind it.
        assert texts(await listed(db.entries.keys(gt="n:119", limit=1))) == ["n/b:x"]
        assert texts(await listed(db.entries.keys(gt="n:a"))) == ["n/b:x", "z"]


async def test_every_page_leads_to_the_next_one_until_nothing_is_left(scene: Scene) -> None:
    async with scene.open() as db:
        await filled(db)
        for number in range(25):
            await db.entries.set("h", number)
        walks: list[tuple[Callable[..., Any], int]] = [
            (lambda **part: db.entries.keys("n:+", **part), len(NAMES)),
            (lambda **part: db.entries.items("n:+", **part), len(NAMES)),
            (lambda **part: db.entries.items("n:+", reverse=True, **part), len(NAMES)),
            (lambda **part: db.entries.items(Pattern.glob("n:*[05]"), **part), 24),
            (lambda **part: db.entries.find_by_tag("all", **part), len(NAMES)),
            (lambda **part: db.entries.find_by_tag("all", reverse=True, **part), len(NAMES)),
            (lambda **part: db.entries.history("h", **part), 24),
            (lambda **part: db.entries.history("h", reverse=True, **part), 24),
        ]
        for walk, expected in walks:
            whole = await listed(walk())
            assert len(whole) == expected
            found: list[Any] = []
            cursor: str | None = None
            while True:
                page = walk(limit=7, after=cursor)
                found += await listed(page)
                cursor = page.cursor
                if cursor is None:
                    break
            assert found == whole


async def test_a_cursor_stays_right_while_others_write(scene: Scene) -> None:
    async with scene.open() as db:
        await filled(db)
        walk = db.entries.keys("n:+", limit=10)
        assert texts(await listed(walk))[-1] == "n:009"
        cursor = walk.cursor
        # What comes and goes before the place shifts nothing, not even when the place itself goes.
        await db.entries.delete_many(["n:000", "n:009"])
        await db.entries.set_many({"n:0005": 1, "n:0095": 2})
        assert texts(await listed(db.entries.keys("n:+", limit=2, after=cursor))) == [
            "n:0095",
            "n:010",
        ]
        # A key is a place, too, and need not be there.
        after = db.entries.keys("n:+", limit=1, after="n:009")
        assert texts(await listed(after)) == ["n:0095"]
        back = db.entries.keys("n:+", limit=1, after=StoreKey("010", ("n",)), reverse=True)
        assert texts(await listed(back)) == ["n:0095"]


async def test_a_walk_tells_where_it_is_at_any_time(scene: Scene) -> None:
    async with scene.open() as db:
        await filled(db)
        for walk in (db.entries.keys("n:+"), db.entries.keys("n:+", gte="n:000")):
            assert walk.cursor is None
            for _ in range(40):  # More than the first page holds.
                last = await anext(walk)
                following = db.entries.keys("n:+", after=walk.cursor, limit=1)
                assert texts(await listed(following))[0] > str(last)
            await walk.aclose()
        walk = db.entries.keys("n:+", after="n:118")
        before = walk.cursor
        assert before is not None
        assert texts(await listed(db.entries.keys("n:+", after=before))) == ["n:119"]
        assert texts(await listed(walk)) == ["n:119"]
        assert walk.cursor is None


async def test_the_cursor_of_another_walk_is_refused_by_name(scene: Scene) -> None:
    async with scene.open() as db:
        await filled(db)
        await db.entries.set("n:000", 1)
        await db.entries.set("n:000", 2)

        async def cursor_of(walk: Any) -> str:
            await anext(walk)
            text: str = walk.cursor
            return text

        keys = await cursor_of(db.entries.keys("n:+"))
        tagged = await cursor_of(db.entries.find_by_tag("all"))
        past = await cursor_of(db.entries.history("n:000"))
        assert await cursor_of(db.entries.items("n:+")) == keys
        refused: list[tuple[Callable[[], Any], str]] = [
            (lambda: db.entries.keys("n/#", after=keys), "with another pattern"),
            (lambda: db.entries.keys("n:+", after=keys, reverse=True), "or direction"),
            (lambda: db.entries.keys("n:+", after=tagged), "a walk by tag"),
            (lambda: db.entries.keys("n:+", after=past), "a history"),
            (lambda: db.entries.find_by_tag("all", after=keys), "a walk of entries"),
            (lambda: db.entries.find_by_tag("other", after=tagged), "with another pattern"),
            (lambda: db.entries.history("n:001", after=past), "with another key"),
            (lambda: db.entries.history("n:000", after=keys), "a walk of entries"),
            (lambda: db.entries.keys(after="cursor/nonsense"), "a text that is none"),
            (lambda: db.entries.keys(after="cursor/é"), "a text that is none"),
            (lambda: db.entries.keys(after="cursor/" + "A" * 70_000), "a longer text"),
            (lambda: db.entries.history("n:000", after=3), "incarnation, version"),  # type: ignore[arg-type]
            (lambda: db.entries.history("n:000", after=(1, 2**70)), "incarnation, version"),
        ]  # fmt: skip
        for walk, words in refused:
            with pytest.raises(InvalidInput, match=words):
                walk()


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "5"])
async def test_a_limit_that_cannot_be_is_refused(scene: Scene, limit: Any) -> None:
    async with scene.open() as db:
        for walk in (
            lambda: db.entries.keys(limit=limit),
            lambda: db.entries.items(limit=limit),
            lambda: db.entries.history("a", limit=limit),
            lambda: db.entries.find_by_tag("t", limit=limit),
        ):
            with pytest.raises(InvalidInput, match="limit is a number of items from 1"):
                walk()


async def test_bounds_that_cannot_be_are_refused(scene: Scene) -> None:
    async with scene.open() as db:
        with pytest.raises(InvalidInput, match="gt or gte"):
            db.entries.keys(gt="a", gte="b")
        with pytest.raises(InvalidInput, match="lt or lte"):
            db.entries.items(lt="a", lte="b")
        for wrong in ("", "a/b", "a:"):
            with pytest.raises(InvalidKey):
                await listed(db.entries.keys(gte=wrong))
            with pytest.raises(InvalidKey):
                db.entries.keys(after=wrong)


async def test_parts_are_the_same_in_a_transaction_a_snapshot_and_with_every_decorator(
    scene: Scene,
) -> None:
    async def found(entries: Any) -> list[Any]:
        walk = entries.items("n:+", gte="n:010", limit=3)
        first = texts(await listed(walk))
        return [
            first,
            texts(await listed(entries.items("n:+", limit=2, after=walk.cursor))),
            texts(await listed(entries.keys("n:+", lt="n:002", reverse=True))),
            texts(await listed(entries.find_by_tag("all", limit=2, after="n:100"))),
        ]

    expected = [
        ["n:010", "n:011", "n:012"], ["n:013", "n:014"], ["n:001", "n:000"], ["n:101", "n:102"],
    ]  # fmt: skip
    async with scene.open(logged=True, cached=True) as db:
        await filled(db)
        assert await found(db.entries) == expected
        async with await db.snapshot() as view:
            await db.entries.delete("n:012")
            assert await found(view.entries) == expected
        async with db.transaction() as tx:
            await tx.entries.set("n:012", 12, tags=["all"])
            assert await found(tx.entries) == expected
            await tx.rollback()
        assert (await found(db.entries))[0] == ["n:010", "n:011", "n:013"]


async def test_a_closed_walk_is_over_and_a_closed_handle_refuses(scene: Scene) -> None:
    from holdfast.contract.errors import StoreClosed

    db = scene.handle()
    async with db:
        await filled(db)
        async with db.entries.keys("n:+", limit=50) as walk:
            await anext(walk)
        assert await listed(walk) == []
        later = db.entries.keys("n:+", limit=50)
        entries = db.entries
    for wait in (lambda: anext(later), lambda: listed(entries.items(limit=1))):
        refused: Callable[[], Awaitable[Any]] = wait
        with pytest.raises(StoreClosed):
            await refused()


async def test_counting_makes_no_keys_and_reads_no_value(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open(logged=True) as db:
        await filled(db)
        await db.entries.set("n:big", "x" * 1_000_000)

        def refuse(*_: object) -> None:
            raise AssertionError("a key or a value was made to be counted")

        with monkeypatch.context() as patched:
            patched.setattr("holdfast.store.versions.entry.unpack_key", refuse)
            patched.setattr("holdfast.store.versions.entry._decode_plain", refuse)
            patched.setattr("holdfast.records.big_values.BigValues.chunks", refuse)
            assert await db.entries.count("n/#") == len(NAMES) + 2
            assert await db.entries.count() == len(NAMES) + 4
        walk = db.entries.keys("n/#")
        assert str(await anext(walk)) == "n:000"
        assert len(await walk.to_list()) == len(NAMES) + 1


async def test_counting_matches_a_tag_and_a_pattern(scene: Scene) -> None:
    async with scene.open() as db:
        await filled(db)
        assert await db.entries.count() == len(NAMES) + 3
        assert await db.entries.count("n:+") == len(NAMES)
        assert await db.entries.count(tag="all") == len(NAMES)
        assert await db.entries.count("n:00+", tag="all") == 0
        assert await db.entries.count(Pattern.glob("n:00*"), tag="all") == 10
