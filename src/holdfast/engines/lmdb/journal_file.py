"""The journal's file, open for appending; see `journal_format.py` for its bytes."""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from holdfast.contract.files import flush_directory
from holdfast.contract.runtime import Ids
from holdfast.engines.lmdb import journal_format
from holdfast.engines.lmdb.facts import JournalFact
from holdfast.engines.lmdb.files import keep_open, let_close
from holdfast.engines.lmdb.journal_format import (
    HEADER_BYTES,
    NONCE_BYTES,
    RECORD_BYTES,
    Body,
    Header,
)

#: How much is written at once when the file is made.
_BLOCK_BYTES = 1 << 20


_make = tuple.__new__


class Place(NamedTuple):
    """Where the next record goes, and what it bears."""

    at: int
    end: int
    generation: int
    nonce: bytes
    previous: bytes
    sequence: int


class JournalFile:
    """The journal of one process that has the database to itself.

    What an append or a new generation changes shows in one step, `place`, when it is flushed: an
    interrupt before that leaves bytes that the next record overwrites.

    Args:
        path: of the file.
        size: the size wanted, header not counted.
        ids: where nonces come from.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path, size: int, ids: Ids) -> None:
        self._path = path
        self._ids = ids
        self._files: list[FileIO] = []
        half = size // 2 // HEADER_BYTES * HEADER_BYTES
        keep_open(path, self._files, writable=True)
        self._descriptor = self._files[-1].fileno()
        try:
            header = journal_format.read_header(os.pread(self._descriptor, HEADER_BYTES, 0))
            wanted = header is not None and header.half == half
            if header is None or not wanted or self._size() != header.size:
                header = Header(half, self._new_nonce())
                self._make(header)
        except BaseException:
            self.close()
            with suppress(OSError):
                path.unlink()  # It is not whole, and its room is better used.
            raise
        self._header = header
        self.name = header.name
        self.half = half
        self.place = Place(0, 0, 0, b"", bytes(NONCE_BYTES), 0)
        #: Bytes behind the last record may look like one more.
        self._unsure = False

    def close(self) -> None:
        """Let go of the file; twice does nothing."""
        let_close(self._files)

    @property
    def left(self) -> int:
        """How many bytes the generation still takes."""
        return self.place.end - self.place.at

    def fact(self, *, unapplied: bool) -> JournalFact:
        """What LMDB says when it has all but the generation in use; or that as well."""
        return JournalFact(unapplied, self.place.generation, self.place.nonce, self.name)

    def begin(self, generation: int, head: int, *, chained: bool) -> Place:
        """Begin a generation in its half, with a flushed record of nothing.

        It is there before LMDB names the nonce: a journal without it is not the one LMDB means.

        Args:
            head: the newest revision.
            chained: commits of the generation now in use go before.

        Returns:
            What `place` has to be from now on.
        """
        if chained and self._unsure:
            # A record that an interrupt disowned must not stand between the two generations.
            self._write_all(bytes(min(RECORD_BYTES, self.left)), self.place.at)
            os.fdatasync(self._descriptor)
        self._unsure = False
        previous = self.place.nonce if chained else bytes(NONCE_BYTES)
        bounds = self._header.bounds(generation)
        place = Place(*bounds, generation, self._new_nonce(), previous, 0)
        return self._write(place, journal_format.pack({}, {}), head, head)

    def append(self, body: Body, before: int, after: int) -> None:
        """Write a group of commits behind the last, and flush it.

        Raises:
            OSError: whether it is there is not known.
        """
        if not os.fstat(self._descriptor).st_nlink:
            raise FileNotFoundError(errno.ENOENT, "the journal was removed", str(self._path))
        self._unsure = True
        self.place = self._write(self.place, body, before, after)
        self._unsure = False

    # --- Inside -----------------------------------------------------------------------------

    def _write(self, place: Place, body: Body, before: int, after: int) -> Place:
        record = journal_format.seal(
            body, place.at, generation=place.generation, nonce=place.nonce,
            previous=place.previous, sequence=place.sequence, before=before, after=after,
        )  # fmt: skip
        end = place.at + len(record)
        assert end <= place.end
        self._write_all(record, place.at)
        os.fdatasync(self._descriptor)
        _, last, generation, nonce, previous, sequence = place
        return _make(Place, (end, last, generation, nonce, previous, sequence + 1))

    def _make(self, header: Header) -> None:
        os.ftruncate(self._descriptor, 0)
        # Written, not only set aside: a flush then never has to note where blocks lie.
        for at in range(0, header.size, _BLOCK_BYTES):
            self._write_all(bytes(min(_BLOCK_BYTES, header.size - at)), at)
        os.fsync(self._descriptor)
        # Behind the zeros, so that a whole header means a whole file.
        self._write_all(header.packed(), 0)
        os.fsync(self._descriptor)
        flush_directory(self._path.parent)

    def _new_nonce(self) -> bytes:
        # Unlike any id that is stored: a nonce is looked for among the rows.
        return hashlib.blake2b(self._ids.new(), digest_size=NONCE_BYTES).digest()

    def _write_all(self, data: bytes | bytearray, at: int) -> None:
        done = os.pwrite(self._descriptor, data, at)
        while done < len(data):
            done += os.pwrite(self._descriptor, data[done:], at + done)

    def _size(self) -> int:
        return os.fstat(self._descriptor).st_size
