"""Committing a version: at once where it fits into one commit, in steps where it does not.

Rows of nodes that no saved version names do no harm, so a big version's nodes are written first,
commit by commit, and its root last. A mark says who is at it: somebody else who saves meanwhile
takes the mark away, and the one who lost it begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from holdfast.contract.batch import Need
from holdfast.contract.record import Range, Record
from holdfast.store import layout
from holdfast.store.plan import Plan
from holdfast.stores.content import Moved
from holdfast.stores.iavl.index import without_index
from holdfast.stores.iavl.rows import NODE, SAVED_VERSIONS, RowBatch, versions_range
from holdfast.stores.iavl.steps import Step
from holdfast.stores.iavl.tree import IavlTree
from holdfast.stores.versions import oplog
from holdfast.stores.versions.rows import tree_prefix
from holdfast.stores.versions.state import State, encode_state, state_of
from holdfast.stores.versions.tree_content import TreeContent

#: How many rows, and how many bytes of them, one commit of a version writes at most.
ROWS_MAX: Final = 20_000
BYTES_MAX: Final = 32 * 1024 * 1024
#: How many unsaved rows go in the commit of the version; more go behind it.
UNSAVED_MAX: Final = 5_000

_MARK: Final = b"saving"


class Fold(NamedTuple):
    """A version that is ready to be committed.

    Attributes:
        tree: hands out the step and adopts it.
        step: what is saved.
        moment: the revision of which it is the content.
        fixed: whether everything was read of one moment.
        state: below the changes that were folded.
        saved_revision: of the row that says which versions are saved; 0: there is none.
        index_revision: of the row that says that the fast index is complete; 0: there is none.
        indexed: whether the step keeps the fast index.
        unsaved: the keys of the rows that the version has in it.
    """

    tree: IavlTree
    step: Step
    moment: int
    fixed: bool
    state: State
    saved_revision: int
    index_revision: int
    indexed: bool
    unsaved: list[bytes]


def put_batch(plan: Plan, prefix: bytes, batch: RowBatch) -> None:
    """Put the changes of a tree's rows into a plan."""
    for start, end in batch.ranges:
        plan.delete_range(Range(prefix + start, prefix + end))
    rows = plan.rows
    for key in batch.deletes:
        rows[prefix + key] = None
    for key, value in batch.puts:
        rows[prefix + key] = value


async def commit_step(content: TreeContent, fold: Fold) -> None:
    """Commit a version that was folded. Raises Moved when another one was saved meanwhile."""
    mark = await _write_ahead(content, fold)
    at_once = len(fold.unsaved) <= UNSAVED_MAX
    unsaved = fold.unsaved if at_once else []
    keys = [*version_keys(content), *unsaved]

    def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
        put_version(plan, content, fold, records, mark)
        return None

    await content.space.commit(keys, write)
    fold.tree.adopt(fold.step)
    if not at_once:
        await _drop_unsaved(content, fold)


def version_keys(content: TreeContent) -> list[bytes]:
    """What has to be seen by whoever puts a version into a plan; then come the unsaved rows."""
    saved = tree_prefix(content.number) + SAVED_VERSIONS
    return [content.state_key, saved, _mark_key(content.number), content.complete_key]


def put_version(
    plan: Plan,
    content: TreeContent,
    fold: Fold,
    records: Sequence[Record | None],
    mark: bytes | None = None,
) -> None:
    """Put a version into a plan. Raises Moved when another one was saved since it was folded.

    Args:
        records: of `version_keys`, then of the unsaved rows that go with it.
        mark: of the one who wrote its nodes ahead; None: they are in the step.
    """
    state, saved, marked, complete, *unsaved = records
    if state_of(state) != fold.state or _revision(saved) != fold.saved_revision:
        raise Moved
    if fold.indexed and _revision(complete) != fold.index_revision:
        raise Moved  # Somebody began to build the index anew.
    if mark is not None and (marked is None or marked.value != mark):
        raise Moved
    prefix = tree_prefix(content.number)
    if mark is None and marked is not None:
        # Somebody else began, and has written nodes that this version may not have.
        version = fold.step.version
        for start, end in versions_range(version, version + 1):
            plan.delete_range(Range(prefix + start, prefix + end))
    if marked is not None:
        plan.delete(_mark_key(content.number))
    put_batch(plan, prefix, fold.step.batch)
    plan.put(content.state_key, encode_state(fold.step.version))
    plan.delete_range(oplog.up_to(content.log, fold.moment))
    for key, record in zip(fold.unsaved, unsaved, strict=False):
        put_folded(plan, key, record, fold)


