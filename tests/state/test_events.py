"""Events on a real server: who hears what, what is refused, what survives."""

import asyncio
import gc
import json
import weakref
from dataclasses import dataclass
from typing import Any

import msgspec
import pydantic
import pytest

from holdfast.contract.errors import (
    DeserializationFailed,
    DuplicateNamespace,
    InvalidInput,
    InvalidName,
    SchemaValidationFailed,
    SerializationFailed,
)
from holdfast.state import (
    EventClass,
    Events,
    Message,
    MockStoreAdapter,
    ScopedStore,
    StoreBuilder,
    event,
    group,
)
from holdfast.state.events.shapes import output_type
from holdfast.state.limits import SUBSCRIBER_QUEUE_MAX
from tests.state.conftest import RedisServer, command, opened, run
from tests.state.places import Place


class Placed(msgspec.Struct):
    order_id: str
    amount: float = 1.5


@dataclass
class Paid:
    amount: int


class Login(pydantic.BaseModel):
    user: str
    times: int = 3


class PaymentEvents(EventClass):
    paid = event(Paid)


class OrderEvents(EventClass, namespace="order"):
    placed = event(Placed)
    payment = group(PaymentEvents)
    publish_ = event(Paid, name="publish")


AUTH = (
    Events.create("auth")
    .group("user", lambda g: g.event("login", Login).event("class"))
    .event("check", {"type": "object", "required": ["x"]})
    .build()
)


def declared(builder: StoreBuilder) -> StoreBuilder:
    return builder.add_events(OrderEvents).add_events(AUTH)


async def until(condition: Any, seconds: float = 5.0) -> None:
    for _ in range(int(seconds / 0.005)):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come to pass")


async def settled(store: ScopedStore, service: str) -> None:
    """Everything published before has been heard: a message of our own came through."""
    came = asyncio.Event()
    end = await store.events.subscribe("settled", lambda _: came.set())
    await store.events.publish("settled", 1)
    await asyncio.wait_for(came.wait(), 5)
    await asyncio.sleep(0.01)
    await end()


@pytest.mark.row("D-045", "D-046", "D-155", "D-163", "D-023", "D-113")
def test_declared_events(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service, declared) as store:
            got: list[Message[Any]] = []
            orders = store.events.of(OrderEvents)
            await orders.placed.subscribe(got.append)
            await store.events.order.payment.paid.subscribe(got.append)
            await store.events.auth.user.login.subscribe(got.append)
            await store.events.auth.check.subscribe(got.append)
            await orders.placed.publish(Placed("1"))
            await store.events.order.placed.publish({"order_id": "2"})
            await orders.payment.paid.publish(Paid(7))
            await store.events.auth.user.login.publish({"user": "ada"})
            await store.events.publish("auth:check", {"x": 1})
            await until(lambda: len(got) == 5)
            assert [one.data for one in got] == [
                Placed("1", 1.5), Placed("2", 1.5), Paid(7), Login(user="ada", times=3), {"x": 1},
            ]  # fmt: skip
            assert [one.type for one in got][2:4] == ["order:payment:paid", "auth:user:login"]

    run(main())


@pytest.mark.row("D-114", "D-023")
def test_names_that_python_knows_and_names_that_nobody_knows(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service, declared) as store:
            got: list[Any] = []
            for accessor in (
                store.events["auth"]["user"]["class"],
                store.events["auth:user:class"],
                store.events["order"]["publish"],
                store.events.of(OrderEvents).publish_,
            ):
                await accessor.subscribe(got.append)
            await store.events["auth"]["user"]["class"].publish(1)
            await store.events["order"]["publish"].publish({"amount": 3})
            await until(lambda: len(got) == 2)
            with pytest.raises(AttributeError, match="login, class"):
                _ = store.events.auth.user.logout
            with pytest.raises(AttributeError, match="order, auth"):
                _ = store.events.billing
            with pytest.raises(KeyError):
                _ = store.events["order:placed:more"]
            assert "auth" in dir(store.events)

    run(main())


@pytest.mark.row("D-006", "D-049", "D-106", "D-110")
def test_what_does_not_fit_is_not_sent(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service, declared) as store:
            got: list[Any] = []
            await store.events.subscribe("*", got.append)
            with pytest.raises(SchemaValidationFailed) as caught:
                await store.events.order.payment.paid.publish({"amount": "x"})
            assert caught.value.code == "SCHEMA_VALIDATION_FAILED"
            circle: list[Any] = []
            circle.append(circle)
            with pytest.raises(SerializationFailed):
                await store.events.publish("free", circle)
            with pytest.raises(SchemaValidationFailed):
                await store.events.publish("auth:check", {})
            await settled(store, service)
            assert [one.type for one in got] == ["settled"]

    run(main())


