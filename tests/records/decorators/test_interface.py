"""One interface: what the core can do, every decorator can do, alone and in every order."""

import inspect
import pkgutil
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from importlib import import_module
from itertools import permutations
from typing import Any

import pytest

import holdfast.records.decorators
from holdfast import KEEP, Conflict, KeyValueStore, StoreKey, Unsupported
from holdfast.contract.errors import KeyNotFound, ReadOnly, VersionNotFound
from holdfast.records.decorators.base import AT_ONCE, VERBS, Decorator
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.walk import Walk
from holdfast.store.change import Change
from tests.records.decorators.stacks import MAKERS, stacked
from tests.store.scene import Scene, core_of, listed, until

WRITING = ("Logged", "Cached", "Validated", "Evented")
STACKS = [
    (),
    *((name,) for name in WRITING),
    *permutations(WRITING),
    # Twice the same does no harm either.
    ("Logged", "Cached", "Logged", "Cached"),
]
SCHEMA = {"type": "integer"}


def public_methods(of: type) -> set[str]:
    return {
        name
        for name, member in inspect.getmembers(of, inspect.isfunction)
        # What does a verb at once is for decorators, not for callers.
        if not name.startswith("_") and name not in AT_ONCE
    }


def all_decorators() -> set[type[Decorator]]:
    folder = holdfast.records.decorators
    for module in pkgutil.iter_modules(folder.__path__):
        import_module(f"{folder.__name__}.{module.name}")
    # Others derive from it, too: tests and benchmarks.
    return {one for one in Decorator.__subclasses__() if one.__module__.startswith(folder.__name__)}


async def everything(store: KeyValueStoreInterface) -> tuple[list[Any], set[str]]:
    """Use every method; what came out, in order, and the names of the methods."""
    log = Calls(store)
    await read_and_write(log)
    await bring_back_and_move(log)
    return log.results, log.used | {"subscribe"}


class Calls:
    """Calls methods of a store and keeps what came out."""

    def __init__(self, store: KeyValueStoreInterface) -> None:
        self.store = store
        self.results: list[Any] = []
        self.used: set[str] = set()

    async def __call__(self, name: str, *arguments: Any, **options: Any) -> Any:
        self.used.add(name)
        try:
            result = getattr(self.store, name)(*arguments, **options)
            if name in ("scope", "typed"):
                return result  # Other stores, with results of their own.
            result = await (listed(result) if hasattr(result, "__anext__") else result)
        except (Conflict, KeyNotFound, VersionNotFound) as error:
            result = (error.code.value, error.details.get("current"))
        self.results.append((name, shown(result)))
        return result


async def read_and_write(use: Calls) -> None:
    first = await use("set", "users:1", {"n": 1}, modified_by="ada", comment="why", tags=["a"])
    await use("set", "users:1", {"n": 2}, if_revision=first.revision, tags=["a", "b"])
    await use("set", "users:1", {"n": 3}, if_revision=first.revision)
    await use("set", "users:1", {"n": 2}, if_changed=True)
    await use("get", "users:1")
    await use("get", StoreKey("1", ("users",)), version=1)
    await use("get", "users:1", version=(1, 2))
    await use("get", "users:1", at=first.revision)
    await use("get", "users:none")
    await use("require", "users:1")
    await use("require", "users:none")
    await use("has", "users:1")
    await use("has", "users:none")
    await use("set_many", {"users:2": 2, "users/old:3": 3}, ttl=60)
    await use("get_many", ["users:1", "users:2", "users:none"])
    await use("keys")
    await use("keys", "users:+", reverse=True)
    await use("items", "users/#")
    await use("count", "users/#")
    await use("find_by_tag", "b")
    await use("find_by_tag", "b", "users/old/#")
    await use("find_by_tag", "b", limit=1, reverse=True)
    await use("items", "users/#", limit=1, after="users:1", lt="users:9")
    await use("keys", limit=2, gte="users:1")
    await use("modify", "users:2", lambda value: value + 1, modified_by=7)
    await use("touch", "users:2", ttl=KEEP, tags=["kept"])
    await use("touch", "users:none")
    await use("get", "users:2")


