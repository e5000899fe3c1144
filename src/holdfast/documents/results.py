"""What a collection answers besides values."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

import msgspec

from holdfast.contract.errors import StoreError
from holdfast.store.versions.entry import Metadata

T = TypeVar("T")


class QueryResult(msgspec.Struct, Generic[T], frozen=True):
    """A document that a query found.

    Attributes:
        key: where it stands.
        value: the document; with `select`, a dict of what was selected.
        metadata: version, instants, author of the document.
        score: how well it matches a full-text search; None for other queries.
        distance: how far its vector is from the one searched for; None for other queries.
        highlights: by field that was asked for, what shows the match; None for other queries.
    """

    key: str
    value: T
    metadata: Metadata
    score: float | None = None
    distance: float | None = None
    highlights: dict[str, str] | None = None


class ResultPage(msgspec.Struct, Generic[T], frozen=True):
    """Some results, and where the next ones begin.

    Attributes:
        results: in the order of the query.
        cursor: for `after` of the same query; None: these were the last.
    """

    results: list[QueryResult[T]]
    cursor: str | None


class BatchFailure(msgspec.Struct, frozen=True):
    """What is wrong with an operation of a batch.

    Attributes:
        position: of the operation, from 0.
        error: what it met.
    """

    position: int
    error: StoreError


class BatchResult(msgspec.Struct, frozen=True):
    """What became of a batch: all of it was done, or nothing.

    Attributes:
        success: whether it was done.
        operations: how many were done.
        errors: why it was not.
    """

    success: bool
    operations: int
    errors: list[BatchFailure]


class IndexFacts(msgspec.Struct, frozen=True):
    """An index, as `list_indexes` tells it.

    Attributes:
        name, kind, unique, sparse: as it was made.
        fields: such as `age`, `-age` for descending.
        state: `building`, `ready` or `failed`.
        entries: how many rows it has; size: their bytes.
        hits, misses: how often this handle's queries walked it, and how often they could not use it
            although they asked for one of its fields.
        failure: why it failed.
    """

    name: str
    kind: str
    fields: list[str]
    unique: bool
    sparse: bool
    state: str
    entries: int
    size: int
    hits: int
    misses: int
    failure: str = ""


class LiveChange(msgspec.Struct, Generic[T], frozen=True):
    """A change of the result of a live query.

    Attributes:
        kind: `added`, `changed` (in its place), `moved` (changed, and so to another place) or
            `removed`.
        key: of the document.
        value: the document, or with `select` what was selected; None if it left the result.
        before: the same as told before; None if it was not in the result.
        index: its place from now on, from 0; -1 if it left.
        previous: its place until now; -1 if it came.
        last: whether the result is up to date with this one.
    """

    kind: Literal["added", "changed", "moved", "removed"]
    key: str
    value: T | None
    before: T | None
    index: int
    previous: int
    last: bool
