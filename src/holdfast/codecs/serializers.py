"""Serializers: a value to bytes and back, each in a standard format under a one-digit code.

`msgpack` is the default and the form that digests are taken of; `ordered` keeps the order of
mappings, `extended` tuples, Decimal, UUID, dates and enums; `json`, `raw` and `protobuf` are there
for readers of other languages, and `SerializerRegistry.register` takes your own. A value either
comes back equal or is refused with `SerializationFailed` before anything is written: it is never
converted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import msgspec

from holdfast.codecs import extended
from holdfast.codecs.plain import JSON_RULES, MESSAGE_PACK_RULES, is_finite
from holdfast.contract.errors import (
    ConfigInvalid,
    DeserializationFailed,
    DriverMissing,
    SerializationFailed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from enum import Enum

    from google.protobuf.message import Message

SerializerName = Literal["msgpack", "json", "ordered", "extended"]
"""What a serializer of entries is called."""

CUSTOM_CODES = range(8, 16)
"""The codes that serializers of applications may take; 1 to 7 belong to Holdfast."""


class Serializer(ABC):
    """One format of values.

    Attributes:
        name: what a configuration calls it.
        code: what the header of stored bytes calls it, 1 to 15; for your own, in `CUSTOM_CODES`.
    """

    name: str
    code: int

    @abstractmethod
    def encode(self, value: Any) -> bytes:
        """The bytes of `value`. Raises `SerializationFailed` when it would not come back equal."""

    @abstractmethod
    def decode(self, data: bytes) -> Any:
        """The value of `data`. Raises `DeserializationFailed` when it is not of this format."""

    def _malformed(self, data: bytes, cause: BaseException) -> NoReturn:
        raise DeserializationFailed(
            f"wanted {self.name} bytes; found {len(data)} bytes that are not ({cause}); "
            "check that the reader is configured like the writer, then check the database",
            serializer=self.name,
        ) from cause


def _refuse_extension(code: int, _data: memoryview) -> NoReturn:
    raise ValueError(f"MessagePack extension type {code} is not known here")


class MessagePackSerializer(Serializer):
    """MessagePack with sorted keys: equal values give equal bytes, in every process.

    Holds None, bool, int (-2**63 to 2**64-1), finite float, str, bytes, aware datetime (the
    timestamp extension; it comes back in UTC), list, and dict with str keys, nested to
    `NESTING_MAX`. Keys that are a subclass of str come back as str.
    """

    name = "msgpack"
    code = 1
    __slots__ = ("_decode", "_encode", "decode_trusted")

    def __init__(self) -> None:
        self._encode = msgspec.msgpack.Encoder(order="deterministic").encode
        self._decode = msgspec.msgpack.Decoder(ext_hook=_refuse_extension).decode
        #: Decodes without translating errors (ValueError): for a caller that asks `decode` then.
        self.decode_trusted: Callable[[bytes], Any] = self._decode

    def encode(self, value: Any) -> bytes:
        try:
            # Most values are flat mappings, and those are looked at without another call.
            flat = type(value) is dict and _are_scalars(map(type, value.values()))
            if not flat and not MESSAGE_PACK_RULES.accept(value):
                MESSAGE_PACK_RULES.refuse(value)
            data = self._encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            MESSAGE_PACK_RULES.refuse(value, error)
        # One byte is found at memory speed, two are not, so the rare byte is looked for first.
        if (
            (_NOT_FINITE_PLUS in data and _FLOAT_NOT_FINITE_PLUS in data)
            or (_NOT_FINITE_MINUS in data and _FLOAT_NOT_FINITE_MINUS in data)
        ) and not is_finite(value):
            MESSAGE_PACK_RULES.refuse(value)
        return data

    def encode_small(self, value: Any) -> bytes | None:  # noqa: C901 - one pass without calls
        """The same for what most values are: a small mapping of scalars and of flat parts.

        None for anything else, and where something is longer than `SMALL_LENGTH`: one look tells
        that the value can be held, and that encoding it takes no time to speak of.
        """
        if type(value) is not dict or len(value) > SMALL_LENGTH:
            return None
        for part in value.values():
            kind = type(part)
            if kind is str or kind is bytes:
                if len(part) > SMALL_LENGTH:
                    return None
            elif kind is list:
                if len(part) > SMALL_LENGTH or not _are_scalars(map(type, part)):
                    return None
            elif kind is dict:
                if len(part) > SMALL_LENGTH or not _are_scalars(map(type, part.values())):
                    return None
            elif kind not in _SCALARS:
                return None
        try:
            data = self._encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            MESSAGE_PACK_RULES.refuse(value, error)
        if (
            (_NOT_FINITE_PLUS in data and _FLOAT_NOT_FINITE_PLUS in data)
            or (_NOT_FINITE_MINUS in data and _FLOAT_NOT_FINITE_MINUS in data)
        ) and not is_finite(value):
            MESSAGE_PACK_RULES.refuse(value)
        return data

    def decode(self, data: bytes) -> Any:
        try:
            return self._decode(data)
        except (ValueError, TypeError, RecursionError) as error:
            self._malformed(data, error)


class OrderedSerializer(MessagePackSerializer):
    """MessagePack whose mappings come back in the order they had.

    Holds what MessagePack holds. Digests are taken of sorted keys all the same: two values that
    differ in order alone are equal.
    """

    name = "ordered"
    code = 5
    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self._encode = msgspec.msgpack.Encoder().encode


class ExtendedSerializer(MessagePackSerializer):
    """MessagePack that also gives back tuple, OrderedDict, Decimal, UUID, date, time and enums.

    timedelta, set and frozenset too, each as an extension type (`codecs/extended.py`). What
    MessagePack holds has the same bytes as ever. Types count, not their subclasses; a Decimal keeps
    its zeros. A digest of what MessagePack cannot hold is taken of these bytes, which are the same
    in every process.

    Args:
        enums: classes that this process knows from now on, whichever handle reads; by the names
            that stored values shall have for them, else their `__qualname__`. Where a class is
            not known, its members come back as `EnumMember`.

    Raises:
        ConfigInvalid: one of them is no enum, or its name is taken.
    """

    name = "extended"
    code = 6
    __slots__ = ()

    def __init__(self, enums: Mapping[str, type[Enum]] | Iterable[type[Enum]] = ()) -> None:
        super().__init__()
        extended.ENUMS.learn(enums)
        decode: Callable[[Any], Any] = msgspec.msgpack.Decoder(
            ext_hook=lambda number, data: extended.decoded(number, data, decode)
        ).decode
        self._decode = self.decode_trusted = decode

    def encode(self, value: Any) -> bytes:
        return extended.encode(value, self._encode)

    def decode(self, data: bytes) -> Any:
        try:
            return self._decode(data)
        except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
            self._malformed(data, error)


_are_scalars = MESSAGE_PACK_RULES.scalars.issuperset
_SCALARS = MESSAGE_PACK_RULES.scalars

#: The most parts of a small value, and of each of its lists; the most characters of its texts.
SMALL_LENGTH = 16 * 1024

# MessagePack writes a float as 0xcb and eight bytes; NaN and the infinities begin with these.
_NOT_FINITE_PLUS = 0x7F
_NOT_FINITE_MINUS = 0xFF
_FLOAT_NOT_FINITE_PLUS = b"\xcb\x7f"
_FLOAT_NOT_FINITE_MINUS = b"\xcb\xff"


class JsonSerializer(Serializer):
    """JSON with sorted keys, in UTF-8 without spaces.

    Holds what MessagePack holds save bytes, datetime and keys that are a subclass of str.
    Not RFC 8785: see `canonical`.
    """

    name = "json"
    code = 2
    __slots__ = ()

    def encode(self, value: Any) -> bytes:
        import orjson

        try:
            if not JSON_RULES.accept(value):
                JSON_RULES.refuse(value)
            data = orjson.dumps(
                value,
                option=orjson.OPT_SORT_KEYS
                | orjson.OPT_PASSTHROUGH_DATACLASS
                | orjson.OPT_PASSTHROUGH_DATETIME
                | orjson.OPT_PASSTHROUGH_SUBCLASS,
            )
        except (TypeError, RecursionError) as error:
            JSON_RULES.refuse(value, error)
        # The encoder writes `null` for a float that is not finite.
        if b"null" in data and not is_finite(value):
            JSON_RULES.refuse(value)
        return data

    def decode(self, data: bytes) -> Any:
        import orjson

        try:
            return orjson.loads(data)
        except (ValueError, RecursionError) as error:
            self._malformed(data, error)


class RawSerializer(Serializer):
    """Bytes as they are."""

    name = "raw"
    code = 3
    __slots__ = ()

    def encode(self, value: Any) -> bytes:
        if type(value) is not bytes:
            kind = type(value).__name__
            raise SerializationFailed(
                f"the raw serializer wanted bytes; found {kind} (at value); "
                "pass bytes, or use the msgpack serializer",
                path="value",
                type=kind,
                format=self.name,
            )
        return value

    def decode(self, data: bytes) -> bytes:
        return bytes(data)


class ProtobufSerializer(Serializer):
    """Protocol Buffers messages of one type, map fields in sorted order.

    Needs the extra `holdfast-db[protobuf]`. The stored bytes do not name their message type, so a
    reader has to be given the serializer too.
    """

    name = "protobuf"
    code = 4
    __slots__ = ("_decode_error", "message_type")

    def __init__(self, message_type: type[Message]) -> None:
        try:
            from google.protobuf.message import DecodeError, Message
        except ImportError as error:
            raise DriverMissing(
                "the protobuf serializer wanted the package protobuf; found none; "
                "install it with: pip install 'holdfast-db[protobuf]'",
                extra="protobuf",
            ) from error
        if not (isinstance(message_type, type) and issubclass(message_type, Message)):
            raise ConfigInvalid(
                "ProtobufSerializer wanted a generated message class; "
                f"found {message_type!r}; pass the class, not an instance of it",
            )
        self.message_type = message_type
        self._decode_error = DecodeError

    def encode(self, value: Any) -> bytes:
        wanted = self.message_type.DESCRIPTOR.full_name
        if not isinstance(value, self.message_type):
            kind = type(value).__name__
            raise SerializationFailed(
                f"the protobuf serializer wanted a message {wanted}; found {kind} (at value); "
                "build the message first",
                path="value",
                type=kind,
                format=self.name,
            )
        if not value.IsInitialized():
            raise SerializationFailed(
                f"message {wanted} wanted every required field; found some that are not set "
                "(at value); its FindInitializationErrors() names them",
                path="value",
                type=wanted,
                format=self.name,
            )
        return value.SerializeToString(deterministic=True)

    def decode(self, data: bytes) -> Message:
        try:
            return self.message_type.FromString(data)
        except self._decode_error as error:
            self._malformed(data, error)


MESSAGE_PACK = MessagePackSerializer()
JSON = JsonSerializer()
RAW = RawSerializer()
ORDERED = OrderedSerializer()
EXTENDED = ExtendedSerializer()


class SerializerRegistry:
    """The serializers a database knows, by name and by code.

    Starts with `msgpack`, `json`, `raw`, `ordered` and `extended`. Protobuf serializers are per
    message type, so they are handed over where they are used; one of them may be registered as
    the default.
    """

    __slots__ = ("_by_code", "_by_name")

    def __init__(self) -> None:
        self._by_code: dict[int, Serializer] = {}
        self._by_name: dict[str, Serializer] = {}
        for serializer in (MESSAGE_PACK, JSON, RAW, ORDERED, EXTENDED):
            self._add(serializer)

    def register(self, serializer: Serializer) -> None:
        """Make `serializer` known. Raises `ConfigInvalid` when its name or code is taken."""
        if isinstance(serializer, ExtendedSerializer):
            return  # All of them read alike, and one is known from the start.
        name, code = serializer.name, serializer.code
        if not isinstance(name, str) or not name:
            raise ConfigInvalid(f"a serializer wanted a name; found {name!r}; set `name`")
        if code not in CUSTOM_CODES and not isinstance(serializer, ProtobufSerializer):
            raise ConfigInvalid(
                f"serializer {name!r} wanted a code from {CUSTOM_CODES.start} to "
                f"{CUSTOM_CODES.stop - 1}; found {code!r}; choose a free one and keep it for good",
                name=name,
            )
        for taken in (self._by_name.get(name), self._by_code.get(code)):
            if taken is not None and taken is not serializer:
                raise ConfigInvalid(
                    f"serializer {name!r} wanted its own name and code; found name "
                    f"{taken.name!r} with code {taken.code} registered; choose another",
                    name=name,
                )
        self._add(serializer)

    def named(self, name: str) -> Serializer:
        """The serializer of that name. Raises `ConfigInvalid` when there is none."""
        try:
            return self._by_name[name]
        except KeyError:
            raise ConfigInvalid(
                f"wanted a serializer named {name!r}; found {', '.join(self._by_name)}; "
                "choose one of them, or register your own first",
                name=name,
            ) from None

    def coded(self, code: int) -> Serializer | None:
        """The serializer that wrote under `code`, or None."""
        return self._by_code.get(code)

    def __iter__(self) -> Iterator[Serializer]:
        return iter(self._by_code.values())

    def _add(self, serializer: Serializer) -> None:
        self._by_code[serializer.code] = serializer
        self._by_name[serializer.name] = serializer


registry = SerializerRegistry()
"""The registry that is used where none is given."""
