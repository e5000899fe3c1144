"""Records as lines of JSON: made to be read, searched, compared and mended by people.

    {"key":"users:1","revision":12,"value":"Ada","crc":"5b3c0a91"}
    {"delete":"users:2","revision":12,"crc":"..."}
    {"id":"...","revision":12,"at":1700000000000,"crc":"..."}
    {"commit":12,"after":11,"rows":3,"crc":"..."}

While a database is open its last segment goes on with tabs, which lines written later replace. No
line has a tab in it, so what was never written cannot be taken for what was.
Bytes are texts (`text.py`), or base64 in a member whose name ends in 64. The checksum is CRC-32 of
the line before it. A line without one is believed as it is: that is how a person signs a change.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import orjson

from holdfast.contract.memory import is_left, no_memory
from holdfast.engines.file.records import (
    CHUNK_BYTES,
    BatchId,
    Commit,
    Found,
    Header,
    Read,
    Record,
    Row,
    Unsound,
)
from holdfast.engines.file.text import meant, readable

#: The end of a line: ,"crc":"01234567"}
_SEAL_BEGINS, _SEAL_ENDS = b',"crc":"', b'"}'
_SEAL_BYTES = 18
_CRC = slice(8, 16)
#: Padding; and what a medium did not write of a file that grew.
_UNWRITTEN = b"\t\0"
#: A line of this length is not read where memory is short: decoding it takes some times as much.
_LONG_BYTES = 16 * 1024
_ROOM_TIMES = 8

_dumps, _loads = orjson.dumps, orjson.loads


class JsonLines:
    """One record, one line."""

    suffix = ".jsonl"
    unit = "line"
    padding = b"\t"

    def encode(self, record: Record) -> bytes:
        if type(record) is Row:
            key, revision, value = record
            if value is None:
                body = b'{"delete%s,"revision":%d' % (_bytes(key), revision)
            else:
                body = b'{"key%s,"revision":%d,"value%s' % (_bytes(key), revision, _bytes(value))
        elif type(record) is Commit:
            assert record.after is not None
            assert record.rows is not None
            body = b'{"commit":%d,"after":%d,"rows":%d' % (
                record.revision,
                record.after,
                record.rows,
            )
        elif type(record) is BatchId:
            body = b'{"id%s,"revision":%d,"at":%d' % (_bytes(record.id), *record[1:])
        else:
            assert type(record) is Header
            said = {"holdfast": "segment", **record._asdict()}
            body = _dumps(said)[:-1]
        return b'%s,"crc":"%08x"}\n' % (body, crc32(body))

    def row(self, stored: bytes) -> Row:
        record = _parse(stored)
        if type(record) is not Row:
            raise Unsound("is not the row that was written there")
        return record

    def walk(
        self, read: Read, start: int, end: int, number: int = 1, *, values: bool = True
    ) -> Iterator[Found]:
        at, wanted, rest = start, CHUNK_BYTES, b""
        while at + len(rest) < end:
            chunk = read(at + len(rest), min(wanted, end - at - len(rest)))
            if not chunk:
                break
            lines = (rest + chunk).split(b"\n")
            # Lines longer than a chunk are gathered in ever longer ones.
            wanted = CHUNK_BYTES if len(lines) > 1 else 2 * wanted
            rest = lines.pop()
            for line in lines:
                if line.strip():  # An empty line means nothing.
                    yield Found(at, len(line) + 1, number, _examined(line, values=values))
                at += len(line) + 1
                number += 1
        rest = rest.rstrip(_UNWRITTEN)
        if rest.strip():
            yield _last(at, rest, number)


def _last(at: int, rest: bytes, number: int) -> Found:
    """What stands behind the last end of a line: sound, cut off, or with a damaged end."""
    record = _examined(rest)
    sealed = rest.find(_SEAL_BEGINS)
    if 0 <= sealed < len(rest) - _SEAL_BYTES:
        return Found(at, len(rest), number, Unsound("goes on behind its end"))
    # An editor may leave out the last end of a line.
    return Found(at, len(rest), number, record, cut=isinstance(record, Unsound))


def _bytes(raw: bytes) -> bytes:
    """The rest of a member's name, and its value."""
    text = readable(raw)
    if text is None:
        return b'64":"%s"' % b64encode(raw)
    return b'":' + _dumps(text)


def _examined(line: bytes, *, values: bool = True) -> Record | Unsound:
    try:
        return _parse(line, values=values)
    except Unsound as unsound:
        return unsound


def _parse(line: bytes, *, values: bool = True) -> Record:
    line = line.rstrip(b"\r\n")  # Some editors end lines in their own way.
    seal = line[-_SEAL_BYTES:]
    sealed = seal.startswith(_SEAL_BEGINS) and seal.endswith(_SEAL_ENDS)
    if sealed and b"%08x" % crc32(line[:-_SEAL_BYTES]) != seal[_CRC]:
        raise Unsound(
            "does not match its checksum; where it was changed on purpose, remove its crc"
        )
    if len(line) > _LONG_BYTES and not is_left(_ROOM_TIMES * len(line)):
        raise no_memory("read a long line")  # The decoder would crash.
    try:
        said = _loads(line)
    except ValueError:
        raise Unsound("is no JSON") from None
    if type(said) is not dict:
        raise Unsound("is no JSON object")
    if said.pop("crc", None) is not None and not sealed:
        raise Unsound("has its crc elsewhere than at its end; remove it from a line you change")
    try:
        if sealed and not values and (key := said.get("key")) is not None:
            return Row(meant(key), said["revision"], b"")
        return _record(said)
    except (KeyError, TypeError, NoBase64, UnicodeError):
        raise Unsound(
            f"lacks a member of its kind, or one has another type ({sorted(said)})"
        ) from None


def _record(said: dict[str, Any]) -> Record:
    record: Record
    if "key" in said or "key64" in said:
        record = Row(_take(said, "key"), _number(said, "revision"), _take(said, "value"))
    elif "commit" in said:
        after = _number(said, "after") if "after" in said else None
        rows = _number(said, "rows") if "rows" in said else None
        record = Commit(_number(said, "commit"), after, rows)
    elif "delete" in said or "delete64" in said:
        record = Row(_take(said, "delete"), _number(said, "revision"), None)
    elif "id" in said or "id64" in said:
        record = BatchId(_take(said, "id"), _number(said, "revision"), _number(said, "at"))
    elif said.pop("holdfast", None) == "segment":
        store = said.pop("store")
        numbers = (_number(said, name) for name in ("format", "segment", "after"))
        format, segment, after = numbers
        record = Header(format, segment, str(store), after)
    else:
        raise Unsound(f"is none that a segment holds ({sorted(said)})")
    if said:
        raise Unsound(f"has a member that its kind has not ({sorted(said)})")
    return record


def _take(said: dict[str, Any], name: str) -> bytes:
    if name in said:
        return meant(said.pop(name))
    return b64decode(said.pop(name + "64"), validate=True)


def _number(said: dict[str, Any], name: str) -> int:
    number = said.pop(name)
    if type(number) is not int or number < 0:
        raise TypeError(name)
    return number
