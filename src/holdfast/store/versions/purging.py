"""Purging a key: its value and its whole past leave the file at once."""

from __future__ import annotations

from holdfast.codecs import envelope
from holdfast.contract.batch import Draft, Need
from holdfast.contract.engine import Engine
from holdfast.contract.record import Record
from holdfast.contract.runtime import Clock
from holdfast.store import layout
from holdfast.store.feed_row import WriteContext
from holdfast.store.keyspaces import Keyspace
from holdfast.store.plan import Plan
from holdfast.store.versions.derived import standard_derived
from holdfast.store.versions.moves import forget_moves
from holdfast.store.versions.past_rows import read_grave
from holdfast.store.versions.plan import Policies, VersionPlanner
from holdfast.store.versions.rows import Rows
from holdfast.store.versions.trimming import Trimmed, purge


async def purge_key(
    engine: Engine,
    keyspace: Keyspace,
    policies: Policies,
    clock: Clock,
    text: str,
    context: WriteContext,
) -> Trimmed | None:
    """Remove the value under a key, as a delete that the feed tells, and all of its past.

    What is left is the feed row of the delete, which holds no value. None: the key has neither a
    value nor a past.
    """
    rows = Rows(keyspace)
    planner = VersionPlanner(rows, standard_derived(rows), policies)
    data_key = rows.data_key(text)
    grave_key = rows.grave_key(data_key)
    identity: bytes | None = None

    def delete(records: list[Record | None], _revision: int) -> Draft | Need | None:
        nonlocal identity
        row, grave, *extra = records
        identity = None
        if row is None:
            identity = None if grave is None else read_grave(grave).identity
            return None
        identity = envelope.header_of(row.value).identity
        further = planner.needs(data_key, row)
        if further and not extra:
            return Need(further)
        plan = Plan(clock.now_ms(), context)
        planner.delete(plan, data_key, row, extra[0] if extra else None)
        return plan.draft

    await engine.transact([data_key, grave_key], delete)
    if identity is None:
        return None
    gone = identity
    mark = Draft()
    mark.rows[layout.SYSTEM_PURGED] = b""
    await engine.transact([], lambda _records, _revision: mark)
    done = await purge(engine, rows, gone)

    moves = Draft()
    await forget_moves(engine, rows, moves, data_key[layout.REGION_BYTES :], gone)

    def forget(records: list[Record | None], _revision: int) -> Draft | None:
        grave = records[0]
        draft = Draft()
        draft.rows.update(moves.rows)
        if grave is not None and read_grave(grave).identity == gone:
            draft.rows[grave_key] = None  # Else the key has come back meanwhile.
        return draft if draft.rows else None

    await engine.transact([grave_key], forget)
    return done
