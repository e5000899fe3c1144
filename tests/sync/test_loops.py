"""Sync handles in a thread where an event loop runs, as in the cells of a notebook."""

import asyncio
import sys
from collections.abc import Callable

import holdfast
import holdfast.sync


def in_a_cell(*cells: Callable[[], None]) -> None:
    """Run plain functions as callbacks of one running loop, one after the other."""

    async def kernel() -> None:
        for cell in cells:
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
            done = asyncio.get_running_loop().create_future()

            def run(cell: Callable[[], None] = cell, done: asyncio.Future[None] = done) -> None:
                try:
                    cell()
                except BaseException as error:
                    done.set_exception(error)
                else:
                    done.set_result(None)

            asyncio.get_running_loop().call_soon(run)
            await done

    asyncio.run(kernel(), debug=True)


def test_cells_call_sync_methods_while_the_loop_runs(url: str) -> None:
    db = holdfast.sync.open(url)

    def first() -> None:
        assert asyncio.get_running_loop().is_running()
        db.open()
        db.entries.set("a:1", 1)
        with db.transaction() as tx:
            tx.entries.set("a:2", tx.entries.require("a:1").value + 1)

    def second() -> None:
        assert [entry.value for entry in db.entries.items()] == [1, 2]
        with db.watch(since=0) as watch:
            assert [str(next(watch).key), str(next(watch).key)] == ["a:1", "a:2"]
            assert watch.poll(0.01) is None
        db.close()

    in_a_cell(first, second)


def test_the_loop_does_not_adopt_iterators_left_half_way(url: str) -> None:
    """A loop that adopted them would close them later, or when it ends, in their middle."""
    with holdfast.sync.open(url) as db:
        db.entries.set_many({f"a:{n}": n for n in range(9)})
        kept = db.entries.keys()
        watch = db.watch(snapshot=True)

        def cell() -> None:
            loop = asyncio.get_running_loop()
            hooks = sys.get_asyncgen_hooks()
            assert hooks.firstiter is not None
            next(kept)
            next(watch)
            assert not list(loop._asyncgens)  # type: ignore[attr-defined]
            assert sys.get_asyncgen_hooks() == hooks

        in_a_cell(cell)
        assert len(list(kept)) == 8
        assert next(watch).op == "set"
        watch.close()


def test_async_and_sync_handles_share_a_database(url: str) -> None:
    async def main() -> None:
        async with holdfast.open(url) as there:
            await there.entries.set("a:1", 1)
            with holdfast.sync.open(url) as here:
                assert here.entries.require("a:1").value == 1
                watch = there.watch(since=there.revision)
                change = asyncio.ensure_future(watch.__anext__())
                await asyncio.sleep(0)
                entry = here.entries.set("a:2", 2)
                assert (await asyncio.wait_for(change, 20)).after == entry
                await watch.aclose()
            assert (await there.entries.require("a:2")).value == 2

    asyncio.run(main())
