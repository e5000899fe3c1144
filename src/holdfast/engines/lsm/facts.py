"""What a database says of itself: read at opening, and noted when it changes."""

from __future__ import annotations

from holdfast.contract.errors import FormatTooNew, IntegrityFailed, NotADatabase
from holdfast.engines.embedded.group import BATCH_ID_MS
from holdfast.engines.embedded.machine import machine_start
from holdfast.engines.lsm import layout
from holdfast.engines.lsm.driver import Driver
from holdfast.engines.lsm.layout import Facts
from holdfast.engines.lsm.place import Place

#: The name of a start of the machine, where the system does not tell one.
_UNNAMED = "unnamed"
#: How many ids are read at once at opening.
_IDS_READ = 10_000


def read_facts(driver: Driver, place: Place) -> Facts | None:
    """What the database says of itself; None where it is empty.

    Raises:
        NotADatabase: it is another program's.
        IntegrityFailed: it cannot be read.
        FormatTooNew: a later version made it.
    """
    path = str(place.directory)
    data = driver.get(layout.FACTS)
    if data is None:
        if driver.rows(b"", b"\xff" * 8, reverse=False, rows_max=1, bytes_max=1).rows:
            raise NotADatabase(
                f"{place.tables} was made by another program: it holds rows and does not say what "
                "they are; point the URL at another path",
                path=path,
            )
        return None
    try:
        facts = Facts.decode(data)
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityFailed(
            f"what the database {path} says of itself cannot be read; restore a backup", path=path
        ) from error
    if facts.format > layout.FORMAT:
        raise FormatTooNew(
            f"the database {path} has format {facts.format}, and this version reads up to "
            f"{layout.FORMAT}; update holdfast",
            found=facts.format,
            supported=layout.FORMAT,
        )
    return facts


def settled(facts: Facts, new_lineage: str, *, relaxed: bool) -> Facts:
    """With a new lineage where acknowledged commits may have been lost, and relaxed mode's mark.

    A mark names the start of the machine since which commits were acknowledged before they were
    flushed. When the machine was started again, some of them may not have got there.
    """
    machine = machine_start()
    if facts.unflushed is not None and facts.unflushed != machine:
        facts = facts._replace(lineage=new_lineage)
    return facts._replace(unflushed=(machine or _UNNAMED) if relaxed else None)


def read_ids(driver: Driver, now_ms: int) -> dict[bytes, tuple[int, int]]:
    """The ids of batches that are remembered: revision and instant, the oldest first."""
    found: list[tuple[bytes, tuple[int, int]]] = []
    start, more = layout.IDS, True
    while more:
        rows, more = driver.rows(
            start, layout.IDS_END, reverse=False, rows_max=_IDS_READ, bytes_max=2**30
        )
        known = [(key[1:], layout.decode_id(value)) for key, value in rows]
        found += [one for one in known if one[1][1] >= now_ms - BATCH_ID_MS]
        start = rows[-1][0] + b"\0" if rows else start
    return dict(sorted(found, key=lambda one: one[1][1]))
