"""What an index would cost for this query: rows counted up to some, the rest by a sample.

A walk of the first rows within the bounds tells exactly how many there are, if they are few. That
is decisive where the same question is cheap for one value and dear for another. Of what is more, a
sample of documents tells the share. It is taken in places at even distances between the first and
the last key, and is taken anew after a while.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from holdfast.contract.engine import NOT_NOW, Engine
from holdfast.contract.record import Page, Range
from holdfast.contract.runtime import Clock
from holdfast.documents.planner.lens import Lens
from holdfast.documents.planner.waiting import answers_at_once, at_once
from holdfast.documents.planner.way import Access, Estimate
from holdfast.documents.query.compile import Test, compile_where
from holdfast.documents.query.values import MISSING
from holdfast.documents.storage import DocumentStorage
from holdfast.store.transaction import TransactionEngine

#: Up to so many rows of an index are counted; those of more are estimated.
COUNTED_MAX: Final = 128
#: In so many places of the collection so many documents are taken for the sample.
SAMPLE_PLACES: Final = 16
PLACE_ROWS: Final = 16
#: About how many bytes of documents a sample keeps: of big ones it has fewer.
SAMPLE_BYTES_MAX: Final = 1024 * 1024
#: Up to so many documents are counted for it, where the engine counts without a pause.
SIZE_COUNTED_MAX: Final = 10_000
#: How long a sample serves.
SAMPLE_S: Final = 60.0
#: Of a collection that has no more, all are looked at.
_PAGE_ROWS: Final = 1024
#: How many bytes of keys are looked at to find places between them.
_PLACE_BYTES: Final = 8


class Sample:
    """Some documents of a collection, and how many it has at least.

    Attributes:
        documents: whole; those that are big or have run out are left out.
        size: so many the collection is thought to have.
        until: when it is too old, by the monotonic clock.
    """

    def __init__(self, documents: list[Any], size: int, until: float) -> None:
        self.documents = documents
        self.size = size
        self.until = until

    def met(self, test: Test) -> int:
        """Which documents meet a condition: a bit for each."""
        bits = 0
        for document in self.documents:
            bits = bits << 1 | test(document)
        return bits

    def share(self, met: int) -> float:
        """Which share of the documents has its bit set; of none at all: half of one."""
        if not self.documents:
            return 1.0
        return max(met.bit_count(), 0.5) / len(self.documents)


class Statistics:
    """Estimates for one plan, at one moment.

    Args:
        storage: of the collection.
        moment: where it reads.
    """

    def __init__(self, storage: DocumentStorage, moment: Engine) -> None:
        self._storage = storage
        self._moment = moment
        self._sample: Sample | None = None
        self._clock: Clock = storage.space.clock
        # What a transaction reads it may conflict by: an estimate is not worth that.
        inside = isinstance(moment, TransactionEngine)
        self.able = not inside and answers_at_once(moment)

    def rows(self, access: Access) -> Estimate | None:
        """How many rows the spans of an access have.

        None: there is no telling without waiting, or it is a full-text index.
        """
        if not self.able or access.text is not None:
            return None
        counted = 0
        for span in access.spans:
            found = self._page(replace(span, limit=COUNTED_MAX - counted))
            if found is None:
                return None
            counted += len(found.rows)
            if counted >= COUNTED_MAX:
                sample = self.sample()
                if sample is None:
                    return None
                met = sample.met(compile_where(access.said))
                return Estimate(max(counted, round(sample.share(met) * sample.size)), False, met)
        return Estimate(counted, True)

    def sample(self) -> Sample | None:
        """Some documents, the same each time; None: that would take waiting."""
        if self._sample is None:
            self._sample = self._recent()
        return self._sample

    # --- Inside -----------------------------------------------------------------------------

    def _recent(self) -> Sample | None:
        known: Sample | None = self._storage.known.sample
        now = self._clock.monotonic()
        if known is not None and now < known.until:
            return known
        taken = self._take(now)
        if taken is not None:
            self._storage.known.sample = taken
        return taken

    def _take(self, now: float) -> Sample | None:
        whole = self._storage.whole
        first = self._page(replace(whole, limit=1))
        last = self._page(replace(whole, limit=1, reverse=True))
        if first is None or last is None:
            return None
        until = now + SAMPLE_S
        if not first.rows or not last.rows:
            return Sample([], 0, until)
        head = self._page(replace(whole, limit=_PAGE_ROWS))
        if head is None:
            return None
        lens = Lens(None)
        size = len(head.rows)
        if head.resume is None:
            # It is small enough to know how many there are, and to take from all of it.
            rows = dict(head.rows[:: max(1, size // (SAMPLE_PLACES * PLACE_ROWS))])
        else:
            size = max(size, self._storage.known.documents, self._counted(whole))
            rows = dict(head.rows[:PLACE_ROWS])
            keys = [key for key, _ in (*head.rows, *last.rows)]
            for place in _between(keys, SAMPLE_PLACES):
                some = self._page(Range(place, whole.end, limit=PLACE_ROWS))
                if some is None:
                    return None
                rows.update(some.rows)
            if len(rows) < SAMPLE_PLACES * PLACE_ROWS // 2:
                # Most places lie where no keys are, for the last key is unlike the others.
                rows.update(head.rows[:: _PAGE_ROWS // (SAMPLE_PLACES * PLACE_ROWS)])
        size_bytes = sum([len(record.value) for record in rows.values()])
        few = list(rows.items())[:: 1 + size_bytes // SAMPLE_BYTES_MAX]
        documents, _ = lens.documents(few)
        return Sample([one for one in documents if one is not MISSING], size, until)

    def _counted(self, whole: Range) -> int:
        """How many documents there are at least, where nobody has walked through them yet."""
        count = self._storage.engine.peek_count
        counted = NOT_NOW if count is None else count(replace(whole, limit=SIZE_COUNTED_MAX))
        return 0 if counted is NOT_NOW else counted.rows

    def _page(self, range: Range) -> Page | None:
        return at_once(self._moment.scan(range))


def _between(keys: list[bytes], count: int) -> list[bytes]:
    """Keys at even distances between the first and the last of some that are in order.

    Keys are read as numbers whose digits are the bytes that occur in them: most keys are of digits
    or letters, and between "19" and "20" nothing stands with a byte that is neither.
    """
    first, last = keys[0], keys[-1]
    shared = 0
    for one, other in zip(first, last, strict=False):
        if one != other:
            break
        shared += 1
    digits = bytes(sorted(set(b"".join([key[shared:] for key in keys]))))
    base = len(digits)

    def number(key: bytes) -> int:
        value = 0
        for byte in key[shared : shared + _PLACE_BYTES].ljust(_PLACE_BYTES, digits[:1]):
            value = value * base + digits.index(byte)
        return value

    def key(value: int) -> bytes:
        place = bytearray()
        for _ in range(_PLACE_BYTES):
            value, digit = divmod(value, base)
            place.append(digits[digit])
        return first[:shared] + bytes(reversed(place))

    low, high = number(first), number(last)
    return [key(low + (high - low) * at // count) for at in range(1, count)]
