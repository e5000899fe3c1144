"""Sessions of agents: the protocol of the Agents SDK, by its documents."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any, Protocol, runtime_checkable

import pytest

import holdfast
import holdfast.sync
from holdfast.adapters import sessions
from holdfast.adapters.sessions import HoldfastSession
from holdfast.contract.errors import InvalidInput, InvalidKey, SerializationFailed
from holdfast.contract.runtime import ManualClock
from holdfast.records.decorators.evented import Evented
from tests.adapters.suites import opened


@runtime_checkable
class Session(Protocol):
    """What the Agents SDK asks of a session."""

    session_id: str
    session_settings: Any

    async def get_items(self, limit: int | None = None) -> list[Any]: ...
    async def add_items(self, items: list[Any]) -> None: ...
    async def pop_item(self) -> Any | None: ...
    async def clear_session(self) -> None: ...


def said(number: int) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "input_text", "text": f"ä{number}"}]}


@pytest.mark.parametrize("kind", ["loop", "threads"])
def test_items_come_back_in_their_order(kind: str) -> None:
    async def work() -> None:
        async with opened(kind) as db:
            session: Session = HoldfastSession("user/1:%", db)
            assert isinstance(session, Session)
            assert await session.get_items() == []
            assert await session.pop_item() is None
            await session.add_items([])
            await session.add_items([said(1), said(2)])
            await session.add_items([said(number) for number in range(3, 13)])
            every = [said(number) for number in range(1, 13)]
            assert await session.get_items() == every
            assert await session.get_items(limit=3) == every[-3:]
            assert await session.get_items(limit=0) == []
            assert await session.get_items(limit=99) == every
            assert await session.pop_item() == said(12)
            await session.add_items([said(13)])
            assert await session.get_items(2) == [said(11), said(13)]
            again, other = HoldfastSession("user/1:%", db), HoldfastSession("user/1", db)
            assert await again.get_items(1) == [said(13)]
            assert await other.get_items() == []
            await other.add_items([said(0)])
            await session.clear_session()
            assert await session.get_items() == []
            assert await other.get_items() == [said(0)]
            await session.add_items([said(1)])
            assert await session.get_items() == [said(1)]

    asyncio.run(work())


def test_bad_input_writes_nothing(db: holdfast.sync.Database) -> None:
    async def work() -> None:
        session = HoldfastSession("ada", db)
        with pytest.raises(SerializationFailed):
            await session.add_items([said(1), {"role": object()}])
        assert await session.get_items() == []
        for wrong in (-1, "2", 1.5):
            with pytest.raises(InvalidInput, match="limit is an int from 0"):
                await session.get_items(wrong)  # type: ignore[arg-type]

    asyncio.run(work())
    with pytest.raises(InvalidKey):
        HoldfastSession("", db)
    assert repr(HoldfastSession("ada", db)) == "<HoldfastSession 'ada'>"


def test_settings_of_the_sdk_limit_what_is_read(db: holdfast.sync.Database) -> None:
    async def work() -> None:
        session = HoldfastSession("ada", db)
        await session.add_items([said(number) for number in range(5)])
        session.session_settings = SimpleNamespace(limit=2)
        assert await session.get_items() == [said(3), said(4)]
        assert len(await session.get_items(limit=4)) == 4
        session.session_settings = SimpleNamespace(limit=None)
        assert len(await session.get_items()) == 5

    asyncio.run(work())


def test_items_run_out_and_long_sessions_are_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "CLEAR_ITEMS", 3)
    clock = ManualClock()

    async def work() -> None:
        async with holdfast.open("memory://", clock=clock) as db:
            session = HoldfastSession("ada", db, ttl=60)
            await session.add_items([said(number) for number in range(8)])
            clock.advance(59)
            await session.add_items([said(8)])
            clock.advance(2)
            assert await session.get_items() == [said(8)]
            await session.add_items([said(number) for number in range(8)])
            await session.clear_session()
            assert await session.get_items() == []

    asyncio.run(work())


def test_clearing_leaves_what_comes_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "CLEAR_ITEMS", 3)
    write = Evented.write

    async def work() -> None:
        async with holdfast.open("memory://") as db:
            session, added = HoldfastSession("ada", db), list[int]()
            await session.add_items([said(number) for number in range(6)])

            async def interleaved(entries: Any, writes: Any) -> Any:
                """Somebody adds an item after each commit."""
                result = await write(entries, writes)
                added.append(1)
                assert len(added) < 10, "it never ends"
                with monkeypatch.context() as usual:
                    usual.setattr(Evented, "write", write)
                    await session.add_items([said(9)])
                return result

            monkeypatch.setattr(Evented, "write", interleaved)
            await session.clear_session()
            assert await session.get_items() == [said(9), said(9)]

    asyncio.run(work())


def test_those_who_add_at_once_lose_nothing(db: holdfast.sync.Database) -> None:
    failures: list[BaseException] = []

    def add(writer: int) -> None:
        async def work() -> None:
            session = HoldfastSession("ada", db)
            for number in range(5):
                await session.add_items([[writer, number, 0], [writer, number, 1]])

        try:
            asyncio.run(work())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=add, args=(writer,)) for writer in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    items = asyncio.run(HoldfastSession("ada", db).get_items())
    assert len(items) == 30
    for writer in range(3):  # In their order, and what was added together stands together.
        assert [one[1:] for one in items if one[0] == writer] == [
            [number, part] for number in range(5) for part in range(2)
        ]
    assert all(items[at][:2] == items[at + 1][:2] for at in range(0, 30, 2))
