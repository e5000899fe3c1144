"""A checkpointer of LangGraph: the state of every thread after every step, in a store of bytes.

saver = HoldfastSaver(db)
graph = builder.compile(checkpointer=saver)
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final, cast

from holdfast.adapters import checkpoint_rows as rows
from holdfast.adapters.checkpoint_rows import Found, Pending, Place, Saved
from holdfast.adapters.dialects import checked_text
from holdfast.adapters.handles import Bridge
from holdfast.adapters.requirement import requires
from holdfast.codecs.text import several
from holdfast.contract.errors import InvalidInput
from holdfast.database.handle import Database
from holdfast.sync.database import Database as SyncDatabase

with requires("langgraph-checkpoint>=4.1"):
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        WRITES_IDX_MAP,
        BaseCheckpointSaver,
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
        get_checkpoint_id,
        get_checkpoint_metadata,
    )
    from langgraph.checkpoint.serde.base import SerializerProtocol

#: How many checkpoints are looked at together when they are listed.
PAGE_CHECKPOINTS: Final = 50
#: How many digits the number in a version of a channel has, so that versions sort as text.
_DIGITS: Final = 32

_STRATEGIES: Final = ("keep_latest", "delete")


class HoldfastSaver(BaseCheckpointSaver[str]):
    """Keeps checkpoints in a database; one object for `invoke` and for `ainvoke`.

    A checkpoint with the values that are new in it is one commit; a value that several checkpoints
    share is stored once. Everything that is read of a checkpoint is of one moment.

    Args:
        database: open; of `holdfast` or `holdfast.sync`. One of `holdfast` belongs to its event
            loop: there await, and call plainly from other threads only.
        store: the name of the store of bytes; it is made if there is none.
        serde: how LangGraph serialises values; left out, as it does by itself.

    Raises:
        InvalidInput: there is no such database.
    """

    def __init__(
        self,
        database: Database | SyncDatabase,
        *,
        store: str = "langgraph",
        serde: SerializerProtocol | None = None,
    ) -> None:
        super().__init__(serde=serde)
        self._bridge = Bridge(database)
        self._name = store

    # --- Called plainly ---------------------------------------------------------------------

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, or the newest of its thread and namespace."""
        return self._bridge.call(lambda db: self._get(db, config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, the newest of each thread first; read some at a time."""
        listing = _Listing(config, filter, before, limit)
        while not listing.ended:
            yield from self._bridge.call(lambda db: self._page(db, listing))

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint; the configuration that names it."""
        return self._bridge.call(
            lambda db: self._put(db, config, checkpoint, metadata, new_versions)
        )

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote after a checkpoint."""
        self._bridge.call(lambda db: self._put_writes(db, config, writes, task_id, task_path))

    def delete_thread(self, thread_id: str) -> None:
        """Remove everything of a thread."""
        self._bridge.call(lambda db: self._delete_thread(db, thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Remove the checkpoints that the runs made."""
        self._bridge.call(lambda db: self._delete_for_runs(db, run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy everything of a thread to another one."""
        self._bridge.call(lambda db: self._copy_thread(db, source_thread_id, target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Remove what is old in the threads, or with `delete` all of them.

        `keep_latest` keeps the newest checkpoint of each namespace, and those that its delta
        channels are rebuilt from. Prune a thread while no run is going on in it: one that began at
        an older checkpoint would find the values gone that it shares with that.
        """
        self._bridge.call(lambda db: self._prune(db, thread_ids, strategy))

    # --- Awaited ----------------------------------------------------------------------------

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """See `get_tuple`."""
        return await self._bridge.wait(lambda db: self._get(db, config))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """See `list`."""
        listing = _Listing(config, filter, before, limit)
        while not listing.ended:
            for one in await self._bridge.wait(lambda db: self._page(db, listing)):
                yield one

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """See `put`."""
        return await self._bridge.wait(
            lambda db: self._put(db, config, checkpoint, metadata, new_versions)
        )

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """See `put_writes`."""
        await self._bridge.wait(lambda db: self._put_writes(db, config, writes, task_id, task_path))

    async def adelete_thread(self, thread_id: str) -> None:
        """See `delete_thread`."""
        await self._bridge.wait(lambda db: self._delete_thread(db, thread_id))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """See `delete_for_runs`."""
        await self._bridge.wait(lambda db: self._delete_for_runs(db, run_ids))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """See `copy_thread`."""
        await self._bridge.wait(
            lambda db: self._copy_thread(db, source_thread_id, target_thread_id)
        )

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """See `prune`."""
        await self._bridge.wait(lambda db: self._prune(db, thread_ids, strategy))

    def get_next_version(self, current: str | None, channel: None) -> str:
        """A version above `current` that no other branch of the thread has."""
        number = current if isinstance(current, int) else int((current or "0").split(".")[0])
        return f"{number + 1:0{_DIGITS}}.{self._bridge.new_id()}"

    # --- Inside -----------------------------------------------------------------------------

    async def _get(self, db: Database, config: RunnableConfig) -> CheckpointTuple | None:
        place = _place(config)
        id = get_checkpoint_id(config)
        await db.stores.open(self._name)
        async with db.snapshot() as view:
            store = await view.stores.get(self._name)
            id = id or await rows.latest(store, place)
            found = None if id is None else await rows.find(store, place, id)
        return None if found is None else self._tuple(found)

    async def _page(self, db: Database, listing: _Listing) -> builtins.list[CheckpointTuple]:
        await db.stores.open(self._name)
        made: builtins.list[CheckpointTuple] = []
        async with db.snapshot() as view:
            store = await view.stores.get(self._name)
            several = await rows.candidates(
                store, listing.thread, listing.namespace, listing.before, listing.behind,
                PAGE_CHECKPOINTS,
            )  # fmt: skip
            listing.ended = len(several) < PAGE_CHECKPOINTS
            for key, place, id in several:
                listing.behind = key
                if not listing.wants(place, id):
                    continue
                found = await rows.find(store, place, id)
                if found is None or not listing.meets(self.serde.loads_typed(found.saved.metadata)):
                    continue
                if listing.left is not None and listing.left <= 0:
                    listing.ended = True
                    break
                made.append(self._tuple(found))
                if listing.left is not None:
                    listing.left -= 1
        return made

    async def _put(
        self,
        db: Database,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        place, id = _place(config), checked_text("the id of a checkpoint", checkpoint["id"])
        kept = cast("dict[str, Any]", checkpoint.copy())
        values = kept.pop("channel_values")
        whole = cast("dict[str, Any]", get_checkpoint_metadata(config, metadata))
        run = whole.get("run_id")
        saved = Saved(
            self.serde.dumps_typed(kept),
            self.serde.dumps_typed(whole),
            get_checkpoint_id(config),
            None if run is None else str(run),
            builtins.list(checkpoint["channel_versions"].items()),
        )
        new = {
            (channel, version): self.serde.dumps_typed(values[channel])
            for channel, version in new_versions.items()
            if channel in values
        }
        await rows.put(await db.stores.open(self._name), place, id, saved, new)
        return _config(place, id)

    async def _put_writes(
        self,
        db: Database,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task: str,
        path: str,
    ) -> None:
        place, id = _place(config), get_checkpoint_id(config)
        if id is None:
            raise InvalidInput("writes belong to a checkpoint; found no checkpoint_id in config")
        pending = {
            WRITES_IDX_MAP.get(channel, index): Pending(
                channel, self.serde.dumps_typed(value), path
            )
            for index, (channel, value) in enumerate(writes)
        }
        await db.stores.open(self._name)
        await rows.put_writes(
            db,
            self._name,
            place,
            checked_text("checkpoint_id", id),
            checked_text("task_id", task),
            pending,
        )

    async def _delete_thread(self, db: Database, thread: str) -> None:
        await rows.delete_thread(await db.stores.open(self._name), str(thread))

    async def _delete_for_runs(self, db: Database, runs: Sequence[str]) -> None:
        store = await db.stores.open(self._name)
        for run in several(runs, "runs"):
            for place, ids in (await rows.of_run(store, str(run))).items():

                async def work(
                    transaction: Any, place: Place = place, ids: Sequence[str] = ids
                ) -> None:
                    await rows.delete(await transaction.stores.get(self._name), place, ids)

                await db.transact(work)

    async def _copy_thread(self, db: Database, source: str, target: str) -> None:
        store = await db.stores.open(self._name)
        async with db.snapshot() as view:
            moment = await view.stores.get(self._name)
            await rows.copy_thread(moment, store, str(source), str(target))

    async def _prune(self, db: Database, threads: Sequence[str], strategy: str) -> None:
        if strategy not in _STRATEGIES:
            raise InvalidInput(f"strategy is one of {', '.join(_STRATEGIES)}; found {strategy!r}")
        store = await db.stores.open(self._name)
        for thread in map(str, several(threads, "threads")):
            if strategy == "delete":
                await rows.delete_thread(store, thread)
                continue
            for namespace in await rows.namespaces(store, thread):
                place = Place(thread, namespace)

                async def work(transaction: Any, place: Place = place) -> None:
                    inside = await transaction.stores.get(self._name)
                    await rows.keep_latest(inside, place, self._deltas)

                await db.transact(work)

    def _deltas(self, saved: Saved) -> Sequence[str]:
        """The channels whose values are rebuilt from the writes of several checkpoints."""
        metadata: Mapping[str, Any] = self.serde.loads_typed(saved.metadata)
        return builtins.list(metadata.get("counters_since_delta_snapshot") or ())

    def _tuple(self, found: Found) -> CheckpointTuple:
        loads = self.serde.loads_typed
        checkpoint: Any = loads(found.saved.checkpoint)
        values = {channel: loads(value) for channel, value in found.values.items()}
        parent = found.saved.parent
        return CheckpointTuple(
            config=_config(found.place, found.id),
            checkpoint=cast("Checkpoint", {**checkpoint, "channel_values": values}),
            metadata=loads(found.saved.metadata),
            parent_config=None if parent is None else _config(found.place, parent),
            pending_writes=[(task, channel, loads(value)) for task, channel, value in found.writes],
        )


class _Listing:
    """What is listed, and how far that is."""

    def __init__(
        self,
        config: RunnableConfig | None,
        filter: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> None:
        asked = _asked(config or {})
        thread = asked.get("thread_id")
        self.thread = None if thread is None else str(thread)
        self.namespace: str | None = asked.get("checkpoint_ns")
        self.before = _asked(before or {}).get("checkpoint_id")
        for name, given in (("before", self.before), ("checkpoint_ns", self.namespace)):
            if given is not None:
                checked_text(name, given)
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool)):
            raise InvalidInput(f"limit is a whole number; found a {type(limit).__name__}")
        if not isinstance(filter, Mapping | None):
            raise InvalidInput(
                f"filter is a mapping of names to values; found a {type(filter).__name__}"
            )
        self.left = limit
        self.behind: bytes | None = None
        self.ended = limit is not None and limit <= 0
        self._id = asked.get("checkpoint_id")
        self._filter = filter or {}

    def wants(self, place: Place, id: str) -> bool:
        """Whether a checkpoint is one that was asked for, as far as its key tells."""
        return (
            (self.namespace is None or place.namespace == self.namespace)
            and (not self._id or id == self._id)
            and (self.before is None or id < self.before)
        )

    def meets(self, metadata: Mapping[str, Any]) -> bool:
        """Whether its metadata are those asked for."""
        return all(metadata.get(name) == value for name, value in self._filter.items())


def _place(config: RunnableConfig) -> Place:
    asked = _asked(config)
    if asked.get("thread_id") is None:
        raise InvalidInput(
            'a checkpoint belongs to a thread; give {"configurable": {"thread_id": ...}}'
        )
    if asked.get("checkpoint_id") is not None:
        checked_text("checkpoint_id", asked["checkpoint_id"])
    return Place(
        str(asked["thread_id"]), checked_text("checkpoint_ns", asked.get("checkpoint_ns") or "")
    )


def _asked(config: Any) -> Mapping[str, Any]:
    """What a configuration says of its place. Raises InvalidInput."""
    asked = config.get("configurable", {}) if isinstance(config, Mapping) else None
    if not isinstance(asked, Mapping):
        raise InvalidInput(
            'a configuration is a mapping such as {"configurable": {"thread_id": ...}}; found '
            "something else"
        )
    return asked


def _config(place: Place, id: str) -> RunnableConfig:
    return {
        "configurable": {
            "thread_id": place.thread,
            "checkpoint_ns": place.namespace,
            "checkpoint_id": id,
        }
    }
