"""Where things stand in the ordered bytes of a database.

    F  revision index                        the feed: one row for each change, in commit order
    K  keyspace(4) region …                  the rows of one keyspace
    S  …                                     the system: format, directory, leases, feed's past
    X  instant(8) data key                   what expires when, soonest first

Regions of a keyspace: D living rows, G graves (what a deleted key will need when it comes back),
H past versions, M moves from key to key, B chunks of big values, T tags; of stores, P what changed
since the last saved version, V saved versions. All of one keyspace is one range. docs/format.md
draws every byte.
"""

from __future__ import annotations

from typing import Final

from holdfast.contract.record import Range

FEED: Final = b"F"
KEYSPACE: Final = b"K"
SYSTEM: Final = b"S"
EXPIRY: Final = b"X"

DATA: Final = b"D"
GRAVE: Final = b"G"
HISTORY: Final = b"H"
MOVE: Final = b"M"
BLOB: Final = b"B"
TAG: Final = b"T"
#: Of a store: what changed since its last saved version, and the rows of its versions.
PENDING: Final = b"P"
SAVED: Final = b"V"

#: Says that the rows are ours, in which format, and what a reader has to know. Layers that change
#: values leave this row alone, so that it can be read before anything else is known.
SYSTEM_FORMAT: Final = SYSTEM + b"format"
SYSTEM_FEED_OLDEST: Final = SYSTEM + b"feed oldest"
#: How many rows the feed had when they were last counted.
SYSTEM_FEED_COUNTED: Final = SYSTEM + b"feed counted"
#: The directory: one row for each keyspace, by view and name.
SYSTEM_KEYSPACES: Final = SYSTEM + b"keyspace "
#: The names of dropped keyspaces by number, as long as the feed tells of them.
SYSTEM_KEYSPACES_DROPPED: Final = SYSTEM + b"dropped keyspace "
#: The highest number given out; written with every change of the directory.
SYSTEM_KEYSPACE_LAST: Final = SYSTEM + b"keyspaces"
#: Who holds a lock, by namespace; and which lock a holder of others waits for, by holder.
SYSTEM_LEASES: Final = SYSTEM + b"lease "
SYSTEM_WAITS: Final = SYSTEM + b"wait "
#: There once a key was purged: a check then knows that versions may be missing rightly.
SYSTEM_PURGED: Final = SYSTEM + b"purged"
#: Who keeps house, where the engine is a server's.
SYSTEM_HOUSEKEEPER: Final = SYSTEM + b"housekeeper"
#: The log of operations: records by number, and the number of the next one.
SYSTEM_OPERATIONS: Final = SYSTEM + b"operation "
SYSTEM_OPERATION_NEXT: Final = SYSTEM + b"operations"
#: Versions of all stores together, and the log that the feed is proven by.
SYSTEM_STORES: Final = SYSTEM + b"stores "
SYSTEM_AUDIT: Final = SYSTEM + b"audit "
#: Of a standby: whom it follows, and how far it is.
SYSTEM_STANDBY: Final = SYSTEM + b"standby"
#: The ring of data keys; the layer that encrypts keeps it, and nobody above it sees it.
SYSTEM_ENCRYPTION: Final = SYSTEM + b"encryption"

NUMBER_BYTES: Final = 4
#: Numbers of keyspaces are never given out twice.
NUMBER_MAX: Final = (1 << 8 * NUMBER_BYTES) - 1


def region(keyspace: int, which: bytes) -> bytes:
    """The prefix of a region of a keyspace."""
    return KEYSPACE + keyspace.to_bytes(NUMBER_BYTES, "big") + which


REGION_BYTES: Final = len(region(0, DATA))


def keyspace_of(key: bytes) -> int:
    """The number of the keyspace that a row's key belongs to."""
    return int.from_bytes(key[1 : 1 + NUMBER_BYTES], "big")


def keyspace_range(keyspace: int) -> Range:
    """Everything of one keyspace."""
    return Range.prefix(KEYSPACE + keyspace.to_bytes(NUMBER_BYTES, "big"))


def expiry_key(expires_at_ms: int, data_key: bytes) -> bytes:
    """The row that says when a data row expires."""
    return EXPIRY + expires_at_ms.to_bytes(8, "big") + data_key


def expiry_of(key: bytes) -> tuple[int, bytes]:
    """(instant, data key) of an expiry row's key."""
    return int.from_bytes(key[1:9], "big"), key[9:]
