"""Telemetry: every operation tells, as registered, and never what belongs to the user."""

import asyncio
import inspect
import json
import logging
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from holdfast.contract.errors import ErrorCode, InvalidValue, StoreError
from holdfast.state import MockStoreAdapter, StoreBuilder, build_store
from holdfast.state.events.area import EventsArea
from holdfast.state.streams.group import StreamGroup
from holdfast.state.telemetry import OPERATIONS as REGISTERED
from holdfast.state.telemetry import RecordingTelemetry, TelemetryEvent, complaint, events
from tests.state.operations import MARKER, OPERATIONS, VARIANTS
from tests.state.test_events import until

GOLDEN = Path(__file__).with_name("golden_telemetry.json")


def record(
    name: str, *, failing: bool = False, scoped: bool = False, logger: Any = None
) -> RecordingTelemetry:
    """What one operation tells."""

    async def main() -> RecordingTelemetry:
        telemetry = RecordingTelemetry()
        adapter = MockStoreAdapter()
        builder = StoreBuilder.create().with_adapter(adapter).with_service("api")
        if logger is not None:
            builder = builder.with_logger(logger)
        store = builder.with_telemetry(telemetry).build()
        if scoped:
            store = store.scope("org", f"id-{MARKER}")
        if failing:
            adapter.fail("*", OSError(f"no way to {MARKER}"), times=100)
            with pytest.raises(StoreError) as caught:
                await asyncio.wait_for(OPERATIONS[name](store), 0.3)
            assert caught.value.code == ErrorCode.OPERATION_FAILED
            assert isinstance(caught.value.__cause__, OSError)
        else:
            await (OPERATIONS | VARIANTS)[name](store)
        assert telemetry.complaints == []
        return telemetry

    return asyncio.run(main())


def shown(telemetry: RecordingTelemetry) -> list[list[Any]]:
    return [
        [event.name.removeprefix("holdfast.state."), event.level, dict(event.attributes)]
        for event in telemetry.recorded
    ]


def recorded() -> str:
    """What all operations tell, well and failing."""
    found = {
        name: {"well": shown(record(name)), "failing": shown(record(name, failing=True))}
        for name in OPERATIONS
        if name != "group.consume"  # It goes on until it is stopped, whatever fails.
    }
    found |= {name: {"well": shown(record(name))} for name in VARIANTS}
    return json.dumps(found, indent=1) + "\n"


@pytest.mark.row(
    "D-169", "D-170", "D-171", "D-172", "D-173", "D-174", "D-175", "D-176", "D-177", "D-178",
    "D-179", "D-180", "D-181", "D-182", "D-183", "D-184", "D-185", "D-030", "D-033", "D-038",
    "D-041", "D-043", "D-058", "D-117", "D-162",
)  # fmt: skip
def test_names_order_and_attributes_are_the_golden_ones() -> None:
    assert json.loads(recorded()) == json.loads(GOLDEN.read_text()), (
        "telemetry changed; if it was meant to, write the new record there"
    )


@pytest.mark.row("D-005", "D-138")
def test_every_public_method_is_among_the_operations() -> None:
    store = build_store(MockStoreAdapter(), "api")
    areas = {
        "kv": store.kv, "counter": store.counter, "claim": store.claim, "batch": store.batch,
        "streams": store.streams, "dev": store.dev, "limiter": store.limiter,
        "semaphore": store.semaphore, "presence": store.presence, "cache": store.cache,
        "bloom": store.bloom,
    }  # fmt: skip
    kinds: dict[str, type] = {name: type(area) for name, area in areas.items()}
    kinds |= {"events": EventsArea, "group": StreamGroup}
    methods = {
        f"{name}.{method}"
        for name, kind in kinds.items()
        for method, member in vars(kind).items()
        if not method.startswith("_") and inspect.isroutine(member)
    }
    quiet = {
        "cache.at_once",  # Only where nobody watches.
        "cache.cached",
        "cache.tag_keys",
        "events.of",
        "events.plain",
        "events.subscriptions",
        "streams.group",
        "streams.recur",
    }  # They ask nobody.
    assert methods - quiet == OPERATIONS.keys()


