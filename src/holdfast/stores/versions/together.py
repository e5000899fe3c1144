"""Versions of all stores together: one hash over the root hashes of all, as rootmulti has it.

Stores with trees are saved in one commit where that fits, and of one moment then. Otherwise each
is saved by itself: a row says that this is under way, and whoever finds it later, after a crash,
saves the rest and finishes. What was saved is never taken back: it would be lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from holdfast.contract.batch import Need
from holdfast.contract.engine import Engine
from holdfast.contract.errors import IntegrityFailed, StoreNotFound, VersionNotFound
from holdfast.contract.record import Range, Record
from holdfast.store import layout
from holdfast.store.plan import Plan
from holdfast.store.space import WritePlan, Writer, commit
from holdfast.store.views import Report
from holdfast.stores.content import WRITE_ATTEMPTS, Content, Moved, moving
from holdfast.stores.ics23.commitment import app_hash, prove_store
from holdfast.stores.ics23.wire import encode
from holdfast.stores.limits import checked_version
from holdfast.stores.versions import staging
from holdfast.stores.versions.base import moment_of
from holdfast.stores.versions.kinds import versions_of
from holdfast.stores.versions.staging import Fold, put_version, version_keys
from holdfast.stores.versions.tree_content import TreeContent
from holdfast.stores.versions.trees import TreeVersions

_SAVING: Final = layout.SYSTEM_STORES + b"saving"
_VERSION: Final = layout.SYSTEM_STORES + b"version "
_NUMBER_BYTES: Final = 8

T = TypeVar("T")


class Committed(msgspec.Struct, frozen=True, array_like=True):
    """One store in a version of all.

    Attributes:
        name: of the store.
        kind: of the store.
        version: its own version.
        root: of that.
    """

    name: str
    kind: str
    version: int
    root: bytes


class AllStores(msgspec.Struct, frozen=True, array_like=True):
    """A version of all stores.

    Attributes:
        number: of the version.
        at_ms: when it was saved.
        stores: what it is of, by name.
    """

    number: int
    at_ms: int
    stores: tuple[Committed, ...]

    @property
    def roots(self) -> dict[str, bytes]:
        """The root hashes by the names of the stores."""
        return {one.name: one.root for one in self.stores}

    @property
    def root(self) -> bytes:
        """The hash over all."""
        return app_hash(self.roots)


class StoreProof(msgspec.Struct, frozen=True):
    """What a version of all stores says of a key of one store.

    Attributes:
        root: the hash over all stores.
        name: of the store.
        kind: of the store, which says how `key_proof` is read.
        store_root: the root hash of the store.
        store_proof: ICS-23 bytes: the store has its root, below the hash over all.
        key_proof: the key has its value, or is absent, below the root of the store.
    """

    root: bytes
    name: str
    kind: str
    store_root: bytes
    store_proof: bytes
    key_proof: bytes


class _Saving(msgspec.Struct, frozen=True, array_like=True):
    """A version of all stores that is under way.

    Attributes:
        number: of the version.
        id: of who is at it.
        versions: what was the latest version of each store before.
    """

    number: int
    id: bytes
    versions: dict[str, int]


class Together:
    """The versions of all stores of a database.

    Args:
        contents: of the stores; at least one, none of them stale.
    """

    def __init__(self, contents: Sequence[Content]) -> None:
        self._contents = contents
        self._engine = contents[0].space.engine

    async def save(self) -> AllStores:
        """Save every store; see the module."""
        for _ in range(WRITE_ATTEMPTS):
            await self.heal()
            try:
                return await self._save()
            except Moved:
                continue
        raise moving()

    async def heal(self) -> AllStores | None:
        """Finish what somebody began and did not end; None when there is nothing of that kind."""
        [record] = await self._engine.read((_SAVING,))
        if record is None:
            return None
        try:
            return await self._finish(_read(record, _Saving), record.revision)
        except Moved:
            return None  # Somebody else has finished it.

    async def _save(self) -> AllStores:
        trees = [one for one in self._contents if isinstance(one, TreeContent)]
        if len(trees) == len(self._contents):
            async with moment_of(self._engine) as moment:
                folds = [await TreeVersions(one).folded(moment) for one in trees]
            if _fit(folds):
                return await self._save_at_once(trees, folds)
        saving = await self._begin()
        return await self._finish(*saving)

    async def _save_at_once(self, trees: list[TreeContent], folds: list[Fold]) -> AllStores:
        number = await self._next()
        made = AllStores(
            number,
            self._engine.components.clock.now_ms(),
            tuple(
                Committed(one.space.keyspace.name, "iavl", fold.step.version, fold.step.root_hash)
                for one, fold in zip(trees, folds, strict=True)
            ),
        )
        writers = [_writer(one, fold) for one, fold in zip(trees, folds, strict=True)]
        writers.append(Writer(trees[0].space, [_SAVING, _key(number)], _put_all(made, None)))
        await commit(writers)
        for one, fold in zip(trees, folds, strict=True):
            fold.tree.adopt(fold.step)
            await TreeVersions(one).settle()
        return made

    async def _begin(self) -> tuple[_Saving, int]:
        """Say that a version of all stores is under way."""
        versions = {}
        for one in self._contents:
            numbers = await versions_of(one).numbers()
            versions[one.space.keyspace.name] = numbers[-1] if numbers else 0
        saving = _Saving(await self._next(), self._engine.components.ids.new(), versions)

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            if records[0] is not None:
                raise Moved
            plan.put(_SAVING, msgspec.msgpack.encode(saving))
            return None

        receipt = await self._contents[0].space.commit((_SAVING,), write)
        return saving, receipt.revision

    async def _finish(self, saving: _Saving, seen: int) -> AllStores:
        """Save the stores that are not yet, and write the version of all."""
        found = []
        for one in self._contents:
            name = one.space.keyspace.name
            versions = versions_of(one)
            numbers = await versions.numbers()
            latest = numbers[-1] if numbers else 0
            if latest > saving.versions.get(name, -1) and name in saving.versions:
                saved = await versions.root(latest)
            else:
                saved = await versions.save()
            kind = "iavl" if isinstance(one, TreeContent) else "plain"
            found.append(Committed(name, kind, saved.number, saved.root))
        made = AllStores(saving.number, self._engine.components.clock.now_ms(), tuple(found))
        keys = [_SAVING, _key(saving.number)]
        await self._contents[0].space.commit(keys, _put_all(made, seen))
        return made

    async def _next(self) -> int:
        numbers = await numbers_of(self._engine)
        return numbers[-1] + 1 if numbers else 1


async def numbers_of(engine: Engine) -> list[int]:
    """The numbers of the versions of all stores, ascending."""
    found: list[int] = []
    rest: Range | None = Range.prefix(_VERSION)
    while rest is not None:
        page = await engine.scan(rest)
        found += [int.from_bytes(key[-_NUMBER_BYTES:], "big") for key, _ in page.rows]
        rest = page.resume
    return found


async def version_of(engine: Engine, number: int | None) -> AllStores:
    """A version of all stores; the latest for None. Raises VersionNotFound."""
    wanted = None if number is None else checked_version(number)
    if wanted is None:
        numbers = await numbers_of(engine)
        wanted = numbers[-1] if numbers else 0
    record = None
    if 0 < wanted < 1 << 8 * _NUMBER_BYTES:
        [record] = await engine.read((_key(wanted),))
    if record is None:
        raise VersionNotFound(
            f"no version {wanted} of all stores is saved; `list_versions` tells which are",
            version=wanted,
        )
    return _read(record, AllStores)


async def proof_of(content: Content, key: bytes, all_stores: AllStores) -> StoreProof:
    """What a version of all stores says of a key of one store."""
    name = content.space.keyspace.name
    committed = next((one for one in all_stores.stores if one.name == name), None)
    if committed is None:
        raise StoreNotFound(
            f"version {all_stores.number} of all stores has no store {name!r}", name=name
        )
    return StoreProof(
        all_stores.root,
        name,
        committed.kind,
        committed.root,
        encode(prove_store(all_stores.roots, name)),
        await versions_of(content).prove(key, committed.version),
    )


async def check_all(engine: Engine, report: Report) -> None:
    """Report rows of versions of all stores that cannot be read."""
    for number in await numbers_of(engine):
        try:
            found = await version_of(engine, number)
        except IntegrityFailed as error:
            report.wrong(str(error))
            continue
        if found.number != number:
            report.wrong(f"version {number} of all stores says that it is {found.number}")


def _writer(content: TreeContent, fold: Fold) -> Writer:
    def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
        put_version(plan, content, fold, records)
        return None

    return Writer(content.space, [*version_keys(content), *fold.unsaved], write)


def _put_all(made: AllStores, seen: int | None) -> WritePlan:
    """Puts the row of a version; `seen`: the revision of the row that says it is under way."""

    def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
        saving, there = records
        if there is not None or (None if saving is None else saving.revision) != seen:
            raise Moved
        if saving is not None:
            plan.delete(_SAVING)
        plan.put(_key(made.number), msgspec.msgpack.encode(made))
        return None

    return write


def _key(number: int) -> bytes:
    return _VERSION + number.to_bytes(_NUMBER_BYTES, "big")


def _read(record: Record, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(record.value, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityFailed(
            "a row of versions of all stores cannot be read; run `holdfast check`"
        ) from error


def _fit(folds: list[Fold]) -> bool:
    """Whether all of it may be one commit."""
    batches = [fold.step.batch for fold in folds]
    rows = sum(len(batch.puts) + len(batch.deletes) for batch in batches)
    rows += sum(len(fold.unsaved) for fold in folds)
    size = sum(len(key) + len(value) for batch in batches for key, value in batch.puts)
    return rows <= staging.ROWS_MAX and size <= staging.BYTES_MAX
