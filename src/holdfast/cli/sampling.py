"""What `stats` looks at, again and again: a database with its state, or state on a Redis server."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from holdfast.cli import opening
from holdfast.cli.maintenance import bytes_on_disk
from holdfast.contract.runtime import SystemClock
from holdfast.database.handle import Database
from holdfast.state.adapter import StateAdapter
from holdfast.state.embedded.rows import STATE
from holdfast.state.keys import ScopedKeys, check_prefix, escape_glob

#: Keys that one sample looks at at most, and in one step. Where there are more, the walk goes on
#: with the next sample.
KEYS_LOOKED_AT_MAX = 20_000
STEP_KEYS = 2_000
#: Pairs of service and area that are told apart; keys of further ones are counted as others.
ROWS_MAX = 200
OTHERS = ("others", "")

#: Of what INFO says: the name here, and whether its growth in a second is told.
_SERVER = {
    "total_commands_processed": ("commands", True),
    "keyspace_hits": ("hits", True),
    "keyspace_misses": ("misses", True),
    "expired_keys": ("expired", True),
    "evicted_keys": ("evicted", True),
    "connected_clients": ("clients", False),
    "blocked_clients": ("blocked", False),
    "used_memory": ("memory", False),
}


@dataclass(frozen=True)
class Sample:
    """How things stand at one moment.

    Attributes:
        facts: by name, as they stand.
        rates: what grew, by its name, for each second since the sample before; empty at first.
        keys: of state, by service and area, as far as they were counted.
        counted: whether all were counted once.
    """

    facts: Mapping[str, int]
    rates: Mapping[str, float]
    keys: Mapping[tuple[str, str], int]
    counted: bool


@dataclass
class Walk:
    """Counts keys of state by service and area, a part with each sample."""

    adapter: StateAdapter
    prefix: str
    cursor: str = "0"
    counting: Counter[tuple[str, str]] = field(default_factory=Counter)
    last: Counter[tuple[str, str]] = field(default_factory=Counter)
    whole: bool = False

    async def go_on(self) -> None:
        """Look at some more keys; begin anew when all were counted."""
        stem = f"{self.prefix}:"
        for _ in range(KEYS_LOOKED_AT_MAX // STEP_KEYS):
            page = await self.adapter.scan(f"{escape_glob(stem)}*", self.cursor, STEP_KEYS)
            for key in page.keys:
                self._count(key[len(stem) :], key)
            self.cursor = page.cursor
            if self.cursor == "0":
                self.last, self.counting, self.whole = self.counting, Counter(), True
                return

    @property
    def keys(self) -> Counter[tuple[str, str]]:
        """As the last whole walk counted them; before its end, as far as it came."""
        return self.last if self.whole else self.counting

    def _count(self, rest: str, key: str) -> None:
        service = rest.partition(":")[0]
        try:
            area = ScopedKeys(service, self.prefix).area_of(key)
        except ValueError:
            area = None  # Not written by a store.
        row = OTHERS if area is None else (service, area)
        if row not in self.counting and len(self.counting) >= ROWS_MAX:
            row = OTHERS
        self.counting[row] += 1


class Source:
    """What samples are taken of."""

    def __init__(self, walk: Walk | None) -> None:
        self._walk = walk
        self._clock = SystemClock()
        self._before: tuple[float, Mapping[str, int]] | None = None

    async def sample(self) -> Sample:
        """How things stand now."""
        facts, growing = await self._look()
        now, rates = self._clock.monotonic(), {}
        if self._before is not None:
            began, before = self._before
            spent = max(now - began, 1e-6)
            # A server that was started anew counts from nothing.
            rates = {name: max(0, growing[name] - before.get(name, 0)) / spent for name in growing}
        self._before = now, growing
        if self._walk is None:
            return Sample(facts, rates, {}, True)
        await self._walk.go_on()
        return Sample(facts, rates, self._walk.keys, self._walk.whole)

    @abstractmethod
    async def _look(self) -> tuple[dict[str, int], dict[str, int]]:
        """Facts as they stand, and numbers whose growth is of interest."""


class DatabaseSource(Source):
    """A database that others write."""

    def __init__(self, db: Database, walk: Walk | None) -> None:
        super().__init__(walk)
        self._db = db

    async def _look(self) -> tuple[dict[str, int], dict[str, int]]:
        revision = await self._db.head()
        facts = {"revision": revision}
        size = bytes_on_disk(self._db.config)
        if size is not None:
            facts["disk"] = size
        return facts, {"commits": revision}


class ServerSource(Source):
    """A Redis server that keeps state."""

    def __init__(self, adapter: StateAdapter, walk: Walk) -> None:
        super().__init__(walk)
        self._adapter = adapter

    async def _look(self) -> tuple[dict[str, int], dict[str, int]]:
        said: bytes = await self._adapter.client.send(("INFO",), reads=True)
        facts: dict[str, int] = {}
        growing: dict[str, int] = {}
        for line in said.decode(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name in _SERVER and value.isdecimal():
                shown, grows = _SERVER[name]
                (growing if grows else facts)[shown] = int(value)
        return facts, growing


@asynccontextmanager
async def source(url: str, prefix: str, *, state: bool) -> AsyncIterator[Source]:
    """What a URL leads to; with `state` a Redis URL is a server that keeps state in its own types.

    Raises:
        BadUsage, StoreError: it leads nowhere.
    """
    check_prefix(prefix)
    if not url:
        opening.config_of(url)
    scheme = urlsplit(url).scheme
    if state and scheme.partition("+")[0] in ("redis", "rediss", "unix"):
        async with _server(url, scheme) as adapter:
            yield ServerSource(adapter, Walk(adapter, prefix))
        return
    async with opening.for_reading(url) as db:
        there = (await db.explain())["keyspaces"]
        if not any(one["view"] == STATE for one in there):
            yield DatabaseSource(db, None)
            return
        adapter = db.state_adapter()
        try:
            yield DatabaseSource(db, Walk(adapter, prefix))
        finally:
            await adapter.close()


@asynccontextmanager
async def _server(url: str, scheme: str) -> AsyncIterator[StateAdapter]:
    from holdfast.state import RedisAdapter, SentinelAdapter

    kind = SentinelAdapter if scheme.startswith("redis+sentinel") else RedisAdapter
    adapter = kind.from_url(url)
    try:
        yield adapter
    finally:
        await adapter.close()
