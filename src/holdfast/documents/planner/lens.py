"""Reading of stored documents no more than a query looks at.

A document has many fields, and a condition or a group looks at one or two. The decoder skips the
others without making objects of them, which is several times quicker than to decode it whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, TypedDict

import msgspec

from holdfast.codecs import envelope
from holdfast.codecs.serializers import MESSAGE_PACK
from holdfast.contract.record import Record
from holdfast.documents.aggregate.stages import (
    AddFields,
    Count,
    Group,
    Limit,
    Match,
    Project,
    Skip,
    Sort,
    Stage,
)
from holdfast.documents.query.computed import (
    Call,
    Conditional,
    Expression,
    FieldValue,
    LiteralValue,
)
from holdfast.documents.query.nodes import And, Node, Not, Or
from holdfast.documents.query.ordering import OrderBy
from holdfast.documents.query.paths import Path
from holdfast.documents.query.query import Query
from holdfast.documents.query.values import MISSING

#: Names of fields at the top of a document; None: all of it.
Fields = frozenset[str] | None

NOTHING: Final[frozenset[str]] = frozenset()
#: Of a query that looks at so many fields, documents are decoded whole.
FIELDS_MAX: Final = 32
#: Bits of documents that do not stand in the row; and those of what may have run out besides.
_ELSEWHERE: Final = 0xFF & ~(envelope.TAGGED | envelope.EXPIRES)
_ODD: Final = _ELSEWHERE | envelope.EXPIRES
_PLAIN: Final = MESSAGE_PACK.code
_HEADER_BYTES: Final = envelope.HEADER_BYTES
#: Where an envelope has the length of its extras, and what follows where there are none.
EXTRAS: Final = 86
NO_EXTRAS: Final = bytes((0, 0, _PLAIN))
PLAINLY: Final = EXTRAS + len(NO_EXTRAS)
#: The same as slices, which are made once: they are asked of each document.
NO_EXTRAS_AT: Final = slice(EXTRAS, PLAINLY)
PLAINLY_ON: Final = slice(PLAINLY, None)
#: What decoders raise: it is no object, is damaged or nested too deeply, or memory is short.
UNREADABLE: Final = (ValueError, RecursionError, MemoryError)
#: How many sets of fields keep their decoders.
_DECODERS_MAX: Final = 256


class Lens:
    """Decodes some fields of documents.

    Args:
        fields: which; None: all.
    """

    def __init__(self, fields: Fields) -> None:
        self._missing = False
        self._decode: Callable[[bytes], Any] | None = None
        if fields is None or len(fields) > FIELDS_MAX:
            self._decode = MESSAGE_PACK.decode_trusted
        elif fields:
            self._decode = _decoder(fields)

    def document(self, stored: bytes) -> Any:
        """What is wanted of a document that has not run out; MISSING: its entry has to tell.

        None where nothing is wanted.
        """
        decode = self._decode
        if decode is None:
            return None
        if not stored[1] & _ELSEWHERE:
            at = _HEADER_BYTES + (stored[EXTRAS] << 8) + stored[EXTRAS + 1]
            if stored[at] == _PLAIN:
                try:
                    return decode(stored[at + 1 :])
                except UNREADABLE:
                    return MISSING
        return MISSING

    def that_meet(
        self, test: Callable[[Any], bool] | None, into: list[Any] | None = None
    ) -> Callable[[bytes], Any]:
        """What tells of a stored document what is wanted of it, if it meets a test; else None.

        MISSING: its entry has to tell, also if it may have run out. `into` takes what is wanted of
        the others, if given: they are not told then.
        """
        decode = self._decode or _nothing
        take = None if into is None else into.append

        def seen(stored: bytes) -> Any:
            if stored[NO_EXTRAS_AT] == NO_EXTRAS and not stored[1] & _ODD:
                try:
                    document = decode(stored[PLAINLY_ON])
                except UNREADABLE:
                    return MISSING
            else:
                document = self._one(stored)
            if document is MISSING or (document is None and take is None):
                return MISSING
            if test is not None and not test(document):
                return None
            return document if take is None else take(document)

        return seen

    def documents(self, rows: Sequence[tuple[bytes, Record]]) -> tuple[list[Any], bool]:
        """The same of many rows, and whether one is MISSING: also if it may have run out."""
        self._missing = False
        return self._documents(rows), self._missing

    def _documents(self, rows: Sequence[tuple[bytes, Record]]) -> list[Any]:
        decode = self._decode or _nothing
        try:
            # Most are stored in the plainest form: of these one comparison tells where they begin.
            return [
                decode(stored[PLAINLY_ON])
                if stored[NO_EXTRAS_AT] == NO_EXTRAS and not stored[1] & _ODD
                else self._one(stored)
                for _, (stored, _) in rows
            ]
        except UNREADABLE:
            return [self._one(stored) for _, (stored, _) in rows]

    def _one(self, stored: bytes) -> Any:
        document = MISSING if stored[1] & _ODD else self.document(stored)
        self._missing = self._missing or document is MISSING
        return document


def _nothing(_payload: bytes) -> None:
    return None


def _unknown(code: int, _data: memoryview) -> Any:
    raise ValueError(f"MessagePack extension type {code} is not known here")


@lru_cache(_DECODERS_MAX)
def _decoder(fields: frozenset[str]) -> Callable[[bytes], Any]:
    names: Any = dict.fromkeys(sorted(fields), Any)
    kind = TypedDict("Fields", names, total=False)  # type: ignore[misc]
    decoder: Any = msgspec.msgpack.Decoder(kind, ext_hook=_unknown)
    decode: Callable[[bytes], Any] = decoder.decode
    return decode


# --- What a query looks at ---------------------------------------------------------------------


def joined(*several: Fields) -> Fields:
    """All of these fields."""
    found: frozenset[str] = NOTHING
    for one in several:
        if one is None:
            return None
        found |= one
    return found


def of_condition(node: Node) -> Fields:
    """The fields that a condition looks at."""
    if isinstance(node, And | Or):
        return joined(*map(of_condition, node.conditions))
    if isinstance(node, Not):
        return of_condition(node.condition)
    path: Path = node.path  # type: ignore[attr-defined]  # of all the others
    return _of_path(path)


def of_order(order: Sequence[OrderBy]) -> Fields:
    """The fields that an order looks at."""
    return joined(*(_of_path(one.path) for one in order))


def of_page(query: Query) -> Fields:
    """The fields that a query's order looks at, and that it selects."""
    return joined(of_order(query.order_by), *map(_of_path, query.select or ()))


