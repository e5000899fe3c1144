"""What the harness asks of every store: ours, a raw driver, or a rival."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from benchmarks.data import MODIFY, READ, WRITE, Operation, Value
from holdfast.contract.errors import Unsupported

T = TypeVar("T")
Change = Callable[[Value | None], Value]

#: How many records are handed to a store at once when it is filled.
LOAD_CHUNK = 1_000


class Store(ABC):
    """Mappings under text keys, in one folder, used by one caller.

    Attributes:
        folder: where its files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def start(self) -> None:
        """Open or create it."""

    @abstractmethod
    def stop(self) -> None:
        """Close it."""

    @abstractmethod
    def fill(self, records: Iterable[tuple[str, Value]]) -> None:
        """Write records the fastest way there is; they are on disk when it returns."""

    @abstractmethod
    def run(self, operations: Sequence[Operation]) -> float:
        """Do them one after the other; the seconds it took."""

    @abstractmethod
    def value(self, key: str) -> Value | None:
        """What stands under the key."""


class CallingStore(Store):
    """A store with plain methods."""

    @abstractmethod
    def get(self, key: str) -> Value | None:
        """The value, decoded."""

    @abstractmethod
    def set(self, key: str, value: Value) -> None:
        """Write it, as durable as the store's class says."""

    @abstractmethod
    def load(self, records: Sequence[tuple[str, Value]]) -> None:
        """Write many at once."""

    def modify(self, key: str, change: Change) -> None:
        """Read, change, write."""
        self.set(key, change(self.get(key)))

    def scan(self, prefix: str, rows: int) -> int:
        """Decode up to so many values of a namespace (empty: of all), in order; how many.

        Raises:
            Unsupported: the store keeps no order; the catalogue says which ones do.
        """
        raise Unsupported(f"{type(self).__name__} keeps no order; see `ordered` in the catalogue")

    def fill(self, records: Iterable[tuple[str, Value]]) -> None:
        for chunk in chunks(records, LOAD_CHUNK):
            self.load(chunk)

    def run(self, operations: Sequence[Operation]) -> float:
        get, set, modify, scan = self.get, self.set, self.modify, self.scan
        started = perf_counter()
        for act, key, argument in operations:
            if act == READ:
                get(key)
            elif act == WRITE:
                set(key, argument)
            elif act == MODIFY:
                modify(key, argument)
            else:
                scan(key, argument)
        return perf_counter() - started

    def value(self, key: str) -> Value | None:
        return self.get(key)


class AwaitingStore(Store):
    """A store with coroutines, on an event loop of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.runner = asyncio.Runner()

    @abstractmethod
    async def open(self) -> None:
        """Open or create it."""

    @abstractmethod
    async def close(self) -> None:
        """Close it."""

    @abstractmethod
    async def get(self, key: str) -> Value | None:
        """The value, decoded."""

    @abstractmethod
    async def set(self, key: str, value: Value) -> None:
        """Write it, as durable as the store's class says."""

    @abstractmethod
    async def load(self, records: Sequence[tuple[str, Value]]) -> None:
        """Write many at once."""

    async def modify(self, key: str, change: Change) -> None:
        """Read, change, write."""
        await self.set(key, change(await self.get(key)))

    async def scan(self, prefix: str, rows: int) -> int:
        """Decode up to so many values of a namespace (empty: of all), in order; how many.

        Raises:
            Unsupported: the store keeps no order; the catalogue says which ones do.
        """
        raise Unsupported(f"{type(self).__name__} keeps no order; see `ordered` in the catalogue")

    def await_(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it on the store's loop."""
        return self.runner.run(coroutine)

    def start(self) -> None:
        self.await_(self.open())

    def stop(self) -> None:
        self.await_(self.close())
        self.runner.close()

    def fill(self, records: Iterable[tuple[str, Value]]) -> None:
        self.await_(self._fill(records))

    async def _fill(self, records: Iterable[tuple[str, Value]]) -> None:
        for chunk in chunks(records, LOAD_CHUNK):
            await self.load(chunk)

    def run(self, operations: Sequence[Operation]) -> float:
        return self.await_(self._run(operations))

    async def _run(self, operations: Sequence[Operation]) -> float:
        get, set, modify, scan = self.get, self.set, self.modify, self.scan
        started = perf_counter()
        for act, key, argument in operations:
            if act == READ:
                await get(key)
            elif act == WRITE:
                await set(key, argument)
            elif act == MODIFY:
                await modify(key, argument)
            else:
                await scan(key, argument)
        return perf_counter() - started

    def value(self, key: str) -> Value | None:
        return self.await_(self.get(key))


def chunks(items: Iterable[T], count: int) -> Iterable[list[T]]:
    """The items in lists of `count`; the last may be shorter."""
    chunk: list[T] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == count:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def bounds(prefix: str) -> tuple[str, str]:
    """The keys of a namespace, or all of them: from the first text to below the second."""
    # `;` is the character after `:`.
    return (prefix + ":", prefix + ";") if prefix else ("", "\U0010ffff")
