"""The memory of an agent's conversation: the items of a session, in the order they came.

A `HoldfastSession` is what the OpenAI Agents SDK calls a session; nothing of it is imported:

    session = HoldfastSession("ada", db)
    result = await Runner.run(agent, "What did I say?", session=session)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from holdfast.adapters.handles import Bridge
from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import InvalidInput
from holdfast.database.handle import Database
from holdfast.records.options import write_options
from holdfast.records.scope import EntryScope
from holdfast.records.write import DELETE, SetValue, Write
from holdfast.sync.database import Database as SyncDatabase

#: How many digits the number of an item has, so that items sort as text.
_DIGITS: Final = 12
#: How many items one commit of `clear_session` removes.
CLEAR_ITEMS: Final = 1_000


class HoldfastSession:
    """The items of one session, each an entry in the namespace of the session.

    Sessions of one id are one, in whatever process. Items are plain JSON: a dict for a message, a
    call of a tool, or its result.

    Args:
        session_id: which; any text but the empty one.
        database: open; of `holdfast` or `holdfast.sync`.
        namespace: what the keys of all sessions begin with.
        ttl: seconds that an item lives; None: it stays.

    Attributes:
        session_id: as given.
        session_settings: what the Agents SDK may set for its runs.

    Raises:
        InvalidKey: the id cannot be one.
        InvalidInput: there is no such database.
    """

    def __init__(
        self,
        session_id: str,
        database: Database | SyncDatabase,
        *,
        namespace: str = "sessions",
        ttl: float | None = None,
    ) -> None:
        self._bridge = Bridge(database)
        self._segments = StoreKey(session_id, (namespace,)).segments
        self._ttl = ttl
        self.session_id = session_id
        self.session_settings: Any = None

    def __repr__(self) -> str:
        return f"<HoldfastSession {self.session_id!r}>"

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """The items in the order they came; with a limit, the latest ones.

        Without one, the `limit` of `session_settings`, if that has one.
        """
        wanted = getattr(self.session_settings, "limit", None) if limit is None else limit
        if wanted is not None and (not isinstance(wanted, int) or wanted < 0):
            raise InvalidInput(f"limit is an int from 0, or None; found {wanted!r}")
        if wanted == 0:
            return []

        async def work(db: Database) -> list[Any]:
            async with db.snapshot() as view:
                scope = self._scope(view)
                if wanted is None:
                    return [entry.value async for entry in scope.items()]
                latest = [entry.value async for entry in scope.items(reverse=True, limit=wanted)]
                return latest[::-1]

        return await self._bridge.wait(work)

    async def add_items(self, items: Sequence[Any]) -> None:
        """Append items, as one commit.

        Raises:
            SerializationFailed: one of them is not plain; nothing was written.
        """
        several = list(items)
        if not several:
            return
        options = write_options(None, None, None, self._ttl, None, None)

        async def append(transaction: Any) -> None:
            number = 0
            async for key in self._scope(transaction).keys(reverse=True, limit=1):
                number = int(key.name)
            await transaction.entries.write(
                [
                    Write(self._key(number + place), SetValue(item), options)
                    for place, item in enumerate(several, 1)
                ]
            )

        await self._bridge.wait(lambda db: db.transact(append))

    async def pop_item(self) -> Any | None:
        """Remove the latest item; it, or None where there is none."""

        async def pop(transaction: Any) -> Any | None:
            async for entry in self._scope(transaction).items(reverse=True, limit=1):
                await transaction.entries.write([Write(self._key(int(entry.key.name)), DELETE)])
                return entry.value
            return None

        return await self._bridge.wait(lambda db: db.transact(pop))

    async def clear_session(self) -> None:
        """Remove all items that there are now, some in each commit."""

        async def clear(db: Database) -> None:
            scope = self._scope(db)
            async for last in scope.keys(reverse=True, limit=1):
                behind = None
                while keys := [
                    key async for key in scope.keys(gt=behind, lte=last, limit=CLEAR_ITEMS)
                ]:
                    await db.entries.write(
                        [Write(self._key(int(one.name)), DELETE) for one in keys]
                    )
                    behind = keys[-1]

        await self._bridge.wait(clear)

    # --- Inside -----------------------------------------------------------------------------

    def _scope(self, view: Any) -> EntryScope[Any]:
        return EntryScope(view.entries, self._segments)

    def _key(self, number: int) -> StoreKey:
        return StoreKey(f"{number:0{_DIGITS}}", self._segments)
