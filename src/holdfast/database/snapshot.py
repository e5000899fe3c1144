"""Snapshots as users hold them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from holdfast.database.views import Views
from holdfast.store.snapshot import SnapshotEngine

if TYPE_CHECKING:
    from holdfast.documents.collection import Collection
    from holdfast.store.keyspaces import History

T = TypeVar("T")


class SnapshotView:
    """A fixed view of the database. Close it, or use it as a context manager.

    Attributes:
        revision: of the last commit it contains.
        entries, stores: as of that moment, for reading. What expires is absent here too.
        engine: what it reads; `store.on(snapshot)` of state asks for it.
    """

    def __init__(self, engine: SnapshotEngine, views: Views) -> None:
        self._engine = engine
        self.engine: Any = engine
        self.revision = engine.revision
        self.entries = views.entries
        self.stores = views.stores
        self._collections = views.collections

    @overload
    def collection(self, name: str, *, history: History | None = None) -> Collection[Any]: ...
    @overload
    def collection(
        self, name: str, type: type[T], *, history: History | None = None
    ) -> Collection[T]: ...
    def collection(
        self, name: str, type: type[Any] | None = None, *, history: History | None = None
    ) -> Collection[Any]:
        """A collection as of that moment; see `Database.collection`."""
        from holdfast.documents.open import collection_of

        return collection_of(self._collections(), name, type, history)

    async def close(self) -> None:
        """Let go of the view; closing twice does nothing."""
        await self._engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class Opening:
    """A snapshot about to be taken: `await` it, or use it as an asynchronous context manager."""

    def __init__(self, take: Callable[[], Coroutine[Any, Any, SnapshotView]]) -> None:
        self.take = take
        self._taken: SnapshotView | None = None

    def __await__(self) -> Generator[Any, None, SnapshotView]:
        return self.take().__await__()

    async def __aenter__(self) -> SnapshotView:
        self._taken = await self.take()
        return self._taken

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._taken is not None:
            await self._taken.close()
