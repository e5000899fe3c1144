"""What the writers of all kinds of indexes have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from holdfast.documents.entries import SINGLE, Found
from holdfast.documents.indexes.definition import IndexDefinition, index_prefix
from holdfast.documents.query.paths import Path, values_at
from holdfast.documents.query.values import MISSING
from holdfast.store.plan import Plan

#: Reads a row as the commit sees it, what it wrote itself included.
Read = Callable[[bytes], bytes | None]
#: The rows that a plan puts (None: deletes).
Rows = dict[bytes, bytes | None]
#: Values of the fields of a document, field by field; None: there is no document.
Values = list[Found] | None


class IndexWriter(ABC):
    """Puts the rows of one index into the plan of a commit.

    Attributes:
        definition: of the index.
        prefix: what its rows begin with.
    """

    def __init__(self, keyspace: int, definition: IndexDefinition) -> None:
        self.definition = definition
        self.prefix = index_prefix(keyspace, definition.number)
        self._paths = [one.path for one in definition.fields]
        self._names = [path[0] if len(path) == 1 else None for path in self._paths]

    def values(self, document: Any) -> list[Found]:
        """What the fields of a document hold."""
        found: list[Found] = []
        plain = type(document) is dict
        for name, path in zip(self._names, self._paths, strict=True):
            if name is not None and plain:
                found.append((document.get(name, MISSING),))
            else:
                found.append(tuple(values_at(document, path)))
        return found

    def column(self, path: Path, documents: Sequence[Any]) -> Sequence[Any]:
        """What stands at a path in each document; None where that takes a closer look."""
        for part in path:
            documents = [one.get(part) if type(one) is dict else None for one in documents]
        return documents

    @property
    def together(self) -> bool:
        """Whether what a document puts is apart from what others do: then `add` takes many."""
        return False

    def add(self, rows: Rows, identifiers: Sequence[bytes], documents: Sequence[Any]) -> list[int]:
        """Put the rows of documents that are new and of the most common form.

        Asked only where `together`. An index that knows no such form leaves all to `change`.

        Returns:
            The places of the others, of which nothing was put: `change` has to.
        """
        return [*range(len(documents))]

    def replace(self, rows: Rows, identifier: bytes, before: Any, after: Any) -> bool:
        """Put what changes where a document becomes another one, both of the most common form.

        Returns:
            Whether they are; if not, nothing was put, and `change` has to.
        """
        return self.definition.state == "ready" and self.unmoved(before, after)

    def unmoved(self, before: Any, after: Any) -> bool:
        """Whether a document that becomes another one surely keeps its rows."""
        for path in self._paths:
            old, new = before, after
            for part in path:
                if type(old) is not dict or type(new) is not dict:
                    return False
                old, new = old.get(part), new.get(part)
            # An index tells no int from a float.
            if type(old) not in SINGLE or type(new) not in SINGLE or old != new:
                return False
        return True

    def arrays(self, values: list[Found]) -> tuple[bool, ...]:
        """For each field, whether it met an array."""
        return tuple([len(one) != 1 or type(one[0]) is list for one in values])

    @abstractmethod
    def change(
        self, plan: Plan, identifier: bytes, before: Values, after: Values, read: Read
    ) -> None:
        """Put the rows that a change of a document makes, and delete those that it ends."""

    def begin(self) -> None:
        """The changes of a commit begin."""

    def finish(self, plan: Plan, read: Read, lacks: Callable[[], bool]) -> None:
        """All changes of the commit were told. `lacks` tells whether `read` misses a row by now."""