@pytest.mark.row("D-106", "D-051", "D-139")
def test_what_comes_in_wrong_is_reported_and_the_next_one_is_heard(
    place: Place, service: str
) -> None:
    errors: list[tuple[BaseException, str]] = []

    def prepare(builder: StoreBuilder) -> StoreBuilder:
        return declared(builder).with_event_errors(
            lambda error, channel: errors.append((error, channel))
        )

    async def main() -> None:
        async with opened(place, service, prepare) as store:
            got: list[Any] = []
            subscription = await store.events.order.payment.paid.subscribe(got.append)
            channel = f"holdfast:state:{service}:events:order:payment:paid"
            wrong = json.dumps({"type": "t", "timestamp": "2024", "data": {"amount": "x"}})
            garbage = [b"{bad", b"", b"\xff\xfe", b"[]", b"null", b"1" * 5000, wrong.encode()]
            for number in range(600):
                await command(store, "PUBLISH", channel, garbage[number % len(garbage)])
                if number % 100 == 0:
                    await asyncio.sleep(0.01)
            await store.events.order.payment.paid.publish({"amount": 1})
            await until(lambda: got)
            assert [one.data for one in got] == [Paid(1)]
            assert subscription.refused == len(errors) == 600
            assert {type(error) for error, _ in errors} == {
                DeserializationFailed, SchemaValidationFailed,
            }  # fmt: skip
            assert {channel for _, channel in errors} == {"order:payment:paid"}

    run(main())


