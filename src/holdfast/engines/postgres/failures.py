"""What the server says no with, in errors of the contract."""

from __future__ import annotations

import psycopg

from holdfast.contract.errors import (
    ConnectionFailed,
    ConnectionLost,
    IntegrityFailed,
    NotADatabase,
    OutcomeUnknown,
    Overloaded,
    PermissionDenied,
    ReadOnly,
    StorageFull,
    StoreError,
    StoreNotFound,
    Unauthenticated,
)

#: What is said of tables that were there.
GONE = (
    "the tables of the database on PostgreSQL are gone: somebody has dropped them. Restore them, "
    "or close this handle and open it anew"
)

#: The first characters of an SQLSTATE, the error, and what is said of it; longer ones come first.
#: ConnectionLost: nothing was done, and another attempt may work.
_KNOWN: tuple[tuple[str, type[StoreError], str], ...] = (
    ("53100", StorageFull, "PostgreSQL has no disk space left for the write; free some"),
    ("53200", StorageFull, "PostgreSQL has no memory left for the write; free some"),
    ("53300", Overloaded, "PostgreSQL has as many connections as it takes (max_connections)"),
    ("53", StorageFull, "PostgreSQL lacks resources for the write; see its log"),
    ("25006", ReadOnly, "the PostgreSQL server takes no writes: it is a standby, or set read-only"),
    (
        "42501",
        PermissionDenied,
        "the PostgreSQL user may not do that; see docs/engines/postgres.md",
    ),
    ("28", Unauthenticated, "PostgreSQL does not know that user or password; correct them"),
    ("3D000", StoreNotFound, "PostgreSQL has no database of that name; create it with createdb"),
    ("40", ConnectionLost, "PostgreSQL rolled the transaction back for another one"),
    ("42P01", StoreNotFound, GONE),
    ("42883", StoreNotFound, GONE),
    ("3F", StoreNotFound, GONE),
    ("42", NotADatabase, "the schema holds something else than a database of Holdfast"),
    ("55", ConnectionLost, "PostgreSQL has something locked that the engine needs"),
    ("XX001", IntegrityFailed, "PostgreSQL found a damaged page; restore a backup"),
    ("XX002", IntegrityFailed, "PostgreSQL found a damaged index; see REINDEX"),
)
#: While connecting there are no codes, only the server's English words.
_SAID: tuple[tuple[str, type[StoreError], str], ...] = (
    (
        "password",
        Unauthenticated,
        "PostgreSQL wanted a user and password that it knows; found others, or none",
    ),
    ("authentication failed", Unauthenticated, "PostgreSQL does not let that user in so"),
    (
        "no pg_hba.conf entry",
        Unauthenticated,
        "PostgreSQL lets nobody in from here; see pg_hba.conf",
    ),
    ("role", Unauthenticated, "PostgreSQL knows no user of that name"),
    ("too many", Overloaded, "PostgreSQL has as many connections as it takes (max_connections)"),
    ("remaining connection slots", Overloaded, "PostgreSQL has as many connections as it takes"),
    ("database", StoreNotFound, "PostgreSQL has no database of that name; create it with createdb"),
    ("permission denied", PermissionDenied, "the PostgreSQL user may not use that database"),
)
#: The server ends, starts, or ended the session: connecting again may help.
_AWAY = ("57P", "08")


def refusal(error: psycopg.Error, *, writing: bool) -> StoreError:
    """The error for one of the driver's, which becomes its cause.

    The server's own words are not repeated: they may quote keys and values.

    Args:
        error: of a statement.
        writing: whether it may have written.
    """
    state = error.sqlstate or ""
    known = next(((kind, said) for code, kind, said in _KNOWN if state.startswith(code)), None)
    if known is not None:
        found = known[0](known[1], sqlstate=state)
    elif not state or state.startswith(_AWAY):
        if writing:
            found = OutcomeUnknown(
                "the connection to PostgreSQL broke before it told what became of a write; repeat "
                "the batch with the same id"
            )
        else:
            found = ConnectionLost("the connection to PostgreSQL broke; check that the server runs")
    else:
        found = StoreError(f"PostgreSQL refused a statement with {state}", sqlstate=state)
    found.__cause__ = error
    return found


def not_connected(error: psycopg.Error, place: str) -> StoreError:
    """The error for a connection that was not made."""
    said = str(error)
    if error.sqlstate:
        found = refusal(error, writing=False)
    elif "starting up" in said or "shutting down" in said or "recovery" in said:
        found = ConnectionLost(f"the PostgreSQL server at {place} starts or ends; it answers then")
    elif "FATAL" in said or "no password supplied" in said:
        known = next(((kind, text) for part, kind, text in _SAID if part in said), None)
        kind, text = known or (ConnectionFailed, f"PostgreSQL at {place} took no connection")
        found = kind(text)
    else:
        found = ConnectionFailed(
            f"a PostgreSQL server was wanted at {place}; none took the connection. Check the "
            "address and that it runs",
            address=place,
        )
    found.__cause__ = error
    return found
