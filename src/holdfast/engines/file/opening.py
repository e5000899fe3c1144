"""Opening and closing a directory: the parts that an open database consists of."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from holdfast.contract.errors import IntegrityFailed, StoreError, StoreNotFound
from holdfast.contract.runtime import Components
from holdfast.engines.embedded.file_failures import translated
from holdfast.engines.embedded.lock import Lock
from holdfast.engines.embedded.machine import machine_start
from holdfast.engines.embedded.network import refuse_network
from holdfast.engines.embedded.open_file import OpenFile
from holdfast.engines.file.cache import Cache
from holdfast.engines.file.config import FileConfig
from holdfast.engines.file.failures import damaged
from holdfast.engines.file.index import Index
from holdfast.engines.file.journal import Journal
from holdfast.engines.file.manifest import Manifest
from holdfast.engines.file.place import Place, identity_of
from holdfast.engines.file.reading import Reader
from holdfast.engines.file.records import Commit
from holdfast.engines.file.replay import Replay
from holdfast.engines.file.segment import FORMATS, Segment, number_of
from holdfast.engines.file.snapshots import Snapshots

_log = logging.getLogger("holdfast")

#: How many findings an error names; a check tells all.
FINDINGS_MAX = 3
#: The name of a start of the machine, where the system does not tell one.
_UNNAMED = "unnamed"


class Opened:
    """The parts of a database that is, or will be, open.

    Attributes:
        journal, index, cache, reader, snapshots: what reads and writes go to.
        relaxed: commits are acknowledged before they are flushed.
    """

    def __init__(self, config: FileConfig, components: Components) -> None:
        self.config = config
        self.place = Place(config.path)
        self.index = Index()
        self.cache = Cache(config.cache_size)
        clock = components.clock
        format = FORMATS[config.format]
        self.relaxed = config.durability == "relaxed" and not config.read_only
        self.journal = Journal(
            self.place, self.index, self.cache, format, clock.monotonic,
            writes_ahead=not self.relaxed,
        )  # fmt: skip
        self.reader = Reader(self.journal, self.index, self.cache)
        self.snapshots = Snapshots(self.index, config.snapshot_age_max, clock.monotonic)
        self._components = components
        self._lock = Lock(self.place.lock, "file", writes=not config.read_only)
        self._written = 0
        self._finished = False

    @property
    def lineage(self) -> str:
        """Of the revisions."""
        return self.journal.manifest.lineage

    @property
    def replaced(self) -> bool:
        """Whether the path leads to another database by now, or to none."""
        file = self._lock.file
        if file is None:
            return identity_of(self.place.manifest) is None
        found = os.fstat(file.fileno())
        return identity_of(self.place.lock) != (found.st_dev, found.st_ino)

    def open(self) -> None:
        """Open or create the database. Holds the thread."""
        place, config = self.place, self.config
        refuse_network(place.directory)
        with translated(place.directory):
            place.refuse_foreign()
            if not place.manifest.exists():
                if config.read_only or not config.create:
                    raise _missing(place.directory)
                place.make()
            self._lock.take(config.lock_timeout, self._components.clock.now_ms())
            # Looked at only now: whoever had it open may have gone on until now.
            manifest = place.read_manifest() or self._create()
            self.journal.manifest = manifest
            self._read(manifest)
            if not config.read_only:
                self._prepare(manifest)

    def close(self) -> None:
        """Flush, note how far the journal reaches, and let go; repeated after an interrupt."""
        try:
            if not self._finished:
                self._finish()
                self._finished = True
        except Exception:
            self.release()
            raise
        self.release()

    def release(self) -> None:
        """Let go of everything, whatever is left to do; nothing can be flushed after it."""
        self._finished = True
        self.snapshots.end_all("was closed with its database")
        self.journal.close()
        self._lock.close()

    def disown(self) -> None:
        """In a forked child: the files are the parent's; the copies of them close."""
        self.journal.disowned = True
        self.snapshots.disown()
        self.journal.close()
        self._lock.close()

    # --- Inside: opening ----------------------------------------------------------------------

    def _create(self) -> Manifest:
        """Make a database where there is none."""
        if self.config.read_only:
            raise _missing(self.place.directory)
        segments = self.place.segments()
        if segments:
            raise self.place.without_manifest(segments)
        ids = self._components.ids
        manifest = Manifest(ids.new().hex(), ids.new().hex())
        self.place.write_manifest(manifest)
        return manifest

    def _read(self, manifest: Manifest) -> None:
        """Read the whole journal. Raises IntegrityFailed where it is damaged."""
        replay = Replay(self.index, manifest.store)
        segments: dict[int, Segment] = {}
        lossy = manifest.unflushed is not None
        for name in manifest.segments:
            segment = self._open_segment(name)
            replay.take(segment, last=name == manifest.segments[-1], lossy=lossy)
            segments[segment.number] = segment
        self.journal.begin(segments, replay.live)
        if replay.damage:
            raise _failed(replay)
        if self.index.head < manifest.head and not lossy:
            raise damaged(
                self.place.directory / (manifest.segments or (self.place.manifest.name,))[-1],
                f"it ends at revision {self.index.head}, and revision {manifest.head} was "
                "acknowledged and flushed. It was cut off, or is an older copy. To go on without, "
                f"change head in {self.place.manifest.name} and remove its crc",
            )
        if replay.dropped:
            _log.info(
                "%s: %s bytes behind the last commit were dropped: an append that was never "
                "finished, nor acknowledged", self.place.directory, replay.dropped,
            )  # fmt: skip

    def _open_segment(self, name: str) -> Segment:
        path = self.place.directory / name
        mode = "rb" if self.config.read_only else "r+b"
        try:
            return Segment(path, self.journal.keep(OpenFile(path, mode, opener=_quietly)))
        except FileNotFoundError:
            raise damaged(self.place.manifest, f"it lists {name}, which is not there") from None

    def _prepare(self, manifest: Manifest) -> None:
        """Make ready for writing."""
        self._remove_leftovers(manifest)
        journal = self.journal
        if journal.segments:
            active = journal.active
            if active.length > active.size:
                active.trim()
                active.flush()
            if active.format.unit == "line" and active.read(active.size - 1, 1) != b"\n":
                active.write(active.size, b"\n")  # An editor left it out.
                active.size += 1
            active.reach = active.size
        self._settle_lineage(manifest)
        if journal.full:
            journal.roll()
        self._written = self.index.head
        self.place.ballast.make(self.config.ballast)

    def _settle_lineage(self, manifest: Manifest) -> None:
        """A new lineage where acknowledged commits may have been lost; the mark of relaxed mode.

        A mark names the start of the machine since which commits were acknowledged before they
        were flushed. When the machine was started again, some of them may not have got there.
        """
        machine = machine_start()
        settled = manifest
        if manifest.unflushed is not None and manifest.unflushed != machine:
            settled = replace(
                settled, lineage=self._components.ids.new().hex(), head=self.index.head
            )
        settled = replace(settled, unflushed=(machine or _UNNAMED) if self.relaxed else None)
        if settled != manifest:
            if self.journal.segments:
                # What is read here may be in the system's memory alone.
                self.journal.active.flush()
            self.journal.write_manifest(settled)

    def _remove_leftovers(self, manifest: Manifest) -> None:
        """Remove what a crash left: segments that were compacted, or begun and never used."""
        for path in self.place.directory.glob("*.new"):
            path.unlink()
        if not manifest.segments:
            first = last = 0
        else:
            first, last = map(number_of, (manifest.segments[0], manifest.segments[-1]))
        for name in self.place.segments():
            number, path = number_of(name), self.place.directory / name
            if name in manifest.segments:
                continue
            if number > last and _holds_commits(path):
                raise damaged(
                    self.place.manifest,
                    f"it does not list {name}, which is newer than all that it lists and holds "
                    "commits; it is an older copy",
                )
            if number < first or number > last:
                path.unlink()

    # --- Inside: closing ----------------------------------------------------------------------

    def _finish(self) -> None:
        journal = self.journal
        if self.config.read_only or journal.disowned or not journal.segments or self.replaced:
            return
        if journal.failure is not None:
            return
        try:
            journal.ready()
        except StoreNotFound:
            return  # The files are gone: what was written there is, too.
        journal.trim()
        journal.flush()
        if self.index.head != self._written or self.relaxed:
            with suppress(StoreError), translated(self.place.directory):
                journal.write_manifest(
                    replace(journal.manifest, head=self.index.head, unflushed=None)
                )
            self._written = self.index.head


def _holds_commits(path: Path) -> bool:
    segment = Segment(path, OpenFile(path, "rb"))
    walk = segment.format.walk(segment.read, 0, segment.length)
    return any(type(found.record) is Commit for found in walk)


def _failed(replay: Replay) -> IntegrityFailed:
    first = replay.damage[0]
    named = [str(one) for one in replay.damage[:FINDINGS_MAX] if one.segment is first.segment]
    more = len(replay.damage) - len(named)
    if more:
        named.append(f"and {more} more")
    return damaged(first.segment.path, "; ".join(named))


def _missing(directory: Path) -> StoreNotFound:
    return StoreNotFound(
        f"there is no database at {directory}; open it without read_only and with create to make "
        "one, or give another path",
        path=str(directory),
    )


def _quietly(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
