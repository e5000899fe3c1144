"""What a run finds, and what it looked at for that."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from holdfast.documents.planner.way import Access
from holdfast.store.versions.entry import Entry

#: A key, of its document at least what the query looks at, and its entry, which has all of it.
Found = tuple[str, Any, Entry[Any]]


@dataclass
class Examined:
    """What a query looked at.

    Attributes:
        keys: rows of indexes.
        documents: that were read and decoded.
    """

    keys: int = 0
    documents: int = 0
    _by_way: Counter[int] = field(default_factory=Counter)

    def walked(self, way: Access, rows: int) -> None:
        """Count rows of the index of a way."""
        self.keys += rows
        self._by_way[way.number] += rows

    def by(self, way: Access) -> int:
        """How many of the rows were of this way, where those of the plan are numbered."""
        return self._by_way[way.number]
