"""What the tests of the journal share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import lmdb

from holdfast.contract.batch import Batch, Put
from holdfast.engines.lmdb import LmdbEngine, facts, journal_format, journaled, warm_up
from holdfast.engines.lmdb.facts import JournalFact
from holdfast.engines.lmdb.journal_format import Record
from holdfast.runtime.system import drive
from tests.engines.lmdb_database import opened

#: The smallest journal.
SMALL = 64 * 1024


def journaling(path: Path, **settings: Any) -> AbstractContextManager[LmdbEngine]:
    """An open engine with a small journal."""
    return opened(path, **{"journal": SMALL, "ballast": 0} | settings)


def hurry() -> None:
    """In a child: have the journal begin at once, and nothing but visitors end its time."""
    warm_up.WARM_UP_COMMITS = 0
    warm_up.DENIED_S = 0.0
    journaled.IDLE_S = journaled.AGE_S = 3600.0


def is_on(engine: LmdbEngine) -> bool:
    """Whether commits go to the journal."""
    assert engine._journaled is not None
    return engine._journaled.on


def put_many(engine: LmdbEngine, first: int, last: int, value: bytes = b"value") -> None:
    """One commit for each number, of a key that is told by it and of one that all share."""
    for number in range(first, last):
        drive(engine.commit(Batch([Put(b"%04d" % number, value), Put(b"all", b"%d" % number)])))


def crashed(path: Path, copy: Path) -> Path:
    """A copy of an open database, as a kill at this moment leaves it. No half is being applied."""
    shutil.copytree(path, copy)
    return copy


@contextmanager
def stored(path: Path) -> Iterator[lmdb.Transaction[bytes]]:
    """The main tree of a closed database, with the driver alone."""
    with (
        lmdb.open(str(path), max_dbs=4, readonly=True, lock=False) as environment,
        environment.begin() as transaction,
    ):
        yield transaction


def fact_of(path: Path) -> JournalFact:
    """What a closed database says of its journal."""
    with stored(path) as transaction:
        fact = facts.read_journal(transaction)
    assert fact is not None
    return fact


def head_of(path: Path) -> int:
    """The newest revision in the file of a closed database."""
    with stored(path) as transaction:
        return facts.read_head(transaction).revision


def records_of(path: Path, generation: int) -> list[tuple[int, Record]]:
    """The records of a generation, with their places in the journal."""
    content = (path / "journal").read_bytes()
    header = journal_format.read_header(content)
    assert header is not None
    at, end = header.bounds(generation)
    found = []
    while (record := journal_format.read_record(content, at, end)) is not None:
        if record.generation != generation:
            break
        found.append((at, record))
        at += record.size
    return found
