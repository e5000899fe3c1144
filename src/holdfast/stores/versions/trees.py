"""`TreeVersions`: saved versions of a store with a tree."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice
from typing import Final, TypeVar

from holdfast.contract.batch import Need
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict, IntegrityFailed, InvalidInput, VersionNotFound
from holdfast.contract.record import Range, Record, after_prefix
from holdfast.runtime.drive import drive
from holdfast.store.feed_row import Act
from holdfast.store.plan import Plan
from holdfast.store.views import Report
from holdfast.stores.content import WRITE_ATTEMPTS, Moved, moving
from holdfast.stores.iavl.index import without_index
from holdfast.stores.iavl.loading import NodeStore
from holdfast.stores.iavl.nodes import Link
from holdfast.stores.iavl.proving import prove
from holdfast.stores.iavl.rows import SAVED_VERSIONS
from holdfast.stores.iavl.saving import root_hash
from holdfast.stores.iavl.steps import Step
from holdfast.stores.iavl.tree import IavlTree
from holdfast.stores.iavl.versions import saved_root, saved_versions
from holdfast.stores.ics23.wire import encode
from holdfast.stores.merkle.content import ContentTree, value_digest
from holdfast.stores.versions import oplog
from holdfast.stores.versions.base import (
    KeyChange,
    Moment,
    SavedVersion,
    Versions,
    moment_of,
    not_found,
)
from holdfast.stores.versions.holds import held_versions
from holdfast.stores.versions.indexing import IndexBuilder, check_index
from holdfast.stores.versions.rows import EngineRows, tree_prefix
from holdfast.stores.versions.staging import Fold, commit_step, fits, put_batch
from holdfast.stores.versions.state import encode_state, state_of
from holdfast.stores.versions.tree_content import TreeContent

T = TypeVar("T")

#: How many changes of a diff are looked for at a time.
DIFF_PART: Final = 500


class TreeVersions(Versions):
    """The saved versions of a store with a tree.

    Args:
        content: the store.
    """

    def __init__(self, content: TreeContent) -> None:
        self._content = content
        self._engine = content.space.engine
        self._saved_key = tree_prefix(content.number) + SAVED_VERSIONS
        # Roots of versions by number, as long as the same ones are saved.
        self._roots: tuple[int, dict[int, Link | None]] = -1, {}

    # --- Saving -----------------------------------------------------------------------------

    async def save(self) -> SavedVersion:
        for _ in range(WRITE_ATTEMPTS):
            try:
                async with moment_of(self._engine) as moment:
                    fold = await self.folded(moment)
                await commit_step(self._content, fold)
            except Moved:
                continue
            await self.settle()
            return SavedVersion(fold.step.version, fold.step.root_hash)
        raise moving()

    async def folded(self, moment: Moment) -> Fold:
        """What stood in the store at a moment, as the next version; away from the loop."""
        return await self._apart(lambda: drive(self._fold(moment)))

    async def settle(self) -> None:
        """What follows a version that was saved: its fast index, if the commit had no room for it.

        Then versions beyond the number that is kept are dropped.
        """
        await self._keep_index()
        await self._trim()

    async def build_index(self) -> int:
        """Make the fast index of the latest version anew; how many rows it has."""
        return await IndexBuilder(self._content).build(anew=True)

    async def drop_index(self) -> int:
        """Remove the fast index; how many rows it had."""
        return await IndexBuilder(self._content).drop()

    async def _keep_index(self) -> None:
        if not self._content.remembered.config.fast_index:
            return
        seen = await self._saved_revision()
        try:
            if await self._content.asked(lambda: self._tree(self._engine).indexed):
                return
        except (IntegrityFailed, VersionNotFound):
            if await self._saved_revision() == seen:
                raise
            return  # Somebody else saved another version, and sees to it.
        try:
            await IndexBuilder(self._content).build(anew=False)
        except Conflict:
            return  # Somebody else is at it.

    async def _trim(self) -> None:
        most = self._content.remembered.config.max_versions
        if not most:
            return
        versions = await self.numbers()
        if len(versions) > most:
            try:
                await self.prune(versions[-1] - most)
            except Conflict:
                return  # Somebody else is at it; the next version that is saved tries again.

    async def working(self, engine: Engine) -> IavlTree:
        """The tree with the unsaved changes done to it."""
        return (await self._applied(engine))[0]

    async def _fold(self, moment: Moment) -> Fold:
        content, engine = self._content, moment.engine
        keys = (content.state_key, self._saved_key, content.complete_key)
        state, saved, complete = await engine.read(keys)
        tree, unsaved = await self._applied(engine)
        return Fold(
            tree,
            tree.save_version(),
            moment.revision,
            moment.fixed,
            state_of(state),
            _revision(saved),
            _revision(complete),
            tree.indexed,
            unsaved,
        )

    async def _applied(self, engine: Engine) -> tuple[IavlTree, list[bytes]]:
        """The tree with the unsaved changes done to it, and the keys of their rows."""
        content = self._content
        [record] = await engine.read((content.state_key,))
        state = state_of(record)
        tree = self._tree(engine)
        if state.base and state.base != tree.latest_version:
            tree.load_version(state.base)
        rows = [row.value for _, row in await _scanned(engine, _whole(content.log))]
        # Records are let go before the tree grows: the garbage collector would go through them.
        unsaved = {
            key: content.value_of(row.value)
            for key, row in await _scanned(engine, _whole(content.data))
        }
        prefix, value_of = content.data, unsaved.get
        # What a value was between two operations that are saved together changes no hash.
        tree.apply(
            (key, (value_of(prefix + key) or b"") if is_set else None)
            for is_set, key in oplog.operations_of(rows)
        )
        return tree, list(unsaved)

    # --- Looking at versions ----------------------------------------------------------------

    async def numbers(self) -> list[int]:
        first, latest = await self._content.asked(lambda: saved_versions(self._rows()))
        return list(range(first, latest + 1)) if latest else []

    async def current(self) -> int:
        return (await self._content.state()).base

    async def root(self, version: int | None) -> SavedVersion:
        number = await self.current() if version is None else version
        if not number:
            raise not_found(number, [])
        return SavedVersion(number, root_hash(await self._root(number)))

    async def content_root(self, version: int | None) -> bytes:
        number = (await self.root(version)).number
        async with moment_of(self._engine) as moment:
            return await self._apart(lambda: self._content_root(moment.engine, number))

    def _content_root(self, engine: Engine, version: int) -> bytes:
        with self._tree(engine).view(version) as view:
            digests = ((key, value_digest(value)) for key, value in view.items())
            content = ContentTree(_NoRows())
            return content.fold(dict(digests)).root_hash

    async def diff(self, before: int, after: int) -> AsyncIterator[KeyChange]:
        async with moment_of(self._engine) as moment:
            tree = await self._content.asked(lambda: self._tree(moment.engine))
            # Nodes do not change; a moment is read, which costs more, where one is gone.
            newest = self._rows()
            changes = tree.diff(before, after, newest=newest if newest.quick else None)
            while part := await self._apart(lambda: list(islice(changes, DIFF_PART))):
                for change in part:
                    yield KeyChange(*change)

    async def prove(self, key: bytes, version: int | None) -> bytes:
        number = await self.current() if version is None else version
        root = await self._root(number)
        try:
            return await self._content.asked(lambda: encode(prove(self._content.nodes, root, key)))
        except IntegrityFailed as error:
            versions = await self.numbers()
            if error.details.get("missing") and number not in versions:
                raise not_found(number, versions) from error
            raise

    async def verify(self, version: int | None) -> int:
        async with moment_of(self._engine) as moment:
            return await self._apart(lambda: self.verified(moment.engine, version))

    def verified(self, engine: Engine, version: int | None) -> int:
        """See `verify`, on a moment."""
        tree = self._tree(engine)
        return tree.check_all() if version is None else tree.check(version)

    async def check(self, moment: Engine, report: Report) -> None:
        content = self._content
        name = content.space.keyspace.name
        self.verified(moment, None)
        [record] = await moment.read((content.state_key,))
        state = state_of(record)
        first, latest = saved_versions(self._rows(moment))
        if state.base and not first <= state.base <= latest:
            report.wrong(
                f"store {name!r} stands on version {state.base}; saved are {first} to {latest}"
            )
        await check_index(content, moment, report)
        # What an operation that is not saved yet says of a key is in the key's row.
        rows = [row.value for _, row in await _scanned(moment, _whole(content.log))]
        unsaved = dict(await _scanned(moment, _whole(content.data)))
        missing = {key for _, key in oplog.operations_of(rows)} - {
            key[len(content.data) :] for key in unsaved
        }
        if missing:
            report.wrong(f"store {name!r}: {len(missing)} unsaved changes have no value")

    # --- Going back, and giving up ----------------------------------------------------------

    async def load(self, version: int) -> SavedVersion:
        for _ in range(WRITE_ATTEMPTS):
            seen = await self._saved_revision()
            found = await self.root(version)

            def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
                if _revision(records[0]) != seen:  # noqa: B023 - runs now
                    raise Moved  # Perhaps it was dropped.
                self._clear(plan, version)
                return None

            try:
                await self._guarded(write)
            except Moved:
                continue
            return found
        raise moving()

    async def rollback(self, version: int) -> SavedVersion:
        for _ in range(WRITE_ATTEMPTS):
            keys = (self._saved_key, self._content.complete_key)
            seen = [_revision(one) for one in await self._engine.read(keys)]
            for held, name in await held_versions(self._content):
                if held > version:
                    raise Conflict(
                        f"the branch {name!r} began at version {held}, which would be dropped; "
                        "delete the branch first",
                        versions=[held],
                    )
            try:
                tree = await self._content.asked(lambda: self._tree(self._engine))
                step = await self._apart(lambda: tree.rollback(version))  # noqa: B023 - runs now
            except (IntegrityFailed, VersionNotFound):
                if await self._saved_revision() == seen[0]:
                    raise
                continue
            if not fits(step.batch):
                without_index(step.batch)  # It follows.

            def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
                if [_revision(one) for one in records[:2]] != seen:  # noqa: B023 - runs now
                    raise Moved
                self._clear(plan, version)
                put_batch(plan, tree_prefix(self._content.number), step.batch)  # noqa: B023
                return None

            try:
                await self._guarded(write)
            except Moved:
                continue
            await self._keep_index()
            return SavedVersion(version, step.root_hash)
        raise moving()

    async def prune(self, to: int) -> int:
        # What else changes which versions there are, or are held, goes first: it is noticed by
        # this revision, so all that follows is read after it.
        seen = await self._saved_revision()
        versions = await self.numbers()
        if versions and to >= versions[-1]:
            raise InvalidInput(
                f"the latest version, {versions[-1]}, stays; wanted to prune to {to}",
                latest=versions[-1],
                to=to,
            )
        kept = [held for held, _ in await held_versions(self._content)]
        base = (await self._content.state()).base
        to = min([to, base - 1, *(held - 1 for held in kept)])
        if not versions or to < versions[0]:
            return 0
        try:
            tree = await self._content.asked(lambda: self._tree(self._engine))
            steps = tree.prune(to)
            pruned = 0
            while (step := await self._apart(lambda: next(steps, None))) is not None:
                seen = await self._drop(step, seen)
                tree.adopt(step)
                pruned += 1
        except (IntegrityFailed, VersionNotFound):
            if await self._saved_revision() == seen:
                raise
            raise _others() from None
        return pruned

    # --- Inside -----------------------------------------------------------------------------

    def _rows(self, engine: Engine | None = None) -> EngineRows:
        content = self._content
        return EngineRows(engine or self._engine, content.number, content.origins)

    def _tree(self, engine: Engine) -> IavlTree:
        content = self._content
        return IavlTree(
            self._rows(engine),
            initial_version=content.remembered.config.initial_version,
            cache=content.cache,
            fast_index=content.remembered.config.fast_index,
        )

    async def _apart(self, work: Callable[[], T]) -> T:
        """Run work that takes long where it does not hold up a loop."""
        return await self._engine.components.host.runtime().offload(work)

    async def _root(self, version: int) -> Link | None:
        seen = await self._saved_revision()
        known, roots = self._roots
        if known != seen:
            roots = {}
            self._roots = seen, roots
        if version not in roots:
            roots[version] = await self._steady(version)
        return roots[version]

    async def _steady(self, version: int) -> Link | None:
        """The root of a version; read again where versions came or went meanwhile."""
        nodes = NodeStore(self._rows(), self._content.cache)
        for _ in range(WRITE_ATTEMPTS):
            seen = await self._saved_revision()
            try:
                return await self._content.asked(lambda: saved_root(nodes, version))
            except IntegrityFailed:
                if await self._saved_revision() == seen:
                    raise
        raise moving()

    async def _saved_revision(self) -> int:
        [record] = await self._engine.read((self._saved_key,))
        return _revision(record)

    async def _guarded(self, write: Callable[[Plan, Sequence[Record | None]], Need | None]) -> None:
        content = self._content
        keys = (self._saved_key, content.complete_key, content.state_key)
        await content.space.commit(keys, write)

    def _clear(self, plan: Plan, version: int) -> None:
        """Drop unsaved changes, and stand on a version from now on."""
        content = self._content
        plan.delete_range(_whole(content.data))
        plan.delete_range(_whole(content.log))
        plan.put(content.state_key, encode_state(version))
        if content.space.keyspace.settings.feed:
            plan.tell(content.number, Act.RESTORE, b"", 0, plan.now_ms)

    async def _drop(self, step: Step, seen: int) -> int:
        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            saved, state = records
            if _revision(saved) != seen or state_of(state).base <= step.version:
                raise Moved
            put_batch(plan, tree_prefix(self._content.number), step.batch)
            return None

        keys = (self._saved_key, self._content.state_key)
        try:
            receipt = await self._content.space.commit(keys, write)
        except Moved:
            raise _others() from None
        return receipt.revision


def _others() -> Conflict:
    return Conflict("versions were saved, loaded, held or dropped by others meanwhile; prune again")


class _NoRows:
    """Nothing is there: the content tree of a version is made for its root alone."""

    def get(self, _key: bytes) -> bytes | None:
        return None


def _revision(record: Record | None) -> int:
    return 0 if record is None else record.revision


def _whole(prefix: bytes) -> Range:
    return Range(prefix, after_prefix(prefix))


async def _scanned(engine: Engine, range: Range) -> list[tuple[bytes, Record]]:
    rows: list[tuple[bytes, Record]] = []
    rest: Range | None = range
    while rest is not None:
        page = await engine.scan(rest)
        rows += page.rows
        rest = page.resume
    return rows
