"""The check of a database file: SQLite's own, and what the tables promise beyond it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import islice

from holdfast.contract.record import Range
from holdfast.engines.sqlite.appended import ID_END, INDEX_BITS, AppendedKeys
from holdfast.engines.sqlite.statements import HEAD, Execute, walk

#: How many findings of a kind are told one by one.
FINDINGS_MAX = 20


def what_is_wrong(connection: sqlite3.Connection) -> list[str]:
    """One line for each thing wrong in the file, all of one moment."""
    execute = connection.execute
    execute("BEGIN")
    try:
        wrong = [
            line
            for (line,) in execute(f"PRAGMA integrity_check({FINDINGS_MAX})").fetchall()
            if line != "ok"
        ]
        metas = execute("SELECT prefix, strays FROM meta").fetchall()
        if len(metas) != 1:
            return [*wrong, f"meta holds {len(metas)} rows instead of one"]
        prefix, strays = metas[0]
        (head,) = execute(HEAD).fetchone()
        wrong += _wrong_in_appended(execute, prefix, strays=bool(strays))
        wrong += [
            f"key {key!r} has revision {revision}, outside of 1 to the head {head}"
            for key, revision in execute(
                "SELECT key, revision FROM rows WHERE revision NOT BETWEEN 1 AND ? LIMIT ?",
                (head, FINDINGS_MAX),
            )
        ]
        wrong += [
            f"row {id} holds a key or value that is no bytes"
            for (id,) in execute(
                "SELECT id FROM rows WHERE typeof(key) != 'blob' OR typeof(value) != 'blob' "
                "OR typeof(revision) != 'integer' LIMIT ?",
                (FINDINGS_MAX,),
            )
        ]
        wrong += [
            f"appended row {id} holds a value that is no bytes"
            for (id,) in execute(
                "SELECT id FROM appended WHERE typeof(value) != 'blob' LIMIT ?", (FINDINGS_MAX,)
            )
        ]
        wrong += [
            f"batch id {id!r} is remembered at revision {revision}, above the head {head}"
            for id, revision in execute(
                "SELECT id, revision FROM batch_ids WHERE revision > ? LIMIT ?",
                (head, FINDINGS_MAX),
            )
        ]
    finally:
        execute("ROLLBACK")
    return wrong


def _wrong_in_appended(execute: Execute, prefix: bytes | None, *, strays: bool) -> list[str]:
    """What is wrong with the table of appended rows, and with keys that belong into it."""
    wrong = [
        f"appended row {id} has a number outside of 0 to {ID_END}"
        for (id,) in execute(
            "SELECT id FROM appended WHERE id < ? OR id >= ? LIMIT ?",
            (1 << INDEX_BITS, ID_END, FINDINGS_MAX),
        )
    ]
    if prefix is None:
        (count,) = execute("SELECT count(*) FROM appended").fetchone()
        return [*wrong, f"{count} appended rows have no prefix"] if count else wrong
    keys = AppendedKeys(prefix)
    with closing(walk(execute, None, Range.prefix(prefix))) as found:
        misplaced = ((key, id) for key, _, _ in found if (id := keys.id(key)) is not None)
        for key, id in islice(misplaced, FINDINGS_MAX):
            if not strays:
                wrong.append(f"key {key!r} lies among the rows, and meta says that none does")
            if execute("SELECT 1 FROM appended WHERE id = ?", (id,)).fetchone():
                wrong.append(f"key {key!r} stands in two tables")
    return wrong