async def bring_back_and_move(use: Calls) -> None:
    await use("history", "users:1")
    await use("history", "users:1", reverse=True)
    await use("restore", "users:1", 1)
    await use("restore", "users:1", 99)
    await use("get", "users:1")
    await use("rename", "users/old:3", "users/new:3")
    await use("get", "users/old:3")
    await use("get", "users/new:3")
    await use("delete", "users:1", comment="gone")
    await use("delete", "users:1")
    await use("get", "users:1")
    await use("undelete", "users:1")
    await use("undelete", "users:1")
    await use("get", "users:1")
    await use("delete_many", ["users:1", "users:2"])
    await use("write", [])
    await use("set_many", [("users:7", 1), ("users:8", 2, {"tags": ["t"]})], atomic=False)
    await use("history", "users:1", limit=1, after=(1, 1))
    scope = await use("scope", "users")
    assert await scope.count() == 3
    typed = await use("typed", dict, "users")
    assert await typed.count(tag="t") == 1
    await use("delete_matching", "users/#", tag="t")
    await use("items")


def shown(result: Any) -> Any:
    """A result so that those of two databases can be compared: without instants and ids."""
    if isinstance(result, holdfast.Entry):
        metadata = result.metadata
        return (
            str(result.key), result.value, result.revision, metadata.version,
            metadata.incarnation, metadata.tags, metadata.modified_by, metadata.comment,
            metadata.data_hash, metadata.schema_hash, metadata.expires_at is not None,
        )  # fmt: skip
    if isinstance(result, dict):
        return {str(key): shown(value) for key, value in result.items()}
    if isinstance(result, list | tuple):
        return [shown(one) for one in result]
    return result


async def expected_of_the_core(scene: Scene) -> list[Any]:
    async with scene.handle("memory://") as db:
        return (await everything(core_of(db)))[0]


@pytest.mark.row("K-052", "K-053")
@pytest.mark.parametrize("names", STACKS, ids="-".join)
async def test_every_stack_does_what_the_core_does(
    kept_scene: Scene, names: tuple[str, ...]
) -> None:
    expected = await expected_of_the_core(kept_scene)
    async with kept_scene.open() as db:
        store = stacked(db, core_of(db), *names)
        results, used = await everything(store)
        assert results == expected
        assert used == public_methods(KeyValueStoreInterface)
        # The order shows: the outermost comes first.
        assert repr(store).startswith("(".join((*reversed(names), "KeyValueStore(")))


@pytest.mark.row("K-052", "K-053")
@pytest.mark.parametrize("names", STACKS, ids="-".join)
async def test_what_a_decorator_adds_is_there_wherever_it_stands(
    scene: Scene, names: tuple[str, ...]
) -> None:
    async with scene.open() as db:
        store = stacked(db, core_of(db), *names)
        digest = await db.schemas.register(SCHEMA)
        await store.set("n:1", 1)
        if "Validated" in names:
            entry = await store.get("n:1", expect=digest)
            assert entry is not None
            assert entry.value == 1
        else:
            with pytest.raises(Unsupported):
                await store.get("n:1", expect=digest)
        changes: list[Change] = []
        if "Evented" in names:
            unsubscribe = store.subscribe("n:+", changes.append)
            await store.set("n:1", 2)
            await until(lambda: len(changes) == 1)
            unsubscribe()
            await store.set("n:1", 3)
        else:
            with pytest.raises(Unsupported):
                store.subscribe("n:+", changes.append)
        logged = [record.operation async for record in db.log.query()]
        if "Logged" in names:
            assert {"set", "get"} <= set(logged)
            # A decorator sees what goes through it: `Evented` answers subscribers by itself.
            outside = "Evented" not in names[names.index("Logged") :]
            assert ("subscribe" in logged) is outside
        else:
            assert logged == []


@pytest.mark.row("K-053")
@pytest.mark.parametrize("names", [*permutations(("ReadOnlyStore", "Logged", "Cached"))])
async def test_a_store_for_reading_reads_everything_in_every_order(
    scene: Scene, names: tuple[str, ...]
) -> None:
    async with scene.open() as db:
        await db.entries.set("a:1", 1, tags=["t"])
        await db.entries.set("a:1", 2)
        store = stacked(db, core_of(db), *names)
        with pytest.raises(ReadOnly):
            await store.set("a:1", 3)
        with pytest.raises(ReadOnly):
            await store.delete("a:1")
        assert (await store.require("a:1")).value == 2
        assert await store.count() == 1
        assert [past.value async for past in store.history("a:1")] == [1]
        assert [entry.value async for entry in store.find_by_tag("t")] == [2]