@pytest.mark.row("D-005", "D-138", "D-186", "D-160", "D-072", "D-015", "trap 46")
@pytest.mark.parametrize("scoped", [False, True])
@pytest.mark.parametrize("failing", [False, True])
@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "group.consume"])
def test_each_tells_its_beginning_and_its_end_and_no_secret(
    name: str, failing: bool, scoped: bool
) -> None:
    telemetry = record(name, failing=failing, scoped=scoped)
    phases = [one.rpartition(".")[2] for one in telemetry.names]
    assert phases[0] == "started"
    assert phases[-1] == ("error" if failing else "success")
    assert MARKER not in repr(telemetry.recorded)
    for event in telemetry.recorded:
        if event.name.endswith(".started"):
            assert event.attributes["ctx.store.service"] == "api"
            assert event.attributes.get("ctx.store.scope_key") == ("org" if scoped else None)
        if event.level == "error":
            assert event.attributes["ctx.error.code"] == "OPERATION_FAILED"


@pytest.mark.row("D-071", "D-103")
def test_the_registry() -> None:
    for name, spec in events().items():
        assert re.fullmatch(r"[a-z]+\.[a-z]+\.(started|success|error)", name)
        assert spec.level == ("error" if name.endswith(".error") else "debug")
        for attribute in spec.attributes:
            assert re.fullmatch(r"ctx\.[a-z]+\.[a-z_]+", attribute)
        if spec.level == "error":
            assert spec.required == {"ctx.error.code", "ctx.error.message"}
    told = {name for one in json.loads(GOLDEN.read_text()).values() for name, *_ in one["well"]}
    ours = {name for name, one in REGISTERED.items() if one.namespace != "x"}
    assert {name.rpartition(".")[0] for name in told} == ours - {"events.deliver"}


@pytest.mark.row("D-070")
def test_an_event_that_is_not_registered_fails() -> None:
    telemetry = RecordingTelemetry()
    wrong = [
        TelemetryEvent("holdfast.state.kv.bogus.started", "debug", {}),
        TelemetryEvent("holdfast.state.kv.get.success", "error", {}),
        TelemetryEvent("holdfast.state.kv.get.success", "debug", {"ctx.kv.found": 1}),
        TelemetryEvent("holdfast.state.kv.get.success", "debug", {"ctx.kv.key": "a"}),
        TelemetryEvent("holdfast.state.kv.get.started", "debug", {}),
        TelemetryEvent("kv.get.success", "debug", {}),
    ]
    for event in wrong:
        with pytest.raises(AssertionError):
            telemetry.emit(event)
        assert complaint(event, "holdfast.state")
    assert len(telemetry.complaints) == len(wrong)


@pytest.mark.row("D-103")
def test_the_prefix_names_the_events() -> None:
    async def main() -> None:
        telemetry = RecordingTelemetry("igniter.store")
        builder = StoreBuilder.create().with_adapter(MockStoreAdapter()).with_service("api")
        store = builder.with_prefix("igniter:store").with_telemetry(telemetry).build()
        await store.kv.get("a")
        assert [one.name for one in telemetry.recorded] == [
            "igniter.store.kv.get.started", "igniter.store.kv.get.success",
        ]  # fmt: skip

    asyncio.run(main())


@pytest.mark.row("D-024", "D-161")
def test_the_steps_of_a_get(caplog: pytest.LogCaptureFixture) -> None:
    steps: list[str] = []

    class Adapter(MockStoreAdapter):
        async def get(self, key: str) -> bytes | None:
            steps.append(f"adapter {key}")
            return b'"x"'

    class Handler(logging.Handler):
        def emit(self, entry: logging.LogRecord) -> None:
            steps.append(f"{entry.levelname} {entry.getMessage()}")

    class Watching:
        def emit(self, event: TelemetryEvent) -> None:
            steps.append(event.name.rpartition(".")[2])

    logger = logging.Logger("test", logging.DEBUG)  # noqa: LOG001 - of this test alone
    logger.addHandler(Handler())

    async def main() -> None:
        builder = StoreBuilder.create().with_adapter(Adapter()).with_service("api")
        store = builder.with_telemetry(Watching()).with_logger(logger).build()
        assert await store.kv.get("a") == "x"

    asyncio.run(main())
    assert steps[:4] == [
        "started", "DEBUG kv.get started holdfast:state:api:kv:a",
        "adapter holdfast:state:api:kv:a", "success",
    ]  # fmt: skip
    assert re.fullmatch(r"INFO kv.get done found=True in \d+\.\d{3} ms", steps[4])
    # Nobody asked: nothing is said.
    caplog.set_level(0)
    caplog.clear()
    asyncio.run(build_store(MockStoreAdapter(), "api").kv.get("a"))
    assert [one for one in caplog.records if one.name.startswith("holdfast")] == []


