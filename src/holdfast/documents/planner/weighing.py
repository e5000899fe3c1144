"""What ways cost for the values of one query: an index, several that meet, several that join.

The unit is a row of an index that is walked. A document that is read and looked at costs several.
Indexes *meet* (an intersection) where each bounds a part of the condition: what can match stands in
all of them, so a document that stands in one alone is never read. They *join* (a union) where the
condition is one of several, and each has an index.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.documents.planner.access import order_given
from holdfast.documents.planner.narrowing import HELD_BYTES_MAX, OVERHEAD_BYTES
from holdfast.documents.planner.statistics import COUNTED_MAX, Sample, Statistics
from holdfast.documents.planner.way import Access
from holdfast.documents.query.compile import compile_where
from holdfast.documents.query.query import Query
from holdfast.documents.query.texts import TextMatcher

#: So many ways are weighed against each other, those first that the rules prefer.
WEIGHED_MAX: Final = 8
#: So many of them, the cheapest, may meet.
MEETING_MAX: Final = 4
#: To read a document and look at it costs at least as much as to walk so many rows of an index.
DOCUMENT_ROWS: Final = 3
#: Several indexes take the place of one where they are thought to cost at most this share of it.
PAYS: Final = 0.75
#: Indexes of these kinds may meet.
_MEETING_KINDS: Final = ("btree", "hash")


@dataclass(frozen=True, slots=True)
class Meeting:
    """An index that is walked, and those in which its documents have to stand, too.

    Attributes:
        cost: in rows.
        walked: gives the documents, in its order.
        narrowing: those that are walked before it, the shortest first.
    """

    cost: float
    walked: Access
    narrowing: tuple[Access, ...] = ()


class Weights:
    """What the candidates of a query cost.

    Args:
        query: which.
        text: what prepares its full-text searches.
        candidates: the ways there are, those first that the rules prefer.
        statistics: at the moment of the plan.
    """

    def __init__(
        self,
        query: Query,
        text: TextMatcher,
        candidates: Sequence[Access],
        statistics: Statistics,
    ) -> None:
        self._query = query
        self._text = text
        self._statistics = statistics
        self._rows: dict[int, float] = {}
        self.able = statistics.able and self._weigh(candidates[:WEIGHED_MAX])

    def _weigh(self, candidates: Sequence[Access]) -> bool:
        """Whether all could be weighed, and none is known to be the best without."""
        for access in candidates:
            access.estimate = self._statistics.rows(access)
            if access.estimate is None:
                return False
            self._rows[id(access)] = self._walked(access, access.estimate.rows)
        return True

    def _walked(self, access: Access, rows: int) -> float:
        """How many rows are walked until there are as many documents as are wanted."""
        query = self._query
        if (
            query.limit is None
            or rows <= COUNTED_MAX
            or order_given(access, query.order_by) is None
        ):
            return rows
        sample = self._statistics.sample()
        if sample is None:
            return rows
        matching = sample.share(sample.met(compile_where(query.where, text=self._text)))
        wanted = query.offset + query.limit
        return min(rows, wanted * self._share(sample, [access]) / matching)

    def rows(self, access: Access) -> float:
        """So many rows of an index are walked; infinite: it was not weighed."""
        return self._rows.get(id(access), math.inf)

    def few(self, access: Access) -> bool:
        """Whether so few rows are walked that nothing else is worth a thought."""
        return self.rows(access) <= COUNTED_MAX

    def single(self, access: Access) -> float:
        """The cost of an index by itself."""
        return self.rows(access) * (1 + DOCUMENT_ROWS)

    def joined(self, ways: Sequence[Access]) -> float:
        """The cost of all of these ways, one after the other; infinite: there is no telling."""
        total = 0.0
        for way in ways:
            way.estimate = way.estimate or self._statistics.rows(way)
            if way.estimate is None:
                return math.inf
            total += way.estimate.rows * (1 + DOCUMENT_ROWS)
        return total

    def meeting(self, candidates: Sequence[Access]) -> Meeting | None:
        """The cheapest intersection of candidates, which are sorted by what they cost; None: none.

        Each index that it takes has to pay by itself.
        """
        sample = self._statistics.sample()
        able = [
            one
            for one in candidates[:MEETING_MAX]
            if one.index.kind in _MEETING_KINDS and id(one) in self._rows
        ]
        if sample is None or len(able) < 2 or self.few(candidates[0]):  # noqa: PLR2004
            return None
        found = [self._narrowed(sample, walked, able) for walked in able]
        # Of those that cost the same, one that walks in order is best, and then the one that walks
        # the longest: it holds the fewest keys.
        order = self._query.order_by
        best = min(
            found,
            key=lambda one: (
                one.cost, order_given(one.walked, order) is None, -_rows_of(one.walked),
            ),
        )  # fmt: skip
        return best if best.narrowing else None

    def _narrowed(self, sample: Sample, walked: Access, able: Sequence[Access]) -> Meeting:
        """What one way costs with those others that pay."""
        best = Meeting(self.single(walked), walked)
        while True:
            further = [
                self._with(sample, walked, (*best.narrowing, one))
                for one in able
                if one is not walked and one.bounded and one not in best.narrowing
            ]
            cheapest = min(further, key=lambda one: one.cost, default=None)
            if cheapest is None or not pays(cheapest.cost, best.cost):
                return best
            best = cheapest

    def _with(self, sample: Sample, walked: Access, others: tuple[Access, ...]) -> Meeting:
        narrowing = tuple(sorted(others, key=_rows_of))
        if _rows_of(narrowing[0]) * OVERHEAD_BYTES > HELD_BYTES_MAX:
            return Meeting(math.inf, walked)
        rows = self.rows(walked)
        # Of a walk that stops early, that part of what all of it would read.
        documents = (
            rows / _rows_of(walked) * self._share(sample, (walked, *narrowing)) * sample.size
        )
        cost = rows + sum(map(_rows_of, narrowing)) + DOCUMENT_ROWS * documents
        return Meeting(cost, walked, narrowing)

    @staticmethod
    def _share(sample: Sample, ways: Sequence[Access]) -> float:
        """Which share of the documents stands in all of these."""
        met = (1 << len(sample.documents)) - 1
        for way in ways:
            # Those of few rows are counted; they are the cheapest by themselves, and meet nothing.
            assert way.estimate is not None
            assert not way.estimate.exact
            met &= way.estimate.met
        return sample.share(met)


def pays(cost: float, of_one: float) -> bool:
    """Whether several indexes are clearly cheaper than one."""
    return cost <= PAYS * of_one


def _rows_of(way: Access) -> int:
    return 0 if way.estimate is None else way.estimate.rows
