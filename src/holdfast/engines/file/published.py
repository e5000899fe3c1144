"""What a commit changes in memory once it is on the medium."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from holdfast.engines.file.cache import Cached
from holdfast.engines.file.index import Kept


class Published(NamedTuple):
    """What a commit that is on the medium changes in memory.

    Attributes:
        rows: (key, where it stands or None, revision it was written at).
        values: of those, for the cache.
        ids: of batches, as the index has them.
        head: the newest revision from here on.
        end: where the commit ends in the active segment.
        moved: the rows stand elsewhere, and nothing else changed.
        live: bytes of rows that nothing has replaced, from here on.
    """

    rows: Sequence[tuple[bytes, Kept | None, int]]
    values: dict[bytes, Cached]
    ids: dict[bytes, tuple[int, int, int]]
    head: int
    end: int
    moved: bool = False
    live: int = 0
