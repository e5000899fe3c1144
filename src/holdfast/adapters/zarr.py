"""A store of zarr 3 in a store of a database: arrays whose chunks are values.

    import zarr
    from holdfast.adapters.zarr import ZarrStore

    array = zarr.create_array(ZarrStore("lmdb:///climate"), shape=(8760, 720), dtype="f4")

A write of a chunk is a commit. A part of a chunk is read by `get_range`, which touches only the
pieces of 256 KiB that it lies in. Calls run in threads, as those of zarr's own `LocalStore` do, so
that zarr's event loop goes on, and writes at once share a flush. A store that is given by address
can be pickled to the workers of Dask and used after a fork.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from os import PathLike
from typing import Any

from holdfast.adapters.expiring import text_key
from holdfast.adapters.paths import SLASH, children
from holdfast.adapters.place import Place
from holdfast.adapters.ranges import PAGE_KEYS
from holdfast.adapters.requirement import requires
from holdfast.adapters.steps import one_step
from holdfast.contract.record import after_prefix
from holdfast.sync import Database, StoreTransaction

with requires("zarr>=3.1.6"):
    from zarr.abc.store import (
        ByteRequest,
        OffsetByteRequest,
        RangeByteRequest,
        Store,
        SuffixByteRequest,
    )
    from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype


class ZarrStore(Store):
    """Chunks and metadata of arrays as values under their paths.

    Args:
        database: the address of a database, or a database of `holdfast.sync` that is open.
        name: of the store in it, made at the first use.
        read_only: whether writes are refused.
    """

    def __init__(
        self,
        database: Database | str | PathLike[str],
        *,
        name: str = "zarr",
        read_only: bool = False,
    ) -> None:
        super().__init__(read_only=read_only)
        self._place = Place(database, name)

    supports_writes = True
    supports_deletes = True
    supports_listing = True

    def __str__(self) -> str:
        return f"holdfast {self._place!r}"

    def __repr__(self) -> str:
        return f"ZarrStore({self._place!r}, read_only={self.read_only})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ZarrStore):
            return NotImplemented
        return self._place == other._place and self.read_only == other.read_only

    def __hash__(self) -> int:
        return hash((self._place, self.read_only))

    def with_read_only(self, read_only: bool = False) -> ZarrStore:
        """The same store with another setting; it opens by itself."""
        database = self._place.address or self._place.database
        return type(self)(database, name=self._place.name, read_only=read_only)

    # --- Without an event loop --------------------------------------------------------------

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """The value of a key, or a part of it; None where there is none."""
        self._is_open = True
        data = self._read(text_key(key), byte_range)
        if data is None:
            return None
        return (prototype or default_buffer_prototype()).buffer.from_bytes(data)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Put a value under a key. Raises ValueError when the store is only read."""
        self._check_writable()
        self._is_open = True
        self._place.store.set(text_key(key), _bytes_of(value))

    def delete_sync(self, key: str) -> None:
        """Remove a key, if it is there. Raises ValueError when the store is only read."""
        self._check_writable()
        self._is_open = True
        self._place.store.delete(text_key(key))

    # --- As zarr calls it -------------------------------------------------------------------

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """`get_sync` in a thread."""
        return await asyncio.to_thread(
            self.get_sync, key, prototype=prototype, byte_range=byte_range
        )

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """The parts asked for in their order, None for each key that is missing."""
        wanted = list(key_ranges)

        def read() -> list[Buffer | None]:
            return [
                self.get_sync(key, prototype=prototype, byte_range=part) for key, part in wanted
            ]

        return await asyncio.to_thread(read)

    async def exists(self, key: str) -> bool:
        """Whether there is a value; reads nothing of it."""
        return await asyncio.to_thread(lambda: self._place.store.has(text_key(key)))

    async def getsize(self, key: str) -> int:
        """How many bytes a value has; reads none of them. Raises FileNotFoundError."""
        data_key = text_key(key)
        try:
            return await asyncio.to_thread(lambda: self._place.store.length(data_key))
        except KeyError:
            raise FileNotFoundError(key) from None

    async def set(self, key: str, value: Buffer) -> None:
        """`set_sync` in a thread."""
        await asyncio.to_thread(self.set_sync, key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Put a value under a key that has none; of several at once one does."""
        self._check_writable()
        data_key, data = text_key(key), _bytes_of(value)

        def step(store: StoreTransaction) -> None:
            if not store.has(data_key):
                store.set(data_key, data)

        await asyncio.to_thread(lambda: one_step(self._place.store, step))

    async def _set_many(self, values: Iterable[tuple[str, Buffer]]) -> None:
        self._check_writable()
        pairs = [(text_key(key), _bytes_of(value)) for key, value in values]
        await asyncio.to_thread(lambda: self._place.store.set_many(pairs))

    async def delete(self, key: str) -> None:
        """`delete_sync` in a thread."""
        await asyncio.to_thread(self.delete_sync, key)

    async def delete_dir(self, prefix: str) -> None:
        """Remove what is below a path; a thousand keys in each commit."""
        self._check_writable()
        await self._remove(f"{prefix.rstrip('/')}/" if prefix else "")

    async def clear(self) -> None:
        """Remove everything; a thousand keys in each commit."""
        self._check_writable()
        await self._remove("")

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """The keys that begin with a text, in order; reads no values."""
        async for page in self._pages(prefix):
            for key in page:
                if not key.endswith(SLASH):
                    yield key.decode()

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """The names directly below a path; what is deeper is passed over."""
        directory = text_key(prefix.rstrip("/"))
        directory += SLASH if directory else b""
        names = await asyncio.to_thread(
            lambda: {child.name for child in children(self._place.store, directory)}
        )
        for name in names:
            yield name.decode()

    def list(self) -> AsyncIterator[str]:
        """All keys, in order; reads no values."""
        return self.list_prefix("")

    # --- Inside -----------------------------------------------------------------------------

    def _read(self, key: bytes, part: ByteRequest | None) -> bytes | None:
        store = self._place.store
        try:
            match part:
                case None:
                    return store.get(key, None)
                case RangeByteRequest(start, end):
                    return store.get_range(key, start, max(0, end - start))
                case OffsetByteRequest(offset):
                    return store.get_range(key, offset)
                case SuffixByteRequest(suffix):
                    # Length and bytes are of one moment.
                    with store.transaction(read_only=True) as moment:
                        length = moment.length(key)
                        return moment.get_range(key, max(0, length - suffix))
        except KeyError:
            return None
        raise TypeError(f"Unexpected byte_range, got {part!r}: wanted a ByteRequest of zarr")

    async def _pages(self, prefix: str) -> AsyncIterator[Sequence[bytes]]:
        """The keys with a prefix, some at a time; what was given may be removed meanwhile."""
        first = text_key(prefix)
        start, end = first or None, after_prefix(first)

        def read() -> Sequence[bytes]:
            return tuple(self._place.store.keys(start, end, limit=PAGE_KEYS))

        while page := await asyncio.to_thread(read):
            yield page
            if len(page) < PAGE_KEYS:
                return
            start = page[-1] + b"\0"

    async def _remove(self, prefix: str) -> None:
        async for page in self._pages(prefix):
            await asyncio.to_thread(self._place.store.delete_many, page)


def _bytes_of(value: Any) -> bytes:
    if not isinstance(value, Buffer):
        raise TypeError(f"wanted a Buffer of zarr as the value; found a {type(value).__name__}")
    return value.to_bytes()
