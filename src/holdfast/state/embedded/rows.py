"""Where state stands in the bytes of a keyspace, and the stored form of its rows.

All state is one keyspace. Each key has one row in region `D`; its key is the text in UTF-8. The row
is a plain row (`store/plain`), whose value begins with one byte for its kind:

    01  a value that is told in the feed      the value's bytes
    02  a value that is not                   the value's bytes
    03  the costs of a sliding window         MessagePack [[instant, cost], ...]
    04  a bucket of tokens                    MessagePack [tokens, instant]
    05  members                               MessagePack {member: the instant it ends at}
    06  the head of a stream                  newest instant (8), next number (8), first number (8)
    07, 08  like 01 and 02, in a bounded area   order (8), length of the area's name (1), the name,
                                                 the value's bytes
    09  a Bloom filter                    MessagePack [capacity, error rate, blocks, bits of
                                          an item, items]

Region `L` has what belongs to streams and filters, each part behind its key as packed text:

    e  number (8)                  a message: its instant (8), its bytes
    g  group (packed text)         the number of the message that the group gets next (8)
    p  group, number (8)           MessagePack [instant of the message, consumer, given at, times]
    w  instant (8), identity (16)  a message that waits until it is due: its bytes
    b  number (8)                  a block of a filter: its 512 bytes

Region `Q` has what bounded areas need, behind the area's name as packed text:

    o  order (8), the key          empty: in this order they go
    t                              MessagePack [values, bytes], as far as they are added up
    d  revision (8), index (4)     MessagePack [values, bytes]: more, or fewer, since then

Region `N` has what was published, by revision: MessagePack [instant, channel, bytes]. The row with
nothing behind the region says up to which revision messages were given up (8).
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from holdfast.codecs.envelope import EXPIRES
from holdfast.codecs.keys import pack_text
from holdfast.contract.errors import IntegrityFailed, InvalidKey, InvalidValue
from holdfast.contract.record import Range, Record
from holdfast.store import layout
from holdfast.store.keyspaces import KeyspaceSettings
from holdfast.store.plain.rows import FORMAT, check_plain, pack_plain, plain_value

#: The name of the view and of its keyspace.
STATE: Final = "state"
#: Of what changes only who, when and what is told; nothing is kept of it.
SETTINGS: Final = KeyspaceSettings(history="none")

TOLD: Final = 1
QUIET: Final = 2
WINDOW: Final = 3
BUCKET: Final = 4
MEMBERS: Final = 5
STREAM: Final = 6
#: How `TOLD` and `QUIET` are stored where the row has a place in a bounded area.
_BOUNDED: Final = 6
FILTER: Final = 9
#: Kinds whose rows have parts in region `L`.
PARTED: Final = (STREAM, FILTER)
#: Kinds whose payload is the value itself.
VALUES: Final = (TOLD, QUIET)

STREAMS: Final = b"L"
NEWS: Final = b"N"
BOUNDS: Final = b"Q"
_MESSAGE, _GROUP, _PENDING, _WAITING, _ORDER = b"e", b"g", b"p", b"w", b"o"
_BLOCK: Final = b"b"

_KINDS: Final = tuple(bytes((kind,)) for kind in range(FILTER + 1))
#: How the kinds of plain values are stored.
_PLAIN: Final = (_KINDS[TOLD], _KINDS[QUIET])
_NUMBER: Final = struct.Struct(">Q")
#: Behind every instant.
_NEVER: Final = (1 << 63) - 1
_PLACE_BYTES: Final = 9
_HEAD: Final = struct.Struct(">QQQ")
_INSTANT: Final = struct.Struct(">q")
_LASTING: Final = 2
_EXPIRING: Final = 10


class Place(NamedTuple):
    """Where a row stands in a bounded area.

    Attributes:
        group: the area's name.
        order: which goes before which.
    """

    group: str
    order: int


class Group(NamedTuple):
    """A bounded area, and how its values are ordered: `lru`, `lfu` or `ttl`."""

    name: str
    by: str

    def order(self, now_ms: int, until_ms: int, before: Place | None, uses: int = 1) -> int:
        """The order of a value that is written, or was used so many times."""
        if self.by == "ttl":
            return until_ms or _NEVER
        if self.by == "lru":
            return now_ms
        return uses + (before.order if before is not None and before.group == self.name else 0)


class Row(NamedTuple):
    """What stands under a key.

    Attributes:
        kind: see the module.
        payload: likewise.
        until_ms: when it ends; 0: never.
        place: in a bounded area, if it is of one.
    """

    kind: int
    payload: bytes
    until_ms: int
    place: Place | None = None

    def value(self) -> bytes:
        """The value's bytes. Raises InvalidValue when another kind of row stands there."""
        if self.kind > QUIET:
            raise another_kind()
        return self.payload

    def require(self, kind: int) -> bytes:
        """The payload, if it is of that kind. Raises InvalidValue."""
        if self.kind != kind:
            raise another_kind()
        return self.payload


