"""Collections as JSON Lines, and JSON Lines into collections: every value reads back exactly.

    {"key": "tokyo", "value": {"name": "Tokyo"}, "metadata": {"expires_at": ...}}

Bytes and instants have a spelling of their own; see `holdfast.codecs.typed_json`. With a
`key_field` the lines are plain objects, as other programs write them:

    {"id": "tokyo", "name": "Tokyo"}
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from datetime import datetime
from os import PathLike
from typing import IO, Any, Final, NamedTuple

from holdfast.adapters.files import opened, output, stepped
from holdfast.adapters.handles import either
from holdfast.adapters.rows import COMMIT_ROWS, Rows, Writer
from holdfast.codecs import typed_json
from holdfast.contract.errors import InvalidInput, StoreError
from holdfast.documents.collection import Collection
from holdfast.documents.plain import components_of
from holdfast.store.instants import milliseconds

#: The longest line: the biggest value there can be, in base64.
LINE_BYTES_MAX: Final = 300 * 1024 * 1024

_PARTS: Final = frozenset(("key", "value", "metadata"))


@either
async def to_json_lines(
    collection: Collection[Any],
    target: str | PathLike[str] | IO[str],
    query: Any = None,
    *,
    key_field: str | None = None,
    hint: str | None = None,
) -> int:
    """Write the documents that a query finds as JSON Lines; how many, all of one moment.

    Args:
        collection: with one of `holdfast.sync` nothing is awaited.
        target: the path of a file, which is there when all of it was written; or a stream of text.
        query: a condition such as `F.age >= 18`, its text or JSON form, or a whole `Query`; None:
            every document.
        key_field: write the documents themselves, with their keys in this field.
        hint: the index to use.

    Raises:
        InvalidInput: a document has a field of the name that the keys were to have.
        InvalidValue: with `key_field` or `select`, a document without fields.
        InvalidQuery, PatternInvalid: the query is malformed.
        OSError: the file cannot be written.
    """
    documents = Rows(collection, query, hint)
    count = 0
    async with documents as rows, output(collection, target) as stream:
        async for key, document, expires_at in rows.values():
            stream.write(typed_json.text_of(_line(key, document, expires_at, key_field)))
            stream.write("\n")
            count += 1
    return count


def _line(
    key: str, document: Any, expires_at: datetime | None, key_field: str | None
) -> dict[str, Any]:
    if key_field is None:
        line = {"key": key, "value": typed_json.to_json(document)}
        if expires_at is not None:
            line["metadata"] = {"expires_at": expires_at.isoformat()}
        return line
    if not isinstance(document, dict):
        raise InvalidInput(
            f"with key_field a document has named fields; found a {type(document).__name__} under "
            f"the key {key[:80]!r}. Leave key_field out"
        )
    if key_field in document:
        raise InvalidInput(
            f"the field {key_field!r} is to have the keys; found a document with such a field. "
            "Name another"
        )
    return {
        key_field: key,
        **{name: typed_json.to_json(value) for name, value in document.items()},
    }


@either
async def from_json_lines(
    collection: Collection[Any],
    source: str | PathLike[str] | IO[bytes],
    *,
    key_field: str | None = None,
    commit_rows: int = COMMIT_ROWS,
    modified_by: str | int | None = None,
    comment: str | None = None,
) -> int:
    """Write the lines of JSON Lines as documents; how many. What has expired is left out.

    Lines are written some at a time, each time as one commit: what was committed before a bad line
    stays.

    Args:
        collection: with one of `holdfast.sync` nothing is awaited.
        source: the path of a file, or a stream of bytes, in UTF-8.
        key_field: lines are documents themselves; this field is the key, and no field of them.
        commit_rows: how many lines one commit takes at most.
        modified_by, comment: who and why.

    Raises:
        InvalidInput: a line is not such; the message names it.
        InvalidKey, SchemaValidationFailed, SerializationFailed: a line cannot be a document.
        OSError: the file cannot be read.
    """
    writer = Writer(collection, commit_rows, modified_by=modified_by, comment=comment)
    clock = components_of(collection).clock
    async with opened(collection, source) as stream, writer:
        async for line in stepped(collection, _lines(stream, key_field)):
            expires_at = line.expires_at
            if expires_at is not None and milliseconds(expires_at) <= clock.now_ms():
                continue
            try:
                await writer.add(line.key, line.document, line.size, expires_at)
            except StoreError as error:
                if "row" not in error.details:
                    error.message = f"line {line.number}: {error.message}"
                raise
    return writer.written


class _Line(NamedTuple):
    number: int
    size: int
    key: str
    document: Any
    expires_at: datetime | None


def _lines(stream: IO[bytes], key_field: str | None) -> Iterator[_Line]:
    number = 0
    while text := stream.readline(LINE_BYTES_MAX + 1):
        number += 1
        if number == 1:
            text = text.removeprefix(codecs.BOM_UTF8)
        try:
            if len(text) > LINE_BYTES_MAX:
                raise InvalidInput(f"a line has at most {LINE_BYTES_MAX} bytes; found more")
            if text.strip():
                yield _Line(number, len(text), *_parts(typed_json.parse(text), key_field))
        except StoreError as error:
            error.message = f"line {number}: {error.message}"
            raise


def _parts(content: Any, key_field: str | None) -> tuple[str, Any, datetime | None]:
    """The key, the document and the expiry that a line spells. Raises InvalidInput."""
    if not isinstance(content, dict):
        raise InvalidInput("wanted a JSON object; found something else")
    if key_field is None:
        if "key" not in content or "value" not in content or content.keys() - _PARTS:
            raise InvalidInput(
                'wanted an object with "key" and "value", and perhaps "metadata"; found another '
                "one. For plain objects say which field is the key"
            )
        value = typed_json.from_json(content["value"])
        return _key(content["key"]), value, _expiry(content.get("metadata"))
    if key_field not in content:
        raise InvalidInput(f"wanted a field {key_field!r} for the key; found none")
    key = _key(content.pop(key_field))
    return key, {name: typed_json.from_json(value) for name, value in content.items()}, None


def _key(found: Any) -> str:
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    if not isinstance(found, str):
        raise InvalidInput("a key is a text or a whole number; found something else")
    return found


def _expiry(metadata: Any) -> datetime | None:
    if metadata is None:
        return None
    wanted = '"metadata" is an object whose "expires_at" is an instant in ISO 8601 with its offset'
    if not isinstance(metadata, dict):
        raise InvalidInput(f"{wanted}; found something else")
    found = metadata.get("expires_at")
    if found is None:
        return None
    try:
        moment = datetime.fromisoformat(found)
    except (TypeError, ValueError):
        raise InvalidInput(f"{wanted}; found something else") from None
    if moment.tzinfo is None:
        raise InvalidInput(f"{wanted}; found one without its offset")
    return moment
