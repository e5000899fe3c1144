"""The builder: immutable, complete, and each of its settings has an effect."""

import asyncio
import logging
import subprocess
import sys
from dataclasses import fields, replace
from typing import Any

import msgspec
import pytest

from holdfast.codecs.serializers import MessagePackSerializer
from holdfast.contract.errors import (
    AdapterRequired,
    ConfigInvalid,
    ErrorCode,
    InvalidKey,
    InvalidScopeKey,
    ScopeRequired,
    SerializationFailed,
    ServiceRequired,
    StoreError,
    Unsupported,
)
from holdfast.contract.runtime import ManualClock
from holdfast.runtime.system import system_components
from holdfast.state import (
    BatchEntry,
    Bound,
    EventClass,
    Events,
    EventsValidation,
    MockStoreAdapter,
    ScopeOptions,
    StoreBuilder,
    build_store,
    event,
)
from holdfast.state.telemetry import RecordingTelemetry
from tests.state.conftest import command, opened, run
from tests.state.places import Place
from tests.tidy import repository

EVENTS = Events.create("user").event("created").build()


@pytest.mark.row("D-018", "D-148", "D-013", "trap 48")
def test_each_step_makes_another_builder_with_one_thing_changed() -> None:
    steps: dict[str, tuple[str, Any]] = {
        "adapter": ("with_adapter", MockStoreAdapter()),
        "service": ("with_service", "api"),
        "serializer": ("with_serializer", MessagePackSerializer()),
        "logger": ("with_logger", logging.getLogger("x")),
        "telemetry": ("with_telemetry", RecordingTelemetry()),
        "scopes": ("add_scope", "org"),
        "prefix": ("with_prefix", "igniter:store"),
        "events": ("add_events", EVENTS),
        "hash_tags": ("with_hash_tags", "scope"),
        "default_ttl_ms": ("with_default_ttl", 60),
        "on_event_error": ("with_event_errors", print),
        "components": ("with_components", system_components()),
    }
    start = StoreBuilder.create()
    before = {part.name: getattr(start, part.name) for part in fields(start)}
    for field, (step, value) in steps.items():
        made = getattr(start, step)(value)
        changed = {name for name, was in before.items() if getattr(made, name) is not was}
        assert changed == {field}
        assert {name: getattr(start, name) for name in before} == before
    assert start.with_lint().lints
    assert not start.with_events_validation(publish=False).validation.publish
    assert start.with_pinned_scope("region", "eu", MockStoreAdapter()).pins
    assert start.pins == {}
    assert start.with_bound("kv", Bound(items=5)).bounds == {"kv": Bound(items=5)}
    assert start.bounds == {}
    assert {"lints", "validation", "pins", "bounds"} | steps.keys() == before.keys()
    # Forked two ways, neither sees the other.
    fork = start.with_service("a")
    one, two = fork.add_scope("org"), fork.add_scope("team", required=True)
    assert (list(one.scopes or ()), list(two.scopes or ()), fork.scopes) == (
        ["org"],
        ["team"],
        None,
    )


@pytest.mark.row("D-104", "D-105")
def test_what_a_store_cannot_do_without() -> None:
    with pytest.raises(AdapterRequired) as adapter:
        StoreBuilder.create().with_service("a").build()
    assert adapter.value.code is ErrorCode.parse("STORE_ADAPTER_REQUIRED")
    with pytest.raises(ServiceRequired) as service:
        StoreBuilder.create().with_adapter(MockStoreAdapter()).build()
    assert service.value.code is ErrorCode.parse("STORE_SERVICE_REQUIRED")
    for wrong in ("", "a:b"):
        with pytest.raises(ServiceRequired):
            StoreBuilder.create().with_service(wrong)
    with pytest.raises(AdapterRequired):
        StoreBuilder.create().with_adapter("redis://localhost")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("step", "value"),
    [("with_prefix", "a::b"), ("with_prefix", ""), ("with_prefix", "a b"), ("with_prefix", "{a}"),
     ("with_serializer", object()), ("with_telemetry", object()), ("with_hash_tags", "key"),
     ("add_events", {"user": {}})],
)  # fmt: skip
def test_settings_that_are_none(step: str, value: Any) -> None:
    with pytest.raises(ConfigInvalid):
        getattr(StoreBuilder.create(), step)(value)


def test_the_same_at_once() -> None:
    adapter = MockStoreAdapter()
    store = build_store(
        adapter, "api", scopes={"org": True, "ws": ScopeOptions()}, prefix="igniter:store",
        events=[EVENTS], default_ttl=60,
    )  # fmt: skip
    stepwise = (
        StoreBuilder.create()
        .with_adapter(adapter)
        .with_service("api")
        .add_scope("org", required=True)
        .add_scope("ws")
        .with_prefix("igniter:store")
        .add_events(EVENTS)
        .with_default_ttl(60)
        .build()
    )
    for one in (store, stepwise):
        with pytest.raises(ScopeRequired):
            asyncio.run(one.kv.get("a"))
        with pytest.raises(InvalidScopeKey):
            one.scope("team", 1)
        asyncio.run(one.scope("org", 1).kv.set("a", 1))
        assert adapter.calls[-1].arguments[0] == "igniter:store:api:org:1:kv:a"
        assert adapter.calls[-1].keywords["ttl_ms"] == 60_000
    with pytest.raises(ConfigInvalid):
        build_store(adapter, "api", cache=True)


