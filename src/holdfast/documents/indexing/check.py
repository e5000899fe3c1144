"""Whether the rows of indexes are those that the documents make: no more and no less."""

from __future__ import annotations

from typing import Final

from holdfast.contract.engine import Engine
from holdfast.contract.errors import StoreError
from holdfast.contract.record import Range, Record
from holdfast.documents.indexes.definition import count_key
from holdfast.documents.indexes.derived import IndexRows, read_count
from holdfast.documents.indexes.writer import IndexWriter
from holdfast.documents.indexes.writers import TextWriter, index_rows
from holdfast.documents.storage import DocumentStorage
from holdfast.store import layout
from holdfast.store.views import Progress, Report

#: How many index rows are looked up at once.
READ_ROWS: Final = 1000


async def check_indexes(
    moment: Engine, storage: DocumentStorage, report: Report, progress: Progress | None
) -> None:
    """Report index rows that are missing, wrong, or of no document."""
    catalogue = await storage.catalogue()
    name = storage.space.keyspace.name
    writers = [
        one for one in IndexRows(storage.number, catalogue).writers
        if one.definition.state == "ready" and not isinstance(one, TextWriter)
    ]  # fmt: skip
    expected = dict.fromkeys((one.definition.name for one in writers), 0)
    if catalogue.documents_max:
        [row] = await moment.read((count_key(storage.number),))
        counted, found = read_count(row and row.value), await _count(moment, storage.whole)
        if counted != found:
            report.wrong(
                f"collection {name!r}: its quota counts {counted} documents; found {found}. Set "
                "the quota again"
            )
    if not writers:
        return
    looked_at = 0
    rest: Range | None = storage.whole
    while rest is not None:
        page = await moment.scan(rest)
        for writer in writers:
            await _check_page(moment, storage, writer, page.rows, report, expected)
        looked_at += len(page.rows)
        if progress is not None:
            progress(looked_at)
        rest = page.resume
    for writer in writers:
        index = writer.definition.name
        found = await _count(moment, Range.prefix(writer.prefix))
        if found != expected[index]:
            report.wrong(
                f"collection {name!r}, index {index!r}: its documents make {expected[index]} rows; "
                f"found {found}. Drop it and create it again"
            )


async def _check_page(
    moment: Engine,
    storage: DocumentStorage,
    writer: IndexWriter,
    rows: list[tuple[bytes, Record]],
    report: Report,
    expected: dict[str, int],
) -> None:
    wanted: dict[bytes, bytes] = {}
    name = storage.space.keyspace.name
    index = writer.definition.name
    for data_key, record in rows:
        identifier = data_key[layout.REGION_BYTES :]
        try:
            entry = await storage.complete(storage.entry(data_key, *record))
            wanted |= index_rows(writer, entry.value, identifier)
        except StoreError as error:
            report.wrong(f"collection {name!r}, row {data_key.hex()}: {error}")
    expected[index] += len(wanted)
    keys = list(wanted)
    for start in range(0, len(keys), READ_ROWS):
        part = keys[start : start + READ_ROWS]
        for key, found in zip(part, await moment.read(part), strict=True):
            if found is None or found.value != wanted[key]:
                report.wrong(
                    f"collection {name!r}, index {index!r}: a row is "
                    f"{'missing' if found is None else 'wrong'}. Drop it and create it again"
                )


async def _count(moment: Engine, range: Range) -> int:
    count = 0
    rest: Range | None = range
    while rest is not None:
        page = await moment.scan(rest)
        count += len(page.rows)
        rest = page.resume
    return count
