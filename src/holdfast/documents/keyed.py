"""Below the calls of a collection: documents read and written by key, with hooks around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from holdfast.contract.errors import Conflict, KeyNotFound, StoreError, StoreNotFound
from holdfast.documents.caching import EntryCache
from holdfast.documents.indexed import Indexed
from holdfast.documents.keys import require_key
from holdfast.documents.steps import KEEP, Decision, Put, Step
from holdfast.documents.storage import DocumentStorage
from holdfast.records.options import WriteOptions
from holdfast.store.versions.chunks import Values
from holdfast.store.versions.entry import Entry

T = TypeVar("T")

#: How often a decision is made anew because the document became another while hooks ran.
DECISIONS_MAX: Final = 64


class Keyed(Indexed[T]):
    """The part of a collection that reads and writes by key."""

    async def _entry(self, key: str) -> Entry[Any] | None:
        hooks = self._hooks
        try:
            if hooks.reads:
                await hooks.before("before:get", key)
            storage = await self._find()
            if storage is None:
                self._check_key(key)
                entry = None
            elif self._cache is None:
                entry = await storage.get(key)
            else:
                entry = await self._cached(self._cache, storage, key)
        except StoreError as error:
            if hooks.errors:
                await hooks.failed(error)
            raise
        if hooks.reads:
            await hooks.after("after:get", key, None if entry is None else self._own(entry))
        return entry

    @staticmethod
    async def _cached(cache: EntryCache, storage: DocumentStorage, key: str) -> Entry[Any] | None:
        """The entry, from memory if nobody has written since it was read."""
        storage.space.check()
        head = await storage.engine.head()
        kept = cache.get(key, head)
        if kept is not None:
            [entry] = kept
            if entry is None or not storage.expired(entry.stored):
                return None if entry is None else entry.fresh()
        entry = await storage.get(key)
        # What was read may be newer than the head: then it is only thought to be older.
        cache.put(key, head, entry)
        return entry

    def _serial(self, storage: DocumentStorage) -> Values:
        return storage.values if self._values is None else self._values

    async def _entries_of(self, keys: list[str]) -> dict[str, Entry[Any]]:
        storage = await self._find()
        if storage is None:
            for key in keys:
                self._check_key(key)
            return {}
        storage.space.check()
        data_keys = [storage.data_key(key) for key in keys]
        found: dict[str, Entry[Any]] = {}
        records = await storage.engine.read(data_keys)
        for key, data_key, record in zip(keys, data_keys, records, strict=True):
            if record is not None:
                entry = await storage.living(data_key, *record)
                if entry is not None:
                    found[key] = entry
        return found

    async def _puts(
        self, storage: DocumentStorage, documents: Iterable[tuple[str, T, WriteOptions]]
    ) -> list[Step]:
        """What puts each value under its key, serialised."""
        serial, to_plain = self._serial(storage), self._typed.to_plain
        steps = []
        try:
            for key, value, options in documents:
                plain = to_plain(value)
                # Most values are small, and need no coroutine of their own.
                serialized = serial.serialize_small(plain) or await serial.serialize(plain)
                steps.append(Step(key, Put(serialized, options), options))
        except StoreError as error:
            if self._hooks.errors:
                await self._hooks.failed(error)
            raise
        return steps

    async def _transact(
        self,
        storage: DocumentStorage,
        steps: list[Step],
        values: Mapping[str, T] | None = None,
    ) -> None:
        """Commit the steps, hooks before and after.

        Args:
            storage: of the collection.
            steps: what to do.
            values: what is set, by key; the other keys are deleted. None: no hooks are called.
        """
        hooks = self._hooks
        hooked = hooks.writes and values is not None
        try:
            if hooked:
                for step in steps:
                    await self._before(step.key, values or {})
            revision = await storage.transact(steps)
        except StoreError as error:
            if isinstance(error, StoreNotFound):
                await self._collections.lost(self._name)
            if hooks.errors:
                await hooks.failed(error)
            raise
        if hooked:
            for step in steps:
                await self._after(step, values or {})
        observers = self._collections.observing(self._name)
        if observers is not None:
            await observers.committed(revision)

    async def _decide(self, storage: DocumentStorage, step: Step) -> bool:
        """Commit a step that decides from what stands there; whether it wrote.

        Hooks may have to be awaited, which nothing can inside a commit: so with hooks the decision
        is made before, and is committed only if the document is still the same.

        Raises:
            Conflict: it never was.
        """
        if not self._hooks.writes:
            await self._transact(storage, [step])
            return step.written
        for _ in range(DECISIONS_MAX):
            entry = await storage.get(step.key)
            decided = step.decide(entry)
            if decided is KEEP:
                return False
            values: dict[str, T] = {}
            if isinstance(decided, Put):
                values[step.key] = self._typed.from_plain(decided.document)
            fixed = Step(step.key, _unless_other(entry, decided), step.options, reads=True)
            try:
                await self._transact(storage, [fixed], values)
            except _BecameAnother:
                continue
            return fixed.written
        raise Conflict(
            f"a document became another one {DECISIONS_MAX} times while hooks ran; make the hooks "
            "shorter, or try again"
        )

    async def _before(self, key: str, values: Mapping[str, T]) -> None:
        self._check_key(key)
        if key in values:
            await self._hooks.before("before:set", key, values[key])
        else:
            await self._hooks.before("before:delete", key)

    async def _after(self, step: Step, values: Mapping[str, T]) -> None:
        if step.key in values:
            await self._hooks.after("after:set", step.key, values[step.key])
        else:
            await self._hooks.after("after:delete", step.key, step.before is not None)

    def _own(self, entry: Entry[Any]) -> T:
        """The document as an object that nobody else has."""
        return self._value(entry.fresh())

    def _check_key(self, key: str) -> None:
        """Refuse what is no key where there is nothing to look it up in."""
        require_key(key)

    def _absent(self, key: str) -> KeyNotFound:
        return KeyNotFound(
            f"the collection {self._name!r} has no document {key!r}; `get` returns None instead",
            key=key,
        )


class _BecameAnother(Exception):
    """The document is not the one that was decided about."""


def _unless_other(entry: Entry[Any] | None, decided: Any) -> Decision:
    """A decision that is made already."""

    def decide(now: Entry[Any] | None) -> Any:
        if _state(now) != _state(entry):
            raise _BecameAnother
        return decided

    return decide


def _state(entry: Entry[Any] | None) -> tuple[bytes, int | None] | None:
    return None if entry is None else (entry.stored, entry.known_revision)
