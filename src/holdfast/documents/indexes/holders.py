"""Which documents have the values that a commit wants for its own in unique indexes."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.contract.engine import Engine
from holdfast.documents.indexes.writers import NOTE_BYTES


async def holders_of(engine: Engine, data: bytes, rows: Iterable[bytes]) -> list[bytes]:
    """The data rows of the documents that rows of unique indexes are of, as they stand.

    Args:
        engine: where they are read.
        data: what the keys of data rows begin with.
        rows: keys of the rows.
    """
    wanted = list(rows)
    records = await engine.read(wanted) if wanted else []
    return [data + one.value[NOTE_BYTES:] for one in records if one and len(one.value) > NOTE_BYTES]
