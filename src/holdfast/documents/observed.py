"""What changes in a collection, as its users see it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from holdfast.contract.errors import InvalidQuery
from holdfast.documents.live.query import LiveQuery
from holdfast.documents.live.result import LiveResult
from holdfast.documents.queries import Queries, as_query

T = TypeVar("T")


class Observed(Queries[T]):
    """The part of a collection that tells what changes."""

    def live(
        self,
        *conditions: Any,
        order_by: Any = (),
        limit: int | None = None,
        offset: int = 0,
        select: Iterable[Any] | None = None,
        hint: str | None = None,
        **equal: Any,
    ) -> LiveQuery[T]:
        """The documents that match, kept current; see `query` for what can be asked.

            async with cities.live(F.country == "JP", order_by=-F.population, limit=10) as live:
                print(live.results)
                async for change in live:
                    print(change.kind, change.key, change.value)

        A change costs what it changes, however big the result is, and however many live queries
        there are that it does not concern.

        Raises:
            InvalidQuery, PatternInvalid: the query is malformed, or has a cursor.
            Unsupported: in a transaction or a snapshot.
        """
        wanted = as_query(conditions, order_by, limit, offset, select, None, equal)
        if wanted.after is not None:
            raise InvalidQuery(
                "a live query wanted a limit and an offset; found a cursor, whose place in the "
                "order may go. Leave `after` out"
            )
        hub = self._collections.live_hub(self._name)
        result = LiveResult(wanted, hint, hub.holders)
        host = self._collections.components.host
        return LiveQuery(hub, result, self._keep(wanted), host)
