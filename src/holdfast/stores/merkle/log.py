"""A Merkle tree over the rows of a feed, as RFC 6962 (certificate transparency) has it.

Leaves are rows, numbered from 0. Appending costs two hashes a row. What is written is one row with
the head; for every 16 rows appended a block with their hashes; and the hashes of whole subtrees of
16 rows and more. The hashes between are computed from a block when a proof needs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from msgspec import Struct

from holdfast.contract.errors import IntegrityFailed, InvalidInput
from holdfast.stores.iavl.rows import RowBatch, Rows

HEAD = b"mfeed"
NODE = b"h"
SIZE_BYTES = 8
HASH_BYTES = 32
#: The height of the lowest subtrees whose hashes are stored, and how many rows they have.
BLOCK_HEIGHT = 4
BLOCK_ROWS = 1 << BLOCK_HEIGHT
EMPTY_ROOT = sha256(b"").digest()


class Head(Struct, frozen=True):
    """How far a log has come.

    Attributes:
        size: how many rows it has.
        peaks: the hashes of its whole subtrees from left to right, which are those of the powers
            of two that the size is the sum of.
        tail: the hashes of the rows behind the last whole block.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()
    tail: tuple[bytes, ...] = ()

    @property
    def root(self) -> bytes:
        """The root hash over all rows."""
        if not self.peaks:
            return EMPTY_ROOT
        *others, hash = self.peaks
        for peak in reversed(others):
            hash = _pair(peak, hash)
        return hash

    def encoded(self) -> bytes:
        """The head as it is stored."""
        return self.size.to_bytes(SIZE_BYTES, "big") + b"".join(self.peaks + self.tail)


def leaf_hash(row: bytes) -> bytes:
    """The hash of a row of the feed."""
    return sha256(b"\x00" + row).digest()


