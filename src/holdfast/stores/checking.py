"""Whether the rows of a store agree with each other, and its saved versions with their roots."""

from __future__ import annotations

from typing import Final

from holdfast.contract.engine import Engine
from holdfast.contract.errors import IntegrityFailed, StoreError
from holdfast.contract.record import Range
from holdfast.store import layout
from holdfast.store.plain.rows import check_plain, plain_expires_at_ms
from holdfast.store.views import KeyspaceTally, Progress, Report
from holdfast.stores.cells import Cells, Reference
from holdfast.stores.config import remembered
from holdfast.stores.content import Content
from holdfast.stores.plain import PlainContent

#: How long the id in the key of a chunk is.
_ID_BYTES: Final = 16


class _ExpiryTally(KeyspaceTally):
    """How many values of a store expire, by its own rows."""

    def __init__(self, name: str, values: int, report: Report) -> None:
        self._name = name
        self._values = values
        self._report = report

    def expiring(self, rows: int) -> None:
        if rows != self._values:
            self._report.wrong(
                f"store {self._name!r}: {self._values} values expire; found {rows} rows of expiry"
            )


async def check_store(
    content: Content, moment: Engine, report: Report, progress: Progress | None
) -> KeyspaceTally | None:
    """Report what is wrong with a store, as of one moment."""
    name = content.space.keyspace.name
    values = await _check_rows(content, moment, report, progress)
    from holdfast.stores.versions.kinds import versions_of

    try:
        await versions_of(content).check(moment, report)
    except IntegrityFailed as error:
        report.wrong(f"store {name!r}, saved versions: {error}")
    return _ExpiryTally(name, values, report) if isinstance(content, PlainContent) else None


async def _check_rows(
    content: Content, moment: Engine, report: Report, progress: Progress | None
) -> int:
    """Check every value; how many expire."""
    keyspace = content.space.keyspace
    number = keyspace.number
    cells = Cells(number, remembered(keyspace.settings))
    expiring = looked_at = 0
    big: dict[bytes, int] = {}
    rest: Range | None = Range.prefix(layout.region(number, layout.DATA))
    while rest is not None:
        page = await moment.scan(rest)
        wanted = []
        for data_key, record in page.rows:
            looked_at += 1
            where = f"store {keyspace.name!r}, row {data_key.hex()}"
            try:
                check_plain(record.value)
                value = cells.value(record.value)
            except StoreError as error:
                report.wrong(f"{where}: {error}")
                continue
            if isinstance(value, Reference):
                big[value.id] = value.chunks
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
    await _check_chunks(moment, number, big, f"store {keyspace.name!r}", report)
    return expiring


async def _check_chunks(
    moment: Engine, number: int, big: dict[bytes, int], where: str, report: Report
) -> None:
    """Check that every big value has its chunks, and every chunk its value."""
    prefix = layout.region(number, layout.BLOB)
    found: dict[bytes, int] = {}
    rest: Range | None = Range.prefix(prefix)
    while rest is not None:
        page = await moment.scan(rest)
        for key, _ in page.rows:
            id = key[len(prefix) : len(prefix) + _ID_BYTES]
            found[id] = found.get(id, 0) + 1
        rest = page.resume
    for id in big.keys() | found.keys():
        if big.get(id, 0) != found.get(id, 0):
            report.wrong(
                f"{where}: a big value has {big.get(id, 0)} chunks; found {found.get(id, 0)}"
            )
