"""The way from older data: adapters, shadows, flags, bridges, names, and a copy that resumes."""

from __future__ import annotations

import dbm.dumb
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import holdfast.sync
from holdfast.contract.errors import ConfigInvalid, IntegrityFailed, InvalidInput, KeyNotFound
from holdfast.stores.lifecycle import Lifecycle, StoreEvent
from holdfast.stores.migration import (
    Difference,
    MappingStore,
    NotPassed,
    Router,
    ShadowStore,
    StoreMapping,
    TopicBridge,
    from_old_names,
    migrate,
)
from tests.store.scene import Scene, listed
from tests.tidy import repository


def opened(path: str, flag: str) -> Any:
    """A `dbm` file. Its type says less than it can."""
    return dbm.dumb.open(path, flag)


def count_words(table: Any, text: str) -> dict[bytes, bytes]:
    """Code as it was written for a `dbm` file; it runs unmodified on whatever is like one."""
    for word in text.split():
        if word in table:
            table[word] = str(int(table[word]) + 1)
        else:
            table[word] = "1"
    if "gone" in table:
        del table["gone"]
    table.setdefault(b"words", b"%d" % len(table))
    table.sync()
    return {key: table[key] for key in sorted(table.keys())}


@pytest.mark.row("E-113")
def test_code_for_a_legacy_mapping_runs_unmodified(kept_scene: Scene, tmp_path: Path) -> None:
    text = "to be or not to be gone"
    with opened(str(tmp_path / "words"), "c") as table:
        wanted = count_words(table, text)
    with holdfast.sync.open(kept_scene.url) as db:
        mapping = StoreMapping(db.stores.create("words"))
        assert count_words(mapping, text) == wanted
        assert dict(mapping) == wanted
        assert len(mapping) == len(wanted)
        with pytest.raises(KeyError):
            mapping["nope"]
        with pytest.raises(KeyError):
            del mapping["nope"]
        assert mapping.get(b"nope") is None
        assert 5 not in mapping  # type: ignore[comparison-overlap]


@pytest.mark.row("E-113")
async def test_newer_code_runs_on_a_legacy_mapping(tmp_path: Path) -> None:
    with opened(str(tmp_path / "words"), "c") as table:
        store = MappingStore("words", table)
        for key in (b"b", b"a", b"c"):
            await store.set(key, b"v" + key)
        assert await store.get(b"a") == b"va"
        assert await store.get(b"z", None) is None
        with pytest.raises(KeyNotFound):
            await store.get(b"z")
        assert await store.has(b"b")
        assert await store.delete(b"b")
        assert not await store.delete(b"b")
        assert await listed(store.iterate()) == [(b"a", b"va"), (b"c", b"vc")]
        assert await listed(store.iterate_range(b"b", None, False)) == [(b"c", b"vc")]
        assert await listed(store.prefix(b"a")) == [(b"a", b"va")]
        assert await store.count() == 2


@pytest.mark.row("E-116")
async def test_a_divergence_is_reported_and_the_primary_answers(scene: Scene) -> None:
    async with scene.open() as db:
        old = MappingStore("old", {})
        new = await db.stores.create("new")
        told: list[Difference] = []
        shadow = ShadowStore(old, new, told=told.append)
        await shadow.set(b"a", b"1")
        await shadow.set(b"b", b"2")
        assert await shadow.get(b"a") == b"1"
        assert shadow.differed == 0
        await new.set(b"a", b"other")
        assert await shadow.get(b"a") == b"1"
        assert told == [Difference("get", b"a", b"1", b"other")]
        shadow.primary = "new"
        assert await shadow.get(b"a") == b"other"
        await old.set(b"only old", b"x")
        assert await listed(shadow.iterate_range()) == [(b"a", b"other"), (b"b", b"2")]
        assert told[2:] == [
            Difference("iterate", b"a", b"1", b"other"),
            Difference("iterate", b"only old", b"x", None),
        ]
        assert not await shadow.delete(b"only old")
        assert told[-1] == Difference("delete", b"only old", True, False)
        assert shadow.differed == len(told)
        # What the other one cannot do is told, and disturbs nobody.
        shadow.primary = "old"
        await db.stores.delete("new")
        await shadow.set(b"c", b"3")
        assert await shadow.get(b"c") == b"3"
        assert told[-2].new == "StoreNotFound"
        with pytest.raises(InvalidInput):
            shadow.primary = "both"  # type: ignore[assignment]
        with pytest.raises(KeyNotFound):
            await shadow.get(b"nope")


