"""The whole way of a write, from the log's start to the writer that goes on."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import pytest

from holdfast import Change
from holdfast.codecs.text import StoreKey
from holdfast.records.core import KeyValueStore
from holdfast.records.decorators.evented import Evented
from holdfast.records.decorators.logged import Logged
from holdfast.records.options import WriteOptions
from holdfast.records.services.hashing import Sha256HashingService
from holdfast.records.services.keys import PathKeyService
from holdfast.records.services.metadata import StandardMetadataService
from holdfast.records.services.protocols import Outcome, Past, Proposal, Step
from holdfast.records.storage import EngineEntryStorage
from holdfast.store.feed.subscribers import EventService
from holdfast.store.versions.entry import Entry, Metadata
from tests.store.scene import Scene

T = TypeVar("T")


class Hashing(Sha256HashingService):
    def __init__(self, trace: list[str]) -> None:
        self.trace = trace

    def calculate_data_hash(self, canonical: list[bytes]) -> bytes:
        self.trace.append("hash")
        return super().calculate_data_hash(canonical)


class Locks:
    def __init__(self, trace: list[str]) -> None:
        self.trace = trace

    async def with_lock(self, namespace: str, operation: Callable[[], Awaitable[T]]) -> T:
        self.trace.append(f"lock {namespace}")
        try:
            return await operation()
        finally:
            self.trace.append("unlock")


class MetadataRules(StandardMetadataService):
    def __init__(self, scene: Scene, trace: list[str]) -> None:
        super().__init__(scene.clock, scene.components.ids)
        self.trace = trace

    def generate_new_metadata(
        self, data_hash: bytes, options: WriteOptions, past: Past | None
    ) -> Metadata:
        self.trace.append("metadata")
        return super().generate_new_metadata(data_hash, options, past)


class Storage:
    """The real storage; tells when the entry was read and when all is written."""

    def __init__(self, storage: EngineEntryStorage, trace: list[str]) -> None:
        self._storage = storage
        self.trace = trace

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def transact(self, steps: Sequence[Step]) -> list[Outcome]:
        outcomes = await self._storage.transact([self._telling(step) for step in steps])
        self.trace.append("persisted")
        return outcomes

    def _telling(self, step: Step) -> Step:
        def decide(current: Entry[Any] | None, past: Past | None) -> Proposal | None:
            self.trace.append("read")
            return step.decide(current, past)

        return Step(step.key, decide, step.context, step.new_key, step.size)


class Log:
    def __init__(self, trace: list[str]) -> None:
        self.trace = trace

    def log_start(self, operation: str, keys: Sequence[str] = ()) -> str:
        self.trace.append(f"log start {operation}")
        return "1"

    def log_end(self, transaction_id: str, error: BaseException | None = None) -> None:
        self.trace.append(f"log end {transaction_id}")


@pytest.mark.row("K-079", "K-080")
async def test_each_step_of_a_write_follows_the_one_before(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        assert db._entries is not None
        trace: list[str] = []
        core = KeyValueStore(
            storage=Storage(db._entries.storage, trace),
            keys=PathKeyService(),
            hashing=Hashing(trace),
            metadata=MetadataRules(scene, trace),
            locks=Locks(trace),
        )
        store = Evented(Logged(core, Log(trace)), db._entries.events)
        deliver = EventService.deliver

        def emitting(service: EventService, subscriptions: Any, change: Change) -> None:
            trace.append(f"emit {change.key}")
            deliver(service, subscriptions, change)

        monkeypatch.setattr(EventService, "deliver", emitting)

        def called(change: Change) -> None:
            assert change.after is not None
            trace.append(f"subscriber {change.after.value}")

        store.subscribe("users/#", called)
        trace.clear()
        entry = await store.set("users/active:1", "ada")
        trace.append("resolved")
        assert entry.key == StoreKey("1", ("users", "active"))
        # The value is hashed before the lock, so that nobody waits for the arithmetic.
        assert trace == [
            "log start set", "hash", "lock users/active", "read", "metadata", "persisted",
            "unlock", "log end 1", "emit users/active:1", "subscriber ada", "resolved",
        ]  # fmt: skip
