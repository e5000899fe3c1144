"""The commonest queries in one read: what a call spells, the span of an index, the documents.

A program asks the same queries again and again with other values. Those that compare fields with
single values, and that one span of a btree index serves, are known by how the call spells them. Of
these neither a query nor a plan is made any more: the values are encoded, one lookup of the engine
gives the rows of the index with the documents they are of and, of the same moment, the row of the
catalogue. If that is another one by now, or there is more to do, the query is planned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, cast

from holdfast.codecs import envelope
from holdfast.codecs.serializers import MESSAGE_PACK
from holdfast.contract.engine import NOT_NOW, NotNow
from holdfast.contract.errors import StoreError
from holdfast.contract.lookup import TAIL, Fence, LookedUp, Lookup, Tally
from holdfast.documents.indexes.writers import NOTE_BYTES
from holdfast.documents.planner.lens import (
    NO_EXTRAS,
    NO_EXTRAS_AT,
    NOTHING,
    PLAINLY_ON,
    UNREADABLE,
    Lens,
    joined,
    of_condition,
    of_order,
)
from holdfast.documents.planner.prepared import Prepared
from holdfast.documents.planner.ties import is_cut
from holdfast.documents.query.compile import Test, compile_where
from holdfast.documents.query.fields import Field
from holdfast.documents.query.nodes import Comparison, Near, Within, all_of
from holdfast.documents.query.ordering import Arrangement, OrderBy, Row, keyed
from holdfast.documents.query.paths import Path
from holdfast.documents.query.values import BOOL, MISSING, NUMBER, TEXT, Constant
from holdfast.documents.storage import DocumentStorage
from holdfast.store import layout
from holdfast.store.versions.entry import Entry

#: So many rows of an index are looked up at once, at most.
ROWS_MAX: Final = 256
#: So many rows are counted at once, at most.
COUNTED_MAX: Final = 10_000
#: How many more rows than are wanted, where some may not match.
_SPARE_ROWS: Final = 8
_ODD: Final = envelope.BLOB | envelope.EXPIRES
#: The brackets of values of these types, in which none but a float needs another look.
_BRACKETS: Final[dict[type, int]] = {str: TEXT, int: NUMBER, float: NUMBER, bool: BOOL}
_LENGTH_BYTES: Final = 2
_decode = MESSAGE_PACK.decode_trusted

#: What calls have in common that are answered alike, and the values in which they differ.
Spelled = tuple[Hashable, list[Any]]
#: Where in an index: `start <= key < end`.
Span = tuple[bytes, bytes]


def spelled(
    conditions: tuple[Any, ...],
    order_by: Any,
    limit: int | None,
    offset: int,
    equal: dict[str, Any],
) -> Spelled | None:
    """How a call spells a query; None: in a way that is not known here, or not valid."""
    if type(offset) is not int or offset < 0:
        return None
    if limit is not None and (type(limit) is not int or not 0 < limit <= ROWS_MAX):
        return None
    near = order_by if type(order_by) is OrderBy and order_by.near is not None else None
    order = _spelled_order(order_by)
    if order is None:
        return None
    # An order has its place also where there is none: no two spellings may look alike.
    shape: list[Hashable] = [limit is None, order]
    values: list[Any] = []
    for one in conditions:
        if type(one) is Within or (type(one) is Near and one.meters is None):
            shape += (type(one), one.path)
            values.append(one)
            continue
        if type(one) is not Comparison:
            return None
        constant = one.value
        shape += (one.path, one.operator, constant.key[0])
        values.append(constant.value)
    for name, value in equal.items():
        bracket = _BRACKETS.get(type(value))
        if bracket is None or (type(value) is float and not math.isfinite(value)):
            return None
        shape += (name, bracket)
        values.append(value)
    if near is not None:
        values.append(near)
    return tuple(shape), values


def _spelled_order(order_by: Any) -> Hashable | None:
    """What calls with this order have in common; None: it is not known here."""
    order: Hashable = order_by
    kind = type(order_by)
    if kind is tuple:
        return None if order_by else ()
    if kind is OrderBy and order_by.near is not None:
        return order_by.path, order_by.descending, "near"
    if kind is Field:
        # None for the document itself: its path is what no order looks like.
        return order_by.path_of_field() or None
    return order if kind is str or kind is OrderBy else None


class Direct:
    """What the plan of a query has that does not depend on its values, ready to be run.

    Args:
        known: of its shape.
        storage: of the collection.
        fence: the row of the catalogue that the plan was made with.
    """

    __slots__ = (
        "_backwards", "_cut", "_data", "_fence", "_identifier", "_known", "_lens", "_name",
        "_noted", "_order", "_parts", "_peek", "_sorts", "_suffix", "_unique",
    )  # fmt: skip

    def __init__(self, known: Prepared, storage: DocumentStorage, fence: bytes) -> None:
        plan = known.plan
        query = plan.query
        self._known = known
        self._peek = storage.engine.peek_lookup
        self._name = known.access.index.name
        self._fence = Fence(storage.catalogue_key, fence)
        #: A row of a unique index says in its value which document it is of; see `_rows_named`.
        self._unique = known.access.index.unique
        self._identifier = _itself if self._unique else _identifier
        self._noted = self._unique or not known.uncut
        self._data = storage.rows.data
        self._backwards = plan.backwards
        self._order = query.order_by
        self._sorts = not (plan.ordered and plan.ties)
        #: The comparisons that the span does not say, by the places of their values.
        self._parts: list[tuple[int, Path, Any]] = [
            (place, part.path, part.operator)
            for place, part in enumerate(known.parts)
            if isinstance(part, Comparison) and place not in known.access.places
        ]
        looked_at = joined(
            of_condition(plan.rest) if self._parts else NOTHING,
            of_order(self._order) if self._sorts else NOTHING,
        )
        self._lens = Lens(looked_at)
        # Most collections have keys of one length: then it need not be looked up in each row.
        self._cut: tuple[int, int | None] | None = TAIL
        self._suffix: bytes | None = None

    @classmethod
    def of(
        cls, known: Prepared | None, storage: DocumentStorage, fence: bytes | None
    ) -> Direct | None:
        """What is kept of a shape; None: a lookup does not answer it."""
        if known is None or fence is None or storage.engine.peek_lookup is None:
            return None
        access = known.access
        order = access.order
        if order is None or order.descending[0] or access.arrays:
            return None
        return cls(known, storage, fence)

    def documents(  # noqa: C901 - each branch is a reason not to answer
        self, storage: DocumentStorage, values: Sequence[Any], limit: int | None, offset: int
    ) -> list[Any] | None:
        """The documents that the query gives, whole, in its order; None: it takes more."""
        end = None if limit is None else offset + limit
        wanted = None if self._sorts else end
        rows_max = ROWS_MAX
        if wanted is not None:
            rows_max = wanted + _SPARE_ROWS if self._parts else wanted
            if rows_max > ROWS_MAX:
                return None
        rows = self._rows(storage, values, rows_max)
        if rows is None:
            return None
        full = len(rows) == rows_max
        if full and wanted is None:
            return None
        if self._noted:
            for row in rows:
                if row[1] and is_cut(row[1]):
                    return None  # Where it stands says less than that.
        rows = living(storage, rows)
        if rows is None:
            return None
        if self._parts:
            rows = self._that_match(rows, values)
        if full and len(rows) < cast("int", wanted):
            return None
        if self._sorts:
            rows = self._arranged(rows, end)
        self._used(storage)
        rows = rows if not offset and wanted is None else rows[offset:end]
        return documents_of(rows, self._identifier)

    def count(self, storage: DocumentStorage, values: Sequence[Any]) -> int | None:
        """How many documents match, where the index alone says it; None: it takes more."""
        tally = storage.engine.peek_tally
        span = None if tally is None or self._parts else self._span(values)
        if tally is None or span is None:
            return None
        now = storage.space.clock.now_ms()
        due = (layout.EXPIRY, layout.expiry_key(now + 1, b""), 1)
        found = tally(Tally(self._fence, (due, (*span, COUNTED_MAX + 1))))
        if found is NOT_NOW:
            return None
        expired, total = found
        if expired or total > COUNTED_MAX:
            return None
        self._used(storage)
        return total

    # --- Inside -----------------------------------------------------------------------------

    def _span(self, values: Sequence[Any]) -> tuple[bytes, bytes] | None:
        try:
            span = self._known.span(values)
        except StoreError:
            return None  # Whoever makes a query of it says what is wrong.
        return None if span is None or span[0] >= span[1] else span

    def _used(self, storage: DocumentStorage) -> None:
        usage = storage.usage
        hits, misses = usage.get(self._name, (0, 0))
        usage[self._name] = hits + 1, misses

    def _rows(
        self, storage: DocumentStorage, values: Sequence[Any], rows_max: int
    ) -> list[LookedUp] | None:
        """The rows of the index with their documents, if its catalogue is still the one known."""
        peek = self._peek
        assert peek is not None
        span = self._span(values)
        if span is None:
            return None
        if self._unique:
            return self._rows_named(peek, span, rows_max)
        while True:
            cut = self._cut
            rows = peek(
                Lookup(
                    self._fence, (span,), self._backwards, rows_max, self._data, cut, self._noted
                )
            )
            if rows is NOT_NOW:
                return None
            if cut is TAIL:
                self._learn(rows)
                return rows
            suffix = self._suffix
            for row in rows:
                if row[0][-2:] != suffix:
                    break
            else:
                return rows
            # Keys of several lengths after all: from now on each row tells.
            self._cut, self._suffix = TAIL, b""

    def _rows_named(
        self, peek: Callable[[Lookup], list[LookedUp] | NotNow], span: Span, rows_max: int
    ) -> list[LookedUp] | None:
        """The same of a unique index: the document of a row stands where its key does elsewhere."""
        lookup = Lookup(
            self._fence, (span,), self._backwards, rows_max, self._data, in_value=NOTE_BYTES
        )
        rows = peek(lookup)
        if rows is NOT_NOW:
            return None
        skipped = len(self._data)
        return [
            (lookup.target(key, value)[skipped:], value[:NOTE_BYTES], stored)
            for key, value, stored in rows
        ]

    def _learn(self, rows: list[LookedUp]) -> None:
        """The length of the keys, unless they are known to have several."""
        if rows and self._suffix is None:
            self._suffix = suffix = rows[0][0][-_LENGTH_BYTES:]
            length = int.from_bytes(suffix, "big")
            if all(row[0][-2:] == suffix for row in rows):
                self._cut = (-_LENGTH_BYTES - length, length)

    def _that_match(self, rows: list[LookedUp], values: Sequence[Any]) -> list[LookedUp]:
        test: Test = compile_where(
            all_of(
                tuple(
                    Comparison(path, operator, Constant(values[place]))
                    for place, path, operator in self._parts
                )
            )
        )
        return [row for row in rows if test(self._seen(row))]

    def _arranged(self, rows: list[LookedUp], end: int | None) -> list[LookedUp]:
        """The rows in the order of the query, the first so many."""
        arrangement = Arrangement(self._order, end)
        # The key as it is packed sorts as it does itself.
        given = [(self._identifier(row[0]), self._seen(row), row) for row in rows]
        arrangement.add(keyed(cast("list[Row]", given), self._order))
        return [cast("Any", row)[2] for _, row in arrangement.rows()]

    def _seen(self, row: LookedUp) -> Any:
        """What the query looks at of a document."""
        seen = self._lens.document(cast("bytes", row[2]))
        return _value(row, self._identifier) if seen is MISSING else seen


def _identifier(key: bytes) -> bytes:
    return key[-2 - int.from_bytes(key[-2:], "big") : -2]


def _itself(identifier: bytes) -> bytes:
    return identifier


def documents_of(
    rows: list[LookedUp], identifier: Callable[[bytes], bytes] = _identifier
) -> list[Any]:
    """The whole documents of rows; `identifier` is in the key of each."""
    try:
        return [
            _decode(stored[PLAINLY_ON])  # type: ignore[index]  # whoever looked them up looked
            if stored[NO_EXTRAS_AT] == NO_EXTRAS and not stored[1] & _ODD  # type: ignore[index]
            else _value((key, note, stored), identifier)
            for key, note, stored in rows
        ]
    except UNREADABLE:
        return [_value(row, identifier) for row in rows]


def living(storage: DocumentStorage, rows: list[LookedUp]) -> list[LookedUp] | None:
    """The rows of documents that have not run out; None: one does not stand beside its row."""
    flags = 0
    for _, _, stored in rows:
        if stored is None:
            return None
        flags |= stored[1]
    if not flags & _ODD:
        return rows
    if flags & envelope.BLOB:
        return None
    return [row for row in rows if not storage.expired(cast("bytes", row[2]))]


def _value(row: LookedUp, identifier: Callable[[bytes], bytes] = _identifier) -> Any:
    """The whole document of a row. Raises what tells why it cannot be read."""
    key, _, stored = row
    entry: Entry[Any] = Entry(identifier(key), cast("bytes", stored), 0)
    return entry.value


__all__ = ["Direct", "Spelled", "documents_of", "living", "spelled"]
