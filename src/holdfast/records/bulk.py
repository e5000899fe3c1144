"""Calls on many entries at once: counting, writing and deleting, in one commit or in many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TypedDict, TypeVar

from holdfast.codecs.digest import Digest
from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey, several
from holdfast.contract.errors import Conflict, InvalidInput, StoreError
from holdfast.records.options import (
    Conditions,
    Keep,
    TimeToLive,
    WriteOptions,
    conditions,
    write_options,
)
from holdfast.records.verbs import EntryVerbs, Version
from holdfast.records.walk import Walk
from holdfast.records.write import DELETE, SetValue, Write
from holdfast.store.versions.entry import Entry

T = TypeVar("T")

#: How many keys one commit may name.
KEYS_MAX = 10_000
#: How many keys one of several commits takes that a long call is split into.
KEYS_PER_COMMIT = 1_000
#: How often entries that others write meanwhile are looked at again before `delete_matching` fails.
TRIES = 10


class SetOptions(TypedDict, total=False):
    """What `set` can be told, as the third part of an item of `set_many`."""

    modified_by: str | int | None
    comment: str | None
    tags: Iterable[str] | None
    ttl: TimeToLive | Keep
    expires_at: datetime | None
    schema_hash: str | None
    if_revision: int | None
    if_version: Version | None
    if_hash: str | Digest | None
    if_absent: bool
    if_changed: bool


#: An item of `set_many`: a key, its value and what `set` could be told.
Item = tuple[StoreKey | str, T] | tuple[StoreKey | str, T, SetOptions]

_OPTIONS: Final = SetOptions.__annotations__.keys()


class EntryBulk(EntryVerbs[T]):
    """What is asked and done of many entries, spelled in verbs."""

    async def count(self, pattern: Pattern | str = "#", *, tag: str | None = None) -> int:
        """How many keys match, and carry the tag if one is given; no value is decoded."""
        walk: Walk[Any] = Walk.over(
            self.keys(pattern) if tag is None else self.find_by_tag(tag, pattern)
        )
        counted = 0
        async for page in walk.pages():
            counted += len(page)
        return counted

    async def set_many(
        self,
        values: Mapping[str, T] | Mapping[StoreKey, T] | Iterable[Item[T]],
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
        tags: Iterable[str] | None = None,
        ttl: TimeToLive | Keep = None,
        expires_at: datetime | None = None,
        schema_hash: str | None = None,
        if_absent: bool = False,
        if_changed: bool = False,
        atomic: bool = True,
        progress: Callable[[int], object] | None = None,
    ) -> dict[StoreKey, Entry[T]]:
        """Write several entries as one commit: all of them, or none.

        Args:
            values: a mapping of keys to values, or pairs of them. A third part of a pair is a
                mapping of options of `set` for this item alone: `("users:1", ada, {"ttl": 60})`.
            modified_by, comment, tags, ttl, expires_at, schema_hash, if_absent, if_changed: for
                each of them; see `set`.
            atomic: False: as many commits as it takes, in the order given.
            progress: called with how many were written, after each commit.

        Raises:
            InvalidInput: more than 10,000 at once, or a key twice, with `atomic`.
            StoreError: what a write met; without `atomic` its `details["written"]` says how many of
                the items were written before, and of its commit none was.
        """
        shared: SetOptions = {
            "modified_by": modified_by, "comment": comment, "tags": tags, "ttl": ttl,
            "expires_at": expires_at, "schema_hash": schema_hash, "if_absent": if_absent,
            "if_changed": if_changed,
        }  # fmt: skip
        made: dict[StoreKey, Entry[T]] = {}
        written = 0
        for writes in commits(set_writes(values, shared), atomic):
            try:
                outcomes = await self.write(writes)
            except StoreError as error:
                if not atomic:
                    error.within(written=written)
                raise
            written += len(writes)
            made |= {entry.key: entry for entry in [one.require() for one in outcomes]}
            if progress is not None:
                progress(written)
        return made

    async def delete_many(
        self,
        keys: Iterable[StoreKey | str],
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> int:
        """Remove several entries as one commit; how many there were."""
        options = write_options(modified_by, comment, None, None, None, None)
        outcomes = await self.write([Write(key, DELETE, options) for key in several(keys)])
        return sum(one.before is not None for one in outcomes)

    async def delete_matching(
        self,
        pattern: Pattern | str,
        *,
        tag: str | None = None,
        modified_by: str | int | None = None,
        comment: str | None = None,
        limit: int | None = None,
        keys_per_commit: int = KEYS_PER_COMMIT,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Remove the entries that match, in as many commits as it takes; how many there were.

        Each commit is small, so that others write in between. Ended half-way, by an error or a
        cancelled task, it has removed what it told `progress`; called again, it goes on. Their
        versions stay in the history.

        Args:
            pattern: which.
            tag: only those that carry it, also when they are removed.
            modified_by, comment: who and why.
            limit: at most so many.
            keys_per_commit: how many one commit removes at most, up to 10,000.
            progress: called with how many were removed so far, after each commit.

        Raises:
            Conflict: others wrote entries with the tag each time they were to be removed.
        """
        checked_keys_per_commit(keys_per_commit)
        options = write_options(modified_by, comment, None, None, None, None)
        deleted = 0
        found: Walk[Any] = Walk.over(
            self.keys(pattern, limit=limit)
            if tag is None
            else self.find_by_tag(tag, pattern, limit=limit)
        )
        async for page in found.pages():
            for start in range(0, len(page), keys_per_commit):
                part = page[start : start + keys_per_commit]
                if tag is None:
                    outcomes = await self.write([Write(key, DELETE, options) for key in part])
                    deleted += sum(one.before is not None for one in outcomes)
                else:
                    deleted += await self._delete_tagged(part, tag, options)
                if progress is not None:
                    progress(deleted)
        return deleted

    async def _delete_tagged(
        self, entries: Iterable[Entry[Any]], tag: str, options: WriteOptions
    ) -> int:
        """Remove entries unless they have lost the tag meanwhile; how many."""
        for attempt in range(TRIES):
            writes = [
                Write(one.key, DELETE, options, Conditions(if_revision=one.known_revision))
                for one in entries
                if tag in one.metadata.tags_kept
            ]
            try:
                return len(await self.write(writes))
            except Conflict:
                if attempt + 1 == TRIES:
                    raise
                entries = (await self.get_many([write.key for write in writes])).values()
        raise AssertionError("the last attempt returns or raises")