@pytest.mark.row("E-115")
async def test_components_move_over_by_flag(scene: Scene) -> None:
    async with scene.open() as db:
        old, new = await db.stores.create("old"), await db.stores.create("new")
        router = Router(old, new, {"billing": "old", "search": "new"})
        billing, search, other = map(router.store, ("billing", "search", "other"))
        for store, value in ((billing, b"b"), (search, b"s"), (other, b"o")):
            await store.set(b"k" + value, value)
        assert await listed(old.iterate()) == [(b"kb", b"b"), (b"ko", b"o")]
        router.flip("billing", "new")
        await billing.set(b"kb", b"again")
        assert dict(await listed(new.iterate())) == {b"kb": b"again", b"ks": b"s"}
        assert router.calls == {
            ("billing", "old"): 1, ("search", "new"): 1, ("other", "old"): 1, ("billing", "new"): 1,
        }  # fmt: skip
        with pytest.raises(InvalidInput):
            router.flip("billing", "both")  # type: ignore[arg-type]


class Bus:
    """A bus as older programs have it."""

    def __init__(self) -> None:
        self.subscribers: dict[str, list[Callable[[Mapping[str, Any]], object]]] = {}

    def subscribe(self, topic: str, callback: Callable[[Mapping[str, Any]], object]) -> None:
        self.subscribers.setdefault(topic, []).append(callback)

    def publish(self, topic: str, payload: Mapping[str, Any]) -> None:
        for callback in self.subscribers.get(topic, []):
            callback(payload)


@pytest.mark.row("E-118")
async def test_topics_are_translated_without_loops(scene: Scene) -> None:
    old, new = Bus(), Lifecycle(scene.components)
    TopicBridge(
        old, new, {"storeCreated": "store.created", "storeDeleted": "store.deleted"},
        lacking={"kind": "plain", "path": None, "engine": "legacy"},
    )  # fmt: skip
    seen_old: list[Mapping[str, Any]] = []
    seen_new: list[StoreEvent] = []
    old.subscribe("storeCreated", seen_old.append)
    new.subscribe("store.#", seen_new.append)
    old.publish("storeCreated", {"name": "a"})
    assert [(one.topic, one.name) for one in seen_new] == [("store.created", "a")]
    assert len(seen_old) == 1
    new.publish("store.created", "b", engine="lmdb", path=None, kind="plain")
    assert [one["name"] for one in seen_old] == ["a", "b"]
    assert len(seen_new) == 2
    for wrong in ({"x": "store.nope"}, {"x": "store.created", "y": "store.created"}):
        with pytest.raises(InvalidInput):
            TopicBridge(old, new, wrong)