def test_every_step_of_the_builder_is_an_argument() -> None:
    class Done(msgspec.Struct):
        at: int

    class Declared(EventClass, namespace="declared"):
        done = event(Done)

    elsewhere = MockStoreAdapter()
    told: list[tuple[BaseException, str]] = []
    store = build_store(
        MockStoreAdapter(), "api", events=[EVENTS, Declared], lint=True,
        events_validation=EventsValidation(publish=False),
        event_errors=lambda error, name: told.append((error, name)),
        pinned_scopes={("region", "eu"): elsewhere},
    )  # fmt: skip

    async def main() -> None:
        await store.scope("region", "eu").kv.set("a", 1)
        assert len(elsewhere.calls) == 1
        heard = await store.events.of(Declared).done.subscribe(print)
        await store.events["declared:done"].publish("no number")
        for _ in range(200):
            if heard.refused:
                break
            await asyncio.sleep(0.005)
        assert [channel for _, channel in told] == ["declared:done"]

    asyncio.run(main())
    with pytest.raises(Unsupported):
        build_store(MockStoreAdapter(), "api", bounds={"kv": Bound(items=5)})
    with pytest.raises(ConfigInvalid):
        build_store(MockStoreAdapter(), "api", bounds={"counter": Bound(items=5)})


@pytest.mark.row("D-194", "D-064")
def test_a_required_scope_and_the_seeds_next_sample() -> None:
    store = build_store(MockStoreAdapter(), "api-server", scopes={"organization": True})

    async def every_area() -> None:
        for work in (
            lambda: store.claim.once("cleanup:daily", "worker-1", ttl=60),
            lambda: store.kv.set("a", 1),
            lambda: store.counter.increment("a"),
            lambda: store.batch.get(["a"]),
            lambda: store.events.publish("a", 1),
            lambda: store.events.subscribe("a", print),
            lambda: store.streams.append("a", 1),
            lambda: store.streams.group("g", "c").ensure("a"),
            store.dev.scan,
            lambda: store.limiter.fixed("a", 1, 1),
            lambda: store.semaphore.acquire("a", 1),
            lambda: store.presence.mark("a", "b"),
        ):
            with pytest.raises(ScopeRequired) as caught:
                await work()
            assert caught.value.code is ErrorCode.parse("STORE_SCOPE_REQUIRED")
        assert await store.scope("organization", "org_123").claim.once("a", 1, ttl=60)

    asyncio.run(every_area())


@pytest.mark.row("D-125", "D-128")
def test_a_serializer_is_used(place: Place, service: str) -> None:
    import msgspec

    async def main() -> None:
        async with opened(
            place, service, lambda b: b.with_serializer(MessagePackSerializer())
        ) as store:
            await store.kv.set("a", bytes(range(256)))
            assert await store.kv.get("a") == bytes(range(256))
            raw = await command(store, "GET", f"holdfast:state:{service}:kv:a")
            assert msgspec.msgpack.decode(raw) == bytes(range(256))
            await store.batch.set([BatchEntry("b", b"\0"), BatchEntry("c", b"\1", 60)])
            assert await store.batch.get(["b", "c"]) == [b"\0", b"\1"]
            await store.streams.append("s", b"\xff")
            assert (await store.streams.tail("s"))[0].message == b"\xff"
            assert await store.claim.once("a", b"me", ttl=5)
            assert await store.claim.holder("a") == (b"me", None)
            await store.counter.increment("n")
            assert await store.counter.get("n") == 1

    run(main())


def test_a_serializer_that_fails() -> None:
    class Broken:
        def encode(self, value: Any) -> Any:
            if value == "text":
                return "no bytes"
            raise ZeroDivisionError

        def decode(self, data: bytes) -> Any:
            raise StopIteration

    async def main() -> None:
        adapter = MockStoreAdapter()
        store = build_store(adapter, "api", serializer=Broken())
        for value in (1, "text"):
            with pytest.raises(SerializationFailed):
                await store.kv.set("a", value)
        assert adapter.calls == []
        await adapter.set("holdfast:state:api:kv:a", b"x")
        with pytest.raises(StoreError) as caught:
            await store.kv.get("a")
        assert caught.value.code == ErrorCode.DESERIALIZATION_FAILED

    asyncio.run(main())


