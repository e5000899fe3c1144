"""Stores as floor 3 sees them: how values expire, how changes are told, who checks them."""

from __future__ import annotations

from typing import Any

from holdfast.codecs.pattern import Pattern
from holdfast.contract.engine import Engine
from holdfast.contract.record import Range
from holdfast.runtime.gate import Gate
from holdfast.store import layout
from holdfast.store.change import Change
from holdfast.store.feed_row import Act, FeedPosition
from holdfast.store.instances import SharedDatabase
from holdfast.store.instants import instant
from holdfast.store.keyspaces import Keyspace
from holdfast.store.space import Space
from holdfast.store.views import ChangeReader, KeyspaceTally, Progress, Report, ViewKeeper
from holdfast.stores.cells import Cells, whole_value
from holdfast.stores.checking import check_store
from holdfast.stores.config import remembered
from holdfast.stores.content import Content
from holdfast.stores.kinds import content_of
from holdfast.stores.multistore import STORES
from holdfast.stores.plain import PlainContent

__all__ = ["STORES", "StoreKeeper"]


class StoreKeeper(ViewKeeper):
    """Keeps the stores of a database.

    Args:
        shared: the database.
    """

    def __init__(self, shared: SharedDatabase) -> None:
        self._engine = shared.engine
        self._clock = shared.components.clock

    async def expire(self, keyspace: Keyspace, data_keys: list[bytes]) -> int:
        content = content_of(self._space(self._engine, keyspace))
        assert isinstance(content, PlainContent)  # values of no other kind expire
        return await content.expire(data_keys)

    async def check(
        self, moment: Engine, keyspace: Keyspace, report: Report, progress: Progress | None
    ) -> KeyspaceTally | None:
        return await check_store(
            content_of(self._space(moment, keyspace)), moment, report, progress
        )

    def reader(self, engine: Engine, keyspace: Keyspace) -> ChangeReader:
        return StoreReader(content_of(self._space(engine, keyspace)))

    def _space(self, engine: Engine, keyspace: Keyspace) -> Space:
        return Space(engine, keyspace, self._clock, _nothing, _Anywhere(), fenced=True)


class _Anywhere(Gate):
    """The gate of who keeps house: it works in whatever thread."""

    __slots__ = ()

    def __init__(self) -> None:
        self.open_here = True.__bool__
        self.thread = 0

    def check(self) -> None:
        pass


class StoreReader(ChangeReader):
    """Tells the changes of one store. Patterns match its name, then the key as text.

    Args:
        content: the store, on an engine or on a moment of it.
    """

    def __init__(self, content: Content) -> None:
        self._content = content
        keyspace = content.space.keyspace
        self._keyspace = keyspace
        self._engine = content.space.engine
        self._data = layout.region(keyspace.number, layout.DATA)
        self._cells = Cells(keyspace.number, remembered(keyspace.settings))

    def on(self, moment: Engine) -> ChangeReader:
        return StoreReader(self._content.on(moment))

    def key(self, packed: bytes) -> bytes:
        return packed

    def segments(self, key: Any) -> tuple[str, ...]:
        try:
            text = key.decode()
        except UnicodeDecodeError:
            text = f"0x{key.hex()}"
        return self._keyspace.name, text

    async def values(self, position: FeedPosition, key: Any) -> tuple[Any, Any]:
        """What is there now, if this change put it there: stores keep no past."""
        if position.row.act == Act.DELETE:
            return None, None
        [record] = await self._engine.read([self._data + key])
        if record is None or record.revision != position.revision:
            return None, None
        return None, await whole_value(self._engine.read, self._cells, record.value)

    def standing_range(self, pattern: Pattern) -> Range:
        return Range.prefix(self._data)

    async def standing(self, range: Range, pattern: Pattern) -> tuple[list[Change], Range | None]:
        pairs, rest = await self._content.page(range)
        now = instant(self._engine.components.clock.now_ms())
        return [
            Change(
                revision, 0, "set", key, None, value, now, "snapshot", view=self._keyspace.view,
                keyspace=self._keyspace.name,
            )
            for key, value, revision in pairs
            if self.shows(pattern, key)
        ], rest  # fmt: skip


def _nothing(_revision: int) -> None:
    """Nobody is told."""
