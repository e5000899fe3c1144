"""What a full-text index writes when a document changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from holdfast.contract.errors import InvalidInput, QuotaExceeded
from holdfast.documents.text.analysis import Analyzer
from holdfast.documents.text.forward import Forward, forward_of, unpack
from holdfast.documents.text.rows import (
    BLOCK_DOCUMENTS,
    DOCUMENTS_MAX,
    STATISTICS_KEY,
    Change,
    Read,
    Staged,
    Statistics,
    forward_key,
    lengths_key,
    number_key,
    postings_tail,
    term_prefix,
    with_length,
    with_posting,
    with_postings,
)

#: The values of each field of a document.
Texts = Sequence[Sequence[object]]

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
        if new is not None and not new.packed_terms:
            new = None
        if stored is None:
            if new is not None:
                yield from self._added(identifier, new, read)
            return
        number = int.from_bytes(stored, "big")
        old_row = read(forward_key(number))
        old = unpack(old_row or b"")
        if new != old:
            yield from self._changed(identifier, number, old, new, read)

    def changes_of_many(
        self,
        documents: Iterable[tuple[bytes, Texts | None]],
        read: Read,
        made: dict[bytes, tuple[Texts, Forward]] | None = None,
    ) -> list[Change]:
        """The rows that change with many documents, as if one came after the other.

        Several times cheaper than one by one for documents that are new: to build an index, take
        some hundred at a time.

        Args:
            documents: identifiers, with the values of each field; None: it is deleted.
            read: reads a row.
            made: what was made of documents in an earlier attempt; filled here.
        """
        staged = Staged(read)
        known = {} if made is None else made
        new: list[tuple[bytes, Forward]] = []
        for identifier, after in dict(documents).items():
            if staged.read(number_key(identifier)) is not None:
                staged.take(self.changes(identifier, after, staged.read))
            elif after is not None:
                before = known.get(identifier)
                if before is not None and before[0] == after:
                    forward = before[1]
                else:
                    forward = self._forward(after)
                    known[identifier] = after, forward
                if forward.packed_terms:
                    new.append((identifier, forward))
        if new:
            self._add_many(new, staged)
        return list(staged.changes.items())

    def _add_many(self, documents: list[tuple[bytes, Forward]], staged: Staged) -> None:
        statistics = Statistics.read(staged.read)
        words = 0
        blocks: dict[int, dict[str, list[bytes]]] = {}
        for number, (identifier, forward) in enumerate(documents, statistics.next):
            _check_number(number)
            words += forward.words
            block, low = divmod(number, BLOCK_DOCUMENTS)
            terms = blocks.setdefault(block, {})
            packed = low.to_bytes(2, "little")
            for term, one in forward.counts.items():
                if (added := terms.get(term)) is None:
                    terms[term] = [packed, one]
                else:
                    added[0] += packed
                    added[1] += one
            staged.changes[number_key(identifier)] = number.to_bytes(4, "big")
            staged.changes[forward_key(number)] = forward.pack(identifier)
            staged.take(_length(number, forward.words, staged.read))
        fields = len(self.weights)
        for block, terms in blocks.items():
            tail = postings_tail(block)
            for term, added in terms.items():
                key = term_prefix(term) + tail
                staged.changes[key] = with_postings(staged.read(key), added[0], added[1], fields)
        staged.changes[STATISTICS_KEY] = Statistics(
            statistics.documents + len(documents),
            statistics.words + words,
            statistics.next + len(documents),
        ).pack()

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
        _check_number(number)
        yield number_key(identifier), number.to_bytes(4, "big")
        yield forward_key(number), new.pack(identifier)
        yield from self._postings(number, {}, new.counts, read)
        yield from _length(number, new.words, read)
        yield (
            STATISTICS_KEY,
            Statistics(statistics.documents + 1, statistics.words + new.words, number + 1).pack(),
        )

    def _changed(
        self, identifier: bytes, number: int, old: Forward, new: Forward | None, read: Read
    ) -> Iterator[Change]:
        length = new.words if new is not None else 0
        if new is None:
            yield number_key(identifier), None
            yield forward_key(number), None
        else:
            yield forward_key(number), new.pack(identifier)
        yield from self._postings(number, old.counts, new.counts if new is not None else {}, read)
        if new is not None and old.words == length:
            return
        yield from _length(number, length, read)
        statistics = Statistics.read(read)
        yield (
            STATISTICS_KEY,
            statistics._replace(
                documents=statistics.documents - (new is None),
                words=statistics.words - old.words + length,
            ).pack(),
        )

    def _postings(
        self, number: int, old: dict[str, bytes], new: dict[str, bytes], read: Read
    ) -> Iterator[Change]:
        block, low = divmod(number, BLOCK_DOCUMENTS)
        fields = len(self.weights)
        tail = postings_tail(block)
        for term in (*(term for term in old if term not in new), *new):
            counts = new.get(term)
            if old.get(term) != counts:
                key = term_prefix(term) + tail
                yield key, with_posting(read(key), low, counts, fields)


def _check_number(number: int) -> None:
    if number >= DOCUMENTS_MAX:
        raise QuotaExceeded(
            f"a full-text index numbers at most {DOCUMENTS_MAX} documents in its life, and this "
            "one did. Drop it and create it again"
        )


def _length(number: int, length: int, read: Read) -> Iterator[Change]:
    block, low = divmod(number, BLOCK_DOCUMENTS)
    key = lengths_key(block)
    yield key, with_length(read(key), low, length)