def of_stages(stages: Sequence[Stage]) -> Fields:
    """The fields that a pipeline looks at."""
    found: Fields = NOTHING
    for stage in stages:
        match stage:
            case Match(where):
                found = joined(found, of_condition(where))
            case Sort(order):
                found = joined(found, of_order(order))
            case AddFields(computed):
                found = joined(found, *(_of_expression(one) for _, one in computed))
            case Limit() | Skip():
                continue
            case Group(by, accumulated):
                arguments = [one.argument for _, one in accumulated if one.argument is not None]
                keys = [one for _, one in by]
                return joined(found, *map(_of_expression, [*keys, *arguments]))
            case Project(keep, computed, ()) if keep or computed:
                values = (_of_expression(one) for _, one in computed)
                return joined(found, *map(_of_path, keep), *values)
            case Count():
                return found
            case _:
                return None
    return None


def _of_expression(expression: Expression) -> Fields:
    match expression:
        case FieldValue(path):
            return _of_path(path)
        case LiteralValue():
            return NOTHING
        case Call(_, arguments):
            return joined(*map(_of_expression, arguments))
        case Conditional(condition, then, otherwise):
            return joined(of_condition(condition), *map(_of_expression, (then, otherwise)))
    return None


def _of_path(path: Path) -> Fields:
    return frozenset(path[:1]) or None
