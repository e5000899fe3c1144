"""What the server says no with, in errors of the contract."""

from __future__ import annotations

from holdfast.contract.errors import (
    ConfigInvalid,
    ConnectionLost,
    ConsistencyViolation,
    NotADatabase,
    Overloaded,
    PermissionDenied,
    StorageFull,
    StoreError,
    Unauthenticated,
    Unsupported,
)

#: What is said of a server at its limit of memory.
FULL = "Redis is at its maxmemory and refused the write; delete something, or raise maxmemory"

#: First word of an error reply, the error, and what is said of it. ConnectionLost: nothing was
#: done, and another attempt, perhaps at another server, may work.
_KNOWN: dict[str, tuple[type[StoreError], str]] = {
    "NOAUTH": (Unauthenticated, "Redis wants a password; give one in the URL"),
    "WRONGPASS": (Unauthenticated, "Redis does not know that user or password; correct them"),
    "NOPERM": (
        PermissionDenied,
        "the ACL of the Redis user forbids what the engine needs; see docs/engines/redis.md",
    ),
    "OOM": (StorageFull, FULL),
    "MISCONF": (
        StorageFull,
        "Redis cannot write its files, so it takes no writes; free disk space, see its log",
    ),
    "NOREPLICAS": (
        ConsistencyViolation,
        "Redis has fewer replicas than its min-replicas-to-write and took no write; start them",
    ),
    "READONLY": (ConnectionLost, "the Redis server became a replica"),
    "LOADING": (
        ConnectionLost,
        "the Redis server loads its data; it will answer when that is done",
    ),
    "MASTERDOWN": (ConnectionLost, "the Redis replica has lost its primary"),
    "CLUSTERDOWN": (ConnectionLost, "the Redis Cluster is not complete; see CLUSTER INFO"),
    "TRYAGAIN": (ConnectionLost, "the slot of the database is on its way to another node"),
    "ASK": (ConnectionLost, "the slot of the database is on its way to another node"),
    "MOVED": (ConnectionLost, "the slot of the database has gone to another node"),
    "BUSY": (ConnectionLost, "the Redis server runs a long script of somebody; see SCRIPT KILL"),
    "UNKILLABLE": (ConnectionLost, "the Redis server runs a long script of somebody"),
    "WRONGTYPE": (NotADatabase, "keys of that prefix are not those of a database of Holdfast"),
    "NOSCRIPT": (ConnectionLost, "the Redis server was told to forget its scripts"),
}
_PLAIN: dict[str, tuple[type[StoreError], str]] = {
    "max number of clients reached": (
        Overloaded,
        "Redis has as many clients as it takes; close some, or raise its maxclients",
    ),
    "DB index is out of range": (
        ConfigInvalid,
        "Redis has no database of that number; use a lower one, or raise `databases` of the server",
    ),
    "SELECT is not allowed in cluster mode": (
        ConfigInvalid,
        "a Redis Cluster has database 0 alone; name your database by prefix=... instead",
    ),
    "AUTH <password> called without any password configured": (
        Unauthenticated,
        "a password was given, and Redis asks for none; leave it out of the URL",
    ),
    "unknown command": (
        Unsupported,
        "the server does not know a command that the engine needs; use Redis 7.0 or later",
    ),
}


def refusal(reply: Exception) -> StoreError:
    """The error for an error reply, which becomes its cause.

    The reply's own words are not repeated: they may quote keys and values.
    """
    text = str(reply)
    word = text.partition(" ")[0]
    known = _KNOWN.get(word)
    if known is None:
        known = next((error for part, error in _PLAIN.items() if part in text), None)
    if known is None:
        known = (StoreError, f"Redis refused a command with {word[:40] or 'an empty reply'}")
    kind, said = known
    error = kind(said, reply=word)
    error.__cause__ = reply
    return error


def word_of(reply: Exception) -> str:
    """The first word of an error reply, which is its kind."""
    return str(reply).partition(" ")[0]
