"""A full-text search over the rows of an index that have to be waited for.

The search itself is a plain function of rows. It is run with the rows that are at hand, notes
which it lacks, and is run again when they have come: a few rounds, whatever is searched for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, TypeVar

from holdfast.contract.engine import Engine
from holdfast.contract.errors import InvalidQuery
from holdfast.contract.record import Range
from holdfast.documents.indexes.writers import text_index
from holdfast.documents.planner.access import Access
from holdfast.documents.text.index import TextIndex
from holdfast.documents.text.query import And, Node, Not, Or, Words, parse
from holdfast.documents.text.rows import Read, Scan
from holdfast.documents.text.search import Hit, matching, search

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


async def ranked(
    moment: Engine, prefix: bytes, index: TextIndex, query: Node, limit: int | None
) -> list[Hit]:
    """The documents that match, best first."""
    return await replay(
        moment, prefix, lambda read, scan: search(index, query, read, scan, limit=limit)
    )


async def replay(moment: Engine, prefix: bytes, work: Callable[[Read, Scan], T]) -> T:
    """Run `work` over the rows of an index until it lacks none."""
    rows: dict[bytes, bytes | None] = {}
    walks: dict[bytes, list[tuple[bytes, bytes]]] = {}
    for _ in range(ROUNDS_MAX):
        lacking: dict[bytes, None] = {}
        unwalked: dict[bytes, None] = {}

        def read(key: bytes, lacking: dict[bytes, None] = lacking) -> bytes | None:
            if key not in rows:
                lacking[key] = None
                return None
            return rows[key]

        def scan(
            start: bytes, unwalked: dict[bytes, None] = unwalked
        ) -> Iterable[tuple[bytes, bytes]]:
            if start not in walks:
                unwalked[start] = None
                return ()
            return walks[start]

        try:
            answer = work(read, scan)
        except InvalidQuery:
            raise
        except Exception:
            # It may have stumbled over a row that it took for absent.
            if not lacking and not unwalked:
                raise
        else:
            if not lacking and not unwalked:
                return answer
        for key, record in zip(
            lacking, await moment.read([prefix + key for key in lacking]), strict=True
        ):
            rows[key] = None if record is None else record.value
        for start in unwalked:
            walks[start] = await _walk(moment, prefix, start)
    raise InvalidQuery(
        f"a search reads its index in at most {ROUNDS_MAX} rounds; it asked for more. Simplify it"
    )


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
