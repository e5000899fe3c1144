"""Which documents stand in several indexes at once: their keys are held, up to a bound.

An intersection walks one index and reads only those documents that stand in the others, too. The
others are walked before it, the shortest first: what they have in common is held, and gets smaller
with each.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

from holdfast.contract.engine import Engine
from holdfast.documents.planner.found import Examined
from holdfast.documents.planner.rows import documents_in
from holdfast.documents.planner.way import Access

#: About how many bytes of document keys an intersection holds at most, and what holding one costs
#: beside its bytes. Where it comes to more, the best index by itself answers the query.
HELD_BYTES_MAX: Final = 32 * 1024 * 1024
OVERHEAD_BYTES: Final = 100


async def keys_in_all(
    moment: Engine, ways: Sequence[Access], examined: Examined
) -> set[bytes] | None:
    """The documents that stand in the spans of all of these; None: they are too many to hold.

    Args:
        ways: one at least.
    """
    held: set[bytes] | None = None
    for way in ways:
        found: set[bytes] = set()
        size_bytes = 0
        async with aclosing(documents_in(moment, way, examined)) as pages:
            async for page in pages:
                if held is not None:
                    found.update(held.intersection(page))
                    continue
                found.update(page)
                size_bytes += sum(map(len, page))
                if size_bytes + len(found) * OVERHEAD_BYTES > HELD_BYTES_MAX:
                    return None
        held = found
        if not held:
            break
    return held
