"""Stores as floor 3 sees them: how values expire, how changes are told, who checks them."""

from __future__ import annotations

from typing import Any, Final

from holdfast.codecs.pattern import Pattern
from holdfast.contract.engine import Engine
from holdfast.contract.errors import StoreClosed, StoreError
from holdfast.contract.record import Range
from holdfast.runtime.gate import Gate
from holdfast.store import layout
from holdfast.store.change import Change
from holdfast.store.feed_row import Act, FeedPosition
from holdfast.store.instances import SharedDatabase
from holdfast.store.instants import instant
from holdfast.store.keyspaces import Keyspace
from holdfast.store.plain.rows import check_plain, plain_expires_at_ms, plain_value
from holdfast.store.space import Space
from holdfast.store.views import ChangeReader, Progress, Report, ViewKeeper
from holdfast.stores.multistore import STORES
from holdfast.stores.store import Store

__all__ = ["STORES", "StoreKeeper"]

#: How many values are looked at between two calls of a progress.
PROGRESS_STEP: Final = 200


class StoreKeeper(ViewKeeper):
    """Keeps the stores of a database.

    Args:
        shared: the database.
    """

    def __init__(self, shared: SharedDatabase) -> None:
        self._engine = shared.engine
        self._components = shared.components

    async def expire(self, keyspace: Keyspace, data_keys: list[bytes]) -> int:
        components = self._components
        gate = Gate(components.host.runtime(), lambda: StoreClosed("the database is closed"))
        space = Space(self._engine, keyspace, components.clock, _nothing, gate, fenced=True)
        return await Store(space).expire(data_keys)

    async def check(
        self, moment: Engine, keyspace: Keyspace, report: Report, progress: Progress | None
    ) -> None:
        data = layout.region(keyspace.number, layout.DATA)
        expiring = looked_at = 0
        rest: Range | None = Range.prefix(data)
        while rest is not None:
            page = await moment.scan(rest)
            wanted = []
            for data_key, record in page.rows:
                looked_at += 1
                try:
                    check_plain(record.value)
                except StoreError as error:
                    report.wrong(f"store {keyspace.name!r}, row {data_key.hex()}: {error}")
                    continue
                expires_at = plain_expires_at_ms(record.value)
                if expires_at:
                    wanted.append(layout.expiry_key(expires_at, data_key))
            expiring += len(wanted)
            missing = sum(one is None for one in await moment.read(wanted)) if wanted else 0
            if missing:
                report.wrong(f"store {keyspace.name!r}: {missing} rows of expiry are missing")
            if progress is not None:
                progress(looked_at)
            rest = page.resume
        found = 0
        rest = Range.prefix(layout.EXPIRY)
        while rest is not None:
            page = await moment.scan(rest)
            found += sum(
                layout.keyspace_of(layout.expiry_of(key)[1]) == keyspace.number
                for key, _ in page.rows
            )
            rest = page.resume
        if found != expiring:
            report.wrong(
                f"store {keyspace.name!r}: {expiring} values expire; found {found} rows of expiry"
            )

    def reader(self, engine: Engine, keyspace: Keyspace) -> ChangeReader:
        return StoreReader(engine, keyspace)


class StoreReader(ChangeReader):
    """Tells the changes of one store. Patterns match its name, then the key as text.

    Args:
        engine: reads the values.
        keyspace: of the store.
    """

    def __init__(self, engine: Engine, keyspace: Keyspace) -> None:
        self._engine = engine
        self._keyspace = keyspace
        self._data = layout.region(keyspace.number, layout.DATA)

    def on(self, moment: Engine) -> ChangeReader:
        return StoreReader(moment, self._keyspace)

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
        return None, plain_value(record.value)

    def standing_range(self, pattern: Pattern) -> Range:
        return Range.prefix(self._data)

    async def standing(self, range: Range, pattern: Pattern) -> tuple[list[Change], Range | None]:
        page = await self._engine.scan(range)
        now_ms = self._engine.components.clock.now_ms()
        found = []
        for data_key, (stored, revision) in page.rows:
            key = data_key[layout.REGION_BYTES :]
            if 0 < plain_expires_at_ms(stored) <= now_ms or not self.shows(pattern, key):
                continue
            found.append(
                Change(
                    revision, 0, "set", key, None, plain_value(stored), instant(now_ms),
                    "snapshot", view=self._keyspace.view, keyspace=self._keyspace.name,
                )
            )  # fmt: skip
        return found, page.resume


def _nothing(_revision: int) -> None:
    """Nobody is told."""
