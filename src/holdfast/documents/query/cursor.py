"""Cursors: where a page ended, as a text that leads to the next.

A cursor names a place in the order of a query by the sort keys and the key of a row, not by a
count: so rows that come and go between two pages shift nothing. It belongs to the query's
conditions (their fields and operators; values may differ), and to its order exactly.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, NoReturn

from holdfast.codecs.digest import digest_bytes
from holdfast.codecs.keys import pack, unpack
from holdfast.contract.errors import DeserializationFailed, InvalidKey, InvalidQuery
from holdfast.documents.query.ordering import sort_key
from holdfast.documents.query.places import Distance, haversine
from holdfast.documents.query.query import Query
from holdfast.documents.query.values import BOOL, BYTES, INSTANT, KEY_END, NUMBER, TEXT

CURSOR_CHARACTERS_MAX = 65_536
"""The longest cursor, in characters."""

_VERSION = 1
_FINGERPRINT_BYTES = 12
#: What stands behind the bracket of a value without parts.
_KINDS: dict[int, tuple[type, ...]] = {
    NUMBER: (int, float), TEXT: (str,), BYTES: (bytes,), BOOL: (bool,), INSTANT: (int,),
}  # fmt: skip


def fingerprint(query: Query) -> bytes:
    """What a cursor must have in common with a query: 12 bytes."""
    order = ",".join(f"{clause.shape()}{clause.near or ''}" for clause in query.order_by)
    return digest_bytes(f"{query.where.shape()}|{order}".encode()).raw[:_FINGERPRINT_BYTES]


def cursor_of(query: Query, key: str, document: Any, distance: Distance = haversine) -> str:
    """The cursor of a result of the query: the page after it begins behind this row.

    Raises:
        InvalidQuery: what the query orders by is too long for a cursor.
    """
    keys = [sort_key(document, clause, distance) for clause in query.order_by]
    packed = pack((_VERSION, fingerprint(query), key, *keys))
    text = urlsafe_b64encode(packed).rstrip(b"=").decode()
    if len(text) > CURSOR_CHARACTERS_MAX:
        raise InvalidQuery(
            f"a cursor has at most {CURSOR_CHARACTERS_MAX} characters; what this query orders by "
            "is longer. Order by something shorter",
            limit=CURSOR_CHARACTERS_MAX,
        )
    return text


def read_cursor(query: Query) -> tuple[Any, ...] | None:
    """The sort keys and, last, the key that the query's page begins behind; None without `after`.

    Raises:
        InvalidQuery: `after` is no cursor, or that of another query.
    """
    if query.after is None:
        return None
    if len(query.after) > CURSOR_CHARACTERS_MAX:
        _refuse("a longer text")
    try:
        padded = query.after.encode("ascii") + b"=" * (-len(query.after) % 4)
        version, bound, key, *keys = unpack(urlsafe_b64decode(padded))
    except (ValueError, binascii.Error, DeserializationFailed, InvalidKey):
        _refuse("a text that is none")
    if version != _VERSION:
        _refuse("one of another version")
    if bound != fingerprint(query):
        _refuse("the cursor of another query", "Give the same conditions and order as before")
    if not isinstance(key, str) or len(keys) != len(query.order_by) or not all(map(_is_key, keys)):
        _refuse("a text that is none")
    return (*keys, key)


def _is_key(key: object) -> bool:
    """Whether it reads as `order_key` writes, so that it compares with the keys of documents."""
    if not isinstance(key, tuple) or not key:
        return False
    tokens = iter(key)
    for bracket in tokens:
        if type(bracket) is not int or not KEY_END <= bracket <= INSTANT:
            return False
        kinds = _KINDS.get(bracket)
        if kinds is not None and type(next(tokens, None)) not in kinds:
            return False
    return True


def _refuse(found: str, advice: str = "Pass what the page before gave, unchanged") -> NoReturn:
    raise InvalidQuery(
        f"after wanted a cursor of this query; found {found}. {advice}, or leave it out to begin "
        "at the first page",
        path="after",
    )
