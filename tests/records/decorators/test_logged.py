"""`Logged`: what it tells, and what it never tells."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence

import pytest

import holdfast
from holdfast import Conflict, Pattern, StoreKey
from holdfast.contract.errors import InvalidKey, PatternInvalid, TimedOut
from holdfast.records.decorators.logged import Logged, operation_of
from holdfast.records.write import DELETE, SetValue, Write
from holdfast.store.operation_log import KEY_CHARACTERS_MAX, KEYS_MAX, LoggingService, LogRecord
from tests.store.scene import Scene, core_of, listed, until

SECRET = "the value that no log may ever hold"


class Service:
    """A logging service that is not ours."""

    def __init__(self) -> None:
        self.starts: list[tuple[str, list[str]]] = []
        self.ends: list[tuple[str, BaseException | None]] = []

    def log_start(self, operation: str, keys: Sequence[str] = ()) -> str:
        self.starts.append((operation, list(keys)))
        return str(len(self.starts))

    def log_end(self, transaction_id: str, error: BaseException | None = None) -> LogRecord | None:
        self.ends.append((transaction_id, error))
        return None


@pytest.mark.row("K-063")
async def test_ten_thousand_operations_at_once_have_as_many_ids() -> None:
    async with holdfast.open("memory://", housekeeping=False) as db:
        ids = [db.log.log_start("set", ["a:1"]) for _ in range(10_000)]
        assert len(set(ids)) == 10_000
        logged = Logged(core_of(db), db.log)
        await asyncio.gather(*(logged.set(f"n:{n % 100}", n) for n in range(1_000)))
        ids += [record.id async for record in db.log.query()]
        assert len(set(ids)) == len(ids) == 11_000


@pytest.mark.row("K-064")
async def test_an_end_tells_the_duration_by_the_clock_and_the_error(scene: Scene) -> None:
    async with scene.handle() as db:
        first = db.log.log_start("get", ["a:1"])
        scene.clock.advance(1.5)
        second = db.log.log_start("set", ["a:2", "a:3"])
        scene.clock.advance(0.25)
        # The wall stepping back does not touch durations.
        scene.clock.advance(-3600)
        well = db.log.log_end(first)
        assert well == LogRecord(first, "get", ("a:1",), 1, scene.clock.now_ms(), 1.75)
        assert well.success
        error = TimedOut(SECRET)
        failed = db.log.log_end(second, error)
        assert failed is not None
        assert (failed.duration_s, failed.key_count) == (0.25, 2)
        assert (failed.success, failed.error, failed.code) == (False, "TimedOut", "TIMEOUT")
        other = db.log.log_end(db.log.log_start("modify"), ZeroDivisionError(SECRET))
        assert other is not None
        assert (other.error, other.code) == ("ZeroDivisionError", None)
        assert db.log.log_end(first) is None
        assert isinstance(db.log, LoggingService)
        assert SECRET not in repr([failed, other])


@pytest.mark.row("K-073")
async def test_a_failure_is_logged_and_raised_as_it_is(scene: Scene) -> None:
    async with scene.open() as db:
        service = Service()
        entries = Logged(core_of(db), service)
        raised = ZeroDivisionError(SECRET)

        def change(_value: object) -> object:
            raise raised

        with pytest.raises(ZeroDivisionError) as caught:
            await entries.modify("a:1", change)
        assert caught.value is raised
        assert service.starts == [("modify", ["a:1"])]
        assert service.ends == [("1", raised)]
        await entries.set("a:1", 1)
        with pytest.raises(Conflict) as conflict:
            await entries.set("a:1", 2, if_absent=True)
        assert service.ends[-1] == ("3", conflict.value)
        assert conflict.value.current.value == 1


async def test_a_cancelled_operation_has_an_end_too(scene: Scene) -> None:
    async with scene.handle() as db:
        service = Service()
        entries = Logged(Logged(core_of(db), service), Service())

        async def forever() -> None:
            await asyncio.Event().wait()

        entries.inner.inner.write = lambda writes: forever()  # type: ignore[attr-defined]
        task = asyncio.create_task(entries.set("a:1", 1))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(service.ends[0][1], asyncio.CancelledError)


async def test_each_call_has_its_name(scene: Scene) -> None:
    async with scene.open() as db:
        service = Service()
        entries = Logged(core_of(db), service)
        await entries.set("a:1", SECRET)
        await entries.set_many({"a:2": 1, "a:3": 2})
        await entries.get("a:1")
        await entries.get_many(iter(["a:1", "a:2"]))
        await entries.has("a:1")
        await entries.modify("a:1", lambda value: value)
        await entries.touch("a:1", ttl=60)
        await entries.restore("a:1", 1)
        await entries.rename("a:1", "b:1")
        await entries.delete("b:1")
        await entries.undelete("b:1")
        await entries.delete_many(["a:2", "a:3"])
        await entries.count("a:+")
        await listed(entries.items(Pattern("a*", "glob")))
        await listed(entries.history("a:2"))
        await listed(entries.find_by_tag("t"))
        assert service.starts == [
            ("set", ["a:1"]), ("set_many", ["a:2", "a:3"]), ("get", ["a:1"]),
            ("get_many", ["a:1", "a:2"]), ("has", ["a:1"]), ("modify", ["a:1"]),
            ("touch", ["a:1"]), ("get", ["a:1"]), ("restore", ["a:1"]), ("rename", ["a:1"]),
            ("delete", ["b:1"]), ("history", ["b:1"]), ("restore", ["b:1"]),
            ("delete_many", ["a:2", "a:3"]), ("keys", ["a:+"]), ("items", ["a*"]),
            ("history", ["a:2"]), ("find_by_tag", ["#"]),
        ]  # fmt: skip
        # What is left half-way, such as the history in `undelete`, ends a little later.
        await until(lambda: len(service.ends) == len(service.starts))
        ended = sorted(int(number) for number, _ in service.ends)
        assert ended == list(range(1, len(service.starts) + 1))
        assert all(error is None for _, error in service.ends)
        assert operation_of([]) == "write"
        assert operation_of([Write("a:1", SetValue(1)), Write("a:2", DELETE)]) == "write"


async def test_an_iteration_lasts_until_its_end_or_its_close(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set_many({f"a:{n}": n for n in range(5)})
        service = Service()
        entries = Logged(core_of(db), service)
        for make in (entries.keys, entries.items):
            before = len(service.starts)
            items = make("a:+")
            assert len(service.starts) == before
            await anext(items)
            assert (len(service.starts), len(service.ends)) == (before + 1, before)
            await listed(items)
            assert service.ends[-1][1] is None
            half = make("a:+")
            await anext(half)
            await half.aclose()
            assert len(service.ends) == before + 2
            assert service.ends[-1][1] is None


async def test_closing_an_iteration_closes_what_is_below_at_once(scene: Scene) -> None:
    async with scene.handle() as db:
        core = core_of(db)
        closed: list[str] = []

        async def endless(*_: object, **__: object) -> AsyncIterator[StoreKey]:
            try:
                while True:
                    yield StoreKey("a")
            finally:
                await asyncio.sleep(0)
                closed.append("below")

        core.keys = endless  # type: ignore[method-assign,assignment]
        items = Logged(core, Service()).keys()
        kept = [await anext(items)]
        await items.aclose()
        assert (closed, len(kept)) == (["below"], 1)


async def test_an_iteration_that_cannot_begin_is_refused_at_the_call(scene: Scene) -> None:
    async with scene.handle() as db:
        service = Service()
        entries = Logged(core_of(db), service)
        with pytest.raises(PatternInvalid) as refused:
            entries.keys("a/#/b")
        assert service.ends == [("1", refused.value)]
        with pytest.raises(InvalidKey):
            entries.history("")
        with pytest.raises(InvalidKey):
            await entries.get(7)  # type: ignore[arg-type]
        assert [one[0] for one in service.starts] == ["keys", "history", "get"]


async def test_standard_logging_gets_structured_fields_and_no_values(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene.handle(logged=True) as db:
        with caplog.at_level(logging.DEBUG, "holdfast.operations"):
            await db.entries.set("a:1", SECRET, comment=SECRET)
            with pytest.raises(Conflict):
                await db.entries.set("a:1", SECRET, if_absent=True)
        begins, succeeded, _, failed = caplog.records
        assert (begins.levelname, begins.getMessage()) == ("DEBUG", "set begins")
        assert (succeeded.levelname, succeeded.getMessage()) == ("INFO", "set succeeded")
        assert (failed.levelname, failed.getMessage()) == ("WARNING", "set failed with Conflict")
        facts = vars(succeeded)
        assert facts["transaction_id"] == vars(begins)["transaction_id"]
        assert (facts["operation"], facts["keys"], facts["success"]) == ("set", ["a:1"], True)
        assert facts["duration_s"] >= 0
        assert vars(failed)["code"] == "VERSION_CONFLICT"
        assert SECRET not in repr([vars(record) for record in caplog.records])
        assert SECRET not in repr(await listed(db.log.query()))


async def test_what_a_record_names_is_bounded(scene: Scene) -> None:
    async with scene.handle(logged=True) as db:
        await db.entries.set_many({f"a:{n}": n for n in range(KEYS_MAX + 10)})
        await db.entries.has("a:" + "k" * 2_000)
        with pytest.raises(InvalidKey):
            await db.entries.has(["a", SECRET])  # type: ignore[arg-type]
        many, long, bad = await listed(db.log.query())
        assert (len(many.keys), many.key_count) == (KEYS_MAX, KEYS_MAX + 10)
        assert [len(key) for key in long.keys] == [KEY_CHARACTERS_MAX]
        assert bad.keys == ("<list>",)
