"""The fast index of a store with a tree, where no version brings it along.

It is made like this for a store that had none, after damage, and when a version changed more keys
than one commit has. Its rows are written in steps; until the last one says that the index is
complete, readers go through the tree. A mark says who is at it: who begins later takes it over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from holdfast.contract.batch import Need
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict, IntegrityFailed, VersionNotFound
from holdfast.contract.record import Range, Record
from holdfast.store import layout
from holdfast.store.plan import Plan
from holdfast.store.views import Report
from holdfast.stores.content import WRITE_ATTEMPTS, Moved, moving
from holdfast.stores.iavl import index, walking
from holdfast.stores.iavl.cache import NodeCache
from holdfast.stores.iavl.diffing import differences
from holdfast.stores.iavl.loading import NodeStore
from holdfast.stores.iavl.nodes import Link
from holdfast.stores.iavl.rows import SAVED_VERSIONS, root_hash_row
from holdfast.stores.iavl.saving import root_hash
from holdfast.stores.iavl.versions import saved_root, saved_versions
from holdfast.stores.versions import staging
from holdfast.stores.versions.base import moment_of
from holdfast.stores.versions.rows import EngineRows, index_prefix, tree_prefix
from holdfast.stores.versions.tree_content import TreeContent

_MARK: Final = b"indexing"
# A walk over everything goes through each node once; a small cache holds the way it is on.
_CACHE_NODES: Final = 1_024

#: A key, and the row it is to have; None: none.
Change = tuple[bytes, bytes | None]


class _Start(NamedTuple):
    """What the index stands at before it is built.

    Attributes:
        root: of the version whose rows it has; None where it has none.
        known: whether it has those rows for certain; if not, all of them go first.
        revision: of the row that says so; 0: there is none.
    """

    root: Link | None
    known: bool
    revision: int


class IndexBuilder:
    """Brings the fast index of a store to its latest version.

    Args:
        content: the store.
    """

    def __init__(self, content: TreeContent) -> None:
        self._content = content
        self._space = content.space
        self._engine = content.space.engine
        self._prefix = index_prefix(content.number)
        self._saved_key = tree_prefix(content.number) + SAVED_VERSIONS
        self._mark_key = layout.region(content.number, layout.SAVED) + _MARK
        self._mark = b""
        # What was walked: the revision of the row of saved versions.
        self._seen = 0

    async def build(self, *, anew: bool) -> int:
        """Make the index that of the latest version; how many of its rows were written.

        Args:
            anew: believe no row of it; else only what changed since its version is written.

        Raises:
            Conflict: somebody else began to build it meanwhile.
            IntegrityFailed: the tree is damaged.
        """
        for _ in range(WRITE_ATTEMPTS):
            try:
                return await self._build(anew=anew)
            except Moved:
                continue
            except (IntegrityFailed, VersionNotFound):
                [record] = await self._engine.read((self._saved_key,))
                if _revision(record) == self._seen:
                    raise
                # The version that was walked was pruned or rolled back, with the rows half written.
                anew = True
        raise moving()

    async def drop(self) -> int:
        """Remove the index; how many rows it had. A build that is under way ends with Conflict.

        Raises:
            Conflict: somebody else began to build it meanwhile.
        """
        for _ in range(WRITE_ATTEMPTS):
            [record] = await self._engine.read((self._content.complete_key,))
            self._mark = self._engine.components.ids.new()
            try:
                await self._begin(_Start(None, False, _revision(record)))
            except Moved:
                continue
            removed = await self._clear()
            await self._space.commit((self._mark_key,), self._unmark)
            return removed
        raise moving()

    async def _build(self, *, anew: bool) -> int:
        start = await self._start(anew=anew)
        self._mark = self._engine.components.ids.new()
        await self._begin(start)
        if not start.known:
            await self._clear()
        root, written = start.root, 0
        while True:
            async with moment_of(self._engine) as moment:
                [saved] = await moment.engine.read((self._saved_key,))
                self._seen = _revision(saved)
                version, latest = await self._content.asked(lambda: self._latest(moment.engine))
                changes = self._changes(moment.engine, root, latest, version)
                while part := await self._apart(changes):
                    await self._write(part)
                    written += len(part)
            if not version or await self._finish(version, latest):
                return written
            # Others saved meanwhile: what they changed comes next, and is less each time.
            root = latest

    # --- Reading ----------------------------------------------------------------------------

    async def _start(self, *, anew: bool) -> _Start:
        [record] = await self._engine.read((self._content.complete_key,))
        if record is None or anew:
            return _Start(None, False, _revision(record))
        rows = self._rows(self._engine)
        try:
            version, hash = index.version_in(record.value)
            nodes = NodeStore(rows, self._content.cache)
            root = await self._content.asked(lambda: saved_root(nodes, version))
        except (IntegrityFailed, VersionNotFound):
            return _Start(None, False, record.revision)
        known = root_hash(root) == hash
        return _Start(root if known else None, known, record.revision)

    def _latest(self, engine: Engine) -> tuple[int, Link | None]:
        rows = self._rows(engine)
        _, latest = saved_versions(rows)
        nodes = NodeStore(rows, self._content.cache)
        return latest, saved_root(nodes, latest) if latest else None

    def _changes(
        self, engine: Engine, before: Link | None, after: Link | None, version: int
    ) -> Iterator[Change]:
        """What makes the index of one tree that of another."""
        cache = NodeCache(_CACHE_NODES) if before is None else self._content.cache
        nodes = NodeStore(self._rows(engine), cache)
        for key, _, value in differences(nodes, before, after):
            yield key, None if value is None else index.index_row(key, value, version)[1]

    async def _apart(self, changes: Iterator[Change]) -> list[Change]:
        """The next changes that fit into a commit; away from the loop."""
        runtime = self._engine.components.host.runtime()
        return await runtime.offload(lambda: _part(changes))

    def _rows(self, engine: Engine) -> EngineRows:
        return EngineRows(engine, self._content.number, self._content.origins)

    # --- Writing ----------------------------------------------------------------------------

    async def _begin(self, start: _Start) -> None:
        complete_key = self._content.complete_key

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            if _revision(records[0]) != start.revision:
                raise Moved
            if records[0] is not None:
                plan.delete(complete_key)
            plan.put(self._mark_key, self._mark)
            return None

        await self._space.commit((complete_key,), write)

    async def _clear(self) -> int:
        """Remove all rows of the index; how many there were."""
        removed = 0
        rest: Range | None = Range.prefix(self._prefix)
        while rest is not None:
            page = await self._engine.scan(rest)
            skip = len(self._prefix)
            if page.rows:
                await self._write([(key[skip:], None) for key, _ in page.rows])
            removed += len(page.rows)
            rest = page.resume
        return removed

    async def _write(self, part: Sequence[Change]) -> None:
        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            self._require_mark(records[0])
            for key, row in part:
                plan.rows[self._prefix + key] = row
            return None

        await self._space.commit((self._mark_key,), write)

    async def _finish(self, version: int, root: Link | None) -> bool:
        """Say that the index is complete; False: others saved or dropped versions meanwhile."""

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            self._require_mark(records[0])
            if _revision(records[1]) != self._seen:
                raise Moved
            plan.put(self._content.complete_key, index.complete_row(version, root_hash(root))[1])
            plan.delete(self._mark_key)
            return None

        try:
            await self._space.commit((self._mark_key, self._saved_key), write)
        except Moved:
            return False
        return True

    def _unmark(self, plan: Plan, records: Sequence[Record | None]) -> Need | None:
        self._require_mark(records[0])
        plan.delete(self._mark_key)
        return None

    def _require_mark(self, record: Record | None) -> None:
        if record is None or record.value != self._mark:
            raise Conflict(
                f"somebody else began to build the fast index of {self._space.keyspace.name!r}; "
                "it is complete when they are done"
            )


async def check_index(content: TreeContent, moment: Engine, report: Report) -> None:
    """Report what of the fast index is not what the tree of its version says.

    Raises:
        IntegrityFailed: it does not say of which version it is, or the tree is damaged.
    """
    [record] = await moment.read((content.complete_key,))
    if record is None:
        return  # Nobody asks it.
    name = content.space.keyspace.name
    version, hash = index.version_in(record.value)
    rows = EngineRows(moment, content.number, content.origins)
    if rows.get(root_hash_row(version)) != hash:
        report.wrong(
            f"store {name!r}: the fast index is of a version {version} that is not saved; "
            "`build_index` makes it anew"
        )
        return
    nodes = NodeStore(rows, NodeCache(_CACHE_NODES))
    leaves = walking.leaves(nodes, saved_root(nodes, version), None, None, reverse=False)
    leaf = next(leaves, None)
    prefix = index_prefix(content.number)
    missing = wrong = extra = 0
    rest: Range | None = Range.prefix(prefix)
    while rest is not None:
        page = await moment.scan(rest)
        for full, row in page.rows:
            key = full[len(prefix) :]
            while leaf is not None and leaf.key < key:
                missing += 1
                leaf = next(leaves, None)
            if leaf is None or leaf.key != key:
                extra += 1
                continue
            wrong += not _holds(key, row.value, leaf.value)
            leaf = next(leaves, None)
        rest = page.resume
    missing += (leaf is not None) + sum(1 for _ in leaves)
    if missing or wrong or extra:
        report.wrong(
            f"store {name!r}: of the fast index {missing} rows are missing, {wrong} are wrong and "
            f"{extra} too many; `build_index` makes it anew"
        )


def _holds(key: bytes, row: bytes, value: bytes | None) -> bool:
    try:
        return index.value_in(key, row) == value
    except IntegrityFailed:
        return False


def _part(changes: Iterator[Change]) -> list[Change]:
    part: list[Change] = []
    size = 0
    for key, row in changes:
        part.append((key, row))
        size += len(key) + len(row or b"")
        if len(part) >= staging.ROWS_MAX or size > staging.BYTES_MAX:
            break
    return part


def _revision(record: Record | None) -> int:
    return 0 if record is None else record.revision
