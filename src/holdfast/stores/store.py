"""`Store`: plain bytes under byte keys, in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Final, NoReturn, TypeVar

from holdfast.codecs.envelope import EXPIRES
from holdfast.contract.batch import Need
from holdfast.contract.engine import NOT_NOW, Engine
from holdfast.contract.errors import InvalidInput, InvalidKey, InvalidValue, KeyNotFound
from holdfast.contract.record import MISSING, THIS_COMMIT, Missing, Range, Record
from holdfast.store import layout
from holdfast.store.durations import ttl_milliseconds
from holdfast.store.feed_row import NO_CONTEXT, Act, Cause, WriteContext
from holdfast.store.plain.rows import (
    PlainExpiryRows,
    pack_plain,
    plain_expires_at_ms,
    plain_value,
)
from holdfast.store.plan import Derived, Plan
from holdfast.store.space import Space

T = TypeVar("T")

#: The most bytes a key of a store can have.
KEY_BYTES_MAX: Final = 4000
#: The most bytes a value of a store can have.
VALUE_BYTES_MAX: Final = 32 * 1024 * 1024


class Store:
    """Bytes under byte keys, in the order of the keys.

    Made by `db.stores`. Every write is one durable commit, told in the feed (`db.watch` with
    `view="stores"`); inside a transaction it is part of that.

    Attributes:
        name: as given.
    """

    def __init__(self, space: Space) -> None:
        self.name = space.keyspace.name
        self._space = space
        self._data = layout.region(space.keyspace.number, layout.DATA)
        self._derived: tuple[Derived, ...] = (PlainExpiryRows(),)
        self._number = space.keyspace.number
        self._tells = space.keyspace.settings.feed
        self._skip = layout.REGION_BYTES

    def __repr__(self) -> str:
        return f"<Store {self.name!r}>"

    def on(self, engine: Engine) -> Store:
        """The same store seen through a transaction or a snapshot."""
        return Store(self._space.on(engine))

    # --- Reading ----------------------------------------------------------------------------

    async def get(self, key: bytes, default: T | Missing = MISSING) -> bytes | T:
        """The value under a key.

        Args:
            key: which.
            default: returned where there is none; left out, that raises.

        Raises:
            KeyNotFound: there is none.
            InvalidKey: the key cannot be one.
        """
        stored = await self._stored(self._data_key(key))
        if stored is not None:
            return plain_value(stored)
        if not isinstance(default, Missing):
            return default
        raise KeyNotFound(
            f"the store {self.name!r} has no value under the key of {len(key)} bytes; "
            "`get(key, default)` returns a default instead",
            key=key,
        )

    async def has(self, key: bytes) -> bool:
        """Whether there is a value under the key."""
        return await self._stored(self._data_key(key)) is not None

    async def iterate(self, *, reverse: bool = False) -> AsyncIterator[tuple[bytes, bytes]]:
        """Every (key, value) in key order; see `iterate_range`."""
        async for row in self.iterate_range(reverse=reverse):
            yield row

    async def iterate_range(
        self,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        reverse: bool = False,
        limit: int | None = None,
    ) -> AsyncIterator[tuple[bytes, bytes]]:
        """The (key, value) pairs with `start <= key < end`, in key order.

        Read page by page, each page of one moment: for one moment throughout, walk a snapshot or
        inside a transaction.

        Args:
            start: first key; None: from the first there is.
            end: first key behind the range; None: to the last there is.
            reverse: from the last to the first.
            limit: at most so many.
        """
        if limit is not None and (
            not isinstance(limit, int) or isinstance(limit, bool) or limit < 0
        ):
            raise InvalidInput(f"limit is an int from 0, or None; found {limit!r}")
        for bound in (start, end):
            if bound is not None and type(bound) is not bytes:
                raise InvalidKey(f"start and end are bytes; found a {type(bound).__name__}")
        self._space.check()
        whole = Range.prefix(self._data)
        rest: Range | None = Range(
            self._data + (start or b""),
            whole.end if end is None else self._data + end,
            reverse,
        )
        left = limit
        skip = len(self._data)
        while rest is not None and (left is None or left > 0) and not rest.empty:
            page = await self._space.scan(rest)
            now = self._space.clock.now_ms()
            for data_key, record in page.rows:
                if self._gone(record.value, now):
                    continue
                if left is not None:
                    if not left:
                        return
                    left -= 1
                yield data_key[skip:], plain_value(record.value)
            rest = page.resume

    # --- Writing ----------------------------------------------------------------------------

    async def set(
        self,
        key: bytes,
        value: bytes,
        *,
        ttl: float | timedelta | None = None,
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> int:
        """Put a value under a key; the revision of the commit, or 0 inside a transaction.

        Args:
            key, value: bytes.
            ttl: seconds or timedelta until it expires; left out it does not.
            modified_by, comment: who and why, for the feed.

        Raises:
            InvalidKey, InvalidValue, InvalidInput: nothing was written.
            StoreNotFound: the store was deleted meanwhile.
        """
        data_key = self._data_key(key)
        if type(value) is not bytes or len(value) > VALUE_BYTES_MAX:
            _refuse_value(value)
        ttl_ms = 0 if ttl is None else ttl_milliseconds(ttl)

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            stored = pack_plain(value, plan.now_ms + ttl_ms) if ttl_ms else pack_plain(value)
            self._put(plan, data_key, records[0], stored)
            return None

        context = _context(modified_by, comment)
        receipt = await self._space.commit((data_key,), write, context)
        return 0 if receipt.revision == THIS_COMMIT else receipt.revision

    async def delete(
        self, key: bytes, *, modified_by: str | int | None = None, comment: str | None = None
    ) -> bool:
        """Remove the value under a key; whether there was one."""
        data_key = self._data_key(key)
        there = False

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            nonlocal there
            row = records[0]
            there = row is not None and not self._gone(row.value, plan.now_ms)
            if row is not None:
                self._remove(plan, data_key, row, None if there else Cause.EXPIRED)
            return None

        await self._space.commit((data_key,), write, _context(modified_by, comment))
        return there

    async def expire(self, data_keys: list[bytes]) -> int:
        """End the values of these rows that have run out, as one commit; how many did."""
        ended = 0

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            nonlocal ended
            ended = 0
            for data_key, row in zip(data_keys, records, strict=True):
                if row is not None and self._gone(row.value, plan.now_ms):
                    self._remove(plan, data_key, row, Cause.EXPIRED)
                    ended += 1
            return None

        await self._space.commit(data_keys, write)
        return ended

    # --- Inside -----------------------------------------------------------------------------

    def _data_key(self, key: bytes) -> bytes:
        if type(key) is not bytes:
            raise InvalidKey(f"a key of a store is bytes; found a {type(key).__name__}")
        if not 0 < len(key) <= KEY_BYTES_MAX:
            raise InvalidKey(
                f"a key of a store has 1 to {KEY_BYTES_MAX} bytes; found {len(key)}",
                limit=KEY_BYTES_MAX,
                found=len(key),
            )
        return self._data + key

    async def _stored(self, data_key: bytes) -> bytes | None:
        """The living row of a key."""
        space = self._space
        space.check()
        found = space.peek(data_key)
        if found is NOT_NOW:
            [found] = await space.read((data_key,))
        if found is None or self._gone(found[0], space.clock.now_ms()):
            return None
        return found[0]

    @staticmethod
    def _gone(stored: bytes, now_ms: int) -> bool:
        return 0 < plain_expires_at_ms(stored) <= now_ms

    def _put(self, plan: Plan, data_key: bytes, row: Record | None, stored: bytes) -> None:
        before = None if row is None else row[0]
        flags = stored[1]
        if before is not None:
            flags |= before[1]
            if before[1] & EXPIRES and self._gone(before, plan.now_ms):
                # Nobody has swept it yet, so this commit tells that it ran out.
                assert row is not None
                self._remove(plan, data_key, row, Cause.EXPIRED)
                before = row = None
        plan.rows[data_key] = stored
        if flags & EXPIRES:
            plan.derive(self._derived, data_key, before, stored)
        if self._tells:
            previous = 0 if row is None else row[1]
            plan.tell(self._number, Act.SET, data_key[self._skip :], previous, plan.now_ms)

    def _remove(self, plan: Plan, data_key: bytes, row: Record, cause: Cause | None) -> None:
        plan.delete(data_key)
        plan.derive(self._derived, data_key, row.value, None)
        if self._tells:
            plan.tell(
                self._number, Act.DELETE, data_key[self._skip :], row.revision, plan.now_ms,
                cause=cause,
            )  # fmt: skip


def _refuse_value(value: object) -> NoReturn:
    if not isinstance(value, bytes):
        raise InvalidValue(f"a value of a store is bytes; found a {type(value).__name__}")
    raise InvalidValue(
        f"a value of a store has at most {VALUE_BYTES_MAX} bytes; found {len(value)}. "
        "Split it over keys",
        limit=VALUE_BYTES_MAX,
        found=len(value),
    )


def _context(modified_by: str | int | None, comment: str | None) -> WriteContext:
    if modified_by is None and comment is None:
        return NO_CONTEXT
    return WriteContext(modified_by, comment=comment)
