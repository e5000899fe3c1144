"""Many keys of a store removed on an event loop, some in each commit."""

from __future__ import annotations

from typing import Final

from holdfast.stores.verbs import Verbs

#: How many keys are read at once, or removed in one commit.
PAGE_KEYS: Final = 1_000


async def remove_range(store: Verbs, start: bytes | None = None, end: bytes | None = None) -> int:
    """Remove the keys with `start <= key < end`; how many there were.

    It goes from the first to the last, so it ends, however much others put behind its place.
    """
    removed = 0
    while keys := [key async for key in store.keys(start, end, limit=PAGE_KEYS)]:
        removed += await store.delete_many(keys)
        start = keys[-1] + b"\0"
    return removed
