"""Reading the rows of an import, from JSON lines or one JSON document, one at a time."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any, BinaryIO, NamedTuple

from holdfast.cli.exits import BadUsage
from holdfast.cli.settings import Setting, setting_of
from holdfast.codecs import typed_json
from holdfast.codecs.text import StoreKey, parse_namespace
from holdfast.contract.errors import InvalidInput, StoreError

#: The longest line: the biggest value there can be, in base64.
LINE_BYTES_MAX = 300 * 1024 * 1024
#: The biggest JSON document: it is read as a whole. JSON lines have no such limit.
DOCUMENT_BYTES_MAX = 512 * 1024 * 1024

# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = (
    ("UTF-32", codecs.BOM_UTF32_LE), ("UTF-32", codecs.BOM_UTF32_BE), ("UTF-8", codecs.BOM_UTF8),
    ("UTF-16", codecs.BOM_UTF16_LE), ("UTF-16", codecs.BOM_UTF16_BE),
)  # fmt: skip

_PARTS = frozenset(("key", "value", "metadata"))


class Form(StrEnum):
    """How the file is written."""

    AUTO = "auto"
    LINES = "lines"
    JSON = "json"
    #: Of collections.
    CSV = "csv"
    PARQUET = "parquet"

    def settled(self, file: str) -> Form:
        """What `auto` means for a file of that name: lines, unless it is called .json.

        Raises BadUsage for a form that entries do not have.
        """
        if self in (Form.CSV, Form.PARQUET):
            raise BadUsage(f"--format {self.value} is of collections; give --collection NAME")
        if self is not Form.AUTO:
            return self
        return Form.JSON if file.lower().endswith(".json") else Form.LINES


class Row(NamedTuple):
    """One entry to write.

    Attributes:
        line: where it stands, from 1; in a document its number among the rows.
        position: how many bytes of the file end with it.
        weight: about how many bytes it holds.
    """

    line: int
    position: int
    weight: int
    key: StoreKey
    value: Any
    modified_by: str | int | None = None
    comment: str | None = None
    tags: list[str] | None = None
    expires_at: datetime | None = None
    schema_hash: str | None = None
    data_hash: str | None = None

    def blame(self, error: StoreError) -> StoreError:
        """The error, saying which row is to blame."""
        return blame(error, self.line)


class Shape(NamedTuple):
    """Where the key of a row comes from.

    Attributes:
        namespace: keys are names in it; None: keys are written in full.
        key_field: the field of a plain object that is its key; None: rows have key and value.
    """

    namespace: tuple[str, ...] | None
    key_field: str | None

    @classmethod
    def of(cls, namespace: str | None, key_field: str | None) -> Shape:
        """The shape that the options ask for."""
        if namespace is None:
            return cls(None, key_field)
        if not namespace:
            # More likely a variable of a script that was not set than the root.
            raise BadUsage("--namespace reads segments such as cities/DE; found none")
        return cls(parse_namespace(namespace), key_field)

    def row(self, line: int, position: int, weight: int, content: Any) -> Row | Setting:
        """The row, or the setting, that a JSON object spells."""
        if not isinstance(content, dict):
            raise InvalidInput("wanted a JSON object; found something else")
        if self.key_field is not None:
            if self.key_field not in content:
                raise InvalidInput(f"wanted a field {self.key_field!r} for the key; found none")
            key = self._key(content[self.key_field])
            return Row(line, position, weight, key, typed_json.from_json(content))
        if "setting" in content and self.namespace is None:
            return setting_of(line, content)
        if "key" not in content or "value" not in content or content.keys() - _PARTS:
            raise InvalidInput(
                'wanted an object with "key" and "value", and perhaps "metadata"; found another '
                "one. For plain objects say which field is the key: --key-field NAME"
            )
        key = self._key(content["key"])
        value = typed_json.from_json(content["value"])
        return Row(line, position, weight, key, value, **_metadata(content.get("metadata")))

    def pair(self, number: int, position: int, weight: int, name: str, content: Any) -> Row:
        """The row that a name and its value in a JSON object spell."""
        return Row(number, position, weight, self._key(name), typed_json.from_json(content))

    def _key(self, found: Any) -> StoreKey:
        if isinstance(found, int) and not isinstance(found, bool):
            found = str(found)
        if not isinstance(found, str):
            raise InvalidInput("a key is a text or a whole number; found something else")
        if self.namespace is None:
            return StoreKey.parse(found)
        return StoreKey(found, self.namespace)


def read_rows(stream: BinaryIO, form: Form, shape: Shape) -> Iterator[Row | Setting]:
    """The rows of a file, and the settings that an export of everything ends with.

    Raises InvalidInput, naming the line, for one that cannot be read.
    """
    if form is Form.JSON:
        yield from _read_document(stream, shape)
        return
    position = 0
    line = 0
    while text := stream.readline(LINE_BYTES_MAX + 1):
        line += 1
        position += len(text)
        try:
            if len(text) > LINE_BYTES_MAX:
                raise InvalidInput(f"a line has at most {LINE_BYTES_MAX} bytes; found more")
            if line == 1:
                text = _unmarked(text)
            if not text.strip():
                continue
            yield shape.row(line, position, len(text), typed_json.parse(text))
        except StoreError as error:
            raise blame(error, line) from error


def _read_document(stream: BinaryIO, shape: Shape) -> Iterator[Row | Setting]:
    text = stream.read(DOCUMENT_BYTES_MAX + 1)
    if len(text) > DOCUMENT_BYTES_MAX:
        raise InvalidInput(
            f"a JSON document has at most {DOCUMENT_BYTES_MAX} bytes; found more. "
            "Write one row per line and import them with --format lines"
        )
    content = typed_json.parse(_unmarked(text))
    if not isinstance(content, dict | list):
        raise InvalidInput("wanted a JSON array or object of rows; found something else")
    number_of_rows = len(content)
    size = len(text)
    weight = size // max(1, number_of_rows)
    rows = content.items() if isinstance(content, dict) else enumerate(content)
    for number, (name, part) in enumerate(rows, 1):
        position = size * number // number_of_rows
        try:
            if isinstance(name, str):
                yield shape.pair(number, position, weight, name, part)
            else:
                yield shape.row(number, position, weight, part)
        except StoreError as error:
            raise blame(error, number) from error


def _metadata(found: Any) -> dict[str, Any]:
    """What an import takes over of a row's metadata; the rest the database counts anew."""
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidInput('"metadata" is an object, as export writes it; found something else')
    taken = {
        name: found[name]
        for name in ("modified_by", "comment", "tags", "schema_hash", "data_hash")
        if found.get(name) is not None
    }
    if found.get("expires_at") is not None:
        taken["expires_at"] = _instant(found["expires_at"])
    return taken


def _instant(found: Any) -> datetime:
    """When an entry expires. Raises InvalidInput."""
    wanted = '"expires_at" wanted an instant in ISO 8601, such as 2025-01-31T12:00:00Z'
    try:
        moment = datetime.fromisoformat(found)
    except (TypeError, ValueError):
        raise InvalidInput(f"{wanted}; found something else") from None
    if moment.tzinfo is None:
        raise InvalidInput(f"{wanted}; found one without its offset, which could be anywhere")
    return moment


def _unmarked(text: bytes) -> bytes:
    """The beginning of a file without its byte order mark. Raises InvalidInput for UTF-16."""
    for encoding, mark in _MARKS:
        if text.startswith(mark):
            if encoding == "UTF-8":
                return text[len(mark) :]
            raise InvalidInput(f"wanted UTF-8; found {encoding}. Convert it: iconv -f {encoding}")
    return text


def blame(error: StoreError, line: int) -> StoreError:
    """The error, saying which line of the file is to blame."""
    if "line" not in error.details:
        error.message = f"line {line}: {error.message}"
        error.details = error.details | {"line": line}
    return error
