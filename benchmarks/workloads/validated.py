"""What a schema costs: sets that are judged beside plain ones, and a judge with nothing to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import msgspec

from benchmarks.catalogue import subject
from benchmarks.child import Child, Session
from benchmarks.data import Wrong
from benchmarks.figures import Figure
from benchmarks.measuring import PROFILE_OPERATIONS
from benchmarks.plan import Bench, tell
from benchmarks.profiling import profile
from benchmarks.report import Section, Table, Verdict
from benchmarks.stores.ours import AsyncHoldfast
from holdfast import Entry, StoreKey
from holdfast.contract.errors import SchemaValidationFailed
from holdfast.records.decorators.base import Decorator
from holdfast.records.decorators.validated import Validated
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.services.protocols import Outcome
from holdfast.records.write import SetValue, Write

NAME = "validated"

RATIO = 2.0
IDLE_US = 0.2
KEYS = 100
#: A durable set waits for the disk, so fewer of them make a chunk.
STORES = {"holdfast memory, async": 1.0, "holdfast lmdb full, async": 0.25}
PLAIN, GIVEN, REQUIRED = "plain", "schema_hash given", "namespace requires it"
STRUCT = "msgspec Struct given"

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["name", "email"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 200},
        "email": {"type": "string", "pattern": "^[^@]+@[^@]+$"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "country": {"enum": ["JP", "FR", "DE"]},
        "active": {"type": "boolean"},
        "score": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 50},
        "address": {
            "type": "object",
            "required": ["street"],
            "properties": {"street": {"type": "string"}, "zip": {"type": "string"}},
        },
        "biography": {"type": "string", "maxLength": 2000},
        "note": {"type": ["string", "null"]},
    },
}


class Address(msgspec.Struct):
    street: str
    zip: str = ""


class Person(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    email: Annotated[str, msgspec.Meta(pattern="^[^@]+@[^@]+$")]
    age: Annotated[int, msgspec.Meta(ge=0, le=150)]
    country: str
    active: bool
    score: float
    tags: Annotated[list[str], msgspec.Meta(max_length=50)]
    address: Address
    biography: Annotated[str, msgspec.Meta(max_length=2000)]
    note: str | None = None


#: Ten fields, 1 KB as MessagePack.
VALUE: dict[str, Any] = {
    "name": "Ada", "email": "ada@example.org", "age": 36, "country": "FR", "active": True,
    "score": 1.5, "tags": ["a", "b", "c"], "address": {"street": "x" * 60, "zip": "12345"},
    "biography": "b" * 800, "note": None,
}  # fmt: skip

#: Microseconds per call, by way of calling.
Times = dict[str, Figure]


def run(bench: Bench) -> list[Section]:
    section = Section(
        "What a schema costs",
        "Microseconds per set of a value of 1 KB with ten fields, one caller, chunks of the "
        "compared calls alternating: plain, with the digest of a JSON Schema that says something "
        "of each field, into a namespace that requires it, and with that of a msgspec Struct. The "
        "file system is in memory where there is one, so that a flush costs nothing.",
    )
    for name, share in STORES.items():
        _contest(bench, section, name, max(10, int(bench.plan.headline_chunk * share)))
    return [section]


def _contest(bench: Bench, section: Section, name: str, count: int) -> None:
    tell(f"validated: {name}")
    rounds = range(bench.plan.headline_rounds)
    folder = bench.fresh("validated", in_memory=bench.memory_folder is not None)
    with Child() as child:
        child.call(prepare, name, folder)
        sets = _times([child.call(time_sets, name, count, turn) for turn in rounds])
        rows = [(way, f"{time}", f"{time.over(sets[PLAIN])}") for way, time in sets.items()]
        section.parts.append(Table((name, "set, µs", "x plain"), rows))
        if name.startswith("holdfast memory"):
            idle = _times([child.call(time_idle, name, count, turn) for turn in rounds])
            section.verdicts += _verdicts(child, sets, idle)
        section.parts.append(f"Verified: {child.call(verify, name)}.")


def _verdicts(child: Child, sets: Times, idle: Times) -> list[Verdict]:
    verdicts = []
    for way in (GIVEN, REQUIRED):
        ratio = sets[way].over(sets[PLAIN])
        verdicts.append(_verdict(
            child, f"memory: set of 1 KB with 10 fields, {way}, over a plain one",
            f"≤ {RATIO} x", f"{ratio} x", met=ratio.median <= RATIO, way=way,
        ))  # fmt: skip
    for verb in ("get", "write"):
        cost = idle[f"{verb} judged"].minus(idle[f"{verb} bare"])
        verdicts.append(_verdict(
            child, f"{verb} through `Validated` with nothing to do, less one without it",
            f"< {IDLE_US} µs", f"{cost} µs", met=cost.median < IDLE_US, way=PLAIN,
        ))  # fmt: skip
    return verdicts


def _times(taken: list[dict[str, float]]) -> Times:
    return {way: Figure.of([one[way] for one in taken]) for way in taken[0]}


def _verdict(child: Child, claim: str, target: str, found: str, *, met: bool, way: str) -> Verdict:
    shown = "" if met else child.call(profile_sets, way)
    return Verdict(claim, target, found, met, profile=shown)


# --- In the child ---------------------------------------------------------------------------


def prepare(session: Session, name: str, folder: Path) -> None:
    """The store, with its schemas."""
    store = subject(name).store(folder)
    store.start()
    session.stores[name] = store
    store = _store(session, name)
    store.await_(_register(store))


async def _register(store: AsyncHoldfast) -> None:
    schemas = store.database.schemas
    await schemas.register(Person)
    await schemas.require("required", await schemas.register(SCHEMA))
    for key in (*_keys("plain"), *_keys("required")):
        await store.entries.set(key, VALUE)


def time_sets(session: Session, name: str, count: int, turn: int) -> dict[str, float]:
    """Microseconds per set in each way, in an order that changes from turn to turn."""
    store = _store(session, name)
    ways = [PLAIN, GIVEN, REQUIRED, STRUCT]
    first = turn % len(ways)
    taken = {way: _set_us(store, way, count) for way in ways[first:] + ways[:first]}
    return {way: taken[way] for way in ways}


def _set_us(store: AsyncHoldfast, way: str, count: int) -> float:
    return store.await_(_set(store, way, count)) / count * 1e6


async def _set(store: AsyncHoldfast, way: str, count: int) -> float:
    keys = _keys("required" if way == REQUIRED else "plain")
    schemas = store.database.schemas
    given: dict[str, Any] = {}
    if way in (GIVEN, STRUCT):
        schema = await schemas.resolve(SCHEMA if way == GIVEN else Person)
        given["schema_hash"] = schema.digest
    set = store.entries.set
    started = perf_counter()
    for place in range(count):
        await set(keys[place % KEYS], VALUE, **given)
    return perf_counter() - started


def time_idle(session: Session, name: str, count: int, turn: int) -> dict[str, float]:
    """Microseconds per get and write with and without a judge that has nothing to do."""
    store = _store(session, name)
    return store.await_(_idle(store, count, turn))


async def _idle(store: AsyncHoldfast, count: int, turn: int) -> dict[str, float]:
    await store.database.schemas.waive("required")
    judged: KeyValueStoreInterface = store.entries
    while not isinstance(judged, Validated):
        judged = judged.inner  # type: ignore[attr-defined]
    await judged.set(_keys("plain")[0], VALUE)  # Looks what is required: nothing.
    bare = AtOnce(judged.inner)
    ways: dict[str, KeyValueStoreInterface] = {"judged": judged.around(bare), "bare": bare}
    writes = (Write("a", SetValue(VALUE)),)
    taken: dict[str, float] = {}
    for way in sorted(ways, reverse=bool(turn % 2)):
        get, write = ways[way].get, ways[way].write
        started = perf_counter()
        for _ in range(count):
            await get("a")
        taken[f"get {way}"] = (perf_counter() - started) / count * 1e6
        started = perf_counter()
        for _ in range(count):
            await write(writes)
        taken[f"write {way}"] = (perf_counter() - started) / count * 1e6
    return taken


class AtOnce(Decorator):
    """Answers without looking, so that what stands above it is measured."""

    def around(self, inner: KeyValueStoreInterface) -> AtOnce:
        return AtOnce(inner)

    async def get(self, key: StoreKey | str, **_: Any) -> Entry[Any] | None:
        return None

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        return []


def verify(session: Session, name: str) -> str:
    """Every entry holds the value, and a value that does not fit is refused."""
    store = _store(session, name)
    return store.await_(_verify(store))


async def _verify(store: AsyncHoldfast) -> str:
    entries, schemas = store.entries, store.database.schemas
    digest = (await schemas.resolve(SCHEMA)).digest
    found = 0
    async for entry in entries.items():
        if entry.value != VALUE:
            raise Wrong(f"{entry.key} does not hold what was written")
        found += 1
    try:
        await entries.set("plain:bad", {**VALUE, "age": -1}, schema_hash=digest)
    except SchemaValidationFailed:
        if not await entries.has("plain:bad"):
            return f"{found} entries hold the value, a wrong one is refused"
    raise Wrong("a value that does not fit was written")


def profile_sets(session: Session, way: str) -> str:
    """Where the time of sets goes."""
    [name] = session.stores
    store = _store(session, name)

    def work() -> int:
        store.await_(_set(store, way, PROFILE_OPERATIONS))
        return PROFILE_OPERATIONS

    return profile(work)


def _keys(namespace: str) -> list[str]:
    return [f"{namespace}:{place:03}" for place in range(KEYS)]


def _store(session: Session, name: str) -> AsyncHoldfast:
    store = session.stores[name]
    assert isinstance(store, AsyncHoldfast)
    return store