class FeedLog:
    """A log over rows: append, and prove.

    Raises:
        IntegrityFailed: the head is not what was written.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.head = _decode_head(rows.get(HEAD))

    def append(self, rows: Sequence[bytes]) -> tuple[Head, RowBatch]:
        """The head after some more rows, and what has to be committed together with them.

        Nothing is changed; set `head` to the new one when it is committed.
        """
        batch = RowBatch()
        size, peaks, tail = self.head.size, list(self.head.peaks), list(self.head.tail)
        for row in rows:
            hash = sha256(b"\x00" + row).digest()
            tail.append(hash)
            if len(tail) == BLOCK_ROWS:
                batch.puts.append((_node_key(0, size >> BLOCK_HEIGHT), b"".join(tail)))
                tail = []
            height = 0
            while size >> height & 1:
                hash = sha256(b"\x01" + peaks.pop() + hash).digest()
                height += 1
                if height >= BLOCK_HEIGHT:
                    batch.puts.append((_node_key(height, size >> height), hash))
            peaks.append(hash)
            size += 1
        head = Head(size, tuple(peaks), tuple(tail))
        batch.puts.append((HEAD, head.encoded()))
        return head, batch

    def root(self, size: int | None = None) -> bytes:
        """The root hash over the first `size` rows; over all unless given."""
        if size is None or size == self.head.size:
            return self.head.root
        self._check_size(size)
        return self._range_hash(0, size) if size else EMPTY_ROOT

    def prove_inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """The hashes that lead from a row to the root over the first `size` rows."""
        size = self.head.size if size is None else size
        self._check_size(size)
        if not 0 <= index < size:
            raise InvalidInput(
                f"a row has a number from 0 to {size - 1}; found {index}", index=index, size=size
            )
        path = []
        start, end = 0, size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                path.append(self._range_hash(middle, end))
                end = middle
            else:
                path.append(self._range_hash(start, middle))
                start = middle
        path.reverse()
        return path

    def prove_consistency(self, old_size: int, size: int | None = None) -> list[bytes]:
        """The hashes that show the first `old_size` rows to be the beginning of `size` rows."""
        size = self.head.size if size is None else size
        self._check_size(size)
        if not 0 <= old_size <= size:
            raise InvalidInput(
                f"an earlier size is from 0 to {size}; found {old_size}", old_size=old_size
            )
        if old_size in {0, size}:
            return []
        path = []
        start, end = 0, size
        while end != old_size:
            middle = start + _split(end - start)
            if old_size <= middle:
                path.append(self._range_hash(middle, end))
                end = middle
            else:
                path.append(self._range_hash(start, middle))
                start = middle
        if start:
            path.append(self._range_hash(start, end))
        path.reverse()
        return path

    def _check_size(self, size: int) -> None:
        if not 0 <= size <= self.head.size:
            raise InvalidInput(
                f"the log has {self.head.size} rows; wanted the first {size}",
                size=size,
                found=self.head.size,
            )

    def _range_hash(self, start: int, end: int) -> bytes:
        """The hash over the rows from `start` to `end`, a place where RFC 6962 splits."""
        peaks = []
        while start < end:
            height = (end - start).bit_length() - 1
            peaks.append(self._subtree_hash(height, start >> height))
            start += 1 << height
        hash = peaks.pop()
        while peaks:
            hash = _pair(peaks.pop(), hash)
        return hash

    def _subtree_hash(self, height: int, index: int) -> bytes:
        """The hash of a whole subtree: stored, or computed from a block."""
        if height < BLOCK_HEIGHT:
            first = index << height
            hashes = self.block(first >> BLOCK_HEIGHT)
            first %= BLOCK_ROWS
            return _root_of(hashes[first : first + (1 << height)])
        hash = self._rows.get(_node_key(height, index))
        if hash is None or len(hash) != HASH_BYTES:
            raise _damaged(index << height, index + 1 << height)
        return hash

    def block(self, index: int) -> Sequence[bytes]:
        """The hashes of the rows of a block, or of those behind the last whole block."""
        if index == self.head.size >> BLOCK_HEIGHT:
            return self.head.tail
        block = self._rows.get(_node_key(0, index))
        if block is None or len(block) != BLOCK_ROWS * HASH_BYTES:
            raise _damaged(index << BLOCK_HEIGHT, index + 1 << BLOCK_HEIGHT)
        return _hashes(block)

    def require_whole(self) -> None:
        """Raise IntegrityFailed unless the hashes of all rows lead to the root."""
        rebuilt = Head()
        for block in range(-(-self.head.size // BLOCK_ROWS)):
            rebuilt = _joined(rebuilt, self.block(block))
        if rebuilt.root != self.head.root:
            raise _damaged(0, self.head.size)

    def first_wrong_row(self, feed: Iterable[bytes]) -> int | None:
        """The number of the first row of a feed that is not what was appended; None if all are.

        Rows that are missing at the feed's end count as wrong.

        Raises:
            IntegrityFailed: the log itself is damaged, so that it cannot judge the feed.
        """
        wrong = None
        rows = iter(feed)
        rebuilt = Head()
        for block in range(-(-self.head.size // BLOCK_ROWS)):
            hashes = self.block(block)
            rebuilt = _joined(rebuilt, hashes)
            for place, hash in enumerate(hashes):
                row = next(rows, None)
                if wrong is None and (row is None or leaf_hash(row) != hash):
                    wrong = block * BLOCK_ROWS + place
        if rebuilt.root != self.head.root:
            raise _damaged(0, self.head.size)
        return wrong


def _joined(head: Head, hashes: Sequence[bytes]) -> Head:
    """A head with some more rows, whose hashes are known."""
    size, peaks = head.size, list(head.peaks)
    for hash in hashes:
        joined, height = hash, 0
        while size >> height & 1:
            joined = _pair(peaks.pop(), joined)
            height += 1
        peaks.append(joined)
        size += 1
    return Head(size, tuple(peaks))


def _root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [_pair(*hashes[at : at + 2]) for at in range(0, len(hashes), 2)]
    return hashes[0]


def _pair(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _split(count: int) -> int:
    """The largest power of two below a count."""
    return 1 << (count - 1).bit_length() - 1


def _node_key(height: int, index: int) -> bytes:
    return NODE + bytes((height,)) + index.to_bytes(SIZE_BYTES, "big")


def _hashes(row: bytes) -> tuple[bytes, ...]:
    return tuple(row[at : at + HASH_BYTES] for at in range(0, len(row), HASH_BYTES))


def _decode_head(row: bytes | None) -> Head:
    if row is None:
        return Head()
    size = int.from_bytes(row[:SIZE_BYTES], "big")
    peaks, tail = size.bit_count(), size % BLOCK_ROWS
    hashes = _hashes(row[SIZE_BYTES:])
    if len(row) != SIZE_BYTES + HASH_BYTES * (peaks + tail):
        raise IntegrityFailed("the head of the feed's log is damaged. Append the feed to a new log")
    head = Head(size, hashes[:peaks], hashes[peaks:])
    # The lowest peaks are those of the tail; the rest is checked against rows when it is used.
    small = _joined(Head(), head.tail).peaks
    if head.peaks[peaks - len(small) :] != small:
        raise IntegrityFailed("the head of the feed's log is damaged. Append the feed to a new log")
    return head


def _damaged(start: int, end: int) -> IntegrityFailed:
    return IntegrityFailed(
        f"the log's hashes over rows {start} to {end - 1} of the feed are missing or damaged. "
        "Append the feed to a new log",
        first=start,
        end=end,
    )