class Head(NamedTuple):
    """What a stream knows of itself.

    Attributes:
        newest_ms: instant of its newest message; ids never go back behind it.
        next: number of the message to come.
        first: number of the oldest message that is kept.
    """

    newest_ms: int = 0
    next: int = 0
    first: int = 0

    def packed(self) -> bytes:
        """As it is stored."""
        return _HEAD.pack(*self)

    @classmethod
    def of(cls, payload: bytes) -> Head:
        """The head of a payload. Raises IntegrityFailed."""
        try:
            return cls(*_HEAD.unpack(payload))
        except struct.error:
            raise _cut_off() from None


# --- Rows under a key -----------------------------------------------------------------------------


def pack_row(kind: int, payload: bytes, until_ms: int = 0, place: Place | None = None) -> bytes:
    """The stored form of a row."""
    if place is not None:
        group = place.group.encode()
        stands = _NUMBER.pack(place.order) + bytes((len(group),)) + group
        return pack_plain(_KINDS[_BOUNDED + kind] + stands + payload, until_ms)
    return pack_plain(_KINDS[kind] + payload, until_ms)


def row_of(stored: bytes) -> Row:
    """The row of its stored form. Raises IntegrityFailed, FormatTooNew."""
    if stored[0] != FORMAT or stored[1] & ~EXPIRES:
        check_plain(stored)
    try:
        start, until_ms = _LASTING, 0
        if stored[1]:
            start, until_ms = _EXPIRING, _INSTANT.unpack_from(stored, _LASTING)[0]
        kind = stored[start]
        if kind <= _BOUNDED or kind == FILTER:
            return Row(kind, stored[start + 1 :], until_ms)
        order = _NUMBER.unpack_from(stored, start + 1)[0]
        name = start + 1 + _PLACE_BYTES
        end = name + stored[name - 1]
        place = Place(stored[name:end].decode(), order)
        return Row(kind - _BOUNDED, stored[end:], until_ms, place)
    except (IndexError, ValueError, struct.error):
        raise _cut_off() from None


def value_of(stored: bytes, now_ms: int) -> bytes | None:
    """The value of a row's stored form, unless it has run out: `living` and `value` in one step.

    Raises:
        InvalidValue: another kind of row stands there.
        IntegrityFailed, FormatTooNew: as `row_of` does.
    """
    # Nearly all that is read is a plain value, with an expiry or without one.
    if stored[0] == FORMAT:
        if not stored[1] and stored[_LASTING : _LASTING + 1] in _PLAIN:
            return stored[_LASTING + 1 :]
        if stored[1] == EXPIRES and stored[_EXPIRING : _EXPIRING + 1] in _PLAIN:
            until_ms = _INSTANT.unpack_from(stored, _LASTING)[0]
            return None if 0 < until_ms <= now_ms else stored[_EXPIRING + 1 :]
    row = row_of(stored)
    return None if 0 < row.until_ms <= now_ms else row.value()


def living(record: Record | tuple[bytes, int] | None, now_ms: int) -> Row | None:
    """The row of a record, unless there is none or it has run out."""
    if record is None:
        return None
    row = row_of(record[0])
    return None if 0 < row.until_ms <= now_ms else row


def another_kind() -> InvalidValue:
    """The error where another kind of row was wanted."""
    return InvalidValue("another kind of value stands there; choose another key")


def _cut_off() -> IntegrityFailed:
    return IntegrityFailed("a row of state is cut off; run `holdfast check` on the database")


# --- Keys -----------------------------------------------------------------------------------------


