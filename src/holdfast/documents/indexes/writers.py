"""What one index writes when a document changes, by its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, cast

from holdfast.codecs.keys import unpack_text
from holdfast.contract.batch import CheckKey
from holdfast.contract.errors import DuplicateKey, StoreError
from holdfast.documents.entries import Found, IndexOrder, Note
from holdfast.documents.geo import index as geo
from holdfast.documents.hashed import hash_entries
from holdfast.documents.indexes.definition import IndexDefinition
from holdfast.documents.indexes.writer import IndexWriter, Read, Rows, Values
from holdfast.documents.query.paths import path_text
from holdfast.documents.text.analysis import Analyzer
from holdfast.documents.text.forward import Forward
from holdfast.documents.text.index import TextIndex, Texts
from holdfast.documents.text.rows import STATISTICS_KEY, forward_key, number_key
from holdfast.documents.vector.vectors import Metric, VectorSpace
from holdfast.store.plan import Plan

#: A row of a unique index whose entry is the only one of its values has the identifier behind the
#: note. Of equal nulls there may be many: they stand as in other indexes.
NOTE_BYTES: Final = 1
_SHARED = Note.MISSING | Note.NOTHING


class OrderedWriter(IndexWriter):
    """A btree index."""

    def __init__(self, keyspace: int, definition: IndexDefinition) -> None:
        super().__init__(keyspace, definition)
        self.order = order_of(definition)
        #: Rows that have to be absent before the commit, and the error if they are not: told to
        #: the plan at its end, for telling each by itself costs the square of them.
        self._absent: dict[bytes, StoreError] = {}
        # Each document that comes brings its error with it, in case it is refused.
        fields = ", ".join(path_text(path) for path in self._paths)
        self._duplicate = (
            f"the unique index {definition.name!r} wants values of {fields} that no other "
            "document has; found them in one. Nothing was written: change them, or the document "
            "that has them"
        )

    @property
    def together(self) -> bool:
        return not self.definition.unique

    def add(self, rows: Rows, identifiers: Sequence[bytes], documents: Sequence[Any]) -> list[int]:
        columns = [self.column(path, documents) for path in self._paths]
        keys = self.order.whole_entries(columns, identifiers)
        prefix = self.prefix
        rows.update({prefix + key: b"" for key in keys if key is not None})
        return [place for place, key in enumerate(keys) if key is None] if None in keys else []

    def replace(self, rows: Rows, identifier: bytes, before: Any, after: Any) -> bool:
        if super().replace(rows, identifier, before, after):
            return True
        if self.definition.unique:
            return False
        columns = [self.column(path, (before, after)) for path in self._paths]
        old, new = self.order.whole_entries(columns, (identifier, identifier))
        if old is None or new is None:
            return False
        if old != new:
            rows[self.prefix + old] = None
            rows[self.prefix + new] = b""
        return True

    def change(
        self, plan: Plan, identifier: bytes, before: Values, after: Values, read: Read
    ) -> None:
        if self.definition.unique:
            self._change_unique(plan, identifier, before, after, read)
            return
        prefix, rows = self.prefix, plan.rows
        if before is None and after is not None:
            for key, note in self.order.entries(after, identifier).items():
                rows[prefix + key] = note
            return
        for key, value in self.order.changes(before, after, identifier):
            rows[prefix + key] = value

    def _change_unique(
        self, plan: Plan, identifier: bytes, before: Values, after: Values, read: Read
    ) -> None:
        old = {} if before is None else self.unique_rows(before, identifier)
        new = {} if after is None else self.unique_rows(after, identifier)
        building = self.definition.state == "building"
        for key, value in old.items():
            if key in new or self._handed_on(key):
                continue
            # While it is built the row may be of another document, which has the value too.
            if not building or read(key) == value:
                plan.delete(key)
        for key, value in new.items():
            if building:
                standing = read(key)
                if standing in (None, value):
                    plan.put(key, value)
                elif key not in old:
                    error = self.duplicate(identifier)
                    plan.unique = {**plan.unique, key: error}  # So it is known what is in the way.
                    raise error
            elif old.get(key) != value:
                if len(value) > NOTE_BYTES and key not in old:
                    self._require_absent(plan, key, identifier)
                plan.put(key, value)

    def _require_absent(self, plan: Plan, key: bytes, identifier: bytes) -> None:
        """Have the commit refused if a row stands there, unless this plan itself removes it."""
        if key not in plan.rows:
            self._absent[key] = self.duplicate(identifier)
        elif plan.rows[key] is not None:
            raise self.duplicate(identifier)

    def _handed_on(self, key: bytes) -> bool:
        """Whether a document of this commit has taken the row over from the one that leaves it."""
        return self._absent.pop(key, None) is not None

    def begin(self) -> None:
        self._absent = {}

    def finish(self, plan: Plan, read: Read, lacks: Callable[[], bool]) -> None:
        absent = self._absent
        if absent:
            self._absent = {}
            plan.draft.checks = [*plan.draft.checks, *[CheckKey(key, None) for key in absent]]
            plan.unique = {**plan.unique, **absent}

    def unique_rows(self, values: list[Found], identifier: bytes) -> dict[bytes, bytes]:
        """The rows of a document in a unique index, whole keys."""
        tail = self.order.tail(identifier)
        if all(len(found) == 1 for found in values):
            # Each is a column of one document.
            [whole] = self.order.whole_entries(values, (identifier,))
            if whole is not None:
                return {self.prefix + whole[: -len(tail)]: b"\0" + identifier}
        rows = {}
        nulls = self._nulls(values, identifier)
        for key, note in self.order.entries(values, identifier).items():
            if (note and note[0] & _SHARED) or key in nulls:
                rows[self.prefix + key] = note[:NOTE_BYTES]
            else:
                rows[self.prefix + key[: -len(tail)]] = (note or b"\0") + identifier
        return rows

    def _nulls(self, values: list[Found], identifier: bytes) -> set[bytes]:
        """The entries in which a field is null."""
        nulls: set[bytes] = set()
        for place, found in enumerate(values):
            if any(one is None or (type(one) is list and None in one) for one in found):
                nulls.update(
                    self.order.entries([*values[:place], (None,), *values[place + 1 :]], identifier)
                )
        return nulls

    def duplicate(self, identifier: bytes) -> DuplicateKey:
        """The error of a value that stands in another document."""
        name, key = self.definition.name, unpack_text(identifier)
        return DuplicateKey(self._duplicate, index=name, key=key)


class HashWriter(IndexWriter):
    """A hash index."""

    def change(
        self, plan: Plan, identifier: bytes, before: Values, after: Values, read: Read
    ) -> None:
        old = {} if before is None else hash_entries(before, identifier, self.definition.secret)
        new = {} if after is None else hash_entries(after, identifier, self.definition.secret)
        for key in old:
            if key not in new:
                plan.delete(self.prefix + key)
        for key, value in new.items():
            plan.put(self.prefix + key, value)


class GeoWriter(IndexWriter):
    """A spatial index."""

    @property
    def together(self) -> bool:
        return True

    def add(self, rows: Rows, identifiers: Sequence[bytes], documents: Sequence[Any]) -> list[int]:
        prefix, others = self.prefix, []
        column = self.column(self._paths[0], documents)
        for place, (value, identifier) in enumerate(zip(column, identifiers, strict=True)):
            row = geo.simple_entry(value, identifier)
            if row is None:
                others.append(place)
            else:
                rows[prefix + row[0]] = row[1]
        return others

    def replace(self, rows: Rows, identifier: bytes, before: Any, after: Any) -> bool:
        old, new = [
            geo.simple_entry(value, identifier)
            for value in self.column(self._paths[0], (before, after))
        ]
        if old is None or new is None:
            return False
        if old[0] != new[0]:
            rows[self.prefix + old[0]] = None
        if old != new or self.definition.state == "building":
            rows[self.prefix + new[0]] = new[1]
        return True

    def change(
        self, plan: Plan, identifier: bytes, before: Values, after: Values, read: Read
    ) -> None:
        [old] = [None] if before is None else before
        [new] = [None] if after is None else after
        if old is None and new is not None:
            for key, place in geo.entries(new, identifier).items():
                plan.put(self.prefix + key, place)
            return
        if self.definition.state == "building" and new is not None:
            for key, place in geo.entries(new, identifier).items():
                plan.put(self.prefix + key, place)
        for key, value in geo.changes(old, new, identifier):
            plan.rows[self.prefix + key] = value


class VectorWriter(IndexWriter):
    """A vector index: the vector of a document under its identifier."""

    def __init__(self, keyspace: int, definition: IndexDefinition) -> None:
        super().__init__(keyspace, definition)
        self.space = space_of(definition)

    def arrays(self, values: list[Found]) -> tuple[bool, ...]:
        return (False,)  # A vector is one value.

    def change(
        self, plan: Plan, identifier: bytes, before: Values, after: Values, read: Read
    ) -> None:
        [old] = [None] if before is None else before
        [new] = [None] if after is None else after
        if self.definition.state == "building":
            old = None if new is not None else old
        for key, value in self.space.changes(old, new, identifier):
            plan.rows[self.prefix + key] = value


class TextWriter(IndexWriter):
    """A full-text index. What stood there before it knows itself.

    The documents of a commit are taken together: so each row of postings is written once, however
    many of them have the word.
    """

    def __init__(self, keyspace: int, definition: IndexDefinition) -> None:
        super().__init__(keyspace, definition)
        self.index = text_index(definition)
        self._waiting: dict[bytes, Texts | None] = {}
        #: What was made of texts before a row was found lacking: it need not be made twice.
        self._made: dict[bytes, tuple[Texts, Forward]] = {}

    def begin(self) -> None:
        self._waiting = {}

    def change(
        self, plan: Plan, identifier: bytes, before: Values, after: Values, read: Read
    ) -> None:
        # Only str count, and of these equal ones are the same.
        if before == after and self.definition.state == "ready":
            return
        self._waiting[identifier] = None if after is None else [_texts(values) for values in after]

    def finish(self, plan: Plan, read: Read, lacks: Callable[[], bool]) -> None:
        waiting, prefix = self._waiting, self.prefix
        if not waiting:
            return

        def own(key: bytes) -> bytes | None:
            return read(prefix + key)

        own(STATISTICS_KEY)
        numbers = [own(number_key(identifier)) for identifier in waiting]
        if lacks():
            return  # Without the numbers of the documents it would ask for rows of others.
        for number in numbers:
            if number is not None:
                own(forward_key(int.from_bytes(number, "big")))
        if lacks():
            return  # A commit reads a few times only: so what all documents held, in one round.
        # A commit that fails between its rounds leaves here what no other one asks for.
        self._made = {one: made for one, made in self._made.items() if one in waiting}
        for key, value in self.index.changes_of_many(waiting.items(), own, self._made):
            plan.rows[prefix + key] = value
        if not lacks():
            self._waiting, self._made = {}, {}


def _texts(values: Found) -> Sequence[object]:
    return list(_flat(values))


def _flat(values: Found) -> Iterator[object]:
    for value in values:
        if isinstance(value, list):
            yield from value
        else:
            yield value


_WRITERS: dict[str, type[IndexWriter]] = {
    "btree": OrderedWriter, "hash": HashWriter, "geo": GeoWriter, "text": TextWriter,
    "vector": VectorWriter,
}  # fmt: skip


def writer_of(keyspace: int, definition: IndexDefinition) -> IndexWriter:
    """What writes the rows of an index."""
    return _WRITERS[definition.kind](keyspace, definition)


def order_of(definition: IndexDefinition) -> IndexOrder:
    """The keys of a btree index."""
    return IndexOrder(tuple(one.descending for one in definition.fields), sparse=definition.sparse)


@lru_cache(maxsize=64)
def analyzer_of(language: str) -> Analyzer:
    """How the texts of a language become terms."""
    return Analyzer(language or None)


def text_index(definition: IndexDefinition) -> TextIndex:
    """The core of a full-text index."""
    weights = tuple(one.weight for one in definition.fields)
    return TextIndex(weights, analyzer_of(definition.language))


def space_of(definition: IndexDefinition) -> VectorSpace:
    """What the vectors of a vector index have in common."""
    return VectorSpace(definition.dimensions, cast("Metric", definition.metric))


def identifier_in(
    definition: IndexDefinition, order: IndexOrder, key: bytes, value: bytes
) -> bytes:
    """The document of a row of a btree index; `key` is without the prefix of the index."""
    if definition.unique and len(value) > NOTE_BYTES:
        return value[NOTE_BYTES:]
    return order.identifier(key)


def index_rows(writer: IndexWriter, document: Any, identifier: bytes) -> dict[bytes, bytes]:
    """All rows that a document has in an index that is not of full text, whole keys."""
    values = writer.values(document)
    prefix = writer.prefix
    if isinstance(writer, OrderedWriter):
        if writer.definition.unique:
            return writer.unique_rows(values, identifier)
        found = writer.order.entries(values, identifier)
    elif isinstance(writer, HashWriter):
        found = hash_entries(values, identifier, writer.definition.secret)
    elif isinstance(writer, VectorWriter):
        vector = writer.space.entry(values[0])
        found = {} if vector is None else {identifier: vector}
    else:
        found = geo.entries(values[0], identifier)
    return {prefix + key: value for key, value in found.items()}