@pytest.mark.row("E-118")
async def test_what_cannot_be_passed_on_is_counted_and_told(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Old payloads lack facts, and either bus may raise: neither breaks the bridge."""
    old, new = Bus(), Lifecycle(scene.components)
    lost: list[NotPassed] = []
    raising = True

    def told(one: NotPassed) -> None:
        lost.append(one)
        if raising:
            raise RuntimeError("secret")

    bridge = TopicBridge(
        old, new, {"storeCreated": "store.created", "saved": "store.version.saved"},
        lacking={"engine": "legacy", "path": None}, told=told,
    )  # fmt: skip
    seen: list[StoreEvent] = []
    new.subscribe("store.#", seen.append)
    malformed: list[Any] = [
        {},
        {"name": "secret"},
        {"name": 7, "kind": "plain"},
        None,
        "secret",
        [],
    ]
    for payload in malformed:
        old.publish("storeCreated", payload)
    assert (bridge.passed, bridge.failed) == (0, len(malformed))
    assert list(bridge.failures) == lost
    assert "name, kind" in lost[0].reason
    assert "kind" in lost[1].reason
    assert "a payload is a mapping; found a NoneType" in lost[3].reason
    raising = False
    old.publish("storeCreated", {"name": "a", "kind": "plain", "more": 1})
    assert [one.name for one in seen] == ["a"]

    def broken(_payload: Mapping[str, Any]) -> None:
        raise StopIteration("secret")

    old.subscribe("saved", broken)
    new.publish("store.version.saved", "a", version=1, root="00")
    assert (bridge.passed, bridge.failed) == (1, len(malformed) + 1)
    assert lost[-1] == NotPassed("store.version.saved", "the other bus raised StopIteration")
    new.publish("store.created", "b", engine="lmdb", path=None, kind="plain")
    assert bridge.passed == 2
    assert "secret" not in caplog.text


@pytest.mark.row("E-117")
@pytest.mark.parametrize(
    ("old", "engine", "store"),
    [
        ({}, {}, {}),
        ({"syncWrites": True}, {"durability": "full"}, {}),
        ({"sync_writes": False}, {"durability": "relaxed"}, {}),
        ({"readOnly": True}, {"read_only": True}, {}),
        ({"compression": True}, {}, {"compression": "zstd"}),
        ({"compression": "gzip"}, {}, {"compression": "gzip"}),
        ({"compression": False}, {}, {}),
        ({"maxVersions": 3, "format": "json"}, {}, {"max_versions": 3, "format": "json"}),
    ],
    ids=str,
)
def test_older_names_of_settings_map_to_new_ones(
    old: dict[str, Any], engine: dict[str, Any], store: dict[str, Any]
) -> None:
    found = from_old_names(old)
    assert found.engine == engine
    assert found.store == holdfast.StoreConfig(**store)
    with pytest.warns(UserWarning, match="cacheSise"):
        assert from_old_names({**old, "cacheSise": 5}) == found
    with pytest.raises(ConfigInvalid):
        from_old_names({"format": "xml"})


KILLED = """
    import asyncio, dbm.dumb, os, signal, sys
    import holdfast
    from holdfast.stores.migration import copying, migrate
    copying.BATCH_PAIRS = 10
    def stop(pairs):
        if pairs >= 50:
            os.kill(os.getpid(), signal.SIGKILL)
    async def main():
        with dbm.dumb.open(sys.argv[2], "r") as table:
            async with holdfast.open(sys.argv[1]) as db:
                await migrate(table, await db.stores.open("s"), progress=stop)
    asyncio.run(main())
"""


@pytest.mark.row("E-114")
async def test_a_copy_that_was_killed_is_done_again(kept_scene: Scene, tmp_path: Path) -> None:
    path = str(tmp_path / "old")
    with opened(path, "c") as table:
        for number in range(120):
            table[b"%03d" % number] = b"value %d" % number
    killed = _run(kept_scene.url, path)
    assert killed.returncode == -9, killed.stderr
    with opened(path, "r") as table:
        async with kept_scene.open() as db:
            store = await db.stores.get("s")
            before = await store.count()
            assert 0 < before < 120
            done = await migrate(table, store)
            assert (done.pairs, done.written) == (120, 120 - before)
            again = await migrate(table, store)
            assert (again.written, again.digest) == (0, done.digest)
            assert dict(await listed(store.iterate())) == {key: table[key] for key in table}
            await store.set(b"more", b"x")
            with pytest.raises(IntegrityFailed):
                await migrate(table, store)


def _run(url: str, path: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), url, path],
        env={"PYTHONPATH": str(repository.SOURCE)},
        capture_output=True,
        timeout=50,
        check=False,
    )


class Faulty(MappingStore):
    """A store that does something in the middle of its calls."""

    def __init__(self, pairs: dict[bytes, bytes], meanwhile: Callable[[], object]) -> None:
        super().__init__("faulty", pairs)
        self.meanwhile = meanwhile

    async def get(self, key: bytes, default: Any = None) -> Any:
        self.meanwhile()
        return await super().get(key, default)

    async def iterate_range(
        self, *bounds: Any, **options: Any
    ) -> AsyncIterator[tuple[bytes, bytes]]:
        async for pair in super().iterate_range(*bounds, **options):
            yield pair
            self.meanwhile()


@pytest.mark.row("E-116")
async def test_a_flag_that_is_set_in_the_middle_of_a_call_counts_from_the_next_one() -> None:
    told: list[Difference] = []

    def flips() -> None:
        shadow.primary = "new" if shadow.primary == "old" else "old"

    old = Faulty({b"a": b"1", b"b": b"2", b"c": b"only old"}, flips)
    new = MappingStore("new", {b"a": b"1", b"b": b"2"})
    shadow = ShadowStore(old, new, told=told.append)
    assert await shadow.get(b"a") == b"1"
    assert shadow.primary == "new"
    shadow.primary = "old"
    assert len(await listed(shadow.iterate_range())) == 3
    assert told == [Difference("iterate", b"c", b"only old", None)]


@pytest.mark.row("E-116")
@pytest.mark.parametrize("primary", ["old", "new"])
async def test_a_walk_that_fails_beside_the_primary_disturbs_nobody(primary: Any) -> None:
    told: list[Difference] = []

    def fails() -> None:
        raise RuntimeError("the old one is broken")

    pairs = {b"a": b"1", b"b": b"2", b"c": b"3"}
    sides: Any = {"old": MappingStore("old", dict(pairs)), "new": MappingStore("new", dict(pairs))}
    beside = "new" if primary == "old" else "old"
    sides[beside] = Faulty(dict(pairs), fails)
    shadow = ShadowStore(**sides, primary=primary, told=told.append)
    assert await listed(shadow.iterate_range()) == sorted(pairs.items())
    assert [(one.verb, getattr(one, beside)) for one in told] == [("iterate", "RuntimeError")]
    assert await shadow.get(b"a") == b"1"
    # Whoever is told may fail as well: both stores have done what was asked by then.
    shadow = ShadowStore(**sides, primary=primary, told=lambda _: fails())
    await shadow.set(b"d", b"4")
    assert await shadow.get(b"d") == b"4"


async def test_a_mapping_is_walked_while_others_remove_keys() -> None:
    pairs = {b"a": b"1", b"b": b"2"}
    walk = MappingStore("old", pairs).iterate()
    assert await anext(walk) == (b"a", b"1")
    del pairs[b"b"]
    assert await listed(walk) == []
