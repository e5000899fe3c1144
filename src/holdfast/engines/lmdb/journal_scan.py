"""What a journal holds that LMDB lacks.

A record that is broken with a sound one of its generation behind it was flushed and has been
damaged since; a broken one at the end was being written when the machine stopped, and nobody was
told of it. The two look the same where damage hits the very last record.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from holdfast.contract.errors import IntegrityFailed
from holdfast.engines.embedded.group import Pending
from holdfast.engines.lmdb import journal_format
from holdfast.engines.lmdb.facts import JournalFact
from holdfast.engines.lmdb.journal_format import (
    HEADER_BYTES,
    NONCE_AT,
    PREVIOUS_AT,
    RECORD_BYTES,
    Header,
    Record,
)


class Found(NamedTuple):
    """Commits that LMDB lacks.

    Attributes:
        rows: the newest write of each key.
        ids: of batches, with their revisions.
        head: the newest revision.
        generation: the last that holds any.
    """

    rows: dict[bytes, Pending]
    ids: dict[bytes, int]
    head: int
    generation: int


def unapplied(path: Path, fact: JournalFact, head: int) -> Found:
    """The commits of the generation that LMDB names, and of the one that follows it.

    Args:
        path: of the journal.
        fact: what LMDB says; something is unapplied.
        head: LMDB's newest revision.

    Raises:
        IntegrityFailed: acknowledged commits are not there, or damaged.
    """
    content = _content(path)
    header = journal_format.read_header(content)
    if header is None:
        raise _damaged(path, "it is missing, or its header is damaged")
    if header.name != fact.journal:
        raise _damaged(path, "it is the journal of another database")
    if len(content) < header.size:
        raise _damaged(path, "it was cut short")
    scan = _Scan(path, content, header, head)
    if not scan.generation(fact.generation, fact.nonce):
        raise _damaged(path, "it lacks what the database file says it holds")
    following = scan.follows(fact)
    if following is not None:
        scan.generation(fact.generation + 1, following.nonce)
    elif newest(path) > fact.generation:
        raise _damaged(path, "it goes on from a later state of the database than this file")
    return scan.found()


def newest(path: Path, name: bytes | None = None) -> int:
    """The newest generation that commits were written to; 0: none.

    Args:
        path: of the journal.
        name: of the journal that is meant; another one counts as none.
    """
    try:
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        return 0
    with file:
        header = journal_format.read_header(os.pread(file.fileno(), HEADER_BYTES, 0))
        if header is None or name not in (None, header.name):
            return 0
        return max(_generation(file.fileno(), header, half) for half in range(2))


def _generation(descriptor: int, header: Header, half: int) -> int:
    """The generation that fills a half, if it has a commit: a record behind its first."""
    start, end = header.bounds(half)
    first = _record_at(descriptor, start, end)
    if first is None:
        return 0
    second = _record_at(descriptor, start + first.size, end)
    return first.generation if second is not None and second.nonce == first.nonce else 0


def _record_at(descriptor: int, place: int, end: int) -> Record | None:
    head = os.pread(descriptor, RECORD_BYTES, place)
    size = journal_format.padded_size(head, 0)
    if not size or place + size > end:
        return None
    content = os.pread(descriptor, size, place)
    return journal_format.read_record(content, place, place + len(content), base=place)


class _Scan:
    """Gathers the commits of one generation after the other."""

    def __init__(self, path: Path, content: bytes, header: Header, head: int) -> None:
        self._path = path
        self._content = content
        self._header = header
        self._head = head
        self._rows: dict[bytes, Pending] = {}
        self._ids: dict[bytes, int] = {}
        self._generation = 0

    def found(self) -> Found:
        return Found(self._rows, self._ids, self._head, self._generation)

    def generation(self, number: int, nonce: bytes) -> bool:
        """Take in a generation; False: it does not begin where it should."""
        content = self._content
        at, end = self._header.bounds(number)
        sequence = 0
        while True:
            record = journal_format.read_record(content, at, end)
            if record is None or (record.generation, record.nonce) != (number, nonce):
                break
            if (record.sequence, record.before) != (sequence, self._head):
                raise _damaged(self._path, "a commit in it does not continue the one before")
            rows, ids = journal_format.read_body(content, at, record)
            self._rows.update(rows)
            self._ids.update(ids)
            self._head = record.after
            at += record.size
            sequence += 1
        if self._sound_behind(at, end, NONCE_AT, nonce):
            raise _damaged(self._path, "an acknowledged commit in it is damaged")
        self._generation = number
        return sequence > 0

    def follows(self, fact: JournalFact) -> Record | None:
        """The first record of the generation that follows the one LMDB names, if there is one.

        One with an older head is left of a change of halves that was interrupted before anything
        was written behind it.
        """
        start, end = self._header.bounds(fact.generation + 1)
        record = journal_format.read_record(self._content, start, end)
        if record is None or record.previous != fact.nonce or record.sequence:
            lost = self._sound_behind(start, end, PREVIOUS_AT, fact.nonce)
        elif record.before == self._head:
            return record
        else:
            behind = self._sound_behind(start + record.size, end, NONCE_AT, record.nonce)
            lost = behind or record.before > self._head
        if lost:
            raise _damaged(self._path, "an acknowledged commit in it is damaged")
        return None

    def _sound_behind(self, at: int, end: int, offset: int, nonce: bytes) -> bool:
        """Whether a sound record that bears the nonce there begins at the place or behind it."""
        content = self._content
        found = content.find(nonce, at, end)
        while found >= 0:
            place = found - offset
            record = journal_format.read_record(content, place, end) if place >= at else None
            if record is not None and nonce in (record.nonce, record.previous):
                return True
            found = content.find(nonce, found + 1, end)
        return False


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _damaged(path: Path, found: str) -> IntegrityFailed:
    return IntegrityFailed(
        f"the journal {path} holds acknowledged commits that the database file lacks, and {found}. "
        "Put the files back as they belong together, or restore a backup of the whole directory"
    )
