"""What the server says no with, in the errors of the catalogue."""

from __future__ import annotations

from holdfast.contract.errors import (
    Conflict,
    ConnectionFailed,
    InvalidInput,
    InvalidValue,
    KeyNotFound,
    Overloaded,
    PermissionDenied,
    ReadOnly,
    StorageFull,
    StoreError,
    Unauthenticated,
    Unsupported,
)

#: First word of an error reply: the error, and what is said of it.
_KNOWN: dict[str, tuple[type[StoreError], str]] = {
    "NOAUTH": (Unauthenticated, "the server wants a password; give one in the URL"),
    "WRONGPASS": (Unauthenticated, "the server does not know that user or password; correct them"),
    "NOPERM": (
        PermissionDenied,
        "the ACL of the user does not allow this command or key; acl_rule() prints what it needs",
    ),
    "OOM": (StorageFull, "the server is at its maxmemory; delete, or let more keys expire"),
    "READONLY": (ReadOnly, "the server is a replica; connect to the primary"),
    "LOADING": (ConnectionFailed, "the server loads its data; try again in a moment"),
    "MASTERDOWN": (ConnectionFailed, "the server has lost its primary; try again in a moment"),
    "CLUSTERDOWN": (ConnectionFailed, "the cluster is not complete; try again in a moment"),
    "TRYAGAIN": (ConnectionFailed, "the slot is on the move; try again in a moment"),
    "UNBLOCKED": (
        ConnectionFailed,
        "the server became a replica while a read waited, which had no effect; try again",
    ),
    "BUSY": (Overloaded, "the server runs a long script; try again in a moment"),
    "MISCONF": (StorageFull, "the server cannot write its files and takes no writes; see its log"),
    "NOREPLICAS": (ConnectionFailed, "too few replicas are linked; try again in a moment"),
    "WRONGTYPE": (InvalidValue, "another kind of value stands there; choose another key"),
    "NOGROUP": (KeyNotFound, "the stream has no such group; call ensure() first"),
    "EXECABORT": (Conflict, "the server refused a part of the batch; nothing was written"),
    "CROSSSLOT": (
        Unsupported,
        "the keys lie in several slots of the cluster; build the store with hash tags",
    ),
}
_PLAIN = {
    "value is not an integer or out of range": (
        InvalidValue,
        "a counter is a whole number of 64 bits; found another value there. Choose another key",
    ),
    "increment or decrement would overflow": (
        InvalidValue,
        "a counter holds 64 bits; this step would leave them. Nothing was written",
    ),
    "no such key": (KeyNotFound, "nothing stands there"),
    "Invalid stream ID": (InvalidInput, "an id of a stream reads milliseconds-sequence"),
    "max number of clients reached": (
        Overloaded,
        "the server has as many clients as it takes; raise its maxclients",
    ),
}


def translate(reply: Exception) -> StoreError:
    """The error of the catalogue for an error reply, which becomes its cause.

    The reply's own words are not repeated: they may quote keys and values.
    """
    text = str(reply)
    word = text.partition(" ")[0]
    known = _KNOWN.get(word)
    if known is None:
        known = next((error for part, error in _PLAIN.items() if part in text), None)
    if known is None:
        error = StoreError(
            f"the server refused the command with {word or 'an empty reply'}; its words are the "
            "cause of this error",
            reply=word,
        )
    else:
        kind, said = known
        error = kind(said, reply=word)
    error.__cause__ = reply
    return error
