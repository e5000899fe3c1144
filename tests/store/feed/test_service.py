"""The event service alone: who is called, in which order, and what a bad listener cannot do."""

import logging
from collections.abc import Callable

import pytest

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import InvalidInput, PatternInvalid, StoreClosed
from holdfast.contract.runtime import Components, ManualClock, SystemIds
from holdfast.runtime.system import SystemHost, ThreadRuntime, drive
from holdfast.store.change import Change
from holdfast.store.feed.subscribers import EventService
from holdfast.store.instants import instant


@pytest.fixture
def service() -> EventService:
    clock = ManualClock()
    return EventService(Components(SystemHost(), clock, SystemIds(clock)), ThreadRuntime())


def change(key: str, revision: int = 1) -> Change:
    return Change(revision, 0, "set", StoreKey.of(key), None, None, instant(0), "write")


def emit(service: EventService, *keys: str) -> None:
    for revision, key in enumerate(keys, 1):
        service.emit(key, change(key, revision))


def keys_seen(service: EventService, pattern: Pattern | str) -> list[str]:
    seen: list[str] = []
    service.subscribe(pattern, lambda one: seen.append(str(one.key)))
    return seen


@pytest.mark.row("K-057")
def test_only_the_interested_are_called(service: EventService) -> None:
    calls = [keys_seen(service, pattern) for pattern in ("a:1", "b:+", "c/#")]
    emit(service, "b:1")
    assert calls == [[], ["b:1"], []]


@pytest.mark.row("K-125")
def test_the_event_is_named_as_the_key_is_written(service: EventService) -> None:
    seen = keys_seen(service, "users/active:123")
    emit(service, "users/active:123", "users/active:1234", "users:123", "users/active/123:x")
    assert seen == ["users/active:123"]


@pytest.mark.row("K-058")
def test_an_unsubscribed_listener_is_not_called(service: EventService) -> None:
    seen: list[Change] = []
    stop = service.subscribe("a:+", seen.append)
    exact = keys_seen(service, "a:1")
    service.emit("a:1", change("a:1", 1))
    stop()
    stop()
    service.emit("a:1", change("a:1", 2))
    assert [one.revision for one in seen] == [1]
    assert exact == ["a:1", "a:1"]
    assert len(service) == 1


def test_ten_thousand_come_and_go_and_leave_nothing(service: EventService) -> None:
    for number in range(10_000):
        service.subscribe(f"a/{number}/+:b", print)()
    assert len(service) == 0
    assert service._subscriptions == {}
    assert service._trie._root.is_empty()


@pytest.mark.row("K-059", "trap 26")
def test_one_that_raises_starves_nobody(
    service: EventService, caplog: pytest.LogCaptureFixture
) -> None:
    value = "hush-hush"

    def bad(_: Change) -> None:
        raise RuntimeError(f"not with {value}")

    service.subscribe("a:1", bad)
    seen = keys_seen(service, "a:1")
    with caplog.at_level(logging.ERROR, "holdfast"):
        emit(service, "a:1")
    assert seen == ["a:1"]
    assert [one.failed for one in service.subscriptions()] == [1, 0]
    assert [one.delivered for one in service.subscriptions()] == [0, 1]
    [record] = caplog.records
    said = record.getMessage()
    assert "a:1" in said
    assert "RuntimeError" in said
    assert "in bad" in said, "where it was raised"
    assert value not in caplog.text


def test_an_interrupt_reaches_the_caller_after_everybody_was_told(service: EventService) -> None:
    def interrupted(_: Change) -> None:
        raise KeyboardInterrupt

    service.subscribe("#", interrupted)
    seen = keys_seen(service, "#")
    with pytest.raises(KeyboardInterrupt):
        emit(service, "a:1")
    assert seen == ["a:1"]


@pytest.mark.row("K-060")
def test_a_listener_ends_itself_and_a_peer_while_called(service: EventService) -> None:
    stops: dict[str, Callable[[], None]] = {}
    calls: list[str] = []

    def first(_: Change) -> None:
        calls.append("first")
        stops["first"]()
        stops["peer"]()

    def named(name: str) -> Callable[[Change], None]:
        return lambda _: calls.append(name)

    for name in ("before", "peer before"):
        stops[name] = service.subscribe("#", named(name))
    stops["first"] = service.subscribe("#", first)
    for name in ("peer", "last"):
        stops[name] = service.subscribe("#", named(name))
    emit(service, "a:1", "a:2")
    assert calls == [
        "before", "peer before", "first", "last",
        "before", "peer before", "last",
    ]  # fmt: skip


