"""The five services: the order in which a write asks them, and each of them on its own."""

import ast
import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

import holdfast
from holdfast import Conflict, Entry, KeyValueStore, StoreKey, digest
from holdfast.codecs.pattern import Pattern
from holdfast.contract.runtime import ManualClock, SystemIds
from holdfast.records import core as store_module
from holdfast.records.options import WriteOptions
from holdfast.records.services.granting import GrantingLockService
from holdfast.records.services.hashing import Sha256HashingService
from holdfast.records.services.keys import PathKeyService
from holdfast.records.services.metadata import StandardMetadataService
from holdfast.records.services.protocols import (
    HashingService,
    KeyService,
    LockService,
    MetadataService,
    Outcome,
    Past,
    Step,
)
from holdfast.records.storage import EngineEntryStorage
from holdfast.store.versions.chunks import Serialized
from holdfast.store.versions.entry import Metadata
from tests.store.scene import Scene, core_of, listed, storage_of

T = TypeVar("T")


class Journal(list[str]):
    """What was called, in order; inner calls are indented by their depth."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0

    def note(self, call: str) -> None:
        self.append("  " * self.depth + call)


class Keys:
    def __init__(self, journal: Journal, inner: KeyService) -> None:
        self.journal, self.inner = journal, inner

    def serialize(self, key: StoreKey | str) -> str:
        self.journal.note(f"keys.serialize {key}")
        return self.inner.serialize(key)

    def parse(self, serialized: str) -> StoreKey:
        self.journal.note("keys.parse")
        return self.inner.parse(serialized)

    def namespace(self, serialized: str) -> str:
        return self.inner.namespace(serialized)


class Hashing:
    name = "sha256"

    def __init__(self, journal: Journal, inner: HashingService) -> None:
        self.journal, self.inner = journal, inner

    def calculate_data_hash(self, canonical: list[bytes]) -> bytes:
        self.journal.note("hashing.calculate_data_hash")
        return self.inner.calculate_data_hash(canonical)


class Rules:
    def __init__(self, journal: Journal, inner: MetadataService) -> None:
        self.journal, self.inner = journal, inner

    def generate_new_metadata(
        self, data_hash: bytes, options: WriteOptions, past: Past | None
    ) -> Metadata:
        self.journal.note("metadata.generate_new_metadata")
        return self.inner.generate_new_metadata(data_hash, options, past)

    def generate_next_version(
        self, previous: Metadata, data_hash: bytes, options: WriteOptions
    ) -> Metadata:
        self.journal.note("metadata.generate_next_version")
        return self.inner.generate_next_version(previous, data_hash, options)


class Locks:
    def __init__(self, journal: Journal, inner: LockService) -> None:
        self.journal, self.inner = journal, inner

    async def with_lock(self, namespace: str, operation: Callable[[], Awaitable[T]]) -> T:
        self.journal.note(f"locks.with_lock {namespace!r}")
        self.journal.depth += 1
        try:
            return await self.inner.with_lock(namespace, operation)
        finally:
            self.journal.depth -= 1


class Storage:
    """Notes the calls that matter for the order; everything else goes straight through."""

    def __init__(self, journal: Journal, inner: EngineEntryStorage) -> None:
        self.journal, self.inner = journal, inner

    async def serialize(self, value: Any) -> Serialized:
        self.journal.note("storage.serialize")
        return await self.inner.serialize(value)

    def serialize_small(self, value: Any) -> Serialized | None:
        self.journal.note("storage.serialize")
        return self.inner.serialize_small(value)

    def serialize_now(self, value: Any) -> Serialized:
        self.journal.note("storage.serialize_now")
        return self.inner.serialize_now(value)

    async def transact(self, steps: Sequence[Step]) -> list[Outcome]:
        self.journal.note(f"storage.transact {' '.join(step.key for step in steps)}")
        self.journal.depth += 1
        try:
            return await self.inner.transact(steps)
        finally:
            self.journal.depth -= 1

    async def get(self, key: str) -> Entry[Any] | None:
        self.journal.note("storage.get")
        return await self.inner.get(key)

    async def has(self, key: str) -> bool:
        self.journal.note("storage.has")
        return await self.inner.has(key)

    def keys(self, pattern: Pattern, *, reverse: bool = False) -> AsyncIterator[StoreKey]:
        self.journal.note("storage.keys")
        return self.inner.keys(pattern, reverse=reverse)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def recorded(db: Any, **replaced: Any) -> tuple[KeyValueStore, Journal]:
    """The entries of the database with a fake around each service, and what the fakes note."""
    journal = Journal()
    given: Any = db._components
    services: dict[str, Any] = {
        "storage": Storage(journal, storage_of(db)),
        "keys": Keys(journal, PathKeyService()),
        "hashing": Hashing(journal, Sha256HashingService()),
        "metadata": Rules(journal, StandardMetadataService(given.clock, given.ids)),
        "locks": Locks(journal, GrantingLockService()),
    }
    return KeyValueStore(**(services | replaced)), journal


@pytest.mark.row("K-043", "K-044", "K-045", "K-046", "K-047", "K-003")
async def test_a_set_asks_its_services_in_one_order(scene: Scene) -> None:
    async with scene.open() as db:
        entries, journal = recorded(db)
        await entries.set("users/active:1", {"n": 1})
        assert journal == [
            "keys.serialize users/active:1",
            "storage.serialize",
            "hashing.calculate_data_hash",
            "locks.with_lock 'users/active'",
            "  storage.transact users/active:1",
            "    metadata.generate_new_metadata",
        ]
        journal.clear()
        await entries.set("users/active:1", {"n": 2})
        assert journal[-1] == "    metadata.generate_next_version"
        assert len(journal) == 6
        assert (await db.entries.require("users/active:1")).metadata.version == 2


@pytest.mark.row("K-115", "K-122")
async def test_a_delete_goes_through_the_same_key_lock_and_commit(scene: Scene) -> None:
    async with scene.open() as db:
        entries, journal = recorded(db)
        await db.entries.set("a:1", 1)
        assert await entries.delete("a:1")
        assert journal == ["keys.serialize a:1", "locks.with_lock 'a'", "  storage.transact a:1"]


async def test_a_modify_decides_inside_the_commit(scene: Scene) -> None:
    async with scene.open() as db:
        entries, journal = recorded(db)
        await entries.modify("n", lambda value: 1)
        assert journal == [
            "keys.serialize n",
            "locks.with_lock ''",
            "  storage.transact n",
            "    storage.serialize_now",
            "    hashing.calculate_data_hash",
            "    metadata.generate_new_metadata",
        ]


@pytest.mark.row("K-033", "K-044")
async def test_many_keys_take_the_lock_of_each_namespace_once_in_one_order(scene: Scene) -> None:
    async with scene.open() as db:
        entries, journal = recorded(db)
        await entries.set_many({"b:1": 1, "a:1": 1, "b:2": 1, "root": 1})
        locked = [line.strip() for line in journal if "with_lock" in line]
        assert locked == ["locks.with_lock ''", "locks.with_lock 'a'", "locks.with_lock 'b'"]
        assert sum("storage.transact" in line for line in journal) == 1


@pytest.mark.row("K-116")
async def test_reading_takes_no_lock(scene: Scene) -> None:
    async with scene.open() as db:
        entries, journal = recorded(db)
        await entries.get("a")
        await entries.has("a")
        await entries.count()
        assert [line.split()[0] for line in journal] == [
            "keys.serialize", "storage.get", "keys.serialize", "storage.has", "storage.keys",
        ]  # fmt: skip


@pytest.mark.row("K-028")
async def test_a_value_that_cannot_be_serialized_takes_no_lock(scene: Scene) -> None:
    async with scene.open() as db:
        entries, journal = recorded(db)
        with pytest.raises(holdfast.StoreError):
            await entries.set("a", object())
        assert journal == ["keys.serialize a", "storage.serialize"]


@pytest.mark.row("K-035")
@pytest.mark.parametrize("ending", ["conflict", "error", "cancel"])
async def test_the_lock_is_let_go_however_the_write_ends(scene: Scene, ending: str) -> None:
    class Mutex:
        def __init__(self) -> None:
            self.lock = asyncio.Lock()

        async def with_lock(self, namespace: str, operation: Callable[[], Awaitable[T]]) -> T:
            async with self.lock:
                return await operation()

    async with scene.open() as db:
        mutex = Mutex()
        entries, _ = recorded(db, locks=mutex)
        await db.entries.set("a", 1)
        if ending == "conflict":
            with pytest.raises(Conflict):
                await entries.set("a", 2, if_absent=True)
        elif ending == "error":
            with pytest.raises(ZeroDivisionError):
                await entries.modify("a", lambda value: value / 0)
        else:
            task = asyncio.ensure_future(entries.set("a", 3))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert not mutex.lock.locked()
        async with asyncio.timeout(1):
            await entries.set("a", 4)


@pytest.mark.row("K-004")
@pytest.mark.parametrize("missing", ["storage", "keys", "hashing", "metadata", "locks"])
async def test_a_store_without_one_of_its_services_cannot_be_made(
    scene: Scene, missing: str
) -> None:
    async with scene.open() as db:
        services: dict[str, Any] = {
            "storage": storage_of(db),
            "keys": PathKeyService(),
            "hashing": Sha256HashingService(),
            "metadata": StandardMetadataService(scene.clock, SystemIds(scene.clock)),
            "locks": GrantingLockService(),
        }
        KeyValueStore(**services)
        del services[missing]
        with pytest.raises(TypeError, match=missing):
            KeyValueStore(**services)


@pytest.mark.row("K-002")
def test_the_shipped_services_are_what_their_protocols_say() -> None:
    clock = ManualClock()
    assert isinstance(PathKeyService(), KeyService)
    assert isinstance(Sha256HashingService(), HashingService)
    assert isinstance(StandardMetadataService(clock, SystemIds(clock)), MetadataService)
    assert isinstance(GrantingLockService(), LockService)


@pytest.mark.row("K-003")
def test_the_orchestrator_computes_nothing_itself() -> None:
    tree = ast.parse(Path(store_module.__file__).read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    forbidden = {"hashlib", "json", "time", "asyncio", "threading", "msgspec", "orjson", "lmdb"}
    assert not {name.partition(".")[0] for name in imported} & forbidden
    concrete = {
        f"holdfast.records.{name}" for name in ("storage", "keys", "hashing", "metadata", "locks")
    }
    assert not imported & concrete
    assert not {name for name in imported if name.startswith("holdfast.engines")}


# --- One service at a time ------------------------------------------------------------------


@pytest.mark.row("K-039", "K-050")
def test_the_key_service_turns_keys_into_one_text_and_back() -> None:
    keys = PathKeyService()
    key = StoreKey("123", ("users", "active"))
    assert keys.serialize(key) == keys.serialize("users/active:123") == "users/active:123"
    assert keys.serialize(":plain") == "plain"
    assert keys.parse("users/active:123") == key
    assert keys.namespace("users/active:123") == "users/active"
    assert keys.namespace("plain") == ""
    assert keys.namespace(keys.serialize(":a:b")) == ""
    for _ in range(2):  # Remembered or not: the same.
        assert keys.namespace(keys.serialize("a%2Fb:c")) == "a%2Fb"


@pytest.mark.row("K-027", "K-025", "K-050")
def test_the_hashing_service_is_sha256_of_the_pieces_together() -> None:
    hashing = Sha256HashingService()
    whole = hashing.calculate_data_hash([b"abc"])
    assert whole.hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hashing.calculate_data_hash([b"a", b"", b"bc"]) == whole
    assert len(whole) == 32


@pytest.mark.row("K-025", "trap 12")
def test_another_process_with_another_seed_finds_the_same_digest(scene: Scene) -> None:
    value = {"b": [1, 1.0, True, None, "1"], "a": {"z": b"\0", "y": "é"}}

    async def stored() -> str:
        async with scene.open() as db:
            return (await db.entries.set("a", value)).metadata.data_hash

    mine = asyncio.run(stored())
    code = (
        "import asyncio, holdfast\n"
        "async def main():\n"
        "    async with holdfast.open('memory://') as db:\n"
        "        value = {'a': {'y': 'é', 'z': b'\\0'}, 'b': [1, 1.0, True, None, '1']}\n"
        "        print((await db.entries.set('a', value)).metadata.data_hash)\n"
        "asyncio.run(main())\n"
    )
    source = str(Path(holdfast.__file__).parents[1])
    for seed in ("0", "4242"):
        done = subprocess.run(
            [sys.executable, "-X", "utf8", "-c", code],
            env={**os.environ, "PYTHONPATH": source, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == mine == digest(value).hex


@pytest.mark.row("K-029", "K-031", "K-050")
def test_first_metadata_from_a_clock_alone() -> None:
    clock = ManualClock(now_ms=5_000)
    rules = StandardMetadataService(clock, SystemIds(clock))
    made = rules.generate_new_metadata(b"d" * 32, WriteOptions(), None)
    assert (made.version, made.incarnation) == (1, 1)
    assert made.created_at_ms == made.updated_at_ms == 5_000
    assert (made.expires_at_ms, made.digest) == (0, b"d" * 32)
    assert (made.modified_by, made.comment, made.tags, made.schema_hash) == (None, None, [], None)
    assert len(made.identity) == 16
    options = WriteOptions(7, "why", ("t",), ttl_ms=10, schema_hash="s")
    told = rules.generate_new_metadata(b"d" * 32, options, None)
    assert (told.modified_by, told.comment, told.tags, told.schema_hash) == (7, "why", ["t"], "s")
    assert told.expires_at_ms == 5_010
    assert told.identity != made.identity


@pytest.mark.row("K-030", "K-015", "K-050")
def test_next_metadata_field_by_field() -> None:
    clock = ManualClock(now_ms=5_000)
    rules = StandardMetadataService(clock, SystemIds(clock))
    options = WriteOptions("ada", "first", ("t",), ttl_ms=100, schema_hash="s")
    previous = rules.generate_new_metadata(b"1" * 32, options, None)
    frozen = repr(previous)
    clock.advance(1)
    made = rules.generate_next_version(previous, b"2" * 32, WriteOptions())
    assert repr(previous) == frozen
    assert (made.version, made.incarnation, made.identity) == (2, 1, previous.identity)
    assert (made.created_at_ms, made.updated_at_ms, made.expires_at_ms) == (5_000, 6_000, 0)
    assert (made.modified_by, made.comment, made.schema_hash) == (None, None, None)
    assert (made.tags, made.digest) == (["t"], b"2" * 32)
    kept = rules.generate_next_version(
        previous, b"2" * 32, WriteOptions(keeps_expiry=True, tags=())
    )
    assert (kept.expires_at_ms, kept.tags) == (5_100, [])
    clock.advance(-60)
    stepped = rules.generate_next_version(made, b"3" * 32, WriteOptions())
    assert stepped.updated_at_ms == made.updated_at_ms


@pytest.mark.row("K-046")
def test_a_new_life_goes_on_from_the_past_of_the_key() -> None:
    clock = ManualClock(now_ms=5_000)
    rules = StandardMetadataService(clock, SystemIds(clock))
    past = Past(b"i" * 16, 3, 9_000)
    made = rules.generate_new_metadata(b"d" * 32, WriteOptions(), past)
    assert (made.version, made.incarnation, made.identity) == (1, 4, b"i" * 16)
    assert made.created_at_ms == made.updated_at_ms == 9_000


@pytest.mark.row("K-033", "K-050")
async def test_the_granting_lock_passes_results_and_errors_through() -> None:
    locks = GrantingLockService()

    async def answer() -> int:
        return 42

    async def failing() -> None:
        raise KeyError("x")

    assert await locks.with_lock("a", answer) == 42
    with pytest.raises(KeyError):
        await locks.with_lock("a", failing)
    # It does not wait: a write inside the lock of its own namespace goes on.
    assert await locks.with_lock("a", lambda: locks.with_lock("a", answer)) == 42


@pytest.mark.row("K-001")
@pytest.mark.parametrize("service", ["keys", "hashing", "metadata", "locks", "storage"])
async def test_each_service_can_be_another(scene: Scene, service: str) -> None:
    async with scene.open() as db:
        fake, journal = recorded(db)
        entries = core_of(db, **{service: getattr(fake, f"_{service}")})
        await entries.set("a:b", [1], tags=["t"])
        await entries.modify("a:b", lambda value: [*value, 2])
        await entries.set_many({"a:c": 1, "d": 2})
        assert (await entries.require("a:b")).value == [1, 2]
        assert [past.value for past in await listed(entries.history("a:b"))] == [[1]]
        assert await entries.delete("a:b")
        assert await entries.count() == 2
        assert journal
        assert all(line.strip().startswith(f"{service}.") for line in journal)
