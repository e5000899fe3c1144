"""Every operation of a store, as a table: what telemetry tests run, well and failing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from holdfast.state import Message, ScopedStore

#: What must show up nowhere.
MARKER = "marker-7f3a"

Work = Callable[[ScopedStore], Awaitable[Any]]

KEY, VALUE = f"k:{MARKER}", {"v": MARKER}


async def _fresh(store: ScopedStore) -> Any:
    return await store.kv.set(KEY, VALUE, ttl=60)


async def _subscribe(store: ScopedStore) -> None:
    subscription = await store.events.subscribe(f"user:{MARKER}", print)
    await subscription()


async def _unsubscribe(store: ScopedStore) -> None:
    await store.events.subscribe(f"user:{MARKER}", print)
    await store.events.unsubscribe(f"user:{MARKER}")


async def _lease(store: ScopedStore) -> None:
    async with store.claim.lease(f"l:{MARKER}", owner=MARKER):
        pass


async def _permit(store: ScopedStore) -> None:
    async with store.semaphore.permit(f"s:{MARKER}", 1):
        pass


async def _consume(store: ScopedStore) -> None:
    consumption = store.streams.group("g", "c").consume(f"s:{MARKER}", print, block=0.01)
    consumption.stop()
    await consumption.run()
    await store.streams.group("g", "c").ensure(f"s:{MARKER}")


async def _iterate(store: ScopedStore) -> None:
    async for _ in store.dev.iterate(f"*{MARKER}*"):
        pass


async def _follow(store: ScopedStore) -> None:
    await store.streams.append(f"s:{MARKER}", VALUE)
    async for _ in store.streams.follow(f"s:{MARKER}", after="0"):
        break


async def _dead_letter(store: ScopedStore) -> None:
    group = store.streams.group("g", "c")
    await group.ensure(f"s:{MARKER}")
    await store.streams.append(f"s:{MARKER}", VALUE)
    [message, *_] = await group.read(f"s:{MARKER}")
    await group.dead_letter(f"s:{MARKER}", message, MARKER)


async def _ensured(store: ScopedStore) -> Any:
    group = store.streams.group("g", "c")
    await group.ensure(f"s:{MARKER}")
    return group


async def _read(store: ScopedStore) -> None:
    await (await _ensured(store)).read(f"s:{MARKER}")


async def _ack(store: ScopedStore) -> None:
    await store.streams.group("g", "c").ack(f"s:{MARKER}", ["1-1"])


async def _pending(store: ScopedStore) -> None:
    await (await _ensured(store)).pending(f"s:{MARKER}")


async def _reclaim(store: ScopedStore) -> None:
    await (await _ensured(store)).reclaim_idle(f"s:{MARKER}", 5)


async def _through(store: ScopedStore) -> None:
    @store.cached(ttl=5, key="{a}", tags=[f"t-{MARKER}"])
    async def function(a: str) -> str:
        return a

    await function(MARKER)
    await function(MARKER)


async def _filtered(store: ScopedStore, method: str, *arguments: Any) -> None:
    await store.bloom.create(KEY, 100)
    await getattr(store.bloom, method)(KEY, *arguments)


async def _acquired(store: ScopedStore) -> None:
    lease = await store.claim.acquire(f"l:{MARKER}", owner=MARKER)
    assert lease is not None
    await lease.extend()
    await lease.release()


#: Method to what calls it. Those at the end tell more than one operation.
OPERATIONS: dict[str, Work] = {
    "kv.get": lambda s: s.kv.get(KEY),
    "kv.set": _fresh,
    "kv.get_or_set": lambda s: s.kv.get_or_set(KEY, MARKER),
    "kv.exists": lambda s: s.kv.exists(KEY),
    "kv.remove": lambda s: s.kv.remove(KEY),
    "kv.expire": lambda s: s.kv.expire(KEY, 5),
    "kv.touch": lambda s: s.kv.touch(KEY, 5),
    "kv.remaining": lambda s: s.kv.remaining(KEY),
    "counter.increment": lambda s: s.counter.increment(KEY),
    "counter.decrement": lambda s: s.counter.decrement(KEY),
    "counter.get": lambda s: s.counter.get(KEY),
    "counter.set": lambda s: s.counter.set(KEY, 5, ttl=5),
    "counter.initialise": lambda s: s.counter.initialise(KEY, 5),
    "counter.expire": lambda s: s.counter.expire(KEY, 5),
    "counter.remove": lambda s: s.counter.remove(KEY),
    "claim.once": lambda s: s.claim.once(KEY, MARKER, ttl=5),
    "claim.release": lambda s: s.claim.release(KEY, MARKER),
    "claim.extend": lambda s: s.claim.extend(KEY, MARKER, 5),
    "claim.holder": lambda s: s.claim.holder(KEY),
    "claim.acquire": _acquired,
    "claim.lease": _lease,
    "claim.lead": lambda s: s.claim.lead(f"l:{MARKER}", lambda _: s.kv.exists(KEY)),
    "batch.get": lambda s: s.batch.get([KEY, "none"]),
    "batch.set": lambda s: s.batch.set([(KEY, VALUE)]),
    "batch.remove": lambda s: s.batch.remove([KEY]),
    "events.publish": lambda s: s.events.publish(f"user:{MARKER}", VALUE),
    "events.republish": lambda s: s.events.republish(
        Message(f"user:{MARKER}", VALUE, "2026-01-01T00:00:00.000Z"), VALUE, "bridge"
    ),
    "events.subscribe": _subscribe,
    "events.unsubscribe": _unsubscribe,
    "streams.append": lambda s: s.streams.append(f"s:{MARKER}", VALUE),
    "streams.append_once": lambda s: s.streams.append_once(f"s:{MARKER}", VALUE, MARKER),
    "streams.append_later": lambda s: s.streams.append_later(f"s:{MARKER}", VALUE, 5),
    "streams.release_due": lambda s: s.streams.release_due(f"s:{MARKER}"),
    "streams.tail": lambda s: s.streams.tail(f"s:{MARKER}"),
    "streams.length": lambda s: s.streams.length(f"s:{MARKER}"),
    "streams.follow": _follow,
    "group.ensure": _ensured,
    "group.read": _read,
    "group.ack": _ack,
    "group.pending": _pending,
    "group.reclaim_idle": _reclaim,
    "group.release_due": lambda s: s.streams.group("g", "c").release_due(f"s:{MARKER}"),
    "group.dead_letter": _dead_letter,
    "group.consume": _consume,
    "cache.through": _through,
    "cache.invalidate": lambda s: s.cache.invalidate(MARKER),
    "cache.forget": lambda s: s.cache.forget(MARKER),
    "bloom.create": lambda s: s.bloom.create(KEY, 100, ttl=5),
    "bloom.add": lambda s: _filtered(s, "add", MARKER),
    "bloom.add_many": lambda s: _filtered(s, "add_many", [MARKER, MARKER, "b"]),
    "bloom.contains": lambda s: _filtered(s, "contains", MARKER),
    "bloom.contains_many": lambda s: _filtered(s, "contains_many", [MARKER, "b"]),
    "bloom.info": lambda s: _filtered(s, "info"),
    "bloom.remove": lambda s: s.bloom.remove(KEY),
    "dev.scan": lambda s: s.dev.scan(f"*{MARKER}*"),
    "dev.iterate": _iterate,
    "limiter.fixed": lambda s: s.limiter.fixed(KEY, 5, 5),
    "limiter.sliding": lambda s: s.limiter.sliding(KEY, 5, 5),
    "limiter.bucket": lambda s: s.limiter.bucket(KEY, 5, 5),
    "semaphore.acquire": lambda s: s.semaphore.acquire(KEY, 5),
    "semaphore.permit": _permit,
    "semaphore.holders": lambda s: s.semaphore.holders(KEY),
    "presence.mark": lambda s: s.presence.mark(KEY, MARKER),
    "presence.leave": lambda s: s.presence.leave(KEY, MARKER),
    "presence.members": lambda s: s.presence.members(KEY),
    "presence.present": lambda s: s.presence.present(KEY, MARKER),
}


async def _hit(store: ScopedStore) -> None:
    await store.kv.set(KEY, VALUE)
    await store.kv.get(KEY)


async def _loser(store: ScopedStore) -> None:
    await store.claim.once(KEY, MARKER, ttl=5)
    await store.claim.once(KEY, "other", ttl=5)


async def _nothing(store: ScopedStore) -> None:
    await store.batch.get([])
    await store.batch.set([])
    await store.batch.remove([])


async def _some(store: ScopedStore) -> None:
    await store.batch.set([("a", 1), ("b", 2)])
    await store.batch.get(["a", "b", "c"])


async def _again(store: ScopedStore) -> None:
    await _ensured(store)
    await _ensured(store)


async def _several(store: ScopedStore) -> None:
    group = await _ensured(store)
    await store.streams.append(f"s:{MARKER}", VALUE)
    await store.streams.append(f"s:{MARKER}", VALUE)
    await group.read(f"s:{MARKER}")


#: Further courses that an operation takes; for the golden record.
VARIANTS: dict[str, Work] = {
    "scope.purge": lambda s: s.scope("org", f"id-{MARKER}").purge_scope(),
    "kv.get hit": _hit,
    "claim.once loser": _loser,
    "batch nothing": _nothing,
    "batch some": _some,
    "group.ensure again": _again,
    "group.read several": _several,
}
