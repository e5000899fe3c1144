"""Checks and watches that begin with what stands there, on engines without snapshots, under load.

An engine imports all of it beside a fixture `config_of` that makes its configurations.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import holdfast
from holdfast.store import check as checks
from tests.engines.servers.whole_database import ConfigOf

#: More than a page of the engine, so that pages are of different moments.
ENTRIES = 2_500
#: So few that a check ends while others write.
CHECKED = 40


async def _overtaken(config: Any, view: str = "entries") -> None:
    """Write between the pages of a watch; what is told gives what stands there in the end."""
    async with holdfast.open(config.url_with_secrets) as db:
        for start in range(0, ENTRIES, 500):
            await db.entries.set_many({f"a:{n:04}": 0 for n in range(start, start + 500)})
        store = await db.stores.create("s")
        await store.set(b"k", b"old")
        mine: dict[str, Any] = {}
        told: list[tuple[str, int]] = []
        turn = 0

        async def write() -> None:
            """On both sides of where the walk is, and whole keys made and deleted."""
            nonlocal turn
            turn += 1
            await db.entries.set_many({f"a:{n:04}": turn for n in (0, 700, 1300, 2400)})
            await db.entries.set(f"a:{n_new(turn)}", turn)
            await db.entries.delete(f"a:{turn:04}")
            await store.set(b"k", b"%d" % turn)

        def n_new(turn: int) -> str:
            return f"{'0000' if turn % 2 else '9999'}-{turn}"

        async with db.watch("#", view="*", snapshot=True) as watch:
            last = 0
            while not told or told[-1][1] != last:
                change = await anext(watch)
                if change.op == "snapshot_end":
                    for _ in range(3):
                        await write()
                    last = await db.head()
                    continue
                key = f"{change.view} {change.key}"
                told.append((key, change.revision))
                mine[key] = change.after if change.op == "set" else None
                if len(told) % 400 == 1 and turn < 8:
                    await write()
        assert turn > 6, "it was overtaken while it told what stands there"
        assert len(set(told)) == len(told), "nothing is told twice"
        newest: dict[str, int] = {}
        for key, revision in told:
            assert revision > newest.get(key, 0), "the changes of a key come in their order"
            newest[key] = revision
        there = {f"entries {one.key}": one.value async for one in db.entries.items("a/#")}
        there["stores " + str(b"k")] = await store.get(b"k")
        shown = {
            key: getattr(value, "value", value) for key, value in mine.items() if value is not None
        }
        differing = {key: (shown.get(key), there.get(key)) for key in shown.keys() | there}
        wrong = {key: both for key, both in differing.items() if both[0] != both[1]}
        assert not wrong, f"nothing is missing: {wrong}"


def test_a_watch_begins_with_what_stands_there_and_goes_on(config_of: ConfigOf) -> None:
    asyncio.run(_overtaken(config_of()))


def test_a_watch_of_what_stands_still(config_of: ConfigOf) -> None:
    async def work() -> None:
        async with holdfast.open(config_of().url_with_secrets) as db:
            await db.entries.set_many({"a:1": 1, "a:2": 2, "b:1": 3})
            async with db.watch("a/#", snapshot=True) as watch:
                changes = [await anext(watch) for _ in range(3)]
                assert [str(one.key) for one in changes[:2]] == ["a:1", "a:2"]
                assert (changes[2].op, changes[2].revision) == ("snapshot_end", await db.head())
                await db.entries.set("a:1", "new")
                change = await anext(watch)
                assert (str(change.key), change.op) == ("a:1", "set")

    asyncio.run(work())


def test_a_check_is_not_misled_by_what_is_written_meanwhile(config_of: ConfigOf) -> None:
    async def work() -> None:
        async with holdfast.open(config_of().url_with_secrets) as db:
            await db.entries.set_many({f"a:{n:02}": n for n in range(CHECKED)}, tags=["t"])
            done = asyncio.Event()

            async def write() -> None:
                turn = 0
                while not done.is_set():
                    turn += 1
                    key = f"a:{turn * 37 % CHECKED:02}"
                    await db.entries.set(key, turn, tags=["t", "u"][: 1 + turn % 2])
                    await db.entries.delete(f"a:{turn * 53 % CHECKED:02}")
                    await asyncio.sleep(0.005)

            writing = asyncio.create_task(write())
            try:
                for _ in range(2):
                    assert await db.check() == []
            finally:
                done.set()
                await writing
            assert await db.check() == []

    asyncio.run(work())


def test_what_is_wrong_is_found_while_others_write(
    config_of: ConfigOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with holdfast.open(config_of().url_with_secrets) as db:
            await db.entries.set("a:1", 1)
            check_moment = checks._check_moment
            looks = 0

            async def look(*arguments: Any) -> list[str]:
                nonlocal looks
                looks += 1
                await db.entries.set("a:1", looks)
                return [*await check_moment(*arguments), "this lasts", f"look {looks}"]

            monkeypatch.setattr(checks, "_check_moment", look)
            assert await db.check() == ["this lasts"]
            assert looks == checks.LOOKS_MAX

    asyncio.run(work())
