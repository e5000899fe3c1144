"""The levels of a storage as protocols: each has what the one before has, and more.

    Storage < BatchStorage < QueryableStorage < IndexedStorage < TransactionalStorage
            < ObservableStorage

`Collection` is of the last level; inside a transaction it is an `IndexedStorage`. A function that
takes the level it needs can be given any storage of that level, and a type checker refuses what is
of a lower one. `isinstance` tells the level of an object, `level_of` names it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from holdfast.contract.errors import Unsupported

T = TypeVar("T")


@runtime_checkable
class Storage(Protocol[T]):
    """Level 1: documents under keys."""

    async def get(self, key: str, default: Any = None) -> T | None: ...
    async def set(self, key: str, value: T) -> None: ...
    async def delete(self, key: str) -> bool: ...
    async def has(self, key: str) -> bool: ...
    async def clear(self) -> int: ...
    async def size(self) -> int: ...
    def keys(self) -> AsyncIterator[str]: ...
    def values(self) -> AsyncIterator[T]: ...
    def entries(self) -> AsyncIterator[tuple[str, T]]: ...


@runtime_checkable
class BatchStorage(Storage[T], Protocol[T]):
    """Several documents as one step."""

    async def get_many(self, keys: Iterable[str]) -> dict[str, T]: ...
    async def set_many(self, documents: Mapping[str, T]) -> None: ...
    async def delete_many(self, keys: Iterable[str]) -> int: ...
    async def batch(self, operations: Iterable[Any]) -> Any: ...


@runtime_checkable
class QueryableStorage(BatchStorage[T], Protocol[T]):
    """Level 2: what can be asked."""

    def query(self, *conditions: Any) -> AsyncIterator[Any]: ...
    async def count(self, *conditions: Any) -> int: ...
    async def find_one(self, *conditions: Any) -> T | None: ...
    async def find_many(self, *conditions: Any) -> list[T]: ...
    def aggregate(self, pipeline: Any) -> AsyncIterator[Any]: ...


@runtime_checkable
class IndexedStorage(QueryableStorage[T], Protocol[T]):
    """Queries that indexes serve."""

    async def create_index(self, name: str, fields: Any) -> None: ...
    async def drop_index(self, name: str) -> None: ...
    async def list_indexes(self) -> list[Any]: ...
    async def explain(self, *conditions: Any) -> dict[str, Any]: ...


@runtime_checkable
class TransactionalStorage(IndexedStorage[T], Protocol[T]):
    """Level 3: several steps as one."""

    async def transaction(self, work: Callable[[Any], Awaitable[Any]]) -> Any: ...
    async def begin_transaction(self) -> Any: ...


@runtime_checkable
class ObservableStorage(TransactionalStorage[T], Protocol[T]):
    """Level 4: what happens is told."""

    def on(self, event: str, handler: Callable[..., object]) -> None: ...
    def off(self, event: str, handler: Callable[..., object]) -> None: ...
    def watch(self, wanted: Any = "*") -> AsyncIterator[Any]: ...
    def subscribe(self, wanted: Any, handler: Callable[[Any], object]) -> Any: ...


LEVELS: tuple[type[Any], ...] = (
    Storage, BatchStorage, QueryableStorage, IndexedStorage, TransactionalStorage,
    ObservableStorage,
)  # fmt: skip


def level_of(storage: object) -> str | None:
    """The name of the highest level that a storage is of; None: it is none."""
    found = None
    for level in LEVELS:
        if not isinstance(storage, level):
            break
        found = level.__name__
    return found


def require_level(storage: object, level: type[Any]) -> None:
    """Refuse a storage that is not of a level. Raises Unsupported."""
    if not isinstance(storage, level):
        raise Unsupported(
            f"a storage of the level {level.__name__} was wanted; found one of "
            f"{level_of(storage) or 'none'}. Use another storage, or what its level has"
        )