@pytest.mark.row("D-130", "D-119", "D-136")
@pytest.mark.parametrize("publish", [True, False])
@pytest.mark.parametrize("subscribe", [True, False])
@pytest.mark.parametrize("throw", [True, False])
def test_when_schemas_are_applied(
    place: Place, service: str, publish: bool, subscribe: bool, throw: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    phases: list[str] = []

    def prepare(builder: StoreBuilder) -> StoreBuilder:
        return declared(builder).with_events_validation(
            publish=publish, subscribe=subscribe, throw_on_error=throw
        )

    async def main() -> None:
        async with opened(place, service, prepare) as store:
            judged = store.events._validated

            def spy(channel: str, data: Any, phase: Any) -> Any:
                phases.append(phase)
                return judged(channel, data, phase)

            store.events._validated = spy  # type: ignore[method-assign]
            got: list[Any] = []
            subscription = await store.events.order.payment.paid.subscribe(got.append)
            try:
                await store.events.order.payment.paid.publish({"amount": "x"})
            except SchemaValidationFailed:
                assert publish
                assert throw
                return
            assert not (publish and throw)
            await until(lambda: subscription.delivered + subscription.refused == 1)
            assert phases == ["publish", "subscribe"]
            if subscribe and throw:
                assert got == []
            else:
                assert got[0].data == {"amount": "x"}
            warned = [one for one in caplog.messages if "does not fit its schema" in one]
            assert len(warned) == (publish + subscribe if not throw else 0)

    run(main())


@pytest.mark.row("D-047")
def test_the_envelope(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            raw: list[bytes] = []
            adapter = store._scene.adapter
            channel = f"holdfast:state:{service}:org:1:ws:2:events:user:created"
            await adapter.subscribe(channel, lambda _, data: raw.append(data), lambda: None)
            scoped = store.scope("org", 1).scope("ws", 2)
            got: list[Message[Any]] = []
            await scoped.events.subscribe("user:created", got.append)
            await scoped.events.publish("user:created", {"id": 7})
            await until(lambda: raw and got)
            envelope = json.loads(raw[0])
            at = envelope.pop("timestamp")
            assert envelope == {
                "type": "user:created",
                "data": {"id": 7},
                "scope": [{"key": "org", "identifier": "1"}, {"key": "ws", "identifier": "2"}],
            }
            assert len(at) == 24
            assert at.endswith("Z")
            assert got[0].at.tzinfo is not None
            assert got[0].scope == (("org", "1"), ("ws", "2"))
            # The single form of the scope is read, too.
            envelope["scope"], envelope["timestamp"] = {"key": "org", "identifier": "1"}, at
            await command(store, "PUBLISH", channel, json.dumps(envelope))
            await until(lambda: len(got) == 2)
            assert got[1].scope == (("org", "1"),)

    run(main())


@pytest.mark.row("D-048", "D-002")
def test_scopes_do_not_hear_each_other(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store, opened(place, service) as sender:
            got: list[str] = []
            await store.scope("org", 1).events.subscribe("a", lambda m: got.append("1"))
            await store.scope("org", 1).events.subscribe("*", lambda m: got.append("1*"))
            await sender.scope("org", 2).events.publish("a", 1)
            await sender.scope("org", 12).events.publish("a", 1)
            await sender.events.publish("a", 1)
            await settled(store, service)
            assert got == []
            await sender.scope("org", 1).events.publish("a", 1)
            await until(lambda: sorted(got) == ["1", "1*"])

    run(main())


@pytest.mark.row("D-099", "D-191")
def test_wildcards(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service, declared) as store:
            got: list[Message[Any]] = []
            await store.events.subscribe("user:*", got.append)
            await store.events.subscribe("order:*", got.append)
            for channel in ("user:created", "users:x", "user:a:b", "other"):
                await store.events.publish(channel, 1)
            await store.events.publish("order:payment:paid", {"amount": 1})
            await until(lambda: len(got) == 3)
            assert [one.type for one in got] == ["user:created", "user:a:b", "order:payment:paid"]
            assert got[2].data == Paid(1)
            for wrong in ("user:*", "a b", "", "a::b", "a[b", "igniter:x", 5, "a\n"):
                with pytest.raises(InvalidName):
                    await store.events.publish(wrong, 1)  # type: ignore[arg-type]

    run(main())


@pytest.mark.row("D-052", "D-115", "D-147", "D-150")
def test_subscribing_and_ending_it(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            channel = f"holdfast:state:{service}:events:a"

            async def listeners() -> int:
                adapter: Any = store._scene.adapter
                if adapter.name == "embedded":
                    # In this process each handler hears for itself.
                    return int(adapter._ear is not None and adapter._ear.count(channel) > 0)
                return int((await command(store, "PUBSUB", "NUMSUB", channel))[1])

            got: list[str] = []
            handlers = [lambda m, n=n: got.append(n) for n in "abc"]
            ends = await asyncio.gather(*(store.events.subscribe("a", one) for one in handlers))
            again = await store.events.subscribe("a", handlers[0])
            assert again is ends[0]
            assert await listeners() == 1
            await store.events.publish("a", 1)
            await until(lambda: sorted(got) == ["a", "b", "c"])
            await ends[0]()
            await ends[0]()
            assert await listeners() == 1
            await store.events.unsubscribe("a")
            assert await listeners() == 0
            await store.events.publish("a", 1)
            await settled(store, service)
            assert sorted(got) == ["a", "b", "c"]
            assert store._hub.subscriptions == {}

    run(main())


@pytest.mark.row("D-012")
def test_commands_go_on_while_subscribed(own_redis: RedisServer, service: str) -> None:
    async def main() -> None:
        async with opened(own_redis, service) as store:
            await store.events.subscribe("a", lambda m: None)
            await store.kv.set("a", 1)
            assert await store.kv.get("a") == 1
            clients = (await command(store, "CLIENT", "LIST")).decode().strip().splitlines()
            assert len([one for one in clients if "name=holdfast" in one]) == 2

    run(main())


@pytest.mark.row("D-050")
@pytest.mark.parametrize(
    "raised",
    [
        ValueError("x"),
        StopIteration(),
        asyncio.CancelledError(),
        SystemExit(3),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_handler_raises_the_next_message_comes(
    place: Place, service: str, raised: BaseException
) -> None:
    errors: list[BaseException] = []

    def prepare(builder: StoreBuilder) -> StoreBuilder:
        return builder.with_event_errors(lambda error, _: errors.append(error))

    async def main() -> None:
        async with opened(place, service, prepare) as store:
            plain: list[int] = []
            waiting: list[int] = []
            other: list[int] = []

            def handler(message: Message[Any]) -> None:
                plain.append(message.data)
                raise raised

            async def slow(message: Message[Any]) -> None:
                waiting.append(message.data)
                await asyncio.sleep(0)
                raise raised

            first = await store.events.subscribe("a", handler)
            second = await store.events.subscribe("a", slow)
            await store.events.subscribe("a", lambda m: other.append(m.data))
            for number in range(3):
                await store.events.publish("a", number)
            await until(lambda: len(plain) == len(waiting) == len(other) == 3)
            await until(lambda: first.failed == second.failed == 3)
            assert len(errors) == 6

    run(main())


@pytest.mark.parametrize("raised", [RuntimeError("no"), StopIteration(), SystemExit(1)], ids=repr)
def test_whatever_a_schema_raises_the_next_message_comes(
    service: str, raised: BaseException
) -> None:
    errors: list[BaseException] = []

    def picky(data: Any) -> bool:
        if data == 1:
            raise raised
        return True

    async def main() -> None:
        builder = StoreBuilder.create().with_adapter(MockStoreAdapter()).with_service(service)
        builder = builder.add_events(Events.create("a").event("b", picky).build())
        builder = builder.with_events_validation(publish=False)
        builder = builder.with_event_errors(lambda error, _: errors.append(error))
        async with builder.build() as store:
            got: list[int] = []
            subscription = await store.events.subscribe("a:b", lambda m: got.append(m.data))
            for number in range(3):
                await store.events.publish("a:b", number)
            await until(lambda: len(got) == 2)
            assert got == [0, 2]
            assert subscription.refused == 1
            assert errors == [raised]

    run(main())


def test_a_loop_ends_although_a_handler_waits(place: Place, service: str) -> None:
    began: list[int] = []

    async def main() -> None:
        async with opened(place, service) as store:

            async def forever(_: Message[Any]) -> None:
                began.append(1)
                await asyncio.Event().wait()

            await store.events.subscribe("a", forever)
            await store.events.publish("a", 1)
            await until(lambda: began)

    run(main())
    assert began


@pytest.mark.row("D-076")
def test_ten_thousand_subscriptions_leave_nothing(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            for _ in range(10_000 // 50):
                ends = await asyncio.gather(
                    *(store.events.subscribe(f"c{n}", lambda m: None) for n in range(50))
                )
                await asyncio.gather(*(end() for end in ends))
            assert store._hub.subscriptions == {}
            adapter: Any = store._scene.adapter
            if adapter.name == "embedded":
                assert adapter._ear._listeners == {}
                assert adapter._ear._loop is None
            else:
                subscriber = adapter._connections.here().subscriber
                assert subscriber._channels == {}
                assert subscriber._link.in_flight == 0

    run(main())


def test_a_slow_subscriber_is_bounded_and_counted(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            go = asyncio.Event()
            got: list[int] = []

            async def slow(message: Message[Any]) -> None:
                await go.wait()
                got.append(message.data)

            subscription = await store.events.subscribe("a", slow)
            many = SUBSCRIBER_QUEUE_MAX + 500
            await asyncio.gather(*(store.events.publish("a", n) for n in range(many)))
            await settled(store, service)
            assert subscription.queued == SUBSCRIBER_QUEUE_MAX
            assert subscription.dropped == 499
            go.set()
            await until(lambda: len(got) == many - subscription.dropped)

    run(main())


@pytest.mark.row("D-016", "D-109", "D-156", "D-008", "D-098")
def test_registries() -> None:
    for wrong in ("igniter", "", "A b", "a:b", "1a", "*", None, "holdfast"):
        with pytest.raises(InvalidName):
            Events.create(wrong)  # type: ignore[arg-type]
        with pytest.raises(InvalidName):
            Events.create("fine").event(wrong)  # type: ignore[arg-type]
    one = Events.create("user").event("created").build()
    two = Events.create("billing").group("invoice", lambda g: g.event("paid")).build()
    builder = StoreBuilder.create().add_events(one)
    merged = builder.add_events(two)
    assert merged.events.channels() == ["user:created", "billing:invoice:paid"]
    assert builder.events.channels() == ["user:created"]
    with pytest.raises(DuplicateNamespace) as caught:
        merged.add_events(Events.create("user").event("other").build())
    assert caught.value.code == "DUPLICATE_NAMESPACE"
    with pytest.raises(InvalidName):
        Events.create("a").event("b").event("b")
    with pytest.raises(InvalidInput):
        Events.create("a").event("b", 5)
    with pytest.raises(InvalidInput):
        PaymentEvents.registry()


@pytest.mark.row("D-017")
def test_the_output_type_of_a_schema() -> None:
    assert output_type(Placed) is Placed
    assert output_type(Paid) is Paid
    assert output_type(Login) is Login
    assert output_type({"type": "object"}) is None
    assert output_type(None) is None


def declare(name: str, declared: Any) -> type[EventClass]:
    """A class with one attribute, as the body of a class would make it."""
    space: dict[str, Any] = {"EventClass": EventClass, "declared": declared}
    exec(f"class Made(EventClass, namespace='made'):\n    {name} = declared", space)
    made: type[EventClass] = space["Made"]
    return made


@pytest.mark.parametrize("name", ["namespace", "area", "path", "registry", "declared", "__private"])
@pytest.mark.parametrize("kind", [event, group])
def test_events_that_could_not_be_reached_are_refused_by_name(name: str, kind: Any) -> None:
    with pytest.raises(InvalidName, match=f"'{name}'.*name='{name.strip('_')}'"):
        declare(name, kind(PaymentEvents if kind is group else Paid))
    # What the error says works.
    named = declare("other", event(Paid, name=name.strip("_")))
    assert named.registry().channels() == [f"made:{name.strip('_')}"]


def test_events_of_mixed_in_classes_and_a_namespace_in_the_body() -> None:
    class Mixed:
        area = event(Paid)

    with pytest.raises(InvalidName, match="'area'"):
        type("Made", (Mixed, EventClass), {})
    with pytest.raises(InvalidInput, match="behind its bases"):
        declare("namespace", "order")


def test_an_event_that_is_declared_again_takes_the_place_of_the_first() -> None:
    class Further(OrderEvents, namespace="further"):
        placed = event(Paid)  # type: ignore[assignment]
        payment = None  # type: ignore[assignment]

    registry = Further.registry()
    assert sorted(registry.channels()) == ["further:placed", "further:publish"]
    leaf = registry.find("further:placed")
    assert leaf is not None
    assert leaf.shape is not None
    assert leaf.shape.kind is Paid


def test_a_class_of_a_namespace_that_another_class_declared(service: str) -> None:
    class Fewer(EventClass, namespace="order"):
        placed = event(Placed)

    class Other(EventClass, namespace="order"):
        shipped = event(Placed)

    builder = StoreBuilder.create().with_adapter(MockStoreAdapter()).with_service(service)
    store = builder.add_events(OrderEvents).build()
    assert store.events.of(Fewer).placed.channel == "order:placed"
    for _ in range(2):
        with pytest.raises(InvalidInput, match="order:shipped"):
            store.events.of(Other)


@pytest.mark.parametrize(
    "raised",
    [RuntimeError("no"), asyncio.CancelledError(), SystemExit(1), StopIteration()],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("waits", [False, True])
def test_whatever_is_raised_where_errors_are_told_the_next_message_comes(
    place: Place, service: str, raised: BaseException, waits: bool
) -> None:
    told: list[str] = []

    def on_error(error: BaseException, channel: str) -> None:
        told.append(channel)
        raise raised

    async def later(error: BaseException, channel: str) -> None:
        await asyncio.sleep(0)
        on_error(error, channel)

    async def main() -> None:
        prepare = lambda one: one.with_event_errors(later if waits else on_error)  # noqa: E731
        async with opened(place, service, prepare) as store:
            subscription = await store.events.subscribe("a", lambda m: 1 // 0)
            for number in range(3):
                await store.events.publish("a", number)
            await until(lambda: len(told) == 3)
            await until(lambda: subscription.failed == 3)

    run(main())


def test_a_handler_that_waits_is_not_lost(place: Place, service: str) -> None:
    """A loop itself holds no task that waits for what nobody else holds."""
    waits: list[weakref.ref[Any]] = []

    async def main() -> None:
        async with opened(place, service) as store:

            async def handler(message: Message[Any]) -> None:
                future = asyncio.get_running_loop().create_future()
                waits.append(weakref.ref(future))
                await future

            subscription = await store.events.subscribe("a", handler)
            await store.events.publish("a", 1)
            await until(lambda: len(waits) == 1)
            gc.collect()
            future = waits[0]()
            assert future is not None
            future.set_result(None)
            del future
            await until(lambda: subscription.delivered == 1)

    run(main())


def test_a_function_that_is_subscribed_on_a_second_loop(service: str) -> None:
    heard: list[Any] = []

    def handler(message: Message[Any]) -> None:
        heard.append(message.data)

    async def main() -> None:
        adapter = MockStoreAdapter()
        store = StoreBuilder.create().with_adapter(adapter).with_service(service).build()
        first = await store.events.subscribe("a", handler)

        def second_loop() -> None:
            asyncio.run(on_second_loop())

        async def on_second_loop() -> None:
            second = await store.events.subscribe("a", handler)
            assert second is not first
            await first()
            assert store.events.subscriptions() == [second]
            await store.events.unsubscribe("a")
            assert second.closed

        await asyncio.to_thread(second_loop)
        assert store.events.subscriptions() == []

    run(main())
