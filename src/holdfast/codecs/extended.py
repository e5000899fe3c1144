"""Types of Python that MessagePack lacks, each as an extension type whose number stays.

    number  type         payload
    1       tuple        an array of its parts
    2       OrderedDict  an array of [name, value], in its order
    3       Decimal      its text; trailing zeros count
    4       UUID         its 16 bytes
    5       date         ISO 8601
    6       time         ISO 8601, without a time zone
    7       timedelta    an array of days, seconds and microseconds
    8, 9    set, frozenset   an array of their parts, in the order of the parts' bytes
    10      Enum         an array of the name of the class and the name of the member

Arrays and texts are MessagePack themselves. A value has one form, so its bytes can be digested.
A reader that does not know the class of an enum gets an `EnumMember`, and stores it as it was.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NoReturn
from uuid import UUID

import msgspec

from holdfast.codecs.plain import MESSAGE_PACK_RULES, NESTING_MAX, path_shown
from holdfast.contract.errors import ConfigInvalid, SerializationFailed

TUPLE, ORDERED_DICT, DECIMAL, UUID_BYTES, DATE, TIME, TIMEDELTA, SET, FROZENSET, ENUM = range(1, 11)

#: How many classes of enums a process can make known.
ENUMS_MAX = 10_000

_Encode = Callable[[Any], bytes]
_Decode = Callable[[memoryview | bytes], Any]


class EnumMember(msgspec.Struct, frozen=True):
    """A member of an enum whose class this process was not told of.

    Attributes:
        kind: the name of the class.
        name: of the member.
    """

    kind: str
    name: str


class _Enums:
    """The enums that this process knows, by the names that stored values have for them."""

    def __init__(self) -> None:
        self.named: dict[str, type[Enum]] = {}
        self.names: dict[type[Enum], str] = {}

    def learn(self, enums: Mapping[str, type[Enum]] | Iterable[type[Enum]]) -> None:
        """Know these too. Raises ConfigInvalid for what is no enum, and for a name taken."""
        given = dict(enums) if isinstance(enums, Mapping) else {_name(one): one for one in enums}
        for name, kind in given.items():
            if (
                not isinstance(name, str)
                or not isinstance(kind, type)
                or not issubclass(kind, Enum)
            ):
                raise ConfigInvalid(
                    "enums are classes of enum.Enum, in a list or by the names to store; found "
                    f"{kind!r}"
                )
            if self.named.get(name, kind) is not kind or self.names.get(kind, name) != name:
                raise ConfigInvalid(
                    f"the enum {name!r} is known as another class, or this class by another name; "
                    "give a mapping of names to classes, the same everywhere",
                    name=name,
                )
        if len(self.named | given) > ENUMS_MAX:
            raise ConfigInvalid(f"a process knows {ENUMS_MAX} enums at most; name fewer of them")
        for name, kind in given.items():
            self.named[name] = kind
            self.names[kind] = name


ENUMS = _Enums()


def _name(kind: Any) -> str:
    return str(getattr(kind, "__qualname__", kind))


class _RefusedError(Exception):
    """A value that cannot be held; the path to it is gathered on the way out, innermost first."""

    def __init__(self, value: object, fault: str) -> None:
        super().__init__(fault)
        self.value = value
        self.fault = fault
        self.steps: list[Any] = []


def encode(value: Any, encode_plain: _Encode) -> bytes:
    """The bytes of a value. Raises `SerializationFailed` that names what cannot be held."""
    try:
        return encode_plain(_converted(value, encode_plain, NESTING_MAX))
    except _RefusedError as refused:
        _refuse(refused.value, refused.fault, path_shown(reversed(refused.steps)))
    except RecursionError as error:
        _refuse(value, "found nesting deeper than this call stack allows", "value", error)


def _refuse(value: object, fault: str, path: str, cause: BaseException | None = None) -> NoReturn:
    raise SerializationFailed(
        f"the extended serializer wanted a value that comes back equal; {fault} (at {path})",
        path=path,
        type=type(value).__name__,
        format="extended",
    ) from cause


def _converted(value: Any, encode_plain: _Encode, depth: int) -> Any:
    """The value in what MessagePack holds and its extensions."""
    kind = type(value)
    if kind in MESSAGE_PACK_RULES.scalars:
        fault = MESSAGE_PACK_RULES.fault(value)
        if fault is not None:
            raise _RefusedError(value, fault)
        return value
    if not depth:
        raise _RefusedError(value, f"found more than {NESTING_MAX} levels of nesting")
    if kind is dict or kind is OrderedDict:
        parts = {_key(name): _part(name, part, encode_plain, depth) for name, part in value.items()}
        return parts if kind is dict else _array(ORDERED_DICT, list(parts.items()), encode_plain)
    if kind in (list, tuple, set, frozenset):
        listed = [_part(at, part, encode_plain, depth) for at, part in enumerate(value)]
        if kind is list:
            return listed
        if kind is tuple:
            return _array(TUPLE, listed, encode_plain)
        listed.sort(key=encode_plain)
        return _array(SET if kind is set else FROZENSET, listed, encode_plain)
    return _scalar(value, kind, encode_plain)


def _scalar(value: Any, kind: type, encode_plain: _Encode) -> Any:
    if kind is Decimal:
        if not value.is_finite():
            raise _RefusedError(value, "found a Decimal that is NaN or infinite; store None")
        return msgspec.msgpack.Ext(DECIMAL, str(value).encode())
    if kind is UUID:
        return msgspec.msgpack.Ext(UUID_BYTES, value.bytes)
    if kind is date:
        return msgspec.msgpack.Ext(DATE, value.isoformat().encode())
    if kind is time:
        if value.tzinfo is not None:
            raise _RefusedError(value, "found a time with a zone; store an aware datetime")
        return msgspec.msgpack.Ext(TIME, value.isoformat().encode())
    if kind is timedelta:
        return _array(TIMEDELTA, [value.days, value.seconds, value.microseconds], encode_plain)
    if kind is EnumMember or isinstance(value, Enum):
        return _array(ENUM, _names(value, kind), encode_plain)
    fault = MESSAGE_PACK_RULES.fault(value)
    if fault is not None:
        raise _RefusedError(value, fault)
    return value  # An aware datetime.


def _names(value: Any, kind: Any) -> list[str]:
    """The names of the class of an enum, and of its member."""
    if kind is EnumMember:
        if not isinstance(value.kind, str) or not isinstance(value.name, str):
            raise _RefusedError(value, "found an EnumMember whose names are no texts")
        return [value.kind, value.name]
    name = ENUMS.names.get(kind)
    if name is None:
        raise _RefusedError(
            value,
            f"found the enum {kind.__qualname__}, which is not known; open with "
            f"serializer=holdfast.ExtendedSerializer(enums=[{kind.__qualname__}]), or store "
            "value.value",
        )
    if kind.__members__.get(value.name) is not value:
        raise _RefusedError(value, "found flags that have no name together; store value.value")
    return [name, value.name]


def _key(name: Any) -> str:
    if not isinstance(name, str):
        raise _RefusedError(
            name, f"found a mapping key of type {type(name).__name__}; use str keys"
        )
    fault = MESSAGE_PACK_RULES.fault(str.__str__(name)[:])
    if fault is not None:
        raise _RefusedError(name, fault)
    return name


def _part(step: Any, part: Any, encode_plain: _Encode, depth: int) -> Any:
    try:
        return _converted(part, encode_plain, depth - 1)
    except _RefusedError as refused:
        refused.steps.append(step)
        raise


def _array(number: int, parts: list[Any], encode_plain: _Encode) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(number, encode_plain(parts))


def _decimal(data: bytes) -> Decimal:
    found = Decimal(data.decode())
    if not found.is_finite():
        raise ValueError(f"a Decimal is finite; found {found}")
    return found


def _time(data: bytes) -> time:
    found = time.fromisoformat(data.decode())
    if found.tzinfo is not None:
        raise ValueError("a time has no zone; found one with a zone")
    return found


_SCALARS: dict[int, Callable[[bytes], Any]] = {
    DECIMAL: _decimal,
    UUID_BYTES: lambda data: UUID(bytes=data),
    DATE: lambda data: date.fromisoformat(data.decode()),
    TIME: _time,
}


def decoded(number: int, data: memoryview, decode: _Decode) -> Any:
    """The value of an extension.

    Raises:
        ValueError, TypeError, ArithmeticError: for what `encode` never writes.
    """
    scalar = _SCALARS.get(number)
    if scalar is not None:
        return scalar(bytes(data))
    if not TUPLE <= number <= ENUM:
        raise ValueError(f"MessagePack extension type {number} is not known here")
    parts = decode(data)
    if type(parts) is not list:
        raise ValueError(f"MessagePack extension type {number} holds no array")
    if number == TUPLE:
        return tuple(parts)
    if number == ORDERED_DICT:
        return OrderedDict((_text(name), part) for name, part in parts)
    if number == TIMEDELTA:
        days, seconds, microseconds = parts
        return timedelta(days, seconds, microseconds)
    if number == SET:
        return set(parts)
    if number == FROZENSET:
        return frozenset(parts)
    kind, name = parts
    return member(_text(kind), _text(name))


def _text(part: Any) -> str:
    if not isinstance(part, str):
        raise TypeError(f"a name is a text; found a {type(part).__name__}")
    return part


def member(kind: str, name: str) -> Enum | EnumMember:
    """The member of a known enum, else its names."""
    known = ENUMS.named.get(kind)
    found = None if known is None else known.__members__.get(name)
    return EnumMember(kind, name) if found is None else found
