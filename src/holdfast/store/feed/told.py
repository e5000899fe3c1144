"""What a watch tells of the changes it finds: how many, and in which words."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.contract.errors import InvalidInput
from holdfast.store.change import Change

#: How a watch tells a change; None: not at all.
Translate = Callable[[Change], Change | None]

#: How fast the pages of a watch with a limit grow, and from where on the engine says how big.
PAGE_GROWTH = 4
PAGE_ROWS_MAX = 1000


class Told:
    """What is told of what is found.

    Args:
        limit: at most so many changes; None: all.
        translate: how each is told; None: as it is.

    Attributes:
        left: how many are still to be told; None: all.

    Raises:
        InvalidInput: the limit is none.
    """

    def __init__(self, limit: int | None = None, translate: Translate | None = None) -> None:
        if limit is not None and (
            not isinstance(limit, int) or isinstance(limit, bool) or limit < 1
        ):
            raise InvalidInput(f"limit is a number of changes from 1; found {limit!r}")
        self.left = limit
        self.translate = translate
        # One more tells whether the last one ends its commit.
        self._rows = None if limit is None or limit >= PAGE_ROWS_MAX else limit + 1

    def rows(self) -> int | None:
        """How many rows of the feed the next page is to have; None: what the engine gives."""
        rows = self._rows
        if rows is not None:
            grown = rows * PAGE_GROWTH  # Others' changes may stand in between.
            self._rows = grown if grown <= PAGE_ROWS_MAX else None
        return rows