@pytest.mark.row("K-060")
def test_who_comes_during_a_delivery_gets_the_next_one(service: EventService) -> None:
    seen: list[int] = []

    def inviting(_: Change) -> None:
        if not seen and len(service) == 1:
            service.subscribe("#", lambda one: seen.append(one.revision))

    service.subscribe("#", inviting)
    emit(service, "a:1", "a:2")
    assert seen == [2]


@pytest.mark.row("K-071", "trap 18")
@pytest.mark.parametrize(
    ("pattern", "hits", "misses"),
    [
        ("users/#", ["users", "users:a", "users/a:1", "users/a/b/c:1"], ["user", "usersx:a"]),
        ("users/+/settings", ["users/7:settings"], ["users/7/8:settings", "users:settings"]),
        ("users:+", ["users:1"], ["users", "users/1:2"]),
        ("+", ["a"], ["a:b"]),
        ("#", ["a", "a:b", "a/b:c"], ["__schema:x"]),
        ("__schema/#", ["__schema:x"], ["a"]),
    ],
)
def test_wildcards_match_levels(
    service: EventService, pattern: str, hits: list[str], misses: list[str]
) -> None:
    seen = keys_seen(service, pattern)
    emit(service, *hits, *misses)
    assert seen == hits


@pytest.mark.row("K-072", "trap 17")
@pytest.mark.parametrize(
    ("pattern", "hits", "misses"),
    [
        ("x:a.b", ["x:a.b"], ["x:axb"]),
        ("a+b:c", ["a+b:c"], ["aab:c", "ab:c"]),
        ("x:[a](", ["x:[a]("], ["x:a"]),
        (Pattern.exactly(StoreKey("+", ("x",))), ["x:+"], ["x:1"]),
        (Pattern.exactly(StoreKey("#", ("x",))), ["x:#"], ["x:1", "x"]),
    ],
)
def test_characters_of_names_are_data(
    service: EventService, pattern: Pattern | str, hits: list[str], misses: list[str]
) -> None:
    seen = keys_seen(service, pattern)
    emit(service, *hits, *misses)
    assert seen == hits


def test_glob_and_regex_subscribe_too(service: EventService) -> None:
    globbed = keys_seen(service, Pattern.glob("users/*:12?"))
    matched = keys_seen(service, Pattern.regex(r"users/\w+:\d+"))
    emit(service, "users/a/b:123", "users/a:7", "other/a:123")
    assert globbed == ["users/a/b:123"]
    assert matched == ["users/a:7"]


def test_a_change_costs_what_its_matches_cost(service: EventService) -> None:
    """The work is counted, not timed: nodes of the trie that a look-up touches."""
    for number in range(10_000):
        service.subscribe(f"elsewhere/{number}/+:name", print)
    seen = keys_seen(service, "here/+:name")
    looked: list[object] = []
    root = service._trie._root

    class Counted(dict):  # type: ignore[type-arg]
        def __contains__(self, level: object) -> bool:
            looked.append(level)
            return super().__contains__(level)

    def count(node: object, depth: int) -> None:
        node.below = Counted(node.below)  # type: ignore[attr-defined]
        if depth:
            for below in node.below.values():  # type: ignore[attr-defined]
                count(below, depth - 1)

    count(root, 2)
    emit(service, "here/1:name")
    assert seen == ["here/1:name"]
    assert len(looked) <= 8


def test_bad_input_is_refused(service: EventService) -> None:
    with pytest.raises(InvalidInput):
        service.subscribe("#", "no function")  # type: ignore[arg-type]
    with pytest.raises(PatternInvalid):
        service.subscribe("a/#/b", print)

    async def callback(_: Change) -> None:
        raise AssertionError("nobody can await it")

    with pytest.raises(InvalidInput, match="event loop"):
        service.subscribe("#", callback)
    assert len(service) == 0


def test_a_plain_function_that_makes_a_coroutine_is_told_so(
    service: EventService, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        raise AssertionError("never awaited")

    service.subscribe("#", lambda _: work())
    emit(service, "a:1")
    assert service.subscriptions()[0].failed == 1
    assert "CoroutineFunctionWanted" in caplog.text


def test_after_close_nothing_is_delivered_or_accepted(service: EventService) -> None:
    seen = keys_seen(service, "#")
    stop = service.subscribe("#", print)
    service.close()
    drive(service.wait_closed())
    stop()
    emit(service, "a:1")
    assert seen == []
    with pytest.raises(StoreClosed):
        service.subscribe("#", print)