@pytest.mark.row("K-068")
async def test_decorators_are_no_cores_and_work_over_whatever_has_the_interface() -> None:
    decorators = all_decorators()
    assert {one.__name__ for one in decorators} == MAKERS.keys()
    assert len({one.__module__ for one in decorators}) == len(decorators)
    for decorator in decorators:
        assert issubclass(decorator, KeyValueStoreInterface)
        assert not issubclass(decorator, KeyValueStore)

    async with holdfast.open("memory://", housekeeping=False) as db:
        for name, make in MAKERS.items():
            fake = Fake()
            store = make(db, fake)
            assert await store.get("a:1") is None
            assert await store.has("a:1") is False
            assert await listed(store.keys()) == [StoreKey("fake")]
            assert await listed(store.around(Fake()).keys("#", reverse=True)) == [StoreKey("fake")]
            assert fake.called == ["get", "keys"] if name == "Cached" else ["get", "has", "keys"]


def test_the_verbs_are_the_abstract_methods() -> None:
    assert set(VERBS) == KeyValueStoreInterface.__abstractmethods__
    assert set(VERBS) <= public_methods(Decorator)
    for decorator in all_decorators():
        for verb in VERBS:
            ours, core = (
                inspect.signature(getattr(one, verb)) for one in (decorator, KeyValueStoreInterface)
            )
            # A plain method may return the coroutine of another one, so the results may differ.
            assert ours.parameters == core.parameters, (decorator, verb)
        # Nothing that is spelled in verbs is spelled anew.
        derived = public_methods(KeyValueStoreInterface) - set(VERBS)
        assert not derived & vars(decorator).keys()


async def test_every_view_of_a_handle_shows_its_order(scene: Scene) -> None:
    async with scene.handle(logged=True, cached=True) as db:
        order = "Evented(Logged(Validated(Cached(KeyValueStore("
        assert repr(db.entries).startswith(order)
        explained = await db.explain()
        assert explained["stack"][0] == repr(db.entries)
        assert explained["cache"]["entries"] == 0
        async with db.transaction() as tx:
            # What is decided in a transaction is decided on what it reads, not on a cache.
            assert repr(tx.entries).startswith("Logged(Validated(KeyValueStore(")
        async with await db.snapshot() as view:
            assert repr(view.entries).startswith("Logged(Validated(KeyValueStore(")
    async with scene.handle() as plain:
        assert repr(plain.entries).startswith("Evented(Validated(KeyValueStore(")
        assert (await plain.explain())["cache"] is None


async def test_a_verb_left_alone_is_the_inner_stores_own() -> None:
    async with holdfast.open("memory://", housekeeping=False) as db:
        core = core_of(db)
        store = stacked(db, core, "ReadOnlyStore")
        assert store.get == core.get
        assert store.keys == core.keys
        assert store.write != core.write


async def pages_of(item: Any) -> AsyncGenerator[list[Any], None]:
    yield [item]


class Fake(KeyValueStoreInterface):
    """A store that is none of ours."""

    def __init__(self) -> None:
        self.called: list[str] = []

    async def get(self, key: Any, **options: Any) -> None:
        self.called.append("get")

    async def get_many(self, keys: Iterable[Any]) -> dict[Any, Any]:
        self.called.append("get_many")
        return {}

    async def has(self, key: Any) -> bool:
        self.called.append("has")
        return False

    def keys(self, pattern: Any = "#", **part: Any) -> Walk[StoreKey]:
        self.called.append("keys")
        return Walk(pages_of(StoreKey("fake")))

    def items(self, pattern: Any = "#", **part: Any) -> Walk[Any]:
        self.called.append("items")
        return Walk(pages_of(None))

    def history(self, key: Any, **part: Any) -> Walk[Any]:
        self.called.append("history")
        return Walk(pages_of(None))

    def find_by_tag(self, tag: str, pattern: Any = "#", **part: Any) -> Walk[Any]:
        self.called.append("find_by_tag")
        return Walk(pages_of(None))

    async def write(self, writes: Sequence[Any]) -> list[Any]:
        self.called.append("write")
        return []

    def subscribe(self, pattern: Any, callback: Callable[[Change], object]) -> Callable[[], None]:
        self.called.append("subscribe")
        return lambda: None
