"""What can be done to a collection: documents written, changed and walked through by key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, Literal, TypeVar, cast

from holdfast.codecs.digest import Digest
from holdfast.codecs.text import several
from holdfast.contract.errors import InvalidInput, InvalidKey
from holdfast.documents.batching import checked_operations, run_batch
from holdfast.documents.changing import checked_change, checked_patch, modifying, patching
from holdfast.documents.collections import Collections
from holdfast.documents.keyed import Keyed
from holdfast.documents.query.query import Query
from holdfast.documents.results import BatchResult, QueryResult
from holdfast.documents.steps import KEEP, REMOVE, Put, Step, _Act, conditional
from holdfast.documents.walking import Results
from holdfast.records.options import KEEP as KEEP_EXPIRY
from holdfast.records.options import NO_CONDITIONS, WriteOptions, conditions, write_options
from holdfast.store.durations import ttl_milliseconds
from holdfast.store.versions.entry import Entry

T = TypeVar("T")

#: How many documents one commit of `clear` removes.
CLEAR_ROWS: Final = 1000


class Writing(Keyed[T]):
    """The part of a collection that reads and writes documents, inside transactions too."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name!r} of {self._typed!r}>"

    # --- One document -----------------------------------------------------------------------

    async def get(self, key: str, default: Any = None) -> T | None:
        """The document under a key, or `default`.

        Raises:
            InvalidKey: the key cannot be one.
            SchemaValidationFailed: what is stored there does not fit the type.
        """
        entry = await self._entry(key)
        if entry is None:
            return cast("T | None", default)
        return self._value(entry)

    async def require(self, key: str) -> T:
        """The document under a key. Raises KeyNotFound when there is none."""
        entry = await self._entry(key)
        if entry is None:
            raise self._absent(key)
        return self._value(entry)

    async def find(self, key: str) -> QueryResult[T] | None:
        """The document under a key with its metadata, or None."""
        entry = await self._entry(key)
        if entry is None:
            return None
        return QueryResult(key, self._value(entry), entry.metadata)

    async def has(self, key: str) -> bool:
        """Whether there is a document under the key, None among them."""
        return await self._entry(key) is not None

    async def set(
        self,
        key: str,
        value: T,
        *,
        ttl: float | timedelta | None = None,
        modified_by: str | int | None = None,
        comment: str | None = None,
        if_revision: int | None = None,
        if_version: tuple[int, int] | int | None = None,
        if_hash: str | Digest | None = None,
        if_absent: bool = False,
    ) -> None:
        """Put a document under a key.

        Args:
            key, value: which and what.
            ttl: seconds or timedelta until it expires; left out it does not.
            modified_by, comment: who and why.
            if_revision: write only if the document is of this revision (0: absent); see `find`.
            if_version: only if it is of this version, or (incarnation, version).
            if_hash: only if it has this digest.
            if_absent: only if there is none.

        Raises:
            Conflict: a condition does not hold; `current` is the entry that stands there.
            InvalidKey, InvalidValue, SchemaValidationFailed, SerializationFailed: nothing was
                written.
            DuplicateKey: a value of a unique index is taken; nothing was written.
        """
        options = write_options(modified_by, comment, None, ttl, None, None)
        required = conditions(if_revision, if_version, if_hash, if_absent)
        storage = await self._require()
        steps = await self._puts(storage, [(key, value, options)])
        if not isinstance(key, str):
            raise InvalidKey(f"the key of a document is a text; found a {type(key).__name__}")
        step = steps[0]
        step.decide = conditional(step.decide, key, required)
        step.reads = required is not NO_CONDITIONS  # What stands there is told, with its value.
        await self._transact(storage, steps, {key: value})

    async def add(
        self,
        value: T,
        *,
        ttl: float | timedelta | None = None,
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> str:
        """Put a document under a new key; the key. Keys sort by when they were made."""
        key = self._collections.components.ids.new().hex()
        await self.set(key, value, ttl=ttl, modified_by=modified_by, comment=comment)
        return key

    async def delete(
        self,
        key: str,
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
        if_revision: int | None = None,
        if_version: tuple[int, int] | int | None = None,
        if_hash: str | Digest | None = None,
    ) -> bool:
        """Remove the document under a key; whether there was one. Conditions: see `set`."""
        options = write_options(modified_by, comment, None, None, None, None)
        required = conditions(if_revision, if_version, if_hash, if_absent=False)
        storage = await self._find()
        if storage is None:
            self._check_key(key)
            required.check(key, None)
            return False
        decide = conditional(lambda _: REMOVE, key, required)
        step = Step(key, decide, options, reads=required is not NO_CONDITIONS)
        await self._transact(storage, [step], {})
        return step.before is not None

    async def modify(
        self,
        key: str,
        change: Callable[[T | None], T | Literal[_Act.REMOVE]],
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> T | None:
        """Change a document by a function, as one step that nobody comes between.

        Args:
            key: which.
            change: from the document (None: there is none) to the new one; `REMOVE` removes it. It
                may be called more than once, and what it raises leaves everything as it was.
            modified_by, comment: who and why.

        Returns:
            The new document; None if it was removed.

        Raises:
            InvalidInput: `change` is a coroutine function, or returned None where a document stood.
        """
        checked_change(change)
        options = write_options(modified_by, comment, None, KEEP_EXPIRY, None, None)
        storage = await self._require()
        made: list[T | None] = [None]
        decide = modifying(self._serial(storage), self._typed, change, options, made)
        await self._decide(storage, Step(key, decide, options, reads=True))
        return made[0]

    async def patch(
        self,
        key: str,
        changes: Mapping[str, Any],
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
        if_revision: int | None = None,
        if_version: tuple[int, int] | int | None = None,
        if_hash: str | Digest | None = None,
    ) -> T:
        """Change parts of a document; the new one.

        Args:
            key: which.
            changes: a merge patch (RFC 7386): values take the place of values, objects are merged,
                None removes. In a collection of a type they may be what its fields hold, and the
                document has to fit the type as a whole.
            modified_by, comment: who and why.
            if_revision, if_version, if_hash: see `set`.

        Raises:
            InvalidInput: the type has no field of a name; nothing was written.
            KeyNotFound: there is no document under the key.
            Conflict: a condition does not hold; `current` is the entry that stands there.
            SchemaValidationFailed: what would come of it does not fit; nothing was written.
        """
        plain = checked_patch(self._typed, changes)
        options = write_options(modified_by, comment, None, KEEP_EXPIRY, None, None)
        required = conditions(if_revision, if_version, if_hash, if_absent=False)
        storage = await self._require()
        made: list[T] = []
        change = patching(self._serial(storage), self._typed, plain, options, made)

        def decide(entry: Entry[Any] | None) -> Put:
            if entry is None:
                raise self._absent(key)
            return change(entry)

        step = Step(key, conditional(decide, key, required), options, reads=True)
        await self._decide(storage, step)
        return made[0]

    async def touch(self, key: str, ttl: float | timedelta | None) -> bool:
        """Have a document expire at another instant; whether there is one. None: never."""
        storage = await self._find()
        if storage is None:
            self._check_key(key)
            return False
        options = WriteOptions(ttl_ms=0 if ttl is None else ttl_milliseconds(ttl))

        def decide(entry: Entry[Any] | None) -> Put | Literal[_Act.KEEP]:
            if entry is None:
                return KEEP
            return Put(self._serial(storage).serialize_now(entry.fresh().value), options)

        step = Step(key, decide, options, reads=True)
        await self._transact(storage, [step])
        return step.written

    # --- Many documents ---------------------------------------------------------------------

    async def get_many(self, keys: Iterable[str]) -> dict[str, T]:
        """The documents under the keys, those that there are."""
        wanted = list(dict.fromkeys(several(keys)))
        hooks = self._hooks
        if hooks.reads:
            for key in wanted:
                await hooks.before("before:get", key)
        found = await self._entries_of(wanted)
        if hooks.reads:
            for key in wanted:
                entry = found.get(key)
                await hooks.after("after:get", key, None if entry is None else self._own(entry))
        return {key: self._value(entry) for key, entry in found.items()}

    async def set_many(
        self,
        documents: Mapping[str, T],
        *,
        ttl: float | timedelta | None = None,
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> None:
        """Put documents under keys as one commit: all of them, or none."""
        options = write_options(modified_by, comment, None, ttl, None, None)
        if not isinstance(documents, Mapping):
            raise InvalidInput(
                f"set_many takes a mapping of keys to documents; found a {type(documents).__name__}"
            )
        if not documents:
            return
        storage = await self._require()
        several = ((key, value, options) for key, value in documents.items())
        await self._transact(storage, await self._puts(storage, several), documents)

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Remove the documents under the keys as one commit; how many there were."""
        wanted = list(dict.fromkeys(several(keys)))
        storage = await self._find()
        if storage is None or not wanted:
            for key in wanted:
                self._check_key(key)
            return 0
        steps = [Step(key, lambda _: REMOVE) for key in wanted]
        await self._transact(storage, steps, {})
        return sum(step.before is not None for step in steps)

    async def batch(self, operations: Iterable[Any]) -> BatchResult:
        """Do several things in their order as one commit: all of them, or nothing.

        Args:
            operations: `("set", key, value)`, `("delete", key)` and `("clear",)`; or with their
                parts named, `{"type": "set", "key": key, "value": value}`.

        Returns:
            Whether it was done; if not, which operation met what. An error of the commit itself
            carries the position of the last operation.

        Raises:
            InvalidInput: an operation is none of these; nothing was written.
            Unsupported: inside a transaction.
        """
        several = checked_operations(operations)
        if any(one[0] == "set" for one in several):
            await self._require()

        async def apply(view: Collections, operation: tuple[Any, ...]) -> None:
            inside = Writing[T](self._name, self._typed, view, self._history)
            inside._values = self._values
            match operation:
                case ("set", key, value):
                    await inside.set(key, value)
                case ("delete", key):
                    await inside.delete(key)
                case _:
                    await inside.clear()

        return await run_batch(self._collections, several, apply)

    async def clear(self) -> int:
        """Remove every document; how many there were. Each is a change of its own.

        Outside of a transaction it goes in steps of some documents each.
        """
        storage = await self._find()
        if storage is None:
            return 0
        removed = 0
        keys: list[str] = []
        async for key in self.keys():
            keys.append(key)
            if len(keys) == CLEAR_ROWS:
                removed += await self.delete_many(keys)
                keys = []
        return removed + (await self.delete_many(keys) if keys else 0)

    async def drop(self) -> None:
        """Remove the collection: documents, indexes and past. Raises StoreNotFound."""
        await self._collections.drop(self._name)

    # --- Walking ----------------------------------------------------------------------------

    async def size(self) -> int:
        """How many documents there are, in time that grows with their number."""
        return await self.count()

    def keys(self) -> AsyncIterator[str]:
        """Every key, in order, as of the moment of the first step."""
        return Results(self._begin(Query(), None), lambda found: found[0])

    def values(self) -> AsyncIterator[T]:
        """Every document, in the order of keys, as of the moment of the first step."""
        return Results(self._begin(Query(), None), lambda found: self._value(found[2]))

    def entries(self) -> AsyncIterator[tuple[str, T]]:
        """Every key with its document, in order, as of the moment of the first step."""
        return Results(self._begin(Query(), None), lambda found: (found[0], self._value(found[2])))
