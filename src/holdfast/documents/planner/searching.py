"""A full-text search over the rows of an index that have to be waited for.

The search itself is a plain function of rows. An engine of this process answers without
suspending, so the rows are read as they are asked for. Where one has to be waited for, the search
notes which rows it lacks and is run again when they have come: a few rounds, whatever is searched
for.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any, Final, TypeVar

from holdfast.contract.engine import Engine
from holdfast.contract.errors import InvalidQuery
from holdfast.contract.record import Range
from holdfast.documents.indexes.writers import text_index
from holdfast.documents.planner.waiting import answers_at_once, at_once
from holdfast.documents.planner.way import Access
from holdfast.documents.text.query import And, Node, Not, Or, Words, parse
from holdfast.documents.text.rows import Read, Scan
from holdfast.documents.text.search import matching

T = TypeVar("T")

#: How often a search may find that it lacks rows.
ROUNDS_MAX: Final = 16


async def search_index(moment: Engine, access: Access) -> list[bytes]:
    """The documents that match, in the order in which they were indexed."""
    assert access.text is not None
    index = text_index(access.index)
    field = access.fixed if len(access.index.fields) > 1 else None
    query = in_field(parse(access.text.text), field)
    return await replay(
        moment, access.prefix, lambda read, scan: list(matching(index, query, read, scan))
    )


async def replay(moment: Engine, prefix: bytes, work: Callable[[Read, Scan], T]) -> T:
    """Run `work` over the rows of an index until it lacks none."""
    rows = _Rows(moment, prefix)
    for _ in range(ROUNDS_MAX):
        try:
            answer = work(rows.read, rows.scan)
        except InvalidQuery:
            raise
        except Exception:
            # It may have stumbled over a row that it took for absent.
            if rows.complete:
                raise
        else:
            if rows.complete:
                return answer
        await rows.fetch()
    raise InvalidQuery(
        f"a search reads its index in at most {ROUNDS_MAX} rounds; it asked for more. Simplify it"
    )


class _Rows:
    """The rows of an index that are at hand, and which were asked for beside them."""

    def __init__(self, moment: Engine, prefix: bytes) -> None:
        self._moment = moment
        self._prefix = prefix
        self._at_once = answers_at_once(moment)
        self._rows: dict[bytes, bytes | None] = {}
        self._walks: dict[bytes, list[tuple[bytes, bytes]]] = {}
        self._lacking: dict[bytes, None] = {}
        self._unwalked: dict[bytes, None] = {}

    @property
    def complete(self) -> bool:
        """Whether nothing was asked for that is not there."""
        return not self._lacking and not self._unwalked

    def read(self, key: bytes) -> bytes | None:
        if key not in self._rows:
            found = self._now(self._moment.read([self._prefix + key])) if self._at_once else None
            if found is None:
                self._lacking[key] = None
                return None
            [record] = found
            self._rows[key] = None if record is None else record.value
        return self._rows[key]

    def scan(self, start: bytes) -> Iterable[tuple[bytes, bytes]]:
        if start not in self._walks:
            walk = _walk(self._moment, self._prefix, start)
            found = self._now(walk) if self._at_once else walk.close()
            if found is None:
                self._unwalked[start] = None
                return ()
            self._walks[start] = found
        return self._walks[start]

    def _now(self, reading: Coroutine[Any, Any, T]) -> T | None:
        """What is read, or None if it has to be waited for: so have the next ones, then."""
        found = at_once(reading)
        self._at_once = found is not None
        return found

    async def fetch(self) -> None:
        """Read what was asked for."""
        moment, prefix = self._moment, self._prefix
        lacking, self._lacking = self._lacking, {}
        unwalked, self._unwalked = self._unwalked, {}
        records = await moment.read([prefix + key for key in lacking]) if lacking else []
        for key, record in zip(lacking, records, strict=True):
            self._rows[key] = None if record is None else record.value
        for start in unwalked:
            self._walks[start] = await _walk(moment, prefix, start)


async def _walk(moment: Engine, prefix: bytes, start: bytes) -> list[tuple[bytes, bytes]]:
    found = []
    rest: Range | None = Range.prefix(prefix + start)
    while rest is not None:
        page = await moment.scan(rest)
        found += [(key[len(prefix) :], record.value) for key, record in page.rows]
        rest = page.resume
    return found


def in_field(query: Node, field: int | None) -> Node:
    """The same search in one field alone."""
    if field is None:
        return query
    if isinstance(query, Words):
        return replace(query, field=field) if query.field is None else query
    if isinstance(query, Not):
        return Not(in_field(query.part, field))
    kind: type[And | Or] = type(query)
    return kind(tuple(in_field(part, field) for part in query.parts))