@pytest.mark.row("D-188", "D-100", "D-124", "D-189")
def test_advice_is_given_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        store = StoreBuilder.create().with_adapter(MockStoreAdapter()).with_service("a").with_lint()
        linted = store.build()
        for _ in range(3):
            await linted.scope("org", 1).kv.set("a", 1)
            await linted.kv.set("a", "x" * 1_500_000)
            await linted.kv.set("k" * 2000, 1, ttl=1)
            await linted.claim.once("a", 1)
        with pytest.raises(InvalidKey):
            await linted.kv.set("k" * 70_000, 1)

    asyncio.run(main())
    assert [message.split(" was ")[0].split(" of ")[0] for message in caplog.messages] == [
        "a value", "a value", "a key", "a claim",
    ]  # fmt: skip


@pytest.mark.row("D-188", "D-086", "D-189")
def test_time_passes_on_the_clock_of_a_mock() -> None:
    clock = ManualClock()
    components = replace(system_components(), clock=clock)

    async def main() -> None:
        builder = StoreBuilder.create().with_adapter(MockStoreAdapter(components))
        store = builder.with_service("a").with_components(components).with_default_ttl(60).build()
        await store.kv.set("default", 1)
        await store.kv.set("job:1:result", {"url": "x"}, ttl=1800)
        await store.claim.once("for good", "me")
        clock.advance(59)
        assert await store.kv.exists("default")
        clock.advance(2)
        assert not await store.kv.exists("default")
        assert await store.kv.get("job:1:result") == {"url": "x"}
        clock.advance(1800)
        assert await store.kv.get("job:1:result") is None
        clock.advance(365 * 86400)
        assert not await store.claim.once("for good", "other")
        assert await store.claim.release("for good", "me")

    asyncio.run(main())


@pytest.mark.row("D-101", "D-068")
def test_what_a_store_shows() -> None:
    store = build_store(MockStoreAdapter(), "api")
    public = {name for name in dir(store) if not name.startswith("_")}
    assert public >= {"kv", "counter", "claim", "batch", "events", "streams", "dev"}
    assert not {name for name in public if "adapter" in name or "client" in name}
    for area in ("kv", "counter", "claim", "batch", "streams", "dev", "limiter", "semaphore"):
        shown = [name for name in dir(getattr(store, area)) if not name.startswith("_")]
        assert not {name for name in shown if "adapter" in name or "client" in name}


@pytest.mark.row("D-010", "D-067")
def test_only_the_redis_package_knows_a_driver_or_a_loop() -> None:
    for name, path in repository.modules().items():
        if not name.startswith("holdfast.state"):
            continue
        imported = {one.partition(".")[0] for one in repository.imported_by(path)}
        if not name.startswith("holdfast.state.redis"):
            assert not imported & {"asyncio", "hiredis", "redis", "socket", "ssl"}, name
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, holdfast.state; print('hiredis' in sys.modules)"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert loaded.strip() == "False"


@pytest.mark.row("D-157")
def test_keys_are_put_together_in_one_place() -> None:
    import ast

    for name, path in repository.modules().items():
        if not name.startswith("holdfast.state.") or name.endswith((".keys", ".acl", ".config")):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                texts = [part.value for part in node.values if isinstance(part, ast.Constant)]
                joined = [t for t in texts if isinstance(t, str) and t in (":", "::")]
                assert not joined, f"{name}:{node.lineno}"


@pytest.mark.row("D-078", "D-112")
def test_the_seeds_codes_are_of_the_one_catalogue() -> None:
    seed = (
        "STORE_ADAPTER_REQUIRED", "STORE_SERVICE_REQUIRED", "STORE_SCHEMA_VALIDATION_FAILED",
        "STORE_INVALID_SCOPE_KEY", "STORE_OPERATION_FAILED", "STORE_DUPLICATE_NAMESPACE",
        "STORE_SERIALIZATION_FAILED", "STORE_DESERIALIZATION_FAILED", "STORE_CONNECTION_FAILED",
        "STORE_ENVIRONMENT_REQUIRED", "STORE_SCOPE_REQUIRED", "STORE_INVALID_SCOPE_IDENTIFIER",
    )  # fmt: skip
    for code in seed:
        assert ErrorCode.parse(code) == code.removeprefix("STORE_")
        assert StoreError.by_code[ErrorCode.parse(code)].code == code.removeprefix("STORE_")


@pytest.mark.row("D-073", "D-167")
def test_a_browser_is_told_at_once() -> None:
    modules = [name for name in sorted(repository.modules()) if name.startswith("holdfast.state")]
    script = (
        "import sys, importlib, holdfast\n"
        "from holdfast.contract.errors import EnvironmentRequired\n"
        "sys.platform = 'emscripten'\n"
        f"for module in {modules!r}:\n"
        "    for name in [one for one in sys.modules if 'holdfast.state' in one]:\n"
        "        del sys.modules[name]\n"
        "    try:\n"
        "        importlib.import_module(module)\n"
        "    except EnvironmentRequired as error:\n"
        "        assert error.code == 'ENVIRONMENT_REQUIRED'\n"
        "        print(module)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == modules
