"""Where things stand in the ordered bytes of a database.

    F  revision index                        the feed: one row for each change, in commit order
    K  keyspace region …                     the rows of one named keyspace
    S  …                                     the system: format, keyspaces, leases, feed's past
    X  instant(8) keyspace key               what expires when, soonest first

Regions of a keyspace: D living entries, G graves (what a deleted key will need when it comes
back), H past versions, B chunks of big values, T tags. All of one keyspace is one range.
"""

from __future__ import annotations

from holdfast.contract.record import Range

FEED = b"F"
KEYSPACE = b"K"
SYSTEM = b"S"
EXPIRY = b"X"

DATA = b"D"
GRAVE = b"G"
HISTORY = b"H"
BLOB = b"B"
TAG = b"T"

SYSTEM_FORMAT = SYSTEM + b"format"
SYSTEM_FEED_OLDEST = SYSTEM + b"feed oldest"
SYSTEM_KEYSPACES = SYSTEM + b"keyspace "
SYSTEM_KEYSPACE_LAST = SYSTEM + b"keyspaces"
#: Who holds a lock, by namespace; and which lock a holder of others waits for, by holder.
SYSTEM_LEASES = SYSTEM + b"lease "
SYSTEM_WAITS = SYSTEM + b"wait "
#: The log of operations: records by number, and the number of the next one.
SYSTEM_OPERATIONS = SYSTEM + b"operation "
SYSTEM_OPERATION_NEXT = SYSTEM + b"operations"

#: The version of this layout.
FORMAT = 1


def region(keyspace: int, which: bytes) -> bytes:
    """The prefix of a region of a keyspace."""
    return KEYSPACE + keyspace.to_bytes(2, "big") + which


REGION_BYTES = len(region(0, DATA))


def keyspace_of(key: bytes) -> int:
    """The number of the keyspace that a row's key belongs to."""
    return int.from_bytes(key[1:3], "big")


def keyspace_range(keyspace: int) -> Range:
    """Everything of one keyspace."""
    return Range.prefix(KEYSPACE + keyspace.to_bytes(2, "big"))


def expiry_key(expires_at_ms: int, data_key: bytes) -> bytes:
    """The row that says when a data row expires."""
    return EXPIRY + expires_at_ms.to_bytes(8, "big") + data_key


def expiry_of(key: bytes) -> tuple[int, bytes]:
    """(instant, data key) of an expiry row's key."""
    return int.from_bytes(key[1:9], "big"), key[9:]
