"""How a collection stores its documents: a format, a compression, or a serializer of one's own.

Every stored document says how it was written, so the configuration of a living collection can
change at any time, and nothing is rewritten: what is there stays readable beside what comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from holdfast.codecs.compression import Compression, compression_named
from holdfast.codecs.serializers import CUSTOM_CODES, JSON, MESSAGE_PACK, Serializer, registry
from holdfast.contract.errors import (
    ConfigInvalid,
    DeserializationFailed,
    SerializationFailed,
    StoreError,
)
from holdfast.contract.runtime import Host
from holdfast.store.versions.chunks import Values

FORMATS: Final[dict[str, Serializer]] = {"msgpack": MESSAGE_PACK, "json": JSON}


@runtime_checkable
class DocumentSerializer(Protocol):
    """A serializer of one's own, for plain documents."""

    def serialize(self, value: Any) -> bytes | str:
        """The bytes, or the text, of a document."""
        ...

    def deserialize(self, data: bytes) -> Any:
        """The document of what `serialize` gave, as bytes."""
        ...


@dataclass(frozen=True)
class SerializationConfig:
    """How documents are stored.

    Attributes:
        format: `msgpack`, or `json`, which holds no bytes and no instants.
        compression: `none`, `gzip`, `lz4`, `snappy` or `zstd`; or a compression as it is, such as
            one of zstd with a dictionary that small documents share.
        serializer: one's own instead of a format. Every process that reads the documents has to
            make its configuration, or `register` it, before.
        name, code: of a serializer of one's own: what stored documents call it, for good; the code
            is from 8 to 15.
    """

    format: str = "msgpack"
    compression: str | Compression = "none"
    serializer: DocumentSerializer | Serializer | None = None
    name: str = "custom"
    code: int = CUSTOM_CODES.start

    def values(self, host: Host) -> Values:
        """What serialises so. Raises ConfigInvalid, DriverMissing."""
        compression = self.compression
        if not isinstance(compression, Compression | str):
            raise ConfigInvalid(
                "compression is a name, or a compression as it is; found a "
                f"{type(compression).__name__}"
            )
        if not isinstance(compression, Compression):
            compression = compression_named(compression)
        return Values(host, self._serializer(), compression)

    def _serializer(self) -> Serializer:
        if self.serializer is not None:
            return registered(self.serializer, self.name, self.code)
        if self.format == "protobuf":
            raise ConfigInvalid(
                "the format protobuf stores messages of one type, and a collection holds plain "
                "documents; give a `serializer` that makes the message of a document"
            )
        if not isinstance(self.format, str) or self.format not in FORMATS:
            raise ConfigInvalid(
                f"format is one of {', '.join(FORMATS)}; found {str(self.format)[:80]!r}"
            )
        return FORMATS[self.format]


def registered(own: Any, name: str, code: int) -> Serializer:
    """A serializer of one's own, known to whoever reads what it wrote. Raises ConfigInvalid."""
    if isinstance(own, Serializer):
        serializer = own
    elif isinstance(own, DocumentSerializer):
        if not isinstance(code, int) or isinstance(code, bool):
            raise ConfigInvalid(
                f"the code of a serializer is a whole number from {CUSTOM_CODES.start} to "
                f"{CUSTOM_CODES.stop - 1}; found a {type(code).__name__}"
            )
        known = registry.coded(code)
        if isinstance(known, _Adapted) and known.own is own:
            return known
        serializer = _Adapted(own, name, code)
    else:
        raise ConfigInvalid(
            f"a serializer has the methods serialize and deserialize; found a {type(own).__name__}"
        )
    registry.register(serializer)
    return serializer


class _Adapted(Serializer):
    """A serializer of one's own as the codecs know serializers."""

    def __init__(self, own: DocumentSerializer, name: str, code: int) -> None:
        self.own = own
        self.name = name
        self.code = code

    def encode(self, value: Any) -> bytes:
        try:
            data = self.own.serialize(value)
        except StoreError:
            raise
        except Exception as error:
            raise SerializationFailed(
                f"the serializer {self.name!r} raised {type(error).__name__} for a document; "
                "nothing was written",
            ) from error
        if isinstance(data, str):
            try:
                return data.encode()
            except UnicodeEncodeError as error:
                raise SerializationFailed(
                    f"the serializer {self.name!r} gave text with a lone surrogate; nothing was "
                    "written. Have it give bytes",
                ) from error
        if not isinstance(data, bytes):
            raise SerializationFailed(
                f"the serializer {self.name!r} wanted to give bytes or text; it gave a "
                f"{type(data).__name__}. Nothing was written",
            )
        return data

    def decode(self, data: bytes) -> Any:
        try:
            return self.own.deserialize(bytes(data))
        except StoreError:
            raise
        except Exception as error:
            raise DeserializationFailed(
                f"the serializer {self.name!r} raised {type(error).__name__} for the bytes of a "
                "document",
                serializer=self.name,
            ) from error
