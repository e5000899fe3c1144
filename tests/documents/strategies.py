"""Documents, conditions and queries for the property tests: small worlds, so that things meet."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from holdfast.documents.query.fields import F, Field
from holdfast.documents.query.nodes import (
    And,
    Comparison,
    ElementMatch,
    Exists,
    Matches,
    Membership,
    Near,
    Nested,
    Node,
    Not,
    Or,
    Regex,
    Within,
)
from holdfast.documents.query.ordering import OrderBy
from holdfast.documents.query.places import Box, Point
from holdfast.documents.query.query import Query
from holdfast.documents.query.values import Constant

EARLY = datetime(2024, 3, 31, 0, 30, tzinfo=UTC)
INSTANTS = st.sampled_from(
    [
        EARLY,
        EARLY.astimezone(timezone(timedelta(hours=9))),
        EARLY + timedelta(hours=1),
        datetime(1969, 12, 31, tzinfo=UTC),
    ]
)
NUMBERS = st.sampled_from(
    [0, 1, 2, -1, 1.0, 0.0, -0.0, 1.5, 2**53, 2**53 + 1, float(2**53), 2**60 + 1, float(2**60)]
)
TEXTS = st.sampled_from(["", "a", "b", "ab", "A b", "red fox", "é", "\U0001f600", "￿", "1", "a.b"])
SCALARS: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | NUMBERS | TEXTS | INSTANTS | st.sampled_from([b"", b"a", b"\xff"])
)
NAMES = st.sampled_from(["a", "b", "c", "0", "1", "a.b", "x y", ""])
PLACES = st.sampled_from(
    [
        {"latitude": 35.0, "longitude": 135.7},
        {"lat": 0, "lon": 180},
        {"type": "Point", "coordinates": [-180, 0]},
        [179.5, -10.0],
        {"latitude": 91, "longitude": 0},
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS | PLACES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=4)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(tuple)
CONSTANTS = VALUES.map(Constant)
POINTS = st.sampled_from([Point(35.0, 135.7), Point(0.0, 180.0), Point(-10.0, -179.5)])
BOXES = st.sampled_from(
    [Box(130.0, 30.0, 140.0, 40.0), Box(170.0, -20.0, -170.0, 20.0), Box(-180.0, -1.0, -180.0, 1.0)]
)


def _leaves(paths: st.SearchStrategy[Any]) -> st.SearchStrategy[Node]:
    operators = st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"])
    return (
        st.builds(Comparison, paths, operators, CONSTANTS)
        | st.builds(
            Membership, paths, st.lists(CONSTANTS, max_size=3).map(tuple), negated=st.booleans()
        )
        | st.builds(Exists, paths, st.booleans())
        | st.builds(Regex, paths, st.sampled_from(["^a", "b$", "(?i)A", "", r"\d"]))
        | st.builds(Matches, paths, st.sampled_from(["fox", "RED", "a b", ""]))
        | st.builds(Near, paths, POINTS, st.sampled_from([None, 0.0, 100_000.0, 2e7]))
        | st.builds(Within, paths, BOXES)
    )


LEAVES = _leaves(PATHS) | _leaves(st.just(()))
CONDITIONS: st.SearchStrategy[Node] = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(And, st.lists(inner, max_size=4).map(tuple))
        | st.builds(Or, st.lists(inner, max_size=4).map(tuple))
        | st.builds(Not, inner)
        | st.builds(ElementMatch, PATHS, inner)
        | st.builds(Nested, PATHS, inner)
    ),
    max_leaves=6,
)
ORDERS = st.lists(st.builds(OrderBy, PATHS, st.booleans(), st.none() | POINTS), max_size=3).map(
    tuple
)
QUERIES = st.builds(
    Query,
    CONDITIONS,
    ORDERS,
    st.none() | st.integers(0, 5),
    st.integers(0, 3),
    st.none() | st.lists(PATHS, min_size=1, max_size=3, unique=True).map(tuple),
)
ROWS = st.lists(DOCUMENTS, max_size=12).map(
    lambda documents: [(f"k{at:02}", one) for at, one in enumerate(documents)]
)


def field(path: tuple[str, ...]) -> Field:
    """The builder's field of a path."""
    found = F
    for part in path:
        found = found[part]
    return found
