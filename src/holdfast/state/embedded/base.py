"""What the parts of the embedded adapter share: the way to the rows, and how it is closed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from holdfast.state.adapter import StateAdapter
from holdfast.state.embedded.bounding import Bounded
from holdfast.state.embedded.rows import QUIET
from holdfast.state.embedded.site import Ground, closed


class EmbeddedPart(StateAdapter):
    """An adapter on rows of a database.

    Args:
        open: finds the rows when they are first needed.
        kind: of the rows that `set` makes: whether writes are told in the feed.
        bounded: the bounded area that `set` writes into.
    """

    name = "embedded"

    def __init__(
        self,
        open: Callable[[], Awaitable[Ground]],
        kind: int = QUIET,
        bounded: Bounded | None = None,
    ) -> None:
        self._open_ground = open
        self._kind = kind
        self._bounded = bounded
        self._ground: Ground | None = None
        self._closed = False

    async def _open(self) -> Ground:
        """The rows, if they are not known yet; where the adapter is closed, the error."""
        if self._closed:
            raise closed()
        ground = await self._open_ground()
        if self._closed:
            raise closed()
        if ground.lasting:
            self._ground = ground
        return ground

    async def _rows(self) -> Ground:
        return self._ground or await self._open()

    def shut(self) -> None:
        """Refuse every call from now on."""
        self._closed = True
        self._ground = None
