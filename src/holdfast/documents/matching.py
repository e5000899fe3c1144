"""Changing the documents that meet a condition, wherever they are."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final, Literal, TypeVar, cast

from holdfast.contract.errors import InvalidInput, QuotaExceeded, StoreError
from holdfast.documents.changing import (
    Modifier,
    checked_change,
    checked_patch,
    modifying,
    patching,
)
from holdfast.documents.query.compile import compile_where
from holdfast.documents.query.query import Query
from holdfast.documents.spelling import as_query
from holdfast.documents.steps import KEEP, REMOVE, Decision, Step, _Act
from holdfast.documents.storage import DocumentStorage
from holdfast.documents.walking import Results
from holdfast.documents.writing import Writing
from holdfast.records.bulk import KEYS_PER_COMMIT, checked_keys_per_commit
from holdfast.records.options import KEEP as KEEP_EXPIRY
from holdfast.records.options import WriteOptions, write_options
from holdfast.store.transaction import TransactionEngine

T = TypeVar("T")

#: The documents of one commit take so many bytes or little more, as they are stored.
COMMIT_BYTES: Final = 4 * 1024 * 1024
#: How many keys are held where what is written shows in the walk that finds them.
KEYS_HELD_MAX: Final = 1_000_000


class Matching(Writing[T]):
    """The part of a collection that changes what a query finds."""

    async def delete_matching(
        self,
        *conditions: Any,
        order_by: Any = (),
        limit: int | None = None,
        hint: str | None = None,
        modified_by: str | int | None = None,
        comment: str | None = None,
        keys_per_commit: int = KEYS_PER_COMMIT,
        progress: Callable[[int], object] | None = None,
        **equal: Any,
    ) -> int:
        """Remove the documents that match, in as many commits as it takes; how many there were.

        Each commit is small, so that others write in between; what does not match any more by then
        stays. Ended half-way, by an error or a cancelled task, it has removed what it told
        `progress`; called again, it goes on. Inside a transaction it is a part of that.

        Args:
            conditions, equal: which; see `query`. At least one: `clear` removes everything.
            order_by, limit: at most so many, the first of this order.
            hint: the index to use; empty: none.
            modified_by, comment: who and why.
            keys_per_commit: how many one commit removes at most, up to 10,000.
            progress: called with how many were removed so far, after each commit.

        Raises:
            InvalidInput: there is no condition; nothing was removed.
            InvalidQuery, PatternInvalid, IndexNotFound: likewise.
            StoreError: what a commit met; its `details["changed"]` says how many were removed.
        """
        if not (conditions or equal):
            raise InvalidInput(
                "delete_matching removes what meets a condition; found none. Give one, or call "
                "clear() to remove every document"
            )
        wanted = as_query(conditions, order_by, limit, 0, None, None, equal)
        options = write_options(modified_by, comment, None, None, None, None)
        return await self._change_matching(
            wanted, hint, options, lambda _: lambda _: REMOVE, keys_per_commit, progress
        )

    async def patch_matching(
        self,
        changes: Mapping[str, Any],
        *conditions: Any,
        order_by: Any = (),
        limit: int | None = None,
        hint: str | None = None,
        modified_by: str | int | None = None,
        comment: str | None = None,
        keys_per_commit: int = KEYS_PER_COMMIT,
        progress: Callable[[int], object] | None = None,
        **equal: Any,
    ) -> int:
        """Change parts of the documents that match; how many there were.

        Args:
            changes: a merge patch; see `patch`.
            conditions, equal: which; see `query`. None: all.
            order_by, limit, hint, modified_by, comment, keys_per_commit, progress: see
                `delete_matching`, of which the rest holds likewise.

        Raises:
            SchemaValidationFailed: what would come of one does not fit; its commit wrote nothing.
            DuplicateKey: a value of a unique index is taken; likewise.
        """
        plain = checked_patch(self._typed, changes)
        wanted = as_query(conditions, order_by, limit, 0, None, None, equal)
        options = write_options(modified_by, comment, None, KEEP_EXPIRY, None, None)

        def deciding(storage: DocumentStorage) -> Decision:
            change = patching(self._serial(storage), self._typed, plain, options, [])
            return lambda entry: KEEP if entry is None else change(entry)

        return await self._change_matching(
            wanted, hint, options, deciding, keys_per_commit, progress
        )

    async def modify_matching(
        self,
        change: Callable[[T], T | Literal[_Act.REMOVE]],
        *conditions: Any,
        order_by: Any = (),
        limit: int | None = None,
        hint: str | None = None,
        modified_by: str | int | None = None,
        comment: str | None = None,
        keys_per_commit: int = KEYS_PER_COMMIT,
        progress: Callable[[int], object] | None = None,
        **equal: Any,
    ) -> int:
        """Change each document that matches by a function; how many there were.

        Ended half-way and called again, it changes anew what it has changed and still matches.

        Args:
            change: from the document to the new one; `REMOVE` removes it. See `modify`.
            conditions, equal: which; see `query`. None: all.
            order_by, limit, hint, modified_by, comment, keys_per_commit, progress: see
                `delete_matching`, of which the rest holds likewise.
        """
        called = checked_change(cast("Modifier[T]", change))
        wanted = as_query(conditions, order_by, limit, 0, None, None, equal)
        options = write_options(modified_by, comment, None, KEEP_EXPIRY, None, None)

        def deciding(storage: DocumentStorage) -> Decision:
            return modifying(self._serial(storage), self._typed, called, options, [])

        return await self._change_matching(
            wanted, hint, options, deciding, keys_per_commit, progress
        )

    # --- Inside -----------------------------------------------------------------------------

    async def _change_matching(
        self,
        wanted: Query,
        hint: str | None,
        options: WriteOptions,
        deciding: Callable[[DocumentStorage], Decision],
        keys_per_commit: int,
        progress: Callable[[int], object] | None,
    ) -> int:
        """Have each document decided that the query finds, and that still matches then."""
        checked_keys_per_commit(keys_per_commit)
        storage = await self._find()
        if storage is None:
            return 0
        plan = await self._plan(storage, wanted, hint)
        matches, change = compile_where(wanted.where, text=plan.text), deciding(storage)

        def decide(entry: Any) -> Any:
            if entry is None or not matches(entry.value):
                return KEEP
            return change(entry)

        changed = 0
        if self._hooks.writes:
            keys_per_commit = 1  # They are told of each before it is known what comes of it.
        parts = self._parts(storage, wanted, hint, keys_per_commit)
        try:
            async with aclosing(parts):
                async for keys in parts:
                    steps = [Step(key, decide, options, reads=True) for key in keys]
                    changed += await self._change_part(storage, steps)
                    if progress is not None:
                        progress(changed)
        except StoreError as error:
            error.within(changed=changed)
            raise
        return changed

    async def _change_part(self, storage: DocumentStorage, steps: list[Step]) -> int:
        """Commit the steps; how many wrote."""
        if len(steps) == 1:
            return int(await self._decide(storage, steps[0]))
        await self._transact(storage, steps)
        return sum(step.written for step in steps)

    async def _parts(
        self, storage: DocumentStorage, wanted: Query, hint: str | None, keys_max: int
    ) -> AsyncGenerator[list[str], None]:
        """The keys that the query finds, as many at a time as one commit takes."""
        engine = storage.engine
        # Else a document could be found again at the place in an index that it was moved to.
        apart = not isinstance(engine, TransactionEngine) and engine.capabilities.snapshots
        held: list[list[str]] = []
        part: list[str] = []
        size = 0
        found = Results(self._begin(wanted, hint), lambda one: (one[0], len(one[2].stored)))
        async with aclosing(found):
            async for key, bytes_stored in found:
                part.append(key)
                size += bytes_stored
                if len(part) < keys_max and size < COMMIT_BYTES:
                    continue
                if apart:
                    yield part
                elif sum(map(len, held)) < KEYS_HELD_MAX:
                    held.append(part)
                else:
                    raise QuotaExceeded(
                        f"at most {KEYS_HELD_MAX:,} documents are changed at once here; found "
                        "more, and nothing was changed. Give a limit, and call again",
                        limit=KEYS_HELD_MAX,
                    )
                part, size = [], 0
        for rest in (*held, part):
            if rest:
                yield rest
