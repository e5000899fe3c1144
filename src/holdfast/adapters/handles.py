"""One handle for libraries that call from coroutines, from threads, or from both.

Such a library asks for each operation twice, `get` and `aget`. An adapter writes it once, as a
coroutine on a database, and hands it to a `Bridge`, which knows how to wait for it:

    handle          called plainly                      awaited
    holdfast.sync   driven in the calling thread        driven in a thread of the loop's pool
    holdfast        run on the loop of the handle       awaited
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from holdfast.contract.errors import InvalidInput, WrongContext
from holdfast.database.handle import Database
from holdfast.documents.collection import Collection
from holdfast.runtime.system import drive
from holdfast.sync.database import Database as SyncDatabase
from holdfast.sync.documents import Collection as SyncCollection

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

#: What an adapter does with a database.
Work = Callable[[Database], Coroutine[Any, Any, T]]


class Bridge:
    """A database that is asked plainly and by coroutines.

    Args:
        database: open; of `holdfast`, or of `holdfast.sync`.

    Raises:
        InvalidInput: it is neither.
    """

    def __init__(self, database: Database | SyncDatabase) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drives = isinstance(database, SyncDatabase)
        if isinstance(database, SyncDatabase):
            self._database = database._inner  # noqa: SLF001 - the same database
        elif isinstance(database, Database):
            self._database = database
            self._loop = _running_loop()
        else:
            raise InvalidInput(
                "a database was wanted, of holdfast.open or holdfast.sync.open; found a "
                f"{type(database).__name__}"
            )

    def new_id(self) -> str:
        """An identifier that nothing else has; later ones sort behind earlier ones."""
        return self._database._components.ids.new().hex()  # noqa: SLF001 - of this database

    def call(self, work: Work[T]) -> T:
        """What the work returns, for a caller without `await`.

        Raises:
            WrongContext: the handle belongs to a loop that this call would have to hold up.
        """
        if self._drives:
            return drive(work(self._database))
        loop = self._loop
        if loop is None or loop.is_closed() or _running_loop() is loop:
            raise WrongContext(
                "this handle belongs to an event loop, which a call without await would hold up; "
                "await the other spelling of the method, call it from another thread, or open the "
                "database by holdfast.sync.open"
            )
        future = asyncio.run_coroutine_threadsafe(work(self._database), loop)
        try:
            return future.result()
        except BaseException:
            # Whoever was interrupted while waiting wants no more of it.
            future.cancel()
            raise

    async def wait(self, work: Work[T]) -> T:
        """What the work returns, for a coroutine.

        A wait that is cancelled ends at once. With a handle of `holdfast.sync` the work itself,
        one commit at most, goes on to its end in its thread.
        """
        if not self._drives:
            self._loop = asyncio.get_running_loop()
            return await work(self._database)

        def outcome() -> tuple[T | None, BaseException | None]:
            # As a result, also a failure: a future takes no StopIteration.
            try:
                return drive(work(self._database)), None
            except BaseException as error:  # noqa: BLE001 - raised where the work is waited for
                return None, error

        result, error = await asyncio.to_thread(outcome)
        if error is not None:
            raise error
        return cast("T", result)


def collection_of(collection: Collection[Any] | SyncCollection[Any]) -> Collection[Any]:
    """The collection behind either handle. Raises InvalidInput."""
    if isinstance(collection, SyncCollection):
        return collection._inner  # noqa: SLF001 - the same collection
    if isinstance(collection, Collection):
        return collection
    raise InvalidInput(
        f"a collection was wanted, as `db.collection` makes it; found a {type(collection).__name__}"
    )


class Either(Protocol[P, T_co]):
    """A function on a collection: awaited on one of `holdfast`, plain on one of `holdfast.sync`."""

    @overload
    def __call__(
        self, collection: Collection[Any], /, *args: P.args, **options: P.kwargs
    ) -> Coroutine[Any, Any, T_co]: ...
    @overload
    def __call__(
        self, collection: SyncCollection[Any], /, *args: P.args, **options: P.kwargs
    ) -> T_co: ...


def either(
    function: Callable[Concatenate[Collection[Any], P], Coroutine[Any, Any, T_co]],
) -> Either[P, T_co]:
    """The coroutine function as one that drives itself where its collection is of `holdfast.sync`.

    It raises InvalidInput where the first argument is no collection.
    """

    @wraps(function)
    def call(collection: Any, /, *args: P.args, **options: P.kwargs) -> Any:
        work = function(collection_of(collection), *args, **options)
        return drive(work) if isinstance(collection, SyncCollection) else work

    return cast("Either[P, T_co]", call)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
