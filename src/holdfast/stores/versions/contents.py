"""`ContentVersions`: content roots of a plain store.

    K n P key          the key changed since the last version
    K n V c …          the rows of the content tree
    K n V n number     a version: of which fold of the tree, its root, and when

The root depends on keys and values and on nothing else: no history, no compression, no engine.
Versions keep roots and digests, so they cost what changed, and prove what stood there; the values
are those of now.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from hashlib import sha256
from itertools import islice, pairwise
from typing import Final, TypeVar

import msgspec

from holdfast.contract.batch import Need
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict, IntegrityFailed, InvalidInput, VersionNotFound
from holdfast.contract.record import Range, Record, after_prefix
from holdfast.runtime.drive import drive
from holdfast.store import layout
from holdfast.store.plain.rows import plain_expires_at_ms
from holdfast.store.plan import Plan
from holdfast.store.space import Space
from holdfast.store.views import Report
from holdfast.stores.cells import Cells, Reference
from holdfast.stores.config import Remembered
from holdfast.stores.iavl.cache import CACHE_NODES, NodeCache
from holdfast.stores.iavl.rows import RowBatch
from holdfast.stores.merkle.content import LATEST, ContentTree
from holdfast.stores.merkle.nodes import Node
from holdfast.stores.merkle.proofs import encode_proof
from holdfast.stores.plain import PlainContent
from holdfast.stores.versions.base import (
    KeyChange,
    Moment,
    SavedVersion,
    Versions,
    moment_of,
    not_found,
)
from holdfast.stores.versions.rows import PrefixRows

T = TypeVar("T")

#: How many changed keys one commit folds at most.
PART_KEYS: Final = 10_000
#: How often a version is folded anew while others save.
ATTEMPTS: Final = 64
#: How many changes of a diff are looked for at a time.
DIFF_PART: Final = 500
#: How many expired values one commit ends before a version is saved.
EXPIRE_ROWS: Final = 256

_TREE: Final = b"c"
_VERSION: Final = b"n"
_NUMBER_BYTES: Final = 8


class _Moved(Exception):
    """Another version was saved meanwhile."""


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    """A version, as it is stored.

    Attributes:
        fold: the number of the fold of the tree.
        root: the content root.
        at_ms: when it was saved.
    """

    fold: int
    root: bytes
    at_ms: int


class ContentVersions(Versions):
    """The saved versions of a plain store.

    Args:
        content: the store.
        remembered: how it keeps its values.
    """

    def __init__(self, content: PlainContent, remembered: Remembered) -> None:
        self._content = content
        self._space: Space = content.space
        self._engine = content.space.engine
        self._remembered = remembered
        number = self._space.keyspace.number
        self._cells = Cells(number, remembered)
        self._data = layout.region(number, layout.DATA)
        self._pending = layout.region(number, layout.PENDING)
        saved = layout.region(number, layout.SAVED)
        self._tree_prefix = saved + _TREE
        self._version_prefix = saved + _VERSION
        self._cache: NodeCache[Node] = NodeCache(CACHE_NODES)

    # --- Saving -----------------------------------------------------------------------------

    async def save(self) -> SavedVersion:
        await self._end_expired()
        for _ in range(ATTEMPTS):
            try:
                async with moment_of(self._engine) as moment:
                    saved = await self._save(moment)
            except _Moved:
                continue
            await self._trim()
            return saved
        raise Conflict("versions of the store were saved by others all the time; try again later")

    async def _save(self, moment: Moment) -> SavedVersion:
        """Fold what changed up to a moment, part by part; the last part makes the version."""
        versions = await self._versions(moment.engine)
        number = versions[-1] + 1 if versions else 1
        [latest] = await self._engine.read((self._tree_prefix + LATEST,))
        seen = 0 if latest is None else latest.revision
        tree = await self._apart(lambda: self._tree(self._engine))
        changed = self._changed(moment, everything=not versions)
        part = await self._apart(lambda: list(islice(changed, PART_KEYS)))
        while True:
            rest = await self._apart(lambda: list(islice(changed, PART_KEYS)))
            folded = await self._apart(lambda: tree.fold(dict(part)))  # noqa: B023 - runs now
            last = not rest
            row = _Saved(folded.version, folded.root_hash, moment.engine.components.clock.now_ms())
            seen = await self._commit(
                moment,
                folded.batch,
                [key for key, _ in part],
                seen,
                (number, row) if last else None,
            )
            tree.adopt(folded)
            if last:
                return SavedVersion(number, folded.root_hash)
            part = rest

    async def _commit(
        self,
        moment: Moment,
        batch: RowBatch,
        keys: Sequence[bytes],
        seen: int,
        version: tuple[int, _Saved] | None,
    ) -> int:
        pending = [self._pending + key for key in keys]

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            latest, *marks = records
            if (0 if latest is None else latest.revision) != seen:
                raise _Moved
            for key, mark in zip(pending, marks, strict=True):
                if mark is None:
                    continue
                if mark.revision <= moment.revision:
                    plan.delete(key)
                elif not moment.fixed:
                    raise _Moved  # Its newer value may have been folded.
            self._put(plan, batch)
            if version is not None:
                number, row = version
                plan.put(self._version_key(number), msgspec.msgpack.encode(row))
            return None

        receipt = await self._space.commit((self._tree_prefix + LATEST, *pending), write)
        return receipt.revision

    def _changed(self, moment: Moment, *, everything: bool) -> Iterator[tuple[bytes, bytes | None]]:
        """The keys to fold, with the digests of their values; None: the key is absent."""
        engine = moment.engine
        now_ms = engine.components.clock.now_ms()
        skip = layout.REGION_BYTES
        if everything:
            for rows in _pages(engine, self._data):
                for data_key, record in rows:
                    yield data_key[skip:], self._digest(record, now_ms)
        for rows in _pages(engine, self._pending):
            keys = [key[skip:] for key, _ in rows]
            records = drive(engine.read([self._data + key for key in keys]))
            for key, found in zip(keys, records, strict=True):
                yield key, None if found is None else self._digest(found, now_ms)

    def _digest(self, record: Record, now_ms: int) -> bytes | None:
        if 0 < plain_expires_at_ms(record.value) <= now_ms:
            return None
        found = self._cells.value(record.value)
        return found.digest if isinstance(found, Reference) else sha256(found).digest()

    async def _end_expired(self) -> None:
        """End the values that have run out: what a version says is there is there."""
        now_ms = self._engine.components.clock.now_ms()
        number = self._space.keyspace.number
        rest: Range | None = Range(layout.EXPIRY, layout.expiry_key(now_ms + 1, b""))
        while rest is not None:
            page = await self._engine.scan(rest)
            due = [layout.expiry_of(key)[1] for key, _ in page.rows]
            own = [key for key in due if layout.keyspace_of(key) == number]
            for at in range(0, len(own), EXPIRE_ROWS):
                await self._content.expire(own[at : at + EXPIRE_ROWS])
            rest = page.resume

    async def _trim(self) -> None:
        most = self._remembered.config.max_versions
        if not most:
            return
        versions = await self.numbers()
        if len(versions) > most:
            try:
                await self.prune(versions[-1] - most)
            except Conflict:
                return  # Somebody else is at it; the next version that is saved tries again.

    # --- Looking at versions ----------------------------------------------------------------

    async def numbers(self) -> list[int]:
        return await self._versions(self._engine)

    async def current(self) -> int:
        versions = await self.numbers()
        return versions[-1] if versions else 0

    async def root(self, version: int | None) -> SavedVersion:
        number, saved = await self._saved(self._engine, version)
        return SavedVersion(number, saved.root)

    async def content_root(self, version: int | None) -> bytes:
        return (await self.root(version)).root

    async def diff(self, before: int, after: int) -> AsyncIterator[KeyChange]:
        async with moment_of(self._engine) as moment:
            old = (await self._saved(moment.engine, before))[1]
            new = (await self._saved(moment.engine, after))[1]
            tree = await self._apart(lambda: self._tree(moment.engine))
            changes = tree.diff(old.fold, new.fold)
            while part := await self._apart(lambda: list(islice(changes, DIFF_PART))):
                for change in part:
                    yield KeyChange(*change)

    async def prove(self, key: bytes, version: int | None) -> bytes:
        number, saved = await self._saved(self._engine, version)
        try:
            return await self._apart(
                lambda: encode_proof(self._tree(self._engine).prove(key, version=saved.fold))
            )
        except IntegrityFailed:
            await self._saved(self._engine, number)  # Or it was dropped meanwhile, and says so.
            raise

    async def verify(self, version: int | None) -> int:
        async with moment_of(self._engine) as moment:
            wanted = await self._versions(moment.engine) if version is None else [version]
            saved = [(await self._saved(moment.engine, one))[1] for one in wanted]
            return await self._apart(lambda: self.verified(moment.engine, saved))

    def verified(self, engine: Engine, saved: Sequence[_Saved]) -> int:
        """See `verify`, on a moment: the first whole, of each other what is new in it."""
        tree = self._tree(engine, NodeCache(CACHE_NODES))
        nodes = 0
        for before, one in zip((None, *saved), saved, strict=False):
            if before is None:
                nodes += tree.check(one.fold)
            else:
                nodes += tree.check_new(one.fold, before.fold)
            if tree.root_of(one.fold) != one.root:
                raise IntegrityFailed(
                    "a saved version has another content root than was written. Save a new one"
                )
        return nodes

    async def check(self, moment: Engine, report: Report) -> None:
        name = self._space.keyspace.name
        versions = await self._versions(moment)
        saved = [(await self._saved(moment, one))[1] for one in versions]
        self.verified(moment, saved)
        if not saved:
            return
        tree = self._tree(moment)
        pending = {
            key[layout.REGION_BYTES :] for rows in _pages(moment, self._pending) for key, _ in rows
        }
        wrong = 0
        for rows in _pages(moment, self._data):
            for data_key, record in rows:
                key = data_key[layout.REGION_BYTES :]
                if key not in pending and tree.get(key) != self._digest(record, 0):
                    wrong += 1
        if wrong:
            report.wrong(f"store {name!r}: {wrong} values are not those of its last version")

    # --- Giving up --------------------------------------------------------------------------

    async def prune(self, to: int) -> int:
        versions = await self.numbers()
        if versions and to >= versions[-1]:
            raise InvalidInput(
                f"the latest version, {versions[-1]}, stays; wanted to prune to {to}",
                latest=versions[-1],
                to=to,
            )
        pruned = 0
        for number, following in pairwise(versions):
            if number > to:
                break
            await self._drop(number, following)
            pruned += 1
        return pruned

    async def _drop(self, number: int, following: int) -> None:
        key = self._version_key(number)
        [row] = await self._engine.read((key,))
        try:
            old = (await self._saved(self._engine, number))[1]
            new = (await self._saved(self._engine, following))[1]
            tree = await self._apart(lambda: self._tree(self._engine))
            batch = await self._apart(lambda: tree.without(old.fold, new.fold))
        except (IntegrityFailed, VersionNotFound):
            if number in await self.numbers():
                raise
            raise _dropped() from None

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            if records[0] is None or row is None or records[0].revision != row.revision:
                raise _dropped()
            plan.delete(key)
            self._put(plan, batch)
            return None

        await self._space.commit((key,), write)

    # --- Inside -----------------------------------------------------------------------------

    def _tree(self, engine: Engine, cache: NodeCache[Node] | None = None) -> ContentTree:
        return ContentTree(PrefixRows(engine, self._tree_prefix), cache=cache or self._cache)

    async def _apart(self, work: Callable[[], T]) -> T:
        return await self._engine.components.host.runtime().offload(work)

    def _version_key(self, number: int) -> bytes:
        return self._version_prefix + number.to_bytes(_NUMBER_BYTES, "big")

    async def _versions(self, engine: Engine) -> list[int]:
        found: list[int] = []
        rest: Range | None = Range(self._version_prefix, after_prefix(self._version_prefix))
        while rest is not None:
            page = await engine.scan(rest)
            found += [int.from_bytes(key[-_NUMBER_BYTES:], "big") for key, _ in page.rows]
            rest = page.resume
        return found

    async def _saved(self, engine: Engine, version: int | None) -> tuple[int, _Saved]:
        number = version
        if number is None:
            versions = await self._versions(engine)
            if not versions:
                raise not_found(0, versions)
            number = versions[-1]
        record = None
        if type(number) is int and 0 < number < 1 << 8 * _NUMBER_BYTES:
            [record] = await engine.read((self._version_key(number),))
        if record is None:
            raise not_found(number, await self._versions(engine))
        try:
            return number, msgspec.msgpack.decode(record.value, type=_Saved)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise IntegrityFailed(
                f"the row of version {number} cannot be read; run `holdfast check`"
            ) from error

    def _put(self, plan: Plan, batch: RowBatch) -> None:
        prefix = self._tree_prefix
        for key in batch.deletes:
            plan.rows[prefix + key] = None
        for key, value in batch.puts:
            plan.rows[prefix + key] = value


def _dropped() -> Conflict:
    return Conflict("versions were dropped by others meanwhile; prune again")


def _pages(engine: Engine, prefix: bytes) -> Iterator[list[tuple[bytes, Record]]]:
    rest: Range | None = Range.prefix(prefix)
    while rest is not None:
        page = drive(engine.scan(rest))
        yield page.rows
        rest = page.resume
