"""What a process that died left in its journal is written to LMDB by whoever opens next.

A process that has commits in its journal holds the presence byte alone, as long as it lives. So
whoever is present and finds something unapplied knows that its writer is dead.
"""

from __future__ import annotations

import lmdb

from holdfast.contract.runtime import Clock
from holdfast.engines.lmdb import facts, journal_scan
from holdfast.engines.lmdb.facts import JournalFact
from holdfast.engines.lmdb.medium import Medium
from holdfast.engines.lmdb.writer import LmdbWriter


def needed(medium: Medium) -> bool:
    """Whether LMDB lacks commits that its journal has. This process is present."""
    fact = medium.reading(facts.read_journal)
    return fact is not None and fact.unapplied


def settle(medium: Medium, clock: Clock, *, alone: bool) -> None:
    """Write what LMDB lacks, in one transaction. This process is present.

    A crash meanwhile leaves LMDB as it was, and the next to open begins anew.

    Args:
        medium: the environment, open for writing.
        clock: for the age of batch ids.
        alone: nobody else is present.

    Raises:
        IntegrityFailed: acknowledged commits are damaged or missing.
        StorageFull: there is no room for them; nothing is lost.
    """
    fact = medium.reading(facts.read_journal)
    if fact is None or not (fact.unapplied or (alone and _later(medium, fact))):
        return
    medium.locks.take_turn(medium.config.lock_timeout)
    try:
        _settle(medium, clock)
    finally:
        medium.locks.end_turn()


def _settle(medium: Medium, clock: Clock) -> None:
    writer = LmdbWriter(medium, clock, turn_taken=True, owed=True)
    try:
        writer.begin()
        # Another process may have been here first.
        fact = writer.look(facts.read_journal)
        assert fact is not None
        if fact.unapplied:
            _replay(medium, writer, fact)
        else:
            _begin_lineage(medium, writer, fact)
    finally:
        writer.abandon()


def _replay(medium: Medium, writer: LmdbWriter, fact: JournalFact) -> None:
    found = journal_scan.unapplied(medium.place.journal, fact, writer.head)
    writer.apply(sorted(found.rows.items()))
    for id, revision in found.ids.items():
        writer.remember(id, revision)
    settled = fact._replace(unapplied=False, generation=found.generation)
    writer.note = lambda transaction: facts.write_journal(transaction, settled)
    writer.finish(found.head)


def _begin_lineage(medium: Medium, writer: LmdbWriter, fact: JournalFact) -> None:
    """The journal has seen later commits than the file, which is an older copy put back.

    Those commits belong to a history that this file never had, and its revisions will be given
    out again.
    """
    later = _later(medium, fact)
    if not later:
        return
    settled, lineage = fact._replace(generation=later), medium.new_lineage()

    def note(transaction: lmdb.Transaction[bytes]) -> None:
        facts.write_journal(transaction, settled)
        facts.write_lineage(transaction, lineage)

    writer.note = note
    writer.finish(writer.head)


def _later(medium: Medium, fact: JournalFact) -> int:
    """The generation of commits that were written after the file was copied; 0: none."""
    newest = journal_scan.newest(medium.place.journal, fact.journal)
    return newest if newest > fact.generation else 0