def put_folded(plan: Plan, key: bytes, record: Record | None, fold: Fold) -> None:
    """Remove an unsaved row that the version has in it, unless it was written anew since."""
    if record is None:
        return
    if record.revision <= fold.moment:
        plan.delete(key)
    elif not fold.fixed:
        raise Moved  # Its newer value may have been folded.


async def _write_ahead(content: TreeContent, fold: Fold) -> bytes | None:
    """Write nodes before the version itself, where there are too many; the mark that was set."""
    batch = fold.step.batch
    if fits(batch):
        return None
    mark_key, prefix = _mark_key(content.number), tree_prefix(content.number)
    mark = content.space.engine.components.ids.new()
    version = fold.step.version

    def begin(plan: Plan, records: Sequence[Record | None]) -> Need | None:
        if state_of(records[0]) != fold.state or _revision(records[1]) != fold.saved_revision:
            raise Moved
        for start, end in versions_range(version, version + 1):
            plan.delete_range(Range(prefix + start, prefix + end))
        plan.put(mark_key, mark)
        return None

    await content.space.commit(version_keys(content), begin)
    nodes = [row for row in batch.puts if row[0].startswith(NODE)]
    for part in _parts(nodes):

        def write(
            plan: Plan,
            records: Sequence[Record | None],
            part: Sequence[tuple[bytes, bytes]] = part,
        ) -> Need | None:
            if records[0] is None or records[0].value != mark:
                raise Moved
            for key, value in part:
                plan.put(prefix + key, value)
            return None

        await content.space.commit((mark_key,), write)
    batch.puts = [row for row in batch.puts if not row[0].startswith(NODE)]
    if not fits(batch):
        without_index(batch)  # It follows when the version is saved.
    return mark


def fits(batch: RowBatch) -> bool:
    """Whether changes of rows may be one commit."""
    size = sum(len(key) + len(value) for key, value in batch.puts)
    return len(batch.puts) + len(batch.deletes) <= ROWS_MAX and size <= BYTES_MAX


def _parts(rows: list[tuple[bytes, bytes]]) -> list[list[tuple[bytes, bytes]]]:
    """Rows in parts that fit into a commit."""
    parts: list[list[tuple[bytes, bytes]]] = [[]]
    size = 0
    for row in rows:
        if len(parts[-1]) == ROWS_MAX or size > BYTES_MAX:
            parts.append([])
            size = 0
        parts[-1].append(row)
        size += len(row[0]) + len(row[1])
    return parts


async def _drop_unsaved(content: TreeContent, fold: Fold) -> None:
    """Remove the unsaved rows that are in the version; what stays of them does no harm."""
    for at in range(0, len(fold.unsaved), UNSAVED_MAX):
        part = fold.unsaved[at : at + UNSAVED_MAX]

        def write(
            plan: Plan, records: Sequence[Record | None], part: Sequence[bytes] = part
        ) -> Need | None:
            for key, record in zip(part, records, strict=True):
                if record is not None and record.revision <= fold.moment:
                    plan.delete(key)
            return None

        await content.space.commit(part, write)


def _mark_key(number: int) -> bytes:
    return layout.region(number, layout.SAVED) + _MARK


def _revision(record: Record | None) -> int:
    return 0 if record is None else record.revision
