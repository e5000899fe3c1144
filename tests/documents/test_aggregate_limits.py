"""Aggregations that are wrong, too big, too slow or broken off."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast.contract.errors import InvalidQuery, PatternInvalid, QuotaExceeded, TimedOut
from holdfast.documents.aggregate import (
    add_fields,
    aggregate,
    count_,
    facet,
    group_by,
    limit,
    lookup,
    match,
    project,
    push,
    sort,
    sum_,
    unwind,
)
from holdfast.documents.aggregate.stages import STAGES_MAX
from holdfast.documents.query import F, cond, size


def fields(form: Any) -> Any:
    return [{"group": {"by": "a", "fields": form}}]


@pytest.mark.row("I-026")
@pytest.mark.parametrize(
    ("pipeline", "path", "hint"),
    [
        ([{"grup": {}}], "[0]", "'group'"),
        ([{"$match": {}}], "[0]", "'match'"),
        ([{"limit": 1}, {"sortt": []}], "[1]", "'sort'"),
        ([{"limit": 1, "skip": 2}], "[0]", "2 names"),
        ([5], "[0]", "one name"),
        ({"match": {}}, "", "list of stages"),
        (5, "", "list of stages"),
        ("[", "", "JSON"),
        ([{"limit": -1}], "[0].limit", "0 up"),
        ([{"skip": "x"}], "[0].skip", "whole"),
        ([{"match": {"field": "a", "operator": "eqq", "value": 1}}], "[0].match.operator", "'eq'"),
        (fields({"n": {"summ": {"field": "x"}}}), "[0].group.fields.n", "'sum'"),
        (fields({"n": {"$avg": 1}}), "[0].group.fields.n", "'avg'"),
        ([{"group": {"by": 5}}], "[0].group.by", "paths"),
        ([{"group": {"bye": "a"}}], "[0].group", "'by'"),
        (fields({"a": {"count": {}}}), "[0].group.a", "twice"),
        (fields({"n": {"sum": None, "avg": None}}), "[0].group.fields.n", "2 names"),
        ([{"project": {}}], "[0].project", "none"),
        ([{"project": {"a": True, "b": False}}], "[0].project", "two stages"),
        ([{"project": {"x": {"ad": [1, 2]}}}], "[0].project.x", "'add'"),
        ([{"project": {"x": {"add": [1, {"feild": "a"}]}}}], "[0].project.x.add[1]", "'field'"),
        ([{"project": {"x": {"cond": {"iff": {}}}}}], "[0].project.x.cond", "'if'"),
        ([{"project": {"x": [1, 2]}}], "[0].project.x", "literal"),
        ([{"unwind": {"field": "a", "keepEmpty": 1}}], "[0].unwind.keepEmpty", "true"),
        ([{"count": 5}], "[0].count", "text"),
        ([{"lookup": {"from": "x"}}], "[0].lookup.local", "path"),
        ([{"facet": {"x": [{"limt": 1}]}}], "[0].facet.x[0]", "'limit'"),
        ([{"limit": 1}] * (STAGES_MAX + 1), "", "at most"),
        ([{"facet": {"x": [{"limit": 1}] * STAGES_MAX}}], "[0].facet.x", "at most"),
    ],
)  # fmt: skip
def test_a_wrong_pipeline_is_told_with_its_place(pipeline: Any, path: str, hint: str) -> None:
    with pytest.raises(InvalidQuery) as refused:
        aggregate(pipeline, [])
    assert hint in str(refused.value)
    assert refused.value.details["path"] == f"pipeline{path}"


@pytest.mark.parametrize(
    ("misuse", "hint"),
    [
        (sort, "sort"),
        (project, "project"),
        (lambda: project(x=F.a == 1), "cond"),
        (lambda: cond(True, 1, 2), "condition"),  # type: ignore[arg-type]
        (lambda: group_by(F), "F alone"),
        (lambda: unwind(F), "F alone"),
        (lambda: group_by(F.a, F.b.a), "twice"),
        (lambda: add_fields(x=object()), "plain data"),
        (lambda: size(float("nan")), "finite"),
        (lambda: push(None) and limit(-1), "limit"),
    ],
)
def test_misuse_of_the_builder_is_told(misuse: Any, hint: str) -> None:
    with pytest.raises(InvalidQuery, match=hint):
        misuse()


def test_expressions_stand_at_most_so_deep() -> None:
    def sums(deep: int) -> Any:
        total: Any = F.a
        for _ in range(deep):
            total = total + 1
        return total

    assert list(aggregate([project(n=sums(99))], [{"a": 0}])) == [{"n": 99}]
    with pytest.raises(InvalidQuery, match="100 deep"):
        sums(1000)
    form: Any = {"field": "a"}
    for _ in range(1000):
        form = {"add": [form, 1]}
    with pytest.raises(InvalidQuery, match="100 deep"):
        aggregate([{"project": {"n": form}}], [])


def test_what_is_wrong_is_seen_before_a_document_is_read() -> None:
    read: list[int] = []
    for stage in (
        match(F.a.regex("(")),
        project(x=cond(F.a.regex("("), 1, 2)),
        group_by(F.a, n=sum_(cond(F.a.regex("("), 1, 2))),
        facet(x=[match(F.a.regex("("))]),
    ):
        with pytest.raises(PatternInvalid):
            aggregate([stage], counting(read, 5))
    with pytest.raises(InvalidQuery, match="collections"):
        aggregate([lookup("x", local="a", foreign="b", name="c")], counting(read, 5))
    assert read == []


def counting(read: list[int], number: int) -> Iterator[dict[str, Any]]:
    for at in range(number):
        read.append(at)
        yield {"a": at, "b": f"text {at}", "c": [1, 2, 3]}


# --- Memory ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stages",
    [
        [group_by(F.b, n=count_())],
        [group_by(all=push(F.b))],
        [group_by(set=push(F.c))],
        [sort(F.b)],
        [sort(F.b), limit(50_000)],
        [facet(x=[limit(1)])],
        [lookup("more", local="a", foreign="a", name="found")],
    ],
    ids=["groups", "push", "arrays", "sort", "sort limit", "facet", "lookup"],
)
def test_what_holds_documents_stops_at_the_limit(stages: list[Any]) -> None:
    def run(number: int) -> list[Any]:
        return list(
            aggregate(
                stages,
                counting([], number),
                collections=lambda _: counting([], number),
                memory_bytes_max=1_000_000,
            )
        )

    assert run(10)
    with pytest.raises(QuotaExceeded, match="memory_bytes_max") as refused:
        run(30_000)
    assert refused.value.details["limit"] == 1_000_000


def test_the_estimate_of_memory_is_near_what_is_taken() -> None:
    # A million groups of small keys are promised in 200 MB: so are 100,000 in 20 MB.
    def documents() -> Iterator[dict[str, Any]]:
        return ({"k": f"user{at}", "v": at} for at in range(100_000))

    pipeline = [group_by(F.k, n=count_(), total=sum_(F.v))]
    tracemalloc.start()
    try:
        stream = aggregate(pipeline, documents(), memory_bytes_max=20_000_000)
        assert sum(1 for _ in stream) == 100_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000
    with pytest.raises(QuotaExceeded):
        list(aggregate(pipeline, documents(), memory_bytes_max=10_000_000))


def test_streaming_stages_hold_nothing() -> None:
    read: list[int] = []
    pipeline = [match(F.a >= 0), unwind(F.c), add_fields(x=F.a + 1), limit(4)]
    stream = aggregate(pipeline, counting(read, 1000), memory_bytes_max=0)
    assert next(stream)["x"] == 1
    assert read == [0]
    assert len(list(stream)) == 3
    assert len(read) <= 3


# --- Time, and being broken off -------------------------------------------------------------


def stopping(after: int) -> Any:
    asked = []

    def deadline() -> None:
        asked.append(1)
        if len(asked) > after:
            raise TimedOut("the time is over")

    return deadline


@pytest.mark.parametrize(
    "stages",
    [
        [group_by(F.a)],
        [sort(F.b)],
        [match(F.a == -1)],
        [facet(x=[match(F.a == -1)])],
        [unwind(F.c), match(F.a == -1)],
        [lookup("more", local="a", foreign="a", name="found")],
    ],
)
def test_the_deadline_ends_every_stage(stages: list[Any]) -> None:
    read: list[int] = []
    stream = aggregate(
        stages,
        counting(read, 100_000),
        deadline=stopping(3),
        collections=lambda _: counting(read, 100_000),
    )
    with pytest.raises(TimedOut):
        list(stream)
    assert len(read) <= 5000


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError, StopIteration])
def test_whatever_the_deadline_raises_ends_the_run_and_closes_the_source(
    error: type[BaseException],
) -> None:
    closed: list[bool] = []

    def documents() -> Iterator[dict[str, Any]]:
        try:
            yield from counting([], 10_000)
        finally:
            closed.append(True)

    calls: list[int] = []

    def deadline() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise error

    # What ends a generator must not look as if there were no more documents.
    expected = RuntimeError if error is StopIteration else error
    with pytest.raises(expected):
        list(aggregate([group_by(F.a)], documents(), deadline=deadline))
    assert closed == [True]


def test_leaving_early_closes_the_source() -> None:
    closed: list[bool] = []

    def documents() -> Iterator[dict[str, Any]]:
        try:
            yield from counting([], 10_000)
        finally:
            closed.append(True)

    stream = aggregate([match(F.a >= 0), unwind(F.c)], documents())
    next(stream)
    assert closed == []
    stream.close()  # type: ignore[attr-defined]
    assert closed == [True]