@pytest.mark.row("D-014", "D-025")
def test_a_failure_carries_its_facts() -> None:
    async def main() -> None:
        adapter = MockStoreAdapter()
        store = build_store(adapter, "api")
        adapter.fail("get", OSError("gone"))
        with pytest.raises(StoreError) as caught:
            await store.kv.get("a")
        assert caught.value.code == ErrorCode.parse("STORE_OPERATION_FAILED")
        assert caught.value.details["metadata"] == {
            "key": "a",
            "namespace": "kv",
            "operation": "get",
        }
        assert isinstance(caught.value.__cause__, OSError)

    asyncio.run(main())


@pytest.mark.row("D-067")
def test_telemetry_that_fails_disturbs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def emit(self, event: TelemetryEvent) -> None:
            raise ValueError("broken")

    async def main() -> None:
        builder = StoreBuilder.create().with_adapter(MockStoreAdapter()).with_service("api")
        store = builder.with_telemetry(Broken()).build()
        for n in range(3):
            await store.kv.set("a", n)
        assert await store.kv.get("a") == 2

    asyncio.run(main())
    assert len([one for one in caplog.messages if "telemetry failed" in one]) == 1


def test_what_a_subscriber_cannot_handle_is_told_without_its_content() -> None:
    async def main() -> None:
        telemetry = RecordingTelemetry()
        adapter = MockStoreAdapter()
        builder = StoreBuilder.create().with_adapter(adapter).with_service("api")
        store = builder.with_telemetry(telemetry).build()

        def handler(_: Any) -> None:
            raise ValueError(MARKER)

        subscription = await store.events.subscribe("a", handler)
        await store.events.publish("a", MARKER)
        await adapter.publish("holdfast:state:api:events:a", MARKER.encode())
        await until(lambda: subscription.failed and subscription.refused)
        errors = [
            one.attributes["ctx.error.code"] for one in telemetry.recorded if "error" in one.name
        ]
        assert sorted(errors) == ["DESERIALIZATION_FAILED", "OPERATION_FAILED"]
        assert MARKER not in repr(telemetry.recorded)

    asyncio.run(main())


@pytest.mark.row("D-118", "D-067")
def test_without_anybody_who_looks_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from holdfast.state import observing

    def made(*_: Any, **__: Any) -> None:
        raise AssertionError("something was made for nobody")

    monkeypatch.setattr(observing, "Seen", made)
    monkeypatch.setattr(observing, "TelemetryEvent", made)
    monkeypatch.setattr(observing.Observer, "started", made)

    async def main() -> None:
        store = build_store(MockStoreAdapter(), "api")
        for work in list(OPERATIONS.values()):
            await work(store)
        await store.kv.set("a", 1)
        folder = str(Path(inspect.getfile(observing)))
        tracemalloc.start()
        try:
            for _ in range(100):
                await store.kv.get("a")
            taken = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, folder)])
        finally:
            tracemalloc.stop()
        assert sum(one.size for one in taken.statistics("filename")) == 0

    asyncio.run(main())


def main() -> None:
    """Write the golden record anew: `python -m tests.state.test_telemetry`."""
    GOLDEN.write_text(recorded())


if __name__ == "__main__":
    main()


@pytest.mark.parametrize(
    "raised", [RuntimeError("no"), asyncio.CancelledError(), StopIteration()], ids=repr
)
def test_whatever_who_watches_raises_the_operation_is_done(
    raised: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def emit(self, event: TelemetryEvent) -> None:
            raise raised

        def debug(self, message: str, /, *arguments: object) -> None:
            raise raised

        info = warning = debug

    async def main() -> None:
        builder = StoreBuilder.create().with_adapter(MockStoreAdapter()).with_service("api")
        store = builder.with_telemetry(Broken()).with_logger(Broken()).with_lint().build()
        heard: list[Any] = []
        await store.events.subscribe("a", lambda m: 1 // 0)
        await store.events.subscribe("a", heard.append)
        for n in range(2):
            assert await store.kv.set("a", n)
            await store.events.publish("a", n)
        assert await store.kv.get("a") == 1
        async with store.claim.lease("l"):
            pass
        assert await store.claim.holder("l") is None
        with pytest.raises(InvalidValue):
            await store.kv.set("a", 1, ttl=0)
        for _ in range(200):
            await asyncio.sleep(0.005)
            if len(heard) == 2:
                break
        assert [one.data for one in heard] == [0, 1]

    with caplog.at_level(logging.WARNING, "holdfast"):
        asyncio.run(main())
    told = [one.getMessage() for one in caplog.records if one.name == "holdfast"]
    assert told == ["the logger of a store failed; told once"]