def checked_keys_per_commit(count: int) -> None:
    """Raise InvalidInput unless one commit can name so many keys."""
    if not isinstance(count, int) or not 1 <= count <= KEYS_MAX:
        raise InvalidInput(f"keys_per_commit is a number from 1 to {KEYS_MAX}; found {count!r}")


def set_writes(values: Any, shared: SetOptions) -> Iterator[Write]:
    """The writes of a mapping, or of pairs, with the options of all and those of each."""
    options, required, if_changed = _told(shared)
    shared = {**shared, "tags": options.tags}  # Read once: they may come from an iterator.
    items = (
        values.items() if isinstance(values, Mapping) else several(values, "pairs", "key, value")
    )
    for item in items:
        match item:
            case (key, value):
                yield Write(key, SetValue(value), options, required, if_changed)
            case (key, value, dict() as own):
                yield Write(key, SetValue(value), *_told(_merged(shared, own, key)))
            case _:
                raise InvalidInput(
                    "an item of set_many is a key and a value, or a key, a value and a dict of "
                    f"options; found a {type(item).__name__}"
                )


def commits(writes: Iterable[Write], atomic: bool) -> Iterator[list[Write]]:
    """The writes of each commit: of one, or of as many as it takes, each key once in each."""
    batch: list[Write] = []
    seen: set[str] = set()
    for write in writes:
        if atomic and len(batch) == KEYS_MAX:
            raise InvalidInput(
                f"one commit names at most {KEYS_MAX} keys; found more. Pass atomic=False to have "
                "it split into several commits"
            )
        key = str(write.key)
        if not atomic and (len(batch) == KEYS_PER_COMMIT or key in seen):
            yield batch
            batch, seen = [], set()
        seen.add(key)
        batch.append(write)
    if batch:
        yield batch


def _merged(shared: SetOptions, own: dict[str, Any], key: object) -> SetOptions:
    for name in own:
        if name not in _OPTIONS:
            from difflib import get_close_matches

            close = "".join(f"; did you mean {one!r}?" for one in get_close_matches(name, _OPTIONS))
            raise InvalidInput(
                f"an item of set_many takes the options {', '.join(_OPTIONS)}; found {name!r} at "
                f"{str(key)!r}{close}"
            )
    merged: Any = {**shared, **own}
    # The expiry of the item takes the place of the one for all, in whatever form.
    if "ttl" in own and "expires_at" not in own:
        merged["expires_at"] = None
    if "expires_at" in own and "ttl" not in own:
        merged["ttl"] = None
    found: SetOptions = merged
    return found


def _told(given: SetOptions) -> tuple[WriteOptions, Conditions, bool]:
    options = write_options(
        given.get("modified_by"),
        given.get("comment"),
        given.get("tags"),
        given.get("ttl"),
        given.get("expires_at"),
        given.get("schema_hash"),
    )
    required = conditions(
        given.get("if_revision"),
        given.get("if_version"),
        given.get("if_hash"),
        given.get("if_absent", False),
    )
    return options, required, given.get("if_changed", False)
