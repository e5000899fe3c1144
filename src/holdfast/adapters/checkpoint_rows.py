"""How the checkpoints of programs stand in a store of bytes.

    c thread namespace checkpoint             the checkpoint, its metadata, its parent
    o thread checkpoint namespace             nothing: the order of a thread over its namespaces
    b thread namespace channel version        the value that a channel has from this version on
    w thread namespace checkpoint task index  a write of a task, until the next checkpoint has it
    r run thread namespace checkpoint         nothing: the checkpoints that a run made

Keys are packed, so they sort by their parts, and identifiers of checkpoints by their time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from holdfast.adapters.ranges import remove_range
from holdfast.codecs.keys import pack, prefix_range, unpack
from holdfast.contract.errors import InvalidInput
from holdfast.database.handle import Database
from holdfast.stores.verbs import Verbs

#: How many rows one commit removes or copies, where not all have to be one.
STEP_ROWS: Final = 1_000

#: A serialised value: the name of its form, and its bytes.
Typed = tuple[str, bytes]
Version = str | int | float


class Place(NamedTuple):
    """Where checkpoints stand."""

    thread: str
    namespace: str


class Saved(msgspec.Struct, array_like=True):
    """What is stored of a checkpoint.

    Attributes:
        checkpoint: without the values of its channels.
        metadata: of it.
        parent: the checkpoint before.
        run: that made it.
        versions: of its channels: where their values are.
    """

    checkpoint: Typed
    metadata: Typed
    parent: str | None
    run: str | None
    versions: list[tuple[str, Version]]


class Pending(msgspec.Struct, array_like=True):
    """A write of a task."""

    channel: str
    value: Typed
    path: str


_saved = msgspec.msgpack.Decoder(Saved)
_pending = msgspec.msgpack.Decoder(Pending)
_typed = msgspec.msgpack.Decoder(Typed)
_encode = msgspec.msgpack.Encoder().encode


def _written(one: Any, decoder: msgspec.msgpack.Decoder[Any]) -> bytes:
    """The row of something, which can be read again. Raises InvalidInput."""
    try:
        row = _encode(one)
        decoder.decode(row)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        # Without their own words, which show values.
        raise InvalidInput(
            "a checkpoint has identifiers, channels and paths of text, versions that are text or "
            "numbers, and values that its serde made; found something else. Nothing was written"
        ) from error
    return row


class Found(NamedTuple):
    """A checkpoint with all that belongs to it.

    Attributes:
        writes: task, channel and value, in the order in which they are applied.
    """

    place: Place
    id: str
    saved: Saved
    values: dict[str, Typed]
    writes: list[tuple[str, str, Typed]]


# --- Writing --------------------------------------------------------------------------------


async def put(
    store: Verbs, place: Place, id: str, saved: Saved, values: Mapping[tuple[str, Version], Typed]
) -> None:
    """Put a checkpoint and the values that are new in it, as one commit."""
    rows = {
        pack(("b", *place, *version)): _written(value, _typed) for version, value in values.items()
    }
    rows[pack(("c", *place, id))] = _written(saved, _saved)
    rows[pack(("o", place.thread, id, place.namespace))] = b""
    if saved.run is not None:
        rows[pack(("r", saved.run, *place, id))] = b""
    await store.set_many(rows)


async def put_writes(
    db: Database, name: str, place: Place, id: str, task: str, writes: Mapping[int, Pending]
) -> None:
    """Put writes of a task, by their index. What stands at an index from 0 up stays."""

    async def work(transaction: Any) -> None:
        store = await transaction.stores.get(name)
        rows = {}
        for index, write in writes.items():
            key = pack(("w", *place, id, task, index))
            if index < 0 or not await store.has(key):
                rows[key] = _written(write, _pending)
        await store.set_many(rows)

    await db.transact(work)


# --- Reading --------------------------------------------------------------------------------


async def latest(store: Verbs, place: Place) -> str | None:
    """The newest checkpoint of a namespace."""
    bounds = prefix_range(("c", *place))
    async for key in store.keys(bounds.start, bounds.end, ascending=False, limit=1):
        return str(unpack(key)[3])
    return None


async def find(store: Verbs, place: Place, id: str) -> Found | None:
    """A checkpoint, or None."""
    row = await store.get(pack(("c", *place, id)), None)
    if row is None:
        return None
    saved = _saved.decode(row)
    values = {}
    for channel, version in saved.versions:
        value = await store.get(pack(("b", *place, channel, version)), None)
        if value is not None:
            values[channel] = _typed.decode(value)
    bounds = prefix_range(("w", *place, id))
    pending = []
    async for key, value in store.iterate_range(bounds.start, bounds.end):
        _, _, _, _, task, index = unpack(key)
        write = _pending.decode(value)
        pending.append((write.path, str(task), index, write))
    pending.sort(key=lambda one: one[:3])
    writes = [(task, write.channel, write.value) for _, task, _, write in pending]
    return Found(place, id, saved, values, writes)


async def candidates(
    store: Verbs, thread: str | None, namespace: str | None, before: str | None,
    behind: bytes | None, limit: int,
) -> list[tuple[bytes, Place, str]]:  # fmt: skip
    """Some checkpoints, the newest of each thread first, with the key to go on behind.

    Args:
        store: where they are.
        thread, namespace: of which; None: of any. A namespace comes with a thread.
        before: only checkpoints older than this one.
        behind: the key of the last one of the call before.
        limit: how many.
    """
    one = thread is not None and namespace is not None
    head: tuple[str, ...] = ("c", thread or "", namespace or "") if one else ("o",)
    if thread is not None and not one:
        head = ("o", thread)
    bounds = prefix_range(head)
    end = behind
    if end is None:
        end = bounds.end if before is None or thread is None else pack((*head, before))
    found = []
    async for key in store.keys(bounds.start, end, ascending=False, limit=limit):
        parts = [str(part) for part in unpack(key)]
        id, inside = (parts[3], parts[2]) if one else (parts[2], parts[3])
        found.append((key, Place(parts[1], inside), id))
    return found


# --- Removing and copying -------------------------------------------------------------------


async def delete_thread(store: Verbs, thread: str) -> None:
    """Remove all of a thread, step by step; done again, it goes on where it was interrupted."""
    bounds = prefix_range(("c", thread))
    while True:
        keys = []
        async for key, row in store.iterate_range(bounds.start, bounds.end, limit=STEP_ROWS):
            _, _, namespace, id = unpack(key)
            keys += [key, pack(("o", thread, id, namespace))]
            run = _saved.decode(row).run
            if run is not None:
                keys.append(pack(("r", run, thread, namespace, id)))
        if not keys:
            break
        await store.delete_many(keys)
    for kind in ("o", "b", "w"):
        bounds = prefix_range((kind, thread))
        await remove_range(store, bounds.start, bounds.end)


async def copy_thread(moment: Verbs, store: Verbs, source: str, target: str) -> None:
    """Copy all of a thread; its checkpoints show when all that belongs to them is there.

    Args:
        moment: the store of a snapshot: a run may go on in the thread.
        store: the same store, to write to.
        source, target: from where and where to.
    """
    for kind in ("b", "w", "c", "o"):
        bounds = prefix_range((kind, source))
        rows: dict[bytes, bytes] = {}
        async for key, value in moment.iterate_range(bounds.start, bounds.end):
            parts = unpack(key)
            rows[pack((kind, target, *parts[2:]))] = value
            if kind == "c":
                run = _saved.decode(value).run
                if run is not None:
                    rows[pack(("r", run, target, *parts[2:]))] = b""
            if len(rows) >= STEP_ROWS:
                await store.set_many(rows)
                rows = {}
        await store.set_many(rows)


async def namespaces(store: Verbs, thread: str) -> list[str]:
    """The namespaces of a thread."""
    found: list[str] = []
    bounds = prefix_range(("c", thread))
    start = bounds.start
    while True:
        next_: str | None = None
        async for key in store.keys(start, bounds.end, limit=1):
            next_ = str(unpack(key)[2])
        if next_ is None:
            return found
        found.append(next_)
        start = prefix_range(("c", thread, next_)).end


async def of_run(store: Verbs, run: str) -> dict[Place, list[str]]:
    """The checkpoints that a run made."""
    found: dict[Place, list[str]] = {}
    bounds = prefix_range(("r", run))
    async for key in store.keys(bounds.start, bounds.end):
        _, _, thread, namespace, id = map(str, unpack(key))
        found.setdefault(Place(thread, namespace), []).append(id)
    return found


async def keep_latest(store: Verbs, place: Place, deltas: Any) -> None:
    """Remove all checkpoints of a namespace but the newest and what that is rebuilt from.

    Args:
        store: of a transaction.
        place: where.
        deltas: from a stored checkpoint to the channels whose values are sums of writes; they need
            the checkpoints before, back to one that has the value itself.
    """
    id = await latest(store, place)
    if id is None:
        return
    kept: set[str] = set()
    wanted: set[str] | None = None
    while id is not None and (wanted is None or wanted):
        found = await find(store, place, id)
        if found is None:
            break
        if wanted is None:
            wanted = set(deltas(found.saved))
        kept.add(id)
        wanted -= found.values.keys()
        id = found.saved.parent
    await delete(store, place, await _ids(store, place, kept))


async def delete(store: Verbs, place: Place, ids: Sequence[str]) -> None:
    """Remove checkpoints, and the values that no other one of the namespace has.

    Args:
        store: of a transaction.
        place: where.
        ids: of which.
    """
    removed: set[tuple[str, Version]] = set()
    keys: list[bytes] = []
    for id in ids:
        row = await store.get(pack(("c", *place, id)), None)
        if row is None:
            continue
        saved = _saved.decode(row)
        removed.update(saved.versions)
        keys += [pack(("c", *place, id)), pack(("o", place.thread, id, place.namespace))]
        if saved.run is not None:
            keys.append(pack(("r", saved.run, *place, id)))
        bounds = prefix_range(("w", *place, id))
        keys += [key async for key in store.keys(bounds.start, bounds.end)]
    gone = set(ids)
    for id in await _ids(store, place, gone):
        removed.difference_update(_saved.decode(await store.get(pack(("c", *place, id)))).versions)
    keys += [pack(("b", *place, *version)) for version in removed]
    await store.delete_many(keys)


async def _ids(store: Verbs, place: Place, without: Iterable[str]) -> list[str]:
    bounds = prefix_range(("c", *place))
    left_out = set(without)
    every = [str(unpack(key)[3]) async for key in store.keys(bounds.start, bounds.end)]
    return [id for id in every if id not in left_out]
