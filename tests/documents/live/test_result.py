"""A live result against a query that is asked again after every change."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.documents.live import result as result_module
from holdfast.documents.live.result import Holders, LiveResult
from holdfast.documents.live.told import Told
from holdfast.documents.query import Query, run
from holdfast.store.versions.entry import Entry
from tests.documents.strategies import CONDITIONS, DOCUMENTS, ORDERS

KEYS = st.sampled_from([f"k{number}" for number in range(8)])
#: What is done to a document: another one takes its place, or (None) it goes.
CHANGES = st.lists(st.tuples(KEYS, st.none() | DOCUMENTS), max_size=12)
WANTED = st.builds(
    Query, st.just(Query().where) | CONDITIONS, ORDERS, st.none() | st.integers(0, 4),
    st.integers(0, 3),
)  # fmt: skip


def found(query: Query, rows: dict[str, tuple[int, Any]]) -> list[str]:
    """The keys that the query gives."""
    return [key for key, _ in run(query, [(key, one) for key, (_, one) in sorted(rows.items())])]


@settings(max_examples=300)
@given(WANTED, CHANGES, CHANGES, st.sets(st.integers(0, 11)))
def test_steps_lead_to_what_the_query_gives(
    query: Query, before: Any, changes: Any, quiet: set[int]
) -> None:
    spare, result_module.SPARE_MIN = result_module.SPARE_MIN, 1  # type: ignore[misc]
    try:
        check(query, before, changes, quiet)
    finally:
        result_module.SPARE_MIN = spare  # type: ignore[misc]


def check(  # noqa: C901 - a play of few acts
    query: Query, before: Any, changes: Any, quiet: set[int]
) -> None:
    rows: dict[str, tuple[int, Any]] = {}
    holders: Holders = {}
    live, told = LiveResult(query, None, holders), Told()

    def load() -> None:
        wanted = replace(query, limit=live.wanted, offset=0)
        kept = [] if query.limit == 0 else found(wanted, rows)
        live.load([(key, rows[key][1], Entry(b"", b"", rows[key][0])) for key in kept], None)

    for revision, (key, document) in enumerate(before):
        rows.pop(key, None)
        if document is not None:
            rows[key] = revision, document
    load()
    told.adopt(live.take())
    shown = [key for key, _ in told.entries()]
    assert shown == found(query, rows)
    for number, (key, document) in enumerate(changes):
        rows.pop(key, None)
        entry: Entry[Any] | None = None
        if document is not None:
            rows[key] = 100 + number, document
            entry = Entry(b"", b"", 100 + number)
        live.apply(key, document, entry)
        if live.lacks:
            load()
        if number in quiet:
            continue  # The reader is slow.
        told.plan(live.take())
        while (step := told.step()) is not None:
            if step.previous >= 0:
                assert shown.pop(step.previous) == step.key
            if step.place >= 0:
                shown.insert(step.place, step.key)
        assert shown == [one for one, _ in told.entries()]
        assert shown == found(query, rows)
        assert [entry.revision for _, entry in told.entries()] == [rows[one][0] for one in shown]
    live.forget()
    assert not holders
