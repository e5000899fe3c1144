"""The stored form of a plain row.

    offset  bytes  field
    0       1      format of this layout (0x81)
    1       1      flags: 0x04 the value expires
    2       8      expires, milliseconds since 1970 UTC; only with the flag
    …       …      the value, as given

The first two bytes are those of every stored form: format and flags.
"""

from __future__ import annotations

import struct
from typing import Final

from holdfast.codecs.envelope import EXPIRES
from holdfast.contract.errors import FormatTooNew, IntegrityFailed
from holdfast.store.plan import Plan, RowChange

FORMAT: Final = 0x81
_FLAGS: Final = EXPIRES
_EXPIRING: Final = struct.Struct(">BBq")
_LASTING: Final = bytes((FORMAT, 0))
_LASTING_BYTES: Final = len(_LASTING)


def pack_plain(value: bytes, expires_at_ms: int = 0) -> bytes:
    """The stored form of a value; `expires_at_ms` 0: it does not expire."""
    if expires_at_ms:
        return _EXPIRING.pack(FORMAT, EXPIRES, expires_at_ms) + value
    return _LASTING + value


def plain_value(stored: bytes) -> bytes:
    """The value of a plain row. Raises IntegrityFailed, FormatTooNew."""
    if stored[:_LASTING_BYTES] == _LASTING:
        return stored[_LASTING_BYTES:]
    check_plain(stored)
    return stored[_EXPIRING.size :]


def plain_expires_at_ms(stored: bytes) -> int:
    """When a plain row expires; 0: never."""
    if not stored[1] & EXPIRES:
        return 0
    expires: int = _EXPIRING.unpack_from(stored)[2]
    return expires


def check_plain(stored: bytes) -> None:
    """Raise unless stored bytes are a plain row of this format."""
    if len(stored) < _LASTING_BYTES or not stored[0] & 0x80:
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
