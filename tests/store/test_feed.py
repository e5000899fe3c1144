"""The feed: resumable while its past is there, refused by name when it is not."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from holdfast import Compacted
from holdfast.contract.batch import Append, Batch, Delete, Put, append_position
from holdfast.contract.engine import Engine
from holdfast.contract.errors import IntegrityFailed, InvalidInput
from holdfast.contract.record import Range
from holdfast.store import layout
from holdfast.store.feed.feed import Feed
from holdfast.store.feed_row import Act, FeedPosition, FeedRow
from tests.store.scene import Scene, engine_of, first, listed


def change(number: int) -> FeedRow:
    return FeedRow(
        Act.SET, 1, b"%05d" % number, 0, 1_000 + number,
        identity=b"i" * 16, incarnation=1, version=number + 1,
    )  # fmt: skip


async def fill(engine: Engine, commits: int, each: int = 1) -> tuple[int, int]:
    """Commits with that many changes each; (revision before them, of the last)."""
    before = last = await engine.head()
    for commit in range(commits):
        changes = [change(commit * each + place) for place in range(each)]
        rows = [Append(layout.FEED, msgspec.msgpack.encode(one)) for one in changes]
        last = (await engine.commit(Batch(rows))).revision
    return before, last


async def give_up(engine: Engine, up_to: int) -> None:
    """Remove the changes of revisions up to this one, as a compaction does."""
    rows = (await engine.scan(Range.prefix(layout.FEED))).rows
    gone = [Delete(key) for key, _ in rows if append_position(key)[0] <= up_to]
    oldest = Put(layout.SYSTEM_FEED_OLDEST, (up_to + 1).to_bytes(8, "big"))
    await engine.commit(Batch([*gone, oldest]))


async def positions(pages: AsyncIterator[list[FeedPosition]]) -> list[FeedPosition]:
    return [one for page in await listed(pages) for one in page]


async def test_every_change_comes_once_in_commit_order(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        engine = engine_of(db)
        before, last = await fill(engine, 40, 70)
        found = await positions(Feed(engine).after(before))
        assert [one.row for one in found] == [change(number) for number in range(2800)]
        assert [one.index for one in found] == list(range(70)) * 40
        assert (found[0].revision, found[-1].revision) == (before + 1, last)
        assert await positions(Feed(engine).after(last)) == []
        middle = before + 20
        assert await positions(Feed(engine).after(middle)) == found[20 * 70 :]


async def test_what_is_gone_is_refused_and_what_is_left_is_whole(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        engine = engine_of(db)
        feed = Feed(engine)
        before, _ = await fill(engine, 10)
        everything = await positions(feed.after(before))
        await give_up(engine, before + 4)
        assert await feed.oldest() == before + 5
        for since in (0, before, before + 3):
            with pytest.raises(Compacted) as caught:
                await positions(feed.after(since))
            assert (caught.value.oldest, caught.value.since) == (before + 5, since)
            with pytest.raises(Compacted):
                await first(db.watch(since=since), 1)
        assert await positions(feed.after(before + 4)) == everything[4:]


async def test_a_reader_in_the_middle_of_a_page_outlives_the_compaction_of_what_it_read(
    scene: Scene,
) -> None:
    async with scene.open_unchecked() as db:
        engine = engine_of(db)
        before, last = await fill(engine, 30, 50)
        pages = Feed(engine).after(before)
        page = await anext(pages)
        assert len(page) < 1500, "the page limit makes a second page"
        await give_up(engine, before + 10)
        rest = await positions(pages)
        assert [one.row for one in [*page, *rest]] == [change(number) for number in range(1500)]
        assert rest[-1].revision == last


async def test_a_reader_that_a_compaction_overtook_is_told(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        engine = engine_of(db)
        before, last = await fill(engine, 30, 50)
        pages = Feed(engine).after(before)
        await anext(pages)
        for _ in range(3):  # A page at a time.
            await give_up(engine, last - 1)
        with pytest.raises(Compacted):
            await positions(pages)


async def test_watching_goes_on_over_commits_without_changes(scene: Scene) -> None:
    async with scene.open() as db:
        engine = engine_of(db)
        async with db.watch() as watch:
            await engine.commit(Batch([Put(layout.SYSTEM_LEASES + b"x", b"1")]))
            one = await db.entries.set("a", 1)
            assert (await anext(watch)).revision == one.revision
            await engine.commit(Batch([Put(layout.SYSTEM_LEASES + b"x", b"2")]))
            two = await db.entries.set("a", 2)
            assert (await anext(watch)).revision == two.revision == one.revision + 2
        await engine.commit(Batch([Delete(layout.SYSTEM_LEASES + b"x")]))


async def test_watching_from_the_future_is_refused(scene: Scene) -> None:
    async with scene.open() as db:
        with pytest.raises(InvalidInput) as caught:
            await anext(db.watch(since=await db.head() + 1))
        assert caught.value.head == await db.head()


async def test_a_damaged_row_is_named(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        engine = engine_of(db)
        before, last = await fill(engine, 1)
        [(key, _)] = (await engine.scan(Range.prefix(layout.FEED))).rows
        await engine.commit(Batch([Put(key, b"\xc1 damaged")]))
        with pytest.raises(IntegrityFailed, match=str(last)):
            await positions(Feed(engine).after(before))
        await engine.commit(Batch([Delete(key)]))


def test_a_row_holds_no_value() -> None:
    fields = set(FeedRow.__struct_fields__)
    assert not fields & {"value", "before", "after", "data"}
