"""The rows of all indexes of a collection, as what derives from its documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from holdfast.codecs.keys import unpack_text
from holdfast.contract.batch import Need
from holdfast.contract.errors import QuotaExceeded, StoreError
from holdfast.contract.record import Record
from holdfast.documents.indexes.definition import (
    Catalogue,
    IndexDefinition,
    catalogue_key,
    count_key,
    pack_catalogue,
)
from holdfast.documents.indexes.writer import IndexWriter, Values
from holdfast.documents.indexes.writers import writer_of
from holdfast.store import layout
from holdfast.store.plan import Plan, RowChange

#: So many new documents of a commit are kept in memory, to be taken together.
TOGETHER_MAX: Final = 256
#: By shape of a query: the indexes it takes, and those it could not use.
Choices = dict[str, tuple[frozenset[str], list[str]]]


class IndexRows:
    """Derives the rows of the indexes that a catalogue names.

    The storage lays the documents of a change at hand before it plans it, so that none is decoded
    twice. What has to be read inside the commit is noted, asked for, and there in the next round.

    Args:
        keyspace: of the collection.
        catalogue: what indexes there are.
        stored: its row, if it has one.
        only: the number of the one index that is derived, which its builder does; None: all.

    Attributes:
        before, after: the documents of the change that is planned next.
        choices, prepared, direct: what queries took, as long as the catalogue stays.
    """

    name: Final = "indexes"
    flags: Final = 0

    def __init__(
        self,
        keyspace: int,
        catalogue: Catalogue,
        stored: bytes | None = None,
        *,
        only: int | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.stored = stored
        self.fence: bytes | None = catalogue_key(keyspace)
        self.writers: list[IndexWriter] = [
            writer_of(keyspace, one)
            for one in catalogue.indexes
            if one.state != "failed" and only in (None, one.number)
        ]
        self.choices: Choices = {}
        #: By shape of a query: what `planner.prepared` keeps of its plan; None: nothing.
        self.prepared: dict[Any, Any] = {}
        #: By how a call spells a query: what `planner.direct` keeps; None: nothing.
        self.direct: dict[Any, Any] = {}
        #: Whether documents that come and go are counted: not by who builds an index.
        self.counts = bool(catalogue.documents_max) and only is None
        self._count_key = count_key(keyspace)
        self._more = 0
        self.before: Any = None
        self.after: Any = None
        self._plan: Plan | None = None
        self._known: dict[bytes, bytes | None] = {}
        self._missing: dict[bytes, None] = {}
        self._arrays: dict[str, tuple[bool, ...]] = {}
        #: The writers that take new documents together, and the others.
        self._together = [one for one in self.writers if one.together]
        self._apart = [one for one in self.writers if not one.together]
        #: New documents that wait to be taken together.
        self._identifiers: list[bytes] = []
        self._documents: list[Any] = []

    def begin(self, known: dict[bytes, bytes | None]) -> None:
        """A round of a commit begins; these rows have been read for it."""
        self._known = known
        self._missing = {}
        self._arrays = {}
        self._more = 0
        self._identifiers, self._documents = [], []
        for one in self._apart:
            one.begin()

    def plan(self, plan: Plan, change: RowChange) -> None:
        self._plan = plan
        data_key, old, new = change
        identifier = data_key[layout.REGION_BYTES :]
        before, after = self.before, self.after
        if old is None:
            self._more += 1
            for one in self._apart:
                self._change(plan, one, identifier, None, one.values(after))
            self._identifiers.append(identifier)
            self._documents.append(after)
            if len(self._documents) == TOGETHER_MAX:
                self._add(plan)
        elif new is None:
            self._more -= 1
            for one in self.writers:
                self._change(plan, one, identifier, one.values(before), None)
        else:
            rows = plan.rows
            for one in self.writers:
                if not one.replace(rows, identifier, before, after):
                    self._change(plan, one, identifier, one.values(before), one.values(after))

    def end(self, plan: Plan) -> Need | None:
        """What the round has to read, if anything; else what it learned goes into the plan."""
        self.before = self.after = None
        self._plan = plan
        if self._documents:
            self._add(plan)
        for one in self._apart:
            try:
                one.finish(plan, self._read, lambda: bool(self._missing))
            except Exception as error:
                if self._missing:
                    continue  # It took a row for absent that has not been read yet.
                if isinstance(error, StoreError):
                    error.within(index=one.definition.name)
                raise
        self._plan = None
        if self.counts and self._more:
            self._count(plan)
        if self._missing:
            return Need(list(self._missing))
        if self._arrays:
            catalogue = self.catalogue
            for name, arrays in self._arrays.items():
                index = catalogue.get(name)
                assert index is not None
                catalogue = catalogue.with_index(msgspec.structs.replace(index, arrays=arrays))
            assert self.fence is not None
            plan.put(self.fence, pack_catalogue(catalogue))
        return None

    def _add(self, plan: Plan) -> None:
        """Put the rows of the new documents that wait."""
        identifiers, documents = self._identifiers, self._documents
        self._identifiers, self._documents = [], []
        for one in self._together:
            for place in one.add(plan.rows, identifiers, documents):
                self._change(plan, one, identifiers[place], None, one.values(documents[place]))

    def _change(
        self, plan: Plan, writer: IndexWriter, identifier: bytes, before: Values, after: Values
    ) -> None:
        """Put the rows of one index, whatever the document looks like."""
        if after is not None:
            self._note_arrays(writer, after)
        lacked = len(self._missing)
        try:
            writer.change(plan, identifier, before, after, self._read)
        except Exception as error:
            if len(self._missing) > lacked:
                return  # It took a row for absent that has not been read yet.
            if not isinstance(error, StoreError):
                raise
            error.within(index=writer.definition.name, key=unpack_text(identifier))
            raise

    # --- Inside -----------------------------------------------------------------------------

    def _read(self, key: bytes) -> bytes | None:
        assert self._plan is not None
        rows = self._plan.rows
        if key in rows:
            return rows[key]
        if key not in self._known:
            self._missing[key] = None
            return None
        return self._known[key]

    def _count(self, plan: Plan) -> None:
        """Count the documents that come and go. Raises QuotaExceeded when there are too many."""
        key = self._count_key
        if key not in self._known:
            self._missing[key] = None
            return
        count = read_count(self._known[key]) + self._more
        limit = self.catalogue.documents_max
        if self._more > 0 and count > limit:
            raise QuotaExceeded(
                f"the collection may have {limit} documents; this write would make it {count}. "
                "Nothing was written: remove some, or raise the quota",
                limit=limit,
            )
        plan.put(key, pack_count(count))

    def _note_arrays(self, writer: IndexWriter, values: Sequence[Any]) -> None:
        found = writer.arrays(list(values))
        if True not in found:
            return
        definition: IndexDefinition = writer.definition
        known = self._arrays.get(definition.name, definition.arrays)
        if not known:
            known = (False,) * len(found)
        arrays = tuple(one or other for one, other in zip(known, found, strict=True))
        if arrays != known:
            self._arrays[definition.name] = arrays


def pack_count(count: int) -> bytes:
    """A number of documents as its row holds it."""
    return max(0, count).to_bytes(8, "big")


def read_count(stored: bytes | None) -> int:
    """The number of documents that a row says."""
    return 0 if stored is None else int.from_bytes(stored, "big")


def known_rows(
    keys: Sequence[bytes], records: Sequence[Record | None]
) -> dict[bytes, bytes | None]:
    """Rows by key, as they were read."""
    return {
        key: None if record is None else record.value
        for key, record in zip(keys, records, strict=True)
    }
