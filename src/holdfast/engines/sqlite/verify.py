"""The check of a database file: SQLite's own, and what the tables promise beyond it."""

from __future__ import annotations

import sqlite3

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
        metas = execute("SELECT head FROM meta").fetchall()
        if len(metas) != 1:
            return [*wrong, f"meta holds {len(metas)} rows instead of one"]
        (head,) = metas[0]
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
            f"batch id {id!r} is remembered at revision {revision}, above the head {head}"
            for id, revision in execute(
                "SELECT id, revision FROM batch_ids WHERE revision > ? LIMIT ?",
                (head, FINDINGS_MAX),
            )
        ]
    finally:
        execute("ROLLBACK")
    return wrong
