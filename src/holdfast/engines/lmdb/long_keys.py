"""Keys of any length in byte order, on trees whose keys are short.

LMDB compares keys of up to 511 bytes. A key of up to 480 bytes is stored as it is. Of a longer
one the first 480 bytes and a marker byte are stored, and the row holds the number of a subtree:
the rest of the key is a row of the tree `long`, under that number, by the same rule. A stored key
of 481 bytes is therefore always such a pointer, and it sorts exactly where its keys belong: behind
the 480 bytes alone and before everything else. Databases without long keys pay one comparison.

    rows   <key>                                  -> record
    rows   <first 480 bytes of the key> 00        -> number of a subtree, 8 bytes
    long   <number, 8 bytes> <rest of the key>    -> record, or pointer again
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import lmdb

from holdfast.contract.lookup import Fence, Look, LookedUp, Lookup, Sifted, Tally
from holdfast.contract.record import Page, Range, Record
from holdfast.engines.embedded.paging import gathered
from holdfast.engines.lmdb import facts
from holdfast.engines.lmdb.records import unpack
from holdfast.engines.lmdb.walks import made_within, page_of, rows_between, rows_from

_make = tuple.__new__
_from_bytes = int.from_bytes

#: The longest key that is stored as it is.
STORED_KEY_BYTES_MAX = 480
_POINTER_BYTES = STORED_KEY_BYTES_MAX + 1
_MARKER = b"\0"
#: The row of the main tree that holds the number the next subtree gets.
NEXT_SUBTREE = b"subtree"
_NUMBER_BYTES = 8
#: A page of so many rows is gathered, and not made row by row.
_MANY_ROWS = 256
#: How many keys a count looks at in a step: at first, of those before, and at most.
_COUNTED_FIRST = 64
_COUNTED_PART = 8
_COUNTED_LAST = 4096


class Tree:
    """The rows as one transaction sees them: whole keys to stored records."""

    __slots__ = ("_long", "_rows", "_transaction")

    def __init__(
        self,
        transaction: lmdb.Transaction[bytes],
        rows: lmdb._Database,
        long: lmdb._Database,
    ) -> None:
        self._transaction = transaction
        self._rows = rows
        self._long = long

    def get(self, key: bytes) -> bytes | None:
        """The stored record of the key."""
        if len(key) <= STORED_KEY_BYTES_MAX:
            return self._transaction.get(key, None, self._rows) if key else None
        path = self._path(key)
        if path is None:
            return None
        return self._transaction.get(path[-1], None, self._long)

    def records(self, keys: Sequence[bytes]) -> list[Record | None]:
        """The records of the keys, in their order."""
        get, rows = self._transaction.get, self._rows
        records: list[Record | None] = []
        for key in keys:
            short = 0 < len(key) <= STORED_KEY_BYTES_MAX
            stored = get(key, None, rows) if short else self.get(key)
            records.append(
                None if stored is None else _make(Record, (stored[8:], _from_bytes(stored[:8])))
            )
        return records

    def page(self, range: Range, rows_max: int, bytes_max: int) -> Page:
        """The first rows of the range that is not empty, with the range that continues it."""
        reverse = range.reverse
        lower, upper = self._stored_bounds(b"", range.start, range.end)
        cursor = self._transaction.cursor(self._rows)
        page: list[tuple[bytes, Record]] = []
        bytes_left = bytes_max
        revision = facts.read_head(self._transaction).revision
        try:
            found = rows_from(cursor, lower, upper, reverse=reverse)
            if rows_max >= _MANY_ROWS and not self._transaction.stat(self._long)["entries"]:
                made = made_within(lower, upper, reverse=reverse)
                page, full = gathered(found, made, rows_max, bytes_max)
                return Page(page, range.after(page[-1][0]) if full else None, revision)
            for key, stored in found:
                # Every comparison counts here.
                if len(key) > STORED_KEY_BYTES_MAX:
                    return page_of(self.walk_range(range), range, rows_max, bytes_max, revision)
                if key < lower if reverse else upper is not None and key >= upper:
                    return Page(page, None, revision)
                page.append((key, _make(Record, (stored[8:], _from_bytes(stored[:8])))))
                bytes_left -= len(key) + len(stored)
                if len(page) == rows_max or bytes_left <= 0:
                    return Page(page, range.after(key), revision)
        finally:
            cursor.close()
        return Page(page, None, revision)

    def sifted(self, range: Range, rows_max: int, bytes_max: int, look: Look) -> Sifted | None:
        """Of so many rows of the range those of which `look` wants anything.

        None: there are long keys.
        """
        reverse = range.reverse
        lower, upper = self._stored_bounds(b"", range.start, range.end)
        cursor = self._transaction.cursor(self._rows)
        rows: list[tuple[bytes, Record, Any]] = []
        looked, bytes_left = 0, bytes_max
        try:
            for key, stored in rows_from(cursor, lower, upper, reverse=reverse):
                if len(key) > STORED_KEY_BYTES_MAX:
                    return None
                if key < lower if reverse else upper is not None and key >= upper:
                    break
                looked += 1
                value = stored[8:]
                seen = look(value)
                if seen is not None:
                    rows.append((key, _make(Record, (value, _from_bytes(stored[:8]))), seen))
                bytes_left -= len(key) + len(value)
                if looked == rows_max or bytes_left <= 0:
                    return Sifted(rows, looked, range.after(key))
        finally:
            cursor.close()
        return Sifted(rows, looked, None)

    def lookup(  # noqa: C901, PLR0912 - one loop, for every comparison in it counts
        self, lookup: Lookup
    ) -> list[LookedUp] | None:
        """What an index lookup finds; None: the fence is not right, or there are long keys."""
        fence, spans, reverse, limit, into, cut, _, keep, in_value, _ = lookup
        if not self._right(fence):
            return None
        at, length = cut or (0, 0)
        behind = None if length is None else at + length or None
        get, database = self._transaction.get, self._rows
        rows: list[LookedUp] = []
        cursor = self._transaction.cursor(database)
        try:
            for start, end in spans:
                if len(start) > STORED_KEY_BYTES_MAX or len(end) > STORED_KEY_BYTES_MAX:
                    return None
                left = limit
                for key, stored in rows_from(cursor, start, end, reverse=reverse):
                    if key < start if reverse else key >= end:
                        break
                    left -= 1
                    value = stored[8:]
                    if keep is not None:
                        if left < 0:
                            return None
                        if not keep(value):
                            continue
                    if in_value is not None and len(value) > in_value:
                        target = into + value[in_value:]
                    elif cut is None:
                        target = into + key[-2 - _from_bytes(key[-2:]) : -2]
                    else:
                        target = into + key[at:behind]
                    if len(key) > STORED_KEY_BYTES_MAX or len(target) > STORED_KEY_BYTES_MAX:
                        return None
                    found = get(target, None, database)
                    rows.append((key, value, None if found is None else found[8:]))
                    if left == 0 and keep is None:
                        break
        finally:
            cursor.close()
        return rows

    def tally(self, wanted: Tally) -> list[int] | None:
        """What a tally counts; None: the fence is not right, or there are long keys."""
        fence, spans = wanted
        if not self._right(fence) or self._transaction.stat(self._long)["entries"]:
            return None
        if max([max(len(start), len(end)) for start, end, _ in spans]) > STORED_KEY_BYTES_MAX:
            return None
        return [self._count_between(start, end, limit) for start, end, limit in spans]

    def count_of(self, range: Range, rows_max: int | None) -> int:
        """How many rows the range that is not empty has, up to a number."""
        if self._transaction.stat(self._long)["entries"]:
            walk = self.walk(range.start, range.end)
            return sum(1 for _ in islice(walk, rows_max))
        lower, upper = self._stored_bounds(b"", range.start, range.end)
        return self._count_between(lower, upper, rows_max)

    def _count_between(self, lower: bytes, upper: bytes | None, rows_max: int | None) -> int:
        """How many stored rows there are, up to a number."""
        cursor = self._transaction.cursor(self._rows)
        total, step = 0, _COUNTED_FIRST
        try:
            found = cursor.set_range(lower) if lower else cursor.first()
            walked = cursor.iternext(keys=True, values=False) if found else iter(())
            while rows_max is None or total < rows_max:
                # Keys come many at a time, for each by itself costs several times as much.
                wanted = step if rows_max is None else min(step, rows_max - total)
                keys = list(islice(walked, wanted))
                ended = len(keys) < wanted
                if upper is not None and keys and keys[-1] >= upper:
                    del keys[bisect_left(keys, upper) :]
                    ended = True
                total += len(keys)
                if ended:
                    break
                # So few that what is looked at behind the end costs little beside the rest.
                step = max(_COUNTED_FIRST, min(total // _COUNTED_PART, _COUNTED_LAST))
        finally:
            cursor.close()
        return total

    def walk_range(self, range: Range) -> Iterator[tuple[bytes, Record]]:
        """The rows of the range, all of them."""
        for key, stored in self.walk(range.start, range.end, reverse=range.reverse):
            yield key, unpack(stored)

    def walk(
        self, start: bytes | None, end: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Keys from `start` to before `end`, with their stored records."""
        return self._walk(self._rows, b"", b"", start, end, reverse)

    def put_many(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Write rows that are sorted by key."""
        cursor = self._transaction.cursor(self._rows)
        try:
            if all(len(key) <= STORED_KEY_BYTES_MAX for key, _ in rows):
                cursor.putmulti(rows)
                return
            cursor.putmulti([row for row in rows if len(row[0]) <= STORED_KEY_BYTES_MAX])
        finally:
            cursor.close()
        for key, stored in rows:
            if len(key) > STORED_KEY_BYTES_MAX:
                self._put_long(key, stored)

    def delete(self, key: bytes) -> None:
        """Remove the key, if it is there."""
        if len(key) <= STORED_KEY_BYTES_MAX:
            self._transaction.delete(key, b"", self._rows)
        else:
            self._delete_long(key)

    def count(self) -> int:
        """Stored rows, pointers included."""
        return sum(self._transaction.stat(tree)["entries"] for tree in (self._rows, self._long))

    def pointers(self) -> Iterator[tuple[bytes, bool]]:
        """Stored keys of pointers, and whether they lead to any row: all of them should."""
        for database in (self._rows, self._long):
            for key, stored in self._transaction.cursor(database).iternext():
                if len(key) == _POINTER_BYTES:
                    yield key, self._holds_rows(stored)

    # --- Inside -----------------------------------------------------------------------------

    def _right(self, fence: Fence) -> bool:
        key, value = fence
        if len(key) > STORED_KEY_BYTES_MAX:
            return False
        found = self._transaction.get(key, None, self._rows)
        return found is not None and found[8:] == value

    def _path(self, key: bytes) -> list[bytes] | None:
        """Stored keys from the first pointer to the row itself, or None where one is missing."""
        database = self._rows
        number = b""
        path = []
        while len(number) + len(key) > STORED_KEY_BYTES_MAX:
            room = STORED_KEY_BYTES_MAX - len(number)
            pointer = number + key[:room] + _MARKER
            path.append(pointer)
            found = self._transaction.get(pointer, None, database)
            if found is None:
                return None
            number, key, database = found, key[room:], self._long
        path.append(number + key)
        return path

    def _put_long(self, key: bytes, stored: bytes) -> None:
        database = self._rows
        number = b""
        while len(number) + len(key) > STORED_KEY_BYTES_MAX:
            room = STORED_KEY_BYTES_MAX - len(number)
            pointer = number + key[:room] + _MARKER
            found = self._transaction.get(pointer, None, database)
            if found is None:
                found = self._new_number()
                self._transaction.put(pointer, found, db=database)
            number, key, database = found, key[room:], self._long
        self._transaction.put(number + key, stored, db=database)

    def _delete_long(self, key: bytes) -> None:
        path = self._path(key)
        if path is None:
            return
        self._transaction.delete(path.pop(), b"", self._long)
        while path:
            # From the innermost pointer outwards, as far as nothing is left below.
            pointer = path.pop()
            database = self._long if path else self._rows
            number = self._transaction.get(pointer, None, database)
            if number is None or self._holds_rows(number):
                return
            self._transaction.delete(pointer, b"", database)

    def _holds_rows(self, number: bytes) -> bool:
        cursor = self._transaction.cursor(self._long)
        try:
            return bool(cursor.set_range(number)) and cursor.key()[:_NUMBER_BYTES] == number
        finally:
            cursor.close()

    def _new_number(self) -> bytes:
        found = self._transaction.get(NEXT_SUBTREE)
        number = int.from_bytes(found, "big") if found is not None else 1
        self._transaction.put(NEXT_SUBTREE, (number + 1).to_bytes(_NUMBER_BYTES, "big"))
        return number.to_bytes(_NUMBER_BYTES, "big")

    @staticmethod
    def _stored_bounds(
        number: bytes, start: bytes | None, end: bytes | None
    ) -> tuple[bytes, bytes | None]:
        """The stored keys of a subtree between which the range lies."""
        room = STORED_KEY_BYTES_MAX - len(number)
        lower = number + _stored_bound(start or b"", room)
        if end is None:
            return lower, _after(number)
        if len(end) > room:
            return lower, number + end[:room] + _MARKER + b"\0"  # The pointer itself belongs.
        return lower, number + end

    def _walk(
        self,
        database: lmdb._Database,
        number: bytes,
        prefix: bytes,
        start: bytes | None,
        end: bytes | None,
        reverse: bool,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows of one subtree (of `rows` when number is empty); bounds are rests of keys."""
        lower, upper = self._stored_bounds(number, start, end)
        cursor = self._transaction.cursor(database)
        try:
            for stored_key, stored in rows_between(cursor, lower, upper, reverse=reverse):
                if len(stored_key) <= STORED_KEY_BYTES_MAX:
                    yield prefix + stored_key[len(number) :] if prefix else stored_key, stored
                    continue
                stem = stored_key[len(number) : -1]
                yield from self._walk(
                    self._long,
                    stored,
                    prefix + stem,
                    _rest(start, stem),
                    _rest(end, stem),
                    reverse,
                )
        finally:
            cursor.close()


def _stored_bound(bound: bytes, room: int) -> bytes:
    return bound if len(bound) <= room else bound[:room] + _MARKER


def _rest(bound: bytes | None, stem: bytes) -> bytes | None:
    """What the bound says about the subtree of `stem`: nothing, unless it lies inside."""
    if bound is None or len(bound) <= len(stem) or not bound.startswith(stem):
        return None
    return bound[len(stem) :]


def _after(number: bytes) -> bytes | None:
    if not number:
        return None
    return (int.from_bytes(number, "big") + 1).to_bytes(_NUMBER_BYTES, "big")
