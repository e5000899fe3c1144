"""The verbs of whatever is a store: the store itself, and a transaction on it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar

from holdfast.codecs.text import several
from holdfast.contract.errors import Conflict, InvalidInput, InvalidKey, KeyNotFound
from holdfast.contract.record import MISSING, Missing, after_prefix
from holdfast.store.durations import ttl_milliseconds
from holdfast.store.feed_row import NO_CONTEXT, WriteContext
from holdfast.store.said import context_of
from holdfast.stores.batch import StoreBatch
from holdfast.stores.config import StoreConfig
from holdfast.stores.content import Bounds, Content, Pair, Wish, Written
from holdfast.stores.home import Home
from holdfast.stores.limits import TREE_VALUE_BYTES_MAX, VALUE_BYTES_MAX, checked_key, checked_value

T = TypeVar("T")

#: How often a write is repeated that meets a store whose settings others are changing.
_ATTEMPTS: Final = 8


class Verbs:
    """Bytes under byte keys, in the order of the keys.

    Args:
        content: what stands there.
        config: how it keeps its values.
        home: where it belongs.
    """

    def __init__(self, content: Content, config: StoreConfig, home: Home) -> None:
        self._content = content
        self._config = config
        self._home = home
        self._name = content.space.keyspace.name
        self._value_bytes_max = VALUE_BYTES_MAX if config.kind == "plain" else TREE_VALUE_BYTES_MAX

    # --- Facts ------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """As given when it was made."""
        return self._name

    @property
    def path(self) -> str | None:
        """Where the database is that holds it; None where nothing is on a disk."""
        return self._home.path_of(self._content)

    @property
    def config(self) -> StoreConfig:
        """How it keeps its values: as given when it was made, and with what `build_index` began."""
        return self._config

    @property
    def supports_range_queries(self) -> bool:
        """Whether `iterate_range` works here."""
        return True

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
        value = await self._open().value(checked_key(key))
        if value is not None:
            return value
        if not isinstance(default, Missing):
            return default
        raise self._absent(key)

    async def has(self, key: bytes) -> bool:
        """Whether there is a value under the key; reads nothing of a big value."""
        return await self._open().has(checked_key(key))

    async def length(self, key: bytes) -> int:
        """How many bytes the value under a key has. Raises KeyNotFound."""
        found = await self._open().length(checked_key(key))
        if found is None:
            raise self._absent(key)
        return found

    async def get_range(self, key: bytes, offset: int = 0, length: int | None = None) -> bytes:
        """Some bytes of the value under a key; of a big value, only the chunks touched are read.

        Args:
            key: which.
            offset: the first byte, from 0; behind the end there is nothing.
            length: how many bytes; None: all that follow.

        Raises:
            KeyNotFound: there is no value.
            InvalidInput: offset or length are no numbers from 0.
        """
        for name, number in (("offset", offset), ("length", length)):
            if number is None and name == "length":
                continue
            if type(number) is not int or number < 0:
                raise InvalidInput(f"{name} is an int from 0; found {number!r}")
        found = await self._open().part(checked_key(key), offset, length)
        if found is None:
            raise self._absent(key)
        return found

    async def iterate(self, ascending: bool = True) -> AsyncIterator[Pair]:
        """Every (key, value) in key order; see `iterate_range`."""
        async for pair in self.iterate_range(ascending=ascending):
            yield pair

    async def iterate_range(
        self,
        start: bytes | None = None,
        end: bytes | None = None,
        ascending: bool = True,
        *,
        limit: int | None = None,
    ) -> AsyncIterator[Pair]:
        """The (key, value) pairs with `start <= key < end`, in key order.

        Read page by page, each page of one moment: for one moment throughout, walk a snapshot or
        inside a transaction.

        Args:
            start: first key; None: from the first there is.
            end: first key behind the range; None: to the last there is.
            ascending: from the first to the last; False: from the last to the first.
            limit: at most so many; no more rows are read.
        """
        bounds = Bounds.checked(start, end, reverse=not ascending, limit=limit)
        content = self._open()
        content.space.check()
        async for pair in content.walk(bounds):
            yield pair
            self._open()

    async def keys(
        self,
        start: bytes | None = None,
        end: bytes | None = None,
        ascending: bool = True,
        *,
        limit: int | None = None,
    ) -> AsyncIterator[bytes]:
        """The keys with `start <= key < end`, in order; reads no chunk of a big value.

        Args:
            start, end, ascending, limit: see `iterate_range`.
        """
        bounds = Bounds.checked(start, end, reverse=not ascending, limit=limit)
        content = self._open()
        content.space.check()
        async for key in content.walk_keys(bounds):
            yield key
            self._open()

    async def prefix(
        self, prefix: bytes, ascending: bool = True, *, limit: int | None = None
    ) -> AsyncIterator[Pair]:
        """The pairs whose keys begin with `prefix`; see `iterate_range`."""
        start, end = _bounds_of(prefix)
        async for pair in self.iterate_range(start, end, ascending, limit=limit):
            yield pair

    async def visit(
        self,
        callback: Callable[[bytes, bytes], object],
        start: bytes | None = None,
        end: bytes | None = None,
        ascending: bool = True,
    ) -> int:
        """Call `callback(key, value)` with each pair until it returns False; how many calls.

        Only the very False ends the walk, so a function without a result sees everything.
        """
        if not callable(callback):
            raise InvalidInput(f"visit calls a function; found a {type(callback).__name__}")
        calls = 0
        async for key, value in self.iterate_range(start, end, ascending):
            calls += 1
            if callback(key, value) is False:
                break
        return calls

    async def count(
        self, start: bytes | None = None, end: bytes | None = None, *, prefix: bytes | None = None
    ) -> int:
        """How many keys there are with `start <= key < end`, or that begin with `prefix`."""
        if prefix is not None:
            if start is not None or end is not None:
                raise InvalidInput("count takes either a range or a prefix; found both")
            start, end = _bounds_of(prefix)
        content = self._open()
        content.space.check()
        return await content.count(Bounds.checked(start, end, reverse=False, limit=None))

    # --- Writing ----------------------------------------------------------------------------

    async def set(
        self,
        key: bytes,
        value: bytes | bytearray | memoryview,
        *,
        ttl: float | timedelta | None = None,
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> int:
        """Put a value under a key; the revision of the commit, or 0 inside a transaction.

        Args:
            key: bytes.
            value: bytes; what a bytearray or memoryview holds now is copied.
            ttl: seconds or timedelta until it expires; left out it does not.
            modified_by, comment: who and why, for the feed.

        Raises:
            InvalidKey, InvalidValue, InvalidInput: nothing was written.
            StoreNotFound: the store was deleted meanwhile.
            Unsupported: a time to live in a store of kind `iavl`.
        """
        wish = self._wish(key, value, ttl)
        return (await self._write((wish,), context_of(modified_by, comment))).revision

    async def delete(
        self, key: bytes, *, modified_by: str | int | None = None, comment: str | None = None
    ) -> bool:
        """Remove the value under a key; whether there was one."""
        wish = Wish(checked_key(key), None)
        return (await self._write((wish,), context_of(modified_by, comment))).existed[0]

    async def set_many(
        self,
        pairs: Mapping[bytes, bytes] | Iterable[Pair],
        *,
        ttl: float | timedelta | None = None,
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> int:
        """Put many values in one commit; its revision. Of one key given twice the last counts.

        Raises:
            InvalidKey, InvalidValue, InvalidInput, ValueTooLarge: nothing was written.
        """
        given = pairs.items() if isinstance(pairs, Mapping) else pairs
        wishes: dict[bytes, Wish] = {}
        for key, value in map(_pair, several(given, "pairs", "key, value")):
            wish = self._wish(key, value, ttl)
            wishes.pop(key, None)  # Of one key the last counts, in the place of the last.
            wishes[key] = wish
        if not wishes:
            return 0
        context = context_of(modified_by, comment)
        return (await self._write(tuple(wishes.values()), context)).revision

    async def delete_many(
        self,
        keys: Iterable[bytes],
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> int:
        """Remove many values in one commit; how many there were."""
        wishes = tuple(
            Wish(key, None) for key in dict.fromkeys(map(checked_key, several(keys, "keys", "key")))
        )
        if not wishes:
            return 0
        return sum((await self._write(wishes, context_of(modified_by, comment))).existed)

    def batch(
        self, *, modified_by: str | int | None = None, comment: str | None = None
    ) -> StoreBatch:
        """Sets and deletes that happen together at the end of an `async with` block."""
        self._open()
        context = context_of(modified_by, comment)

        async def write(wishes: Sequence[Wish]) -> int:
            return (await self._write(wishes, context)).revision

        return StoreBatch(self._wish, write)

    # --- Inside -----------------------------------------------------------------------------

    @abstractmethod
    def _open(self) -> Content:
        """The content, if it may be used. Raises StoreClosed, StoreNotFound, TransactionClosed."""

    @abstractmethod
    async def _renew(self, conflict: Conflict) -> bool:
        """Whether the conflict only told that settings of a store were changed meanwhile.

        What stands there is looked at anew then, and the write can be repeated.
        """

    async def _write(self, wishes: Sequence[Wish], context: WriteContext = NO_CONTEXT) -> Written:
        """Do all of it in one commit."""
        for _ in range(_ATTEMPTS):
            try:
                return await self._open().write(wishes, context)
            except Conflict as conflict:
                if not await self._renew(conflict):
                    raise
        return await self._open().write(wishes, context)

    def _wish(
        self, key: bytes, value: bytes | bytearray | memoryview, ttl: float | timedelta | None
    ) -> Wish:
        ttl_ms = 0 if ttl is None else ttl_milliseconds(ttl)
        return Wish(checked_key(key), checked_value(value, self._value_bytes_max), ttl_ms)

    def _absent(self, key: bytes) -> KeyNotFound:
        return KeyNotFound(
            f"the store {self._name!r} has no value under the key of {len(key)} bytes; "
            "`get(key, default)` returns a default instead",
            key=key,
        )


def _bounds_of(prefix: object) -> tuple[bytes | None, bytes | None]:
    if type(prefix) is not bytes:
        raise InvalidKey(f"a prefix is bytes; found a {type(prefix).__name__}")
    return prefix or None, after_prefix(prefix)


def _pair(given: Any) -> Pair:
    """A key and its value. Raises InvalidInput."""
    match given:
        case (key, value):
            return key, value
    raise InvalidInput(
        f"set_many takes a mapping, or pairs of a key and a value; found a {type(given).__name__}"
    )