class Places:
    """The keys of one keyspace."""

    __slots__ = ("bounds", "data", "news", "streams")

    def __init__(self, keyspace: int) -> None:
        self.data = layout.region(keyspace, layout.DATA)
        self.bounds = layout.region(keyspace, BOUNDS)
        self.news = layout.region(keyspace, NEWS)
        self.streams = layout.region(keyspace, STREAMS)

    def row(self, key: str) -> bytes:
        """The data row of a key."""
        try:
            return self.data + key.encode()
        except UnicodeEncodeError:
            raise InvalidKey("a key is a text that UTF-8 can write") from None

    def text(self, data_key: bytes) -> str:
        """The key of a data row."""
        return data_key[layout.REGION_BYTES :].decode(errors="replace")

    def bound(self, group: str) -> BoundPlaces:
        """Where the rows of a bounded area stand."""
        return BoundPlaces(self.bounds + pack_text(group))

    def is_order(self, key: bytes) -> bool:
        """Whether a row of region `Q` is a value's place in its order."""
        end = _end_of_text(key, len(self.bounds))
        return key[end : end + 1] == _ORDER

    def is_message(self, key: bytes) -> bool:
        """Whether a row of region `L` is a message of a stream."""
        end = _end_of_text(key, len(self.streams))
        return key[end : end + 1] == _MESSAGE

    def stream(self, data_key: bytes) -> StreamPlaces:
        """Where the parts of the stream under this data row stand."""
        return StreamPlaces(self.streams + pack_text(self.text(data_key)))


class BoundPlaces:
    """The keys of a bounded area's rows."""

    __slots__ = ("differences", "orders", "tally")

    def __init__(self, prefix: bytes) -> None:
        self.orders = prefix + _ORDER
        self.tally = prefix + b"t"
        self.differences = prefix + b"d"

    def order(self, order: int, key: bytes) -> bytes:
        """The row of a value's place."""
        return self.orders + _NUMBER.pack(order) + key

    def key_of(self, order_key: bytes) -> bytes:
        """The value's own key behind its order."""
        return order_key[len(self.orders) + 8 :]


class StreamPlaces:
    """The keys of one stream's parts."""

    __slots__ = ("_messages", "prefix")

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self._messages = prefix + _MESSAGE

    @property
    def everything(self) -> Range:
        """All parts of the stream."""
        return Range.prefix(self.prefix)

    def message(self, number: int) -> bytes:
        """The row of a message."""
        return self._messages + _NUMBER.pack(number)

    def messages(self, start: int, end: int) -> Range:
        """The rows of messages from `start`, and before `end`."""
        return Range(self.message(start), self.message(end))

    @property
    def waiting(self) -> bytes:
        """What the rows of messages begin with that are not due yet."""
        return self.prefix + _WAITING

    def due(self, at_ms: int, id: bytes) -> bytes:
        """The row of a message that waits until an instant."""
        return self.waiting + _NUMBER.pack(at_ms) + id

    def due_ms(self, key: bytes) -> int:
        """The instant in the key of such a row."""
        at_ms: int = _NUMBER.unpack_from(key, len(self.prefix) + 1)[0]
        return at_ms

    def block(self, number: int) -> bytes:
        """The row of a block of a filter."""
        return self.prefix + _BLOCK + _NUMBER.pack(number)

    def group(self, group: str) -> bytes:
        """The row of a group."""
        return self.prefix + _GROUP + pack_text(group)

    def pending(self, group: str) -> bytes:
        """What the rows of a group's pending messages begin with."""
        return self.prefix + _PENDING + pack_text(group)


def _end_of_text(key: bytes, start: int) -> int:
    """Where a packed text ends that begins there."""
    end = key.index(b"\0", start)
    while key[end + 1 : end + 2] == b"\xff":
        end = key.index(b"\0", end + 2)
    return end + 1


def number_of(key: bytes) -> int:
    """The number that a key ends with."""
    number: int = _NUMBER.unpack(key[-8:])[0]
    return number


def pack_number(number: int) -> bytes:
    """A number behind a key, or alone in a value."""
    return _NUMBER.pack(number)


def pack_message(at_ms: int, data: bytes) -> bytes:
    """The stored form of a message of a stream."""
    return pack_plain(_NUMBER.pack(at_ms) + data)


def message_of(stored: bytes) -> tuple[int, bytes]:
    """(instant, bytes) of a message of a stream."""
    value = plain_value(stored)
    return _NUMBER.unpack_from(value)[0], value[8:]
