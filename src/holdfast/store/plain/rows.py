"""The stored form of a plain row.

    offset  bytes  field
    0       1      format of this layout (0x81)
    1       1      flags: 0x01 the value lies in chunks, 0x04 it expires, 0x10 it has a header byte
                   that says how it is packed, 0x20 there is no value: the key is absent
    2       8      expires, milliseconds since 1970 UTC; only with the flag
    …       …      the value, as given or packed, or where its chunks are

The first two bytes are those of every stored form: format and flags.
"""

from __future__ import annotations

import struct
from typing import Final

from holdfast.codecs.envelope import BLOB, EXPIRES
from holdfast.contract.errors import FormatTooNew, IntegrityFailed
from holdfast.store.plan import Plan, RowChange

FORMAT: Final = 0x81
#: The value has a header byte, see `codecs.header`.
PACKED: Final = 0x10
#: The key is absent, whatever stands below: see `stores.versions.tree_content`.
ABSENT: Final = 0x20
_FLAGS: Final = BLOB | EXPIRES | PACKED | ABSENT
_EXPIRING: Final = struct.Struct(">BBq")
#: What a value begins with that is as given and does not expire.
LASTING: Final = bytes((FORMAT, 0))
HEAD_BYTES: Final = len(LASTING)


def pack_plain(payload: bytes, expires_at_ms: int = 0, flags: int = 0) -> bytes:
    """The stored form of a value; `expires_at_ms` 0: it does not expire."""
    if expires_at_ms:
        return _EXPIRING.pack(FORMAT, EXPIRES | flags, expires_at_ms) + payload
    return (bytes((FORMAT, flags)) if flags else LASTING) + payload


def plain_value(stored: bytes) -> bytes:
    """What a plain row holds behind its head. Raises IntegrityFailed, FormatTooNew."""
    if stored[:HEAD_BYTES] == LASTING:
        return stored[HEAD_BYTES:]
    check_plain(stored)
    return stored[_EXPIRING.size if stored[1] & EXPIRES else HEAD_BYTES :]


def plain_expires_at_ms(stored: bytes) -> int:
    """When a plain row expires; 0: never."""
    if not stored[1] & EXPIRES:
        return 0
    expires: int = _EXPIRING.unpack_from(stored)[2]
    return expires


def check_plain(stored: bytes) -> None:
    """Raise unless stored bytes are a plain row of this format."""
    if len(stored) < HEAD_BYTES or not stored[0] & 0x80:
        raise IntegrityFailed(
            "a plain row begins with its format and its flags; found something else. "
            "Run `holdfast check` on the database"
        )
    if stored[0] != FORMAT or stored[1] & ~_FLAGS:
        raise FormatTooNew(
            f"this Holdfast reads plain rows of format {FORMAT:#x} with flags {_FLAGS:#x}; found "
            f"{stored[0]:#x} with {stored[1]:#x}. Open the database with the version that wrote "
            "it, or a later one",
            found=stored[0],
            supported=FORMAT,
        )
    if stored[1] & EXPIRES and len(stored) < _EXPIRING.size:
        raise IntegrityFailed(
            "a plain row is cut off before its expiry; run `holdfast check` on the database"
        )


class PlainExpiryRows:
    """One row for each plain value that expires, by instant: what the sweep walks."""

    name: Final = "expiry"
    flags: Final = EXPIRES
    fence: Final = None

    def plan(self, plan: Plan, change: RowChange) -> None:
        before = plain_expires_at_ms(change.before) if change.before is not None else 0
        after = plain_expires_at_ms(change.after) if change.after is not None else 0
        plan.expires(change.data_key, before, after)
