"""LangGraph's conformance suite on our checkpointer, and what it leaves out."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies
from langgraph.checkpoint.base import CheckpointTuple, empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.memory import InMemorySaver

import holdfast
import holdfast.sync
from holdfast.adapters import checkpoint_rows, langgraph_checkpoints, ranges
from holdfast.adapters.langgraph_checkpoints import HoldfastSaver
from holdfast.codecs.keys import unpack
from holdfast.contract.errors import InvalidInput
from holdfast.runtime.drive import drive
from holdfast.stores.store import Store
from tests.adapters.suites import opened


@pytest.mark.parametrize("kind", ["loop", "threads"])
def test_it_conforms(kind: str) -> None:
    @checkpointer_test(name=f"holdfast {kind}")
    async def saver() -> AsyncIterator[HoldfastSaver]:
        async with opened(kind) as db:
            yield HoldfastSaver(db)

    report = asyncio.run(validate(saver))
    failures = {name: one.failures for name, one in report.results.items() if one.failures}
    assert not failures
    assert len(report.results) == 8
    assert all(one.detected and one.passed for one in report.results.values())
    assert sum(one.tests_passed for one in report.results.values()) >= 60


def config(thread: str = "t", namespace: str = "", id: str | None = None) -> Any:
    asked = {"thread_id": thread, "checkpoint_ns": namespace}
    return {"configurable": asked if id is None else asked | {"checkpoint_id": id}}


def put(saver: Any, at: Any, values: dict[str, Any], **metadata: Any) -> Any:
    """One more checkpoint with these values, all new."""
    checkpoint = empty_checkpoint()
    versions = {name: saver.get_next_version(None, None) for name in values}
    checkpoint["channel_values"] = values
    checkpoint["channel_versions"] = versions
    return saver.put(at, checkpoint, metadata, versions)


@pytest.fixture(
    params=["memory://", "lmdb:///{}", "sqlite:///{}"], ids=["memory", "lmdb", "sqlite"]
)
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[holdfast.sync.Database]:
    with holdfast.sync.open(str(request.param).format(tmp_path / "db")) as database:
        yield database


@pytest.fixture
def saver(db: holdfast.sync.Database) -> HoldfastSaver:
    return HoldfastSaver(db)


def plain(found: Iterator[CheckpointTuple]) -> list[Any]:
    return [
        (one.config["configurable"]["checkpoint_id"], one.checkpoint["channel_values"])
        for one in found
    ]


def test_called_plainly_it_answers_as_the_one_in_memory_does(saver: HoldfastSaver) -> None:
    other = InMemorySaver()
    for one in (saver, other):
        at = put(one, config(), {"a": 1}, step=-1)
        one.put_writes(at, [("a", "x"), ("b", b"y")], "task", "path")
        one.put_writes(at, [("a", "ignored")], "task", "path")
        one.put_writes(at, [("__error__", "first")], "task")
        one.put_writes(at, [("__error__", "second")], "task")
        found = one.get_tuple(config())
        assert found is not None
        assert found.checkpoint["channel_values"] == {"a": 1}
        assert found.parent_config is None
        assert sorted(found.pending_writes or [], key=repr) == [
            ("task", "__error__", "second"), ("task", "a", "x"), ("task", "b", b"y"),
        ]  # fmt: skip
        last = put(one, at, {"a": 2}, step=0)
        found = one.get_tuple(last)
        assert found is not None
        assert found.parent_config == at
        assert [value for _, value in plain(one.list(config()))] == [{"a": 2}, {"a": 1}]
        assert [value for _, value in plain(one.list(config(), filter={"step": -1}))] == [{"a": 1}]
        assert [value for _, value in plain(one.list(config(), before=last))] == [{"a": 1}]
        assert len(plain(one.list(None, limit=1))) == 1
        assert plain(one.list(config(), limit=0)) == []
        assert one.get_tuple(config("other")) is None
        one.delete_thread("t")
        assert one.get_tuple(config()) is None
        assert plain(one.list(None)) == []


def test_a_value_that_checkpoints_share_is_stored_once(saver: HoldfastSaver) -> None:
    checkpoint = empty_checkpoint()
    version = saver.get_next_version(None, None)
    checkpoint["channel_values"], checkpoint["channel_versions"] = {"a": "x" * 999}, {"a": version}
    at = saver.put(config(), checkpoint, {}, {"a": version})
    checkpoint = {**checkpoint, "id": empty_checkpoint()["id"]}
    saver.put(at, checkpoint, {}, {})
    assert [value for _, value in plain(saver.list(config()))] == [{"a": "x" * 999}] * 2
    db = saver._bridge._database
    assert drive(_kinds(db)) == {"b": 1, "c": 2, "o": 2}


async def _kinds(db: Any) -> dict[str, int]:
    store = await db.stores.get("langgraph")
    kinds: dict[str, int] = {}
    async for key, _ in store.iterate():
        kind = str(unpack(key)[0])
        kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


def test_two_branches_of_a_thread_keep_their_own_values(saver: HoldfastSaver) -> None:
    root = put(saver, config(), {"a": 0})
    versions = {saver.get_next_version(None, None) for _ in range(100)}
    assert len(versions) == 100
    left, right = put(saver, root, {"a": 1}), put(saver, root, {"a": 2})
    for at, value in ((left, 1), (right, 2)):
        found = saver.get_tuple(at)
        assert found is not None
        assert found.checkpoint["channel_values"] == {"a": value}


def test_versions_grow_whatever_stood_there_before(saver: HoldfastSaver) -> None:
    first = saver.get_next_version(None, None)
    second = saver.get_next_version(first, None)
    assert first < second
    assert saver.get_next_version(41, None).startswith("0" * 30 + "42.")  # type: ignore[arg-type]


def test_long_lists_are_read_page_by_page(
    saver: HoldfastSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(langgraph_checkpoints, "PAGE_CHECKPOINTS", 4)
    at = config("a")
    for number in range(11):
        at = put(saver, at, {"n": number})
    put(saver, config("b", "inner"), {"n": -1})
    put(saver, config("b"), {"n": -2})
    numbers = [value["n"] for _, value in plain(saver.list(None))]
    assert numbers == [-2, -1, *range(10, -1, -1)]  # Of each thread the newest first.
    assert [value["n"] for _, value in plain(saver.list(config("a"), limit=6))] == [
        10, 9, 8, 7, 6, 5,
    ]  # fmt: skip
    thread: Any = {"configurable": {"thread_id": "b"}}
    assert [value["n"] for _, value in plain(saver.list(thread))] == [-2, -1]
    one = saver.get_tuple(at)
    assert one is not None
    assert plain(saver.list(one.config)) == [
        (one.config["configurable"]["checkpoint_id"], {"n": 10})
    ]


def test_pruning_keeps_what_a_delta_is_rebuilt_from(saver: HoldfastSaver) -> None:
    counters = {"counters_since_delta_snapshot": {"log": (1, 1)}}
    old = put(saver, config(), {"log": ["too old"], "a": 0})
    seed = put(saver, old, {"log": ["seed"], "a": 1}, **counters)
    saver.put_writes(seed, [("log", "first")], "task")
    middle = put(saver, seed, {"a": 2}, **counters)
    saver.put_writes(middle, [("log", "second")], "task")
    last = put(saver, middle, {"a": 3}, **counters)
    before = saver.get_delta_channel_history(config=last, channels=["log"])
    saver.prune(["t"])
    assert saver.get_delta_channel_history(config=last, channels=["log"]) == before
    assert [one[2] for one in before["log"]["writes"]] == ["first", "second"]
    assert before["log"]["seed"] == ["seed"]
    assert [value["a"] for _, value in plain(saver.list(config()))] == [3, 2, 1]
    with pytest.raises(InvalidInput, match="strategy is one of"):
        saver.prune(["t"], strategy="keep_nothing")


def test_pruning_and_deleting_leave_no_rows_behind(saver: HoldfastSaver) -> None:
    at = config()
    for number in range(4):
        at = put(saver, at, {"a": number}, run_id=f"run {number}")
        saver.put_writes(at, [("a", number)], "task")
    saver.prune(["t"])
    db = saver._bridge._database
    assert drive(_kinds(db)) == {"b": 1, "c": 1, "o": 1, "r": 1, "w": 1}
    saver.copy_thread("t", "u")
    saver.delete_for_runs(["run 0", "run 3"])
    assert drive(_kinds(db)) == {}
    put(saver, config("v"), {"a": 1}, run_id="run")
    saver.delete_thread("v")
    assert drive(_kinds(db)) == {}


def test_a_thread_longer_than_a_step_is_copied_and_deleted_whole(
    saver: HoldfastSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_rows, "STEP_ROWS", 3)
    monkeypatch.setattr(ranges, "PAGE_KEYS", 3)
    at = config("a")
    for number in range(8):
        at = put(saver, at, {"n": number}, run_id="run")
    saver.copy_thread("a", "b")
    copied = [value["n"] for _, value in plain(saver.list(config("b")))]
    assert copied == list(range(7, -1, -1))
    saver.delete_thread("a")
    assert plain(saver.list(config("a"))) == []
    assert len(plain(saver.list(config("b")))) == 8


def test_a_thread_is_copied_as_of_one_moment(
    saver: HoldfastSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_rows, "STEP_ROWS", 1)
    at = put(saver, config("a"), {"n": 0})
    set_many = Store.set_many

    async def go_on(store: Any, pairs: Any) -> int:
        """Between two commits of the copy the run in the thread goes on."""
        monkeypatch.setattr(Store, "set_many", set_many)
        put(saver, at, {"n": 1})
        return await set_many(store, pairs)

    monkeypatch.setattr(Store, "set_many", go_on)
    saver.copy_thread("a", "b")
    assert [value for _, value in plain(saver.list(config("a")))] == [{"n": 1}, {"n": 0}]
    assert [value for _, value in plain(saver.list(config("b")))] == [{"n": 0}]


def test_what_names_no_place_is_refused(saver: HoldfastSaver) -> None:
    with pytest.raises(InvalidInput, match="belongs to a thread"):
        saver.get_tuple({"configurable": {}})
    with pytest.raises(InvalidInput, match="no checkpoint_id"):
        saver.put_writes(config(), [("a", 1)], "task")
    with pytest.raises(InvalidInput, match="a database was wanted"):
        HoldfastSaver("memory://")  # type: ignore[arg-type]


def test_checkpoints_outlive_the_process(tmp_path: Any) -> None:
    address = f"lmdb:///{tmp_path / 'db'}"
    with holdfast.sync.open(address) as db:
        at = put(HoldfastSaver(db), config(), {"a": 1})

    async def work() -> None:
        async with holdfast.open(address, read_only=True) as reopened:
            found = await HoldfastSaver(reopened).aget_tuple(config())
            assert found is not None
            assert found.config == at

    asyncio.run(work())


# --- Any order of calls ---------------------------------------------------------------------

threads = strategies.sampled_from(["a", "b"])
spaces = strategies.sampled_from(["", "inner:1"])
calls = strategies.lists(
    strategies.one_of(
        strategies.tuples(strategies.just("put"), threads, spaces, strategies.booleans()),
        strategies.tuples(
            strategies.just("writes"), threads, spaces, strategies.sampled_from(["t1", "t2"]),
            strategies.lists(strategies.sampled_from(["x", "y", "__error__"]), max_size=3),
            strategies.sampled_from(["", "path"]),
        ),
        strategies.tuples(strategies.just("delete"), threads),
    ),
    max_size=12,
)  # fmt: skip


def looked_at(one: Any) -> list[Any]:
    """Everything that a checkpointer shows."""
    shown: list[Any] = []
    for thread in ("a", "b"):
        for space in ("", "inner:1"):
            shown.append(_facts(one.get_tuple(config(thread, space))))
            shown.append([_facts(found) for found in one.list(config(thread, space))])
            shown.append([_facts(found) for found in one.list(config(thread, space), limit=1)])
    return shown


def _facts(found: CheckpointTuple | None) -> Any:
    if found is None:
        return None
    parent = found.parent_config
    return (
        found.config["configurable"]["checkpoint_id"], found.checkpoint, found.metadata,
        parent and parent["configurable"]["checkpoint_id"], found.pending_writes,
    )  # fmt: skip


@settings(max_examples=60)
@given(calls)
def test_any_calls_show_what_they_show_in_memory(several: list[tuple[Any, ...]]) -> None:
    with holdfast.sync.open("memory://") as db:
        ours, theirs = HoldfastSaver(db), InMemorySaver()
        last: dict[tuple[str, str], Any] = {}
        for number, (what, thread, *rest) in enumerate(several):
            if what == "delete":
                for one in (ours, theirs):
                    one.delete_thread(thread)
                last = {place: at for place, at in last.items() if place[0] != thread}
                continue
            place = (thread, rest[0])
            at = last.get(place, config(*place))
            if what == "put":
                before = None if place not in last else theirs.get_tuple(at)
                checkpoint: Any = empty_checkpoint()
                versions: Any = {"n": ours.get_next_version(None, None)}
                checkpoint["channel_versions"] = dict(versions)
                checkpoint["channel_values"] = {"n": number}
                if before is not None and rest[1]:  # Another channel stays as it was.
                    old = before.checkpoint
                    checkpoint["channel_versions"] = {**old["channel_versions"], **versions}
                    checkpoint["channel_values"] = {**old["channel_values"], "n": number}
                metadata: Any = {"step": number, "source": "loop"}
                for one in (ours, theirs):
                    last[place] = one.put(at, checkpoint.copy(), metadata, versions)
            elif place in last:
                task, channels, path = rest[1:]
                writes = [(channel, (number, index)) for index, channel in enumerate(channels)]
                for one in (ours, theirs):
                    one.put_writes(at, writes, task, path)
            assert looked_at(ours) == looked_at(theirs)
