"""`EmbeddedAdapter`: state in a Holdfast database, for all processes that have it open."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from holdfast.contract.record import Range
from holdfast.state.adapter import Moment, ScanPage
from holdfast.state.bounds import Bound
from holdfast.state.checks import bad_cursor
from holdfast.state.embedded.bounding import Bounded
from holdfast.state.embedded.filtering import EmbeddedFilters
from holdfast.state.embedded.limiting import EmbeddedLimits
from holdfast.state.embedded.postponing import EmbeddedPostponing
from holdfast.state.embedded.rows import QUIET, TOLD, living
from holdfast.state.embedded.site import Ground, Site
from holdfast.state.embedded.streaming import EmbeddedStreams
from holdfast.state.embedded.values import EmbeddedValues
from holdfast.state.globs import compiled, literal_prefix

#: The area whose writes are told in the feed of the database.
TOLD_AREA = "kv"


class EmbeddedAdapter(
    EmbeddedValues, EmbeddedLimits, EmbeddedStreams, EmbeddedPostponing, EmbeddedFilters
):
    """State on a Holdfast database: `StoreBuilder.with_adapter(db)` makes one.

    Each verb is one commit. It belongs to the handle and to its event loop; closing it ends its
    subscriptions and leaves the handle open. Writes of `kv` are told in the feed
    (`db.watch(view="state")`); counters, claims, streams and all else are not.

    Args:
        site: the database.
        open: finds the rows, where it is not all of the database.
        kind: of the rows that `set` makes.
        bounded: the bounded area that `set` writes into.
    """

    def __init__(
        self,
        site: Site,
        open: Callable[[], Awaitable[Ground]] | None = None,
        kind: int = QUIET,
        bounded: Bounded | None = None,
    ) -> None:
        super().__init__(open or site.open, kind, bounded)
        self._site = site
        #: The adapter as areas use it that are told, or bounded.
        self._areas: dict[str, EmbeddedAdapter] = {}
        self._bounds: dict[str, Bounded] = {}

    def __repr__(self) -> str:
        return f"<EmbeddedAdapter {self._site.engine.config.url}>"

    @property
    def client(self) -> Any:
        """The engine below."""
        return self._site.engine

    async def close(self) -> None:
        self.shut()
        for one in self._areas.values():
            one.shut()
        if self._ear is not None:
            self._ear.close()

    def of(self, area: str) -> EmbeddedAdapter:
        bounded = self._bounds.get(area)
        if area != TOLD_AREA and bounded is None:
            return self
        found = self._areas.get(area)
        if found is None:
            kind = TOLD if area == TOLD_AREA else QUIET
            found = self._areas[area] = EmbeddedAdapter(self._site, self._rows, kind, bounded)
        return found

    def bounded(self, bounds: Mapping[str, Bound], name: str) -> EmbeddedAdapter:
        made = EmbeddedAdapter(self._site, self._rows)
        made._bounds = {area: Bounded(f"{name}/{area}", bound) for area, bound in bounds.items()}
        return made

    def on(self, moment: Moment) -> EmbeddedAdapter:
        async def open() -> Ground:
            return (await self._rows()).on(moment.engine)

        inside = EmbeddedAdapter(self._site, open, self._kind)
        inside._bounds = self._bounds
        return inside

    # --- Looking around ---------------------------------------------------------------------

    async def scan(self, pattern: str, cursor: str, count: int) -> ScanPage:
        ground = self._ground or await self._open()
        ground.space.check()
        wanted, data = compiled(pattern), ground.places.data
        range = Range.prefix(data + literal_prefix(pattern).encode(), limit=count)
        if cursor != "0":
            range = range.after(data + _behind(cursor))
        page = await ground.space.scan(range)
        now_ms = ground.space.clock.now_ms()
        found = [
            key
            for data_key, record in page.rows
            if living(record, now_ms) is not None
            and wanted.fullmatch(key := ground.places.text(data_key))
        ]
        if page.resume is None or not page.rows:
            return ScanPage("0", found)
        last = page.rows[-1][0][len(data) :]
        return ScanPage("k" + base64.urlsafe_b64encode(last).decode(), found)


def _behind(cursor: str) -> bytes:
    try:
        behind = base64.b64decode(cursor[1:], b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise bad_cursor() from None
    if cursor[:1] != "k" or not behind:
        raise bad_cursor()
    return behind
