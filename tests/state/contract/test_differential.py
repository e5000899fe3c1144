"""The same calls on every adapter give the same answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.contract.errors import StoreError
from holdfast.state.adapter import BatchWrite
from holdfast.state.filters import digest_of, shape_of
from tests.state.conftest import RedisServer
from tests.state.contract.subjects import SUBJECTS, Subject

NAMES = st.sampled_from(["a", "b"])
VALUES = st.sampled_from([b"", b"0", b"-5", b"x", b"\0\xff", b"9223372036854775807", b"1.5"])
STEPS = st.integers(-3, 3) | st.sampled_from([2**62, -(2**62)])
SPANS = st.sampled_from([0, 100_000, 200_000])
LIMITS = st.none() | st.integers(-4, 4)
CONDITIONS = st.sampled_from(["always", "absent", "present"])

Call = tuple[str, tuple[Any, ...]]


def calls() -> st.SearchStrategy[Call]:
    def of(verb: str, *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
        return st.tuples(st.just(verb), st.tuples(*parts))

    return st.one_of(
        of("get", NAMES),
        of("set", NAMES, VALUES, SPANS, st.booleans(), CONDITIONS),
        of("delete", NAMES),
        of("has", NAMES),
        of("expire", NAMES, st.sampled_from([100_000, 200_000])),
        of("remaining", NAMES),
        of("get_many", NAMES, NAMES),
        of("set_many", NAMES, NAMES, VALUES, SPANS),
        of("add", NAMES, STEPS),
        of("add_within", NAMES, st.integers(-3, 3), SPANS, st.booleans(), LIMITS, LIMITS),
        of("claim", NAMES, SPANS),
        of("delete_if", NAMES, VALUES),
        of("expire_if", NAMES, VALUES),
        of("limit_fixed", st.integers(1, 5), st.integers(1, 7)),
        of("limit_sliding", st.integers(1, 5), st.integers(1, 7)),
        of("join", NAMES, st.integers(0, 2), st.booleans()),
        of("leave", NAMES),
        of("members"),
        of("append", NAMES, VALUES, st.integers(0, 3)),
        of("ensure", NAMES),
        of("read_group", NAMES, st.integers(1, 3)),
        of("ack", NAMES),
        of("pending", NAMES),
        of("length", NAMES),
        of("append_once", NAMES, NAMES, VALUES, st.integers(0, 3)),
        of("postpone", NAMES, VALUES, st.sampled_from([0, 100_000])),
        of("release_due", NAMES, st.integers(1, 3)),
        of("bucket", st.integers(1, 5), st.integers(1, 7)),
        of("set_fenced", NAMES, NAMES, VALUES, SPANS, st.booleans()),
        of("reclaim", NAMES, st.sampled_from([0, 100_000]), st.integers(1, 3)),
        of("read_after", NAMES, st.integers(-2, 6), st.integers(1, 3)),
        of("read_last", NAMES, st.integers(1, 3)),
        of("move", NAMES, NAMES),
        of("scan", st.sampled_from(["*", "v:*", "?:a", "[sm]:*", "s:b"])),
        of("filter_create", st.sampled_from([2, 5]), st.sampled_from([0.5, 0.001]), SPANS),
        of("filter_add", st.lists(st.integers(0, 9), min_size=1, max_size=4)),
        of("filter_has", st.lists(st.integers(0, 9), min_size=1, max_size=4)),
        of("filter_head"),
        of("delete_kind", st.sampled_from(["s", "m", "l", "f", "filter"]), NAMES),
        of(
            "mixed",
            st.sampled_from(["get", "add", "append", "members", "has", "filter", "over"]),
            NAMES,
        ),
    )


class Player:
    """Plays calls on an adapter; ids and times are made comparable."""

    def __init__(self, subject: Subject) -> None:
        self.adapter, stem = subject.adapter, subject.stem
        self.clock = subject.clock
        self.stem = stem
        self.glob = stem.replace("[", r"\[").replace("]", r"\]")
        self.ids: list[tuple[str, str]] = []
        self.postponed = 0

    def key(self, name: str, kind: str = "v") -> str:
        return f"{self.stem}:{kind}:{name}"

    async def play(self, call: Call) -> Any:
        verb, parts = call
        # A stream that is made anew within a millisecond gives the same ids again.
        if self.clock is not None:
            self.clock.advance(0.002)
        elif verb in ("delete_kind", "mixed"):
            await asyncio.sleep(0.002)
        try:
            return await getattr(self, verb)(*parts)
        except StoreError as error:
            return str(error.code)

    async def get(self, name: str) -> Any:
        return await self.adapter.get(self.key(name))

    async def set(self, name: str, value: bytes, span: int, keep: bool, condition: Any) -> Any:
        return await self.adapter.set(
            self.key(name), value, ttl_ms=span, keep_ttl=keep and not span, condition=condition
        )

    async def delete(self, name: str) -> Any:
        return await self.adapter.delete([self.key(name)])

    async def has(self, name: str) -> Any:
        return await self.adapter.has(self.key(name))

    async def expire(self, name: str, span: int) -> Any:
        return await self.adapter.expire(self.key(name), span)

    async def remaining(self, name: str) -> Any:
        left = await self.adapter.remaining_ms(self.key(name))
        return None if left is None else round(left, -5)

    async def get_many(self, one: str, two: str) -> Any:
        return await self.adapter.get_many([self.key(one), self.key(two), self.key(one)])

    async def set_many(self, one: str, two: str, value: bytes, span: int) -> Any:
        writes = [BatchWrite(self.key(one), value, span), BatchWrite(self.key(two), value + b"2")]
        await self.adapter.set_many(writes)

    async def add(self, name: str, by: int) -> Any:
        return await self.adapter.add(self.key(name), by)

    async def add_within(
        self, name: str, by: int, span: int, always: bool, low: Any, high: Any
    ) -> Any:
        return await self.adapter.add_within(
            self.key(name), by, ttl_ms=span, ttl_always=always, minimum=low, maximum=high
        )

    async def claim(self, name: str, span: int) -> Any:
        return await self.adapter.claim(self.key(name), self.key("f", "f"), b"<", b">", span)

    async def delete_if(self, name: str, value: bytes) -> Any:
        return await self.adapter.delete_if(self.key(name), value)

    async def expire_if(self, name: str, value: bytes) -> Any:
        return await self.adapter.expire_if(self.key(name), value, 100_000)

    async def limit_fixed(self, limit: int, cost: int) -> Any:
        said = await self.adapter.limit_fixed(self.key("l", "fixed"), limit, 100_000, cost)
        return said.allowed, said.remaining, said.retry_after_ms == -1

    async def limit_sliding(self, limit: int, cost: int) -> Any:
        said = await self.adapter.limit_sliding(self.key("l", "sliding"), limit, 100_000, cost)
        return said.allowed, said.remaining, said.retry_after_ms == -1

    async def join(self, name: str, most: int, renew: bool) -> Any:
        key = self.key("m", "m")
        return await self.adapter.join(key, name, 100_000, members_max=most, renew=renew)

    async def leave(self, name: str) -> Any:
        return await self.adapter.leave(self.key("m", "m"), name)

    async def members(self) -> Any:
        return sorted(name for name, _ in await self.adapter.members(self.key("m", "m")))

    async def append(self, name: str, value: bytes, most: int) -> Any:
        id = await self.adapter.append(self.key(name, "s"), value, length_max=most)
        self.ids.append((name, id))

    async def ensure(self, name: str) -> Any:
        return await self.adapter.ensure_group(self.key(name, "s"), "g", "0")

    async def read_group(self, name: str, count: int) -> Any:
        found = await self.adapter.read_group(self.key(name, "s"), "g", "c", count=count)
        return [(self.place(name, one.id), one.data, one.deliveries) for one in found]

    async def ack(self, name: str) -> Any:
        ids = [id for of, id in self.ids if of == name][:2]
        return await self.adapter.acknowledge(self.key(name, "s"), "g", ids or ["1-1"])

    async def pending(self, name: str) -> Any:
        found = await self.adapter.pending(self.key(name, "s"), "g", count=9)
        return [(self.place(name, one.id), one.consumer, one.deliveries) for one in found]

    async def append_once(self, name: str, once: str, value: bytes, most: int) -> Any:
        id, appended = await self.adapter.append_once(
            self.key(name, "s"), self.key(once, "o"), value, ttl_ms=100_000, length_max=most
        )
        if appended:
            self.ids.append((name, id))
        return appended

    async def postpone(self, name: str, value: bytes, delay: int) -> Any:
        self.postponed += 1
        id = self.postponed.to_bytes(16, "big")
        return await self.adapter.postpone(self.key(name, "w"), id, value, delay)

    async def release_due(self, name: str, count: int) -> Any:
        stream = self.key(name, "s")
        released, left = await self.adapter.release_due(stream, self.key(name, "w"), count)
        found = await self.adapter.read_last(stream, released) if released else []
        self.ids += [(name, one.id) for one in found]
        return released, left is None, [one.data for one in found]

    async def bucket(self, capacity: int, cost: int) -> Any:
        said = await self.adapter.limit_bucket(self.key("l", "bucket"), capacity, 1e9, cost)
        return said.allowed, said.remaining, said.retry_after_ms == -1

    async def set_fenced(self, name: str, claim: str, value: bytes, span: int, keep: bool) -> Any:
        return await self.adapter.set_fenced(
            self.key(name), value, self.key(claim), b"<1>", ttl_ms=span, keep_ttl=keep and not span
        )

    async def reclaim(self, name: str, idle: int, count: int) -> Any:
        found = await self.adapter.reclaim(self.key(name, "s"), "g", "d", idle_ms=idle, count=count)
        return [(self.place(name, one.id), one.data, one.deliveries) for one in found]

    async def read_after(self, name: str, place: int, count: int) -> Any:
        own = [id for of, id in self.ids if of == name]
        after = own[place] if 0 <= place < len(own) else "0" if place == -1 else "$"
        found = await self.adapter.read_after(self.key(name, "s"), after, count=count)
        return [(self.place(name, one.id), one.data) for one in found]

    async def read_last(self, name: str, count: int) -> Any:
        found = await self.adapter.read_last(self.key(name, "s"), count)
        return [(self.place(name, one.id), one.data) for one in found]

    async def move(self, name: str, to: str) -> Any:
        own = [id for of, id in self.ids if of == name] or ["1-1"]
        id = await self.adapter.move(self.key(name, "s"), "g", own[0], self.key(to, "s"), b"moved")
        self.ids.append((to, id))

    async def scan(self, glob: str) -> Any:
        found: set[str] = set()
        cursor = "0"
        while True:
            cursor, keys = await self.adapter.scan(f"{self.glob}:{glob}", cursor, 1000)
            found |= {key.removeprefix(self.stem) for key in keys}
            if cursor == "0":
                return sorted(found)

    async def delete_kind(self, kind: str, name: str) -> Any:
        return await self.adapter.delete([self.key(name, kind), self.key(kind, kind)])

    async def filter_create(self, capacity: int, rate: float, span: int) -> Any:
        shape = shape_of(capacity, rate)
        return await self.adapter.filter_create(self.key("filter", "filter"), shape, span)

    async def filter_add(self, items: list[int]) -> Any:
        digests = [digest_of(str(item)) for item in items]
        return await self.adapter.filter_add(self.key("filter", "filter"), digests)

    async def filter_has(self, items: list[int]) -> Any:
        digests = [digest_of(str(item)) for item in items]
        return await self.adapter.filter_has(self.key("filter", "filter"), digests)

    async def filter_head(self) -> Any:
        return await self.adapter.filter_head(self.key("filter", "filter"))

    async def mixed(self, verb: str, name: str) -> Any:
        """A verb on a key that may be of another kind."""
        stream, plain = self.key(name, "s"), self.key(name)
        match verb:
            case "get":
                return await self.adapter.get(stream)
            case "add":
                return await self.adapter.add(stream, 1)
            case "append":
                id = await self.adapter.append(plain, b"x")
                return bool(id) and await self.adapter.delete([plain])
            case "members":
                return await self.adapter.members(plain)
            case "filter":
                return await self.adapter.filter_head(stream)
            case "has":
                return await self.adapter.has(stream), await self.adapter.remaining_ms(stream)
            case _:
                return await self.adapter.set(stream, b"a value over it", condition="present")

    def place(self, name: str, id: str) -> int:
        # A stream that was removed may give an id again, so the last one counts.
        return max(place for place, one in enumerate(self.ids) if one == (name, id))

    async def length(self, name: str) -> Any:
        return await self.adapter.length(self.key(name, "s"))


@pytest.mark.row("D-129", "D-116")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(played=st.lists(calls(), min_size=30, max_size=50))
def test_every_adapter_answers_alike(
    redis: RedisServer, clustered: None, service: str, played: list[Call]
) -> None:
    counter = test_every_adapter_answers_alike.__dict__.setdefault("runs", [])
    counter.append(1)
    stem = f"{service}:{len(counter)}"

    async def answers(name: str) -> list[Any]:
        open_subject: Callable[..., Any] = SUBJECTS[name]
        place = f"{stem}:{list(SUBJECTS).index(name)}"
        async with open_subject(redis, place) as subject:
            player = Player(subject)
            return [await player.play(call) for call in played]

    found = {name: asyncio.run(answers(name)) for name in SUBJECTS}
    first = found.pop("redis")
    for name, other in found.items():
        for call, one, two in zip(played, first, other, strict=True):
            assert one == two, f"{name} at {call}: {one!r} on redis, {two!r} here"
