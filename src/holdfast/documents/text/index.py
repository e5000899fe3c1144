"""What a full-text index writes when a document changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from holdfast.contract.errors import InvalidInput, QuotaExceeded
from holdfast.documents.text.analysis import Analyzer
from holdfast.documents.text.rows import (
    BLOCK_DOCUMENTS,
    DOCUMENTS_MAX,
    STATISTICS_KEY,
    Change,
    Forward,
    Read,
    Statistics,
    forward_key,
    forward_of,
    lengths_key,
    number_key,
    pack_forward,
    postings_key,
    unpack_forward,
    with_length,
    with_posting,
)

FIELDS_MAX = 16
"""How many fields one full-text index may cover."""


@dataclass(frozen=True)
class TextIndex:
    """A full-text index over some fields. Pure: rows come in by `read`, and go out as changes.

    Attributes:
        weights: for each field, how much a word in it counts.
        analyzer: how texts become terms.
    """

    weights: tuple[float, ...] = (1.0,)
    analyzer: Analyzer = field(default_factory=Analyzer)

    def __post_init__(self) -> None:
        if not 1 <= len(self.weights) <= FIELDS_MAX:
            raise InvalidInput(
                f"a full-text index covers 1 to {FIELDS_MAX} fields; found {len(self.weights)}"
            )
        if not all(0 <= weight < float("inf") for weight in self.weights):
            raise InvalidInput("the weight of a field is a number from 0 upwards")

    def changes(
        self, identifier: bytes, after: Sequence[Sequence[object]] | None, read: Read
    ) -> Iterator[Change]:
        """The rows that change when a document is put, or deleted (None).

        `after` has the values of each field; what is not a str is passed over. What stood there
        before is read from the index itself. Each row is changed once. For several documents in
        one commit, `read` must see the changes of the ones before: see `Staged`.

        Raises:
            QuotaExceeded: the index has numbered all the documents it can.
        """
        stored = read(number_key(identifier))
        new = None if after is None else self._forward(after)
        if new is not None and not new.terms:
            new = None
        if stored is None:
            if new is not None:
                yield from self._added(identifier, new, read)
            return
        number = int.from_bytes(stored, "big")
        old_row = read(forward_key(number))
        old = unpack_forward(old_row) if old_row is not None else Forward([], [])
        if new != old:
            yield from self._changed(identifier, number, old, new, read)

    def _forward(self, fields: Sequence[Sequence[object]]) -> Forward:
        if len(fields) != len(self.weights):
            raise InvalidInput(
                f"the full-text index covers {len(self.weights)} fields; found {len(fields)}"
            )
        terms = self.analyzer.terms
        return forward_of(
            [[terms(text) for text in texts if isinstance(text, str)] for texts in fields]
        )

    def _added(self, identifier: bytes, new: Forward, read: Read) -> Iterator[Change]:
        statistics = Statistics.read(read)
        number = statistics.next
        if number >= DOCUMENTS_MAX:
            raise QuotaExceeded(
                f"a full-text index numbers at most {DOCUMENTS_MAX} documents in its life, and "
                "this one did. Drop it and create it again",
            )
        counts, length = new.counts()
        yield number_key(identifier), number.to_bytes(4, "big")
        yield forward_key(number), pack_forward(identifier, new)
        yield from self._postings(number, {}, counts, read)
        yield from _length(number, length, read)
        yield (
            STATISTICS_KEY,
            Statistics(statistics.documents + 1, statistics.words + length, number + 1).pack(),
        )

    def _changed(
        self, identifier: bytes, number: int, old: Forward, new: Forward | None, read: Read
    ) -> Iterator[Change]:
        old_counts, old_length = old.counts() if old.terms else ({}, 0)
        new_counts, new_length = new.counts() if new else ({}, 0)
        if new is None:
            yield number_key(identifier), None
            yield forward_key(number), None
        else:
            yield forward_key(number), pack_forward(identifier, new)
        yield from self._postings(number, old_counts, new_counts, read)
        if new is not None and old_length == new_length:
            return
        yield from _length(number, new_length, read)
        statistics = Statistics.read(read)
        yield (
            STATISTICS_KEY,
            statistics._replace(
                documents=statistics.documents - (new is None),
                words=statistics.words - old_length + new_length,
            ).pack(),
        )

    def _postings(
        self, number: int, old: dict[str, bytes], new: dict[str, bytes], read: Read
    ) -> Iterator[Change]:
        block, low = divmod(number, BLOCK_DOCUMENTS)
        fields = len(self.weights)
        for term in old.keys() | new.keys() if old else new:
            counts = new.get(term)
            if old.get(term) != counts:
                key = postings_key(term, block)
                yield key, with_posting(read(key), low, counts, fields)


def _length(number: int, length: int, read: Read) -> Iterator[Change]:
    block, low = divmod(number, BLOCK_DOCUMENTS)
    key = lengths_key(block)
    yield key, with_length(read(key), low, length)
