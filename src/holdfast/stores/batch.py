"""`StoreBatch`: sets and deletes of one store that happen together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self

from holdfast.contract.errors import TransactionClosed
from holdfast.stores.content import Wish
from holdfast.stores.limits import checked_key


class StoreBatch:
    """Collects sets and deletes, and commits them at once; made by `Store.batch`.

    As an asynchronous context manager it commits at the end of the block, and drops everything
    when the block raises. Of one key the last wish counts.
    """

    def __init__(
        self,
        wish: Callable[[bytes, bytes | bytearray | memoryview, float | timedelta | None], Wish],
        write: Callable[[Sequence[Wish]], Awaitable[int]],
    ) -> None:
        self._wish = wish
        self._write = write
        self._wishes: dict[bytes, Wish] = {}
        self._over = False

    def set(
        self,
        key: bytes,
        value: bytes | bytearray | memoryview,
        *,
        ttl: float | timedelta | None = None,
    ) -> Self:
        """Put a value under a key, with the others. Raises InvalidKey, InvalidValue."""
        self._require_open()
        self._last(self._wish(key, value, ttl))
        return self

    def delete(self, key: bytes) -> Self:
        """Remove the value under a key, with the others. Raises InvalidKey."""
        self._require_open()
        self._last(Wish(checked_key(key), None))
        return self

    async def commit(self) -> int:
        """Do all of it; the revision, or 0 when there was nothing to do.

        Raises:
            TransactionClosed: it was committed or dropped before.
        """
        self._require_open()
        self._over = True
        return await self._write(tuple(self._wishes.values())) if self._wishes else 0

    async def __aenter__(self) -> Self:
        self._require_open()
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error_type is None and not self._over:
            await self.commit()
        self._over = True

    def _last(self, wish: Wish) -> None:
        """Of one key the last wish counts, in the place of the last."""
        self._wishes.pop(wish.key, None)
        self._wishes[wish.key] = wish

    def _require_open(self) -> None:
        if self._over:
            raise TransactionClosed("the batch was committed or dropped; begin another one")
