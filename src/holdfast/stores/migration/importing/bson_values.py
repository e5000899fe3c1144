"""What BSON holds as plain values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any, Final

from bson import CodecOptions, Decimal128, Int64, ObjectId, decode, json_util
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError

from holdfast.contract.errors import IntegrityFailed

_PLAIN: Final = frozenset(("NoneType", "bool", "int", "float", "str", "bytes", "datetime", "UUID"))


def _decimal(number: Decimal128) -> Any:
    made = number.to_decimal()
    return made if made.is_finite() else {"$numberDecimal": str(number)}


_CONVERT: Final[dict[type, Callable[[Any], Any]]] = {
    ObjectId: str,
    Int64: int,
    Decimal128: _decimal,
}


class Decoder:
    """Decodes documents."""

    def __init__(self) -> None:
        # What no datetime holds stays a number, and is spelled as Extended JSON does.
        self._options: CodecOptions[dict[str, Any]] = CodecOptions(
            tz_aware=True,
            tzinfo=UTC,
            uuid_representation=UuidRepresentation.STANDARD,
            datetime_conversion=DatetimeConversion.DATETIME_AUTO,
        )

    def decode(self, content: bytes, file: Path, position: int) -> dict[str, Any]:
        """The document as a plain value.

        Raises:
            IntegrityFailed: the bytes are no BSON.
        """
        try:
            found = decode(content, self._options)
        except (BSONError, ValueError, OverflowError, RecursionError) as error:
            raise IntegrityFailed(
                f"a document in BSON was wanted in {file} at the byte {position}; found bytes that "
                f"are none ({type(error).__name__}): the file is damaged. Dump it again",
                path=str(file),
            ) from None
        return {name: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {name: _plain(part) for name, part in value.items()}
    if kind is list:
        return [_plain(part) for part in value]
    convert = _CONVERT.get(kind)
    if convert is not None:
        return convert(value)
    if kind.__name__ in _PLAIN:
        return value
    # Regular expressions, code, timestamps of the oplog, references, the smallest and largest key.
    return _plain(json_util.default(value, json_util.CANONICAL_JSON_OPTIONS))
