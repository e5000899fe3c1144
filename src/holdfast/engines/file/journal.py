"""The journal of an open database: where commits are appended, and what follows from them.

A commit is written behind the last one, flushed, and only then published in the index, so that
nobody sees what could be lost. From the flush on it is made, whatever interrupts the call: whoever
comes next publishes it. Before the flush it is not, and whoever comes next cuts it off.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from holdfast.contract.errors import StorageFull, StoreError
from holdfast.contract.files import NO_ROOM, flush_directory
from holdfast.engines.embedded.file_failures import lost, translate, translated
from holdfast.engines.embedded.locking import holding
from holdfast.engines.embedded.open_file import OpenFile, keep, let_close, release
from holdfast.engines.file.cache import Cache
from holdfast.engines.file.index import Index, length_in
from holdfast.engines.file.manifest import Manifest
from holdfast.engines.file.place import Identity, Place, identity_of
from holdfast.engines.file.published import Published
from holdfast.engines.file.records import FORMAT_VERSION, Format, Header
from holdfast.engines.file.segment import (
    Segment,
    name_of,
)

#: A segment is a sixteenth of the journal, within these bounds: so compaction, which removes whole
#: segments, needs little room and time at once, and there are not too many files.
SEGMENT_BYTES_MIN = 2**20
SEGMENT_BYTES_MAX = 64 * 2**20
SEGMENTS = 16
#: A segment whose commits are flushed is filled ahead of them, up to a multiple of this. The commit
#: that passes the filled part fills the next one, so this is also what a single commit may write
#: beside its own rows.
AHEAD_BYTES = 8 * 2**10
#: File systems step their clocks in ticks. A change within one tick of another cannot be told from
#: it, so the time of a directory says something only once it has stood for longer than any tick.
_TICK_S = 0.1


class Journal:
    """What one open database consists of.

    Attributes:
        segments: by number, the oldest first; replaced as a whole, so that whoever reads keeps
            the files open that it found.
        live: bytes of rows that nothing has replaced.
        dirty: acknowledged commits wait for a flush.
        failure: why nothing may be written any more.
        writes_ahead: the file is made longer in steps, since every commit is flushed.
        scarce: the ballast was given up; only what deletes may be written until it is back.
    """

    def __init__(
        self,
        place: Place,
        index: Index,
        cache: Cache,
        format: Format,
        monotonic: Callable[[], float],
        *,
        writes_ahead: bool,
    ) -> None:
        self.place = place
        self.index = index
        self.cache = cache
        self.format = format
        self.writes_ahead = writes_ahead
        self.manifest = Manifest("", "")
        self.segments: dict[int, Segment] = {}
        self.live = 0
        self.dirty = False
        self.failure: StoreError | None = None
        self.scarce = False
        #: In a forked child the files are the parent's.
        self.disowned = False
        self._ragged = False
        self._older_bytes = 0
        #: The segment that reached the largest size that this process may give a file.
        self._at_limit = 0
        self._made: Published | None = None
        self._retired: list[dict[int, Segment]] = []
        self._files: list[OpenFile] = []
        self._monotonic = monotonic
        self._changed: tuple[int, int] | None = None
        self._changed_at = 0.0
        self._settled: tuple[int, int] | None = None

    def begin(self, segments: dict[int, Segment], live: int) -> None:
        """Go on with what was read."""
        self.live = live
        self._use(segments)

    # --- Reading ----------------------------------------------------------------------------

    @property
    def active(self) -> Segment:
        """The segment that commits are appended to."""
        return self.segments[next(reversed(self.segments))]

    @property
    def size(self) -> int:
        """Bytes of the whole journal."""
        return self._older_bytes + self.active.size if self.segments else 0

    @property
    def dead(self) -> int:
        """Bytes of everything else."""
        return self.size - self.live

    # --- Writing: the leader ------------------------------------------------------------------

    def ready(self) -> None:
        """Put right what an interrupt left, and verify that the files are those of the path."""
        if self.failure is not None:
            raise self.failure
        self.settle()
        if self._ragged:
            self.cut()
        self._verify()

    def settle(self) -> None:
        """Publish what is on the medium and was not published."""
        made = self._made
        if made is not None:
            holding(self.index.lock, lambda: self._publish(made))

    def write(self, at: int, data: bytes) -> None:
        """Write behind the last commit. Raises StorageFull; `cut` then undoes it."""
        self._ragged = True
        active, end = self.active, at + len(data)
        try:
            active.write(at, data)
        except OSError as error:
            if error.errno == errno.EFBIG and at > 0:
                self._at_limit = active.number
            raise translate(error, self.place.directory) from error
        if end > active.reach:
            active.reach = end
            if self.writes_ahead and not self.scarce:
                with suppress(OSError):  # Without room for it, commits make the file longer.
                    active.write_ahead((end // AHEAD_BYTES + 1) * AHEAD_BYTES)

    def commit(self, made: Published, *, flush: bool) -> None:
        """What was written becomes a commit."""
        if flush:
            self._flush(self.active)
        else:
            self.dirty = True
        # Reckoned before, so that publishing it twice, after an interrupt, comes to the same.
        self._made = made._replace(live=self._live_with(made))  # From here on it is made.
        self.settle()

    def cut(self) -> None:
        """Undo what was written and is no commit. After a fork, in the child, nothing."""
        if self.disowned or not self._ragged or self._made is not None:
            return
        active = self.active
        try:
            active.trim()
            # Else a crash could leave its end behind the next commit.
            active.flush()
        except (OSError, ValueError) as error:
            if isinstance(error, ValueError):
                return  # Closed meanwhile.
            raise translate(error, self.place.directory) from error
        self._ragged = False

    def trim(self) -> None:
        """End the active segment with its last commit: nothing is appended to it any more."""
        if self.segments and not self.disowned:
            with translated(self.place.directory):
                self.active.trim()

    def flush(self) -> None:
        """Have the medium hold what was acknowledged."""
        if self.failure is not None:
            raise self.failure
        if self.dirty:
            # Before: what is written during the flush makes it due again.
            self.dirty = False
            self._flush(self.active)

    def _flush_all(self) -> None:
        """The same, also where another thread is about to flush and is not through."""
        if self.failure is not None:
            raise self.failure
        if self.segments:
            self._flush(self.active)

    @property
    def full(self) -> bool:
        """Whether the next commit goes to a new segment."""
        if not self.segments:
            return True
        most = min(max(self.size // SEGMENTS, SEGMENT_BYTES_MIN), SEGMENT_BYTES_MAX)
        active = self.active
        return active.size >= most or active.format is not self.format or self.at_limit

    @property
    def at_limit(self) -> bool:
        """Whether the active segment is as large as this process may make a file."""
        return bool(self.segments) and self.active.number == self._at_limit

    def roll(self) -> None:
        """Begin a new segment. A crash leaves the journal without it, or with it and empty."""
        self.trim()
        self._flush_all()
        number = 1 + max(self.segments, default=0)
        path = self.place.directory / name_of(number, self.format)
        beside = path.with_name(path.name + ".new")
        header = Header(FORMAT_VERSION, number, self.manifest.store, self.index.head)
        try:
            # Renamed into its place, for the manifest may list it already: by a call that was
            # interrupted.
            beside.unlink(missing_ok=True)
            segment = Segment(path, self.keep(OpenFile(beside, "x+b", opener=_private)))
            data = self.format.encode(header)
            segment.write(0, data)
            os.fsync(segment.file.fileno())
            beside.replace(path)
            flush_directory(self.place.directory)
            segment.size = segment.reach = len(data)
            segments = {**self.segments, number: segment}
            self.write_manifest(self._listing(segments))
            self._use(segments)
        except OSError as error:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            raise translate(error, self.place.directory) from error

    def roll_if_full(self) -> None:
        """Begin a new segment where it is time; without room for one the old one grows on."""
        if self.full:
            try:
                self.roll()
            except StorageFull:
                if not self.segments or self.at_limit:
                    raise

    def keep(self, file: OpenFile) -> OpenFile:
        """Keep the file open until `close`."""
        self._files.append(file)
        keep(file)
        return file

    def remove_oldest(self) -> None:
        """Remove the oldest segment, in which nothing is left that counts."""
        self._flush_all()
        number, oldest = next(iter(self.segments.items()))
        segments = {key: value for key, value in self.segments.items() if key != number}
        try:
            self.write_manifest(self._listing(segments))
            if self.index.past.tokens:
                self._retired.append(self.segments)
            self._use(segments)
            oldest.path.unlink(missing_ok=True)
        except OSError as error:
            raise translate(error, self.place.directory) from error
        if not self.index.past.tokens:
            self._release(oldest)

    def forget_retired(self) -> None:
        """No snapshot is open: files that only those needed may close."""
        retired, self._retired = self._retired, []
        for segments in retired:
            for number, segment in segments.items():
                if number not in self.segments:
                    self._release(segment)

    def files_of_snapshots(self) -> dict[int, Segment]:
        """The segments that snapshots may look into."""
        found: dict[int, Segment] = {}
        for segments in self._retired:
            found |= segments
        return found | self.segments

    def write_manifest(self, manifest: Manifest) -> None:
        """Note facts about the database. Raises OSError."""
        self.place.write_manifest(manifest)
        self.manifest = manifest
        self._settled = None

    def _listing(self, segments: dict[int, Segment]) -> Manifest:
        names = tuple(segment.path.name for segment in segments.values())
        return replace(self.manifest, segments=names, head=self.index.head)

    # --- The end ----------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of the files; twice does nothing."""
        for file in self._files:
            let_close(file)

    # --- Inside -----------------------------------------------------------------------------

    def _publish(self, made: Published) -> None:
        index = self.index
        for key, kept, revision in made.rows:
            if index.records.get(key) == kept:
                continue  # Published before an interrupt.
            if made.moved:
                assert kept is not None
                index.move(key, kept)
            else:
                index.put(key, kept, revision)
        for key, value in made.values.items():
            self.cache.put(key, value)
        for id, known in made.ids.items():
            index.batch_ids[id] = known
            index.batch_ids.move_to_end(id)
        self.active.size = made.end
        self.live = made.live
        index.head = made.head
        self._ragged = False
        self._made = None

    def _use(self, segments: dict[int, Segment]) -> None:
        older = list(segments.values())[:-1]
        self._older_bytes = sum(segment.size for segment in older)
        self.segments = segments

    def _live_with(self, made: Published) -> int:
        live = self.live
        for key, kept, _ in made.rows:
            before = self.index.records.get(key)
            if before is not None:
                live -= length_in(before[0])
            if kept is not None:
                live += length_in(kept[0])
        return live

    def _flush(self, segment: Segment) -> None:
        try:
            segment.flush()
        except OSError as error:
            # Nobody can say what the medium holds; opened anew it is read and seen.
            self.failure = translate(error, self.place.directory)
            if isinstance(self.failure, StorageFull) or error.errno in NO_ROOM:
                self.failure = StoreError(
                    f"the database {self.place.directory} could not be flushed; open it again"
                )
            self.failure.__cause__ = error
            raise self.failure from error

    def _verify(self) -> None:
        """Raise StoreNotFound if the directory or a file in it was removed or replaced."""
        try:
            folder = os.stat(self.place.directory)  # noqa: PTH116 - twice as quick, every time
        except OSError:
            raise lost(self.place.directory, "the directory is gone") from None
        changed = (folder.st_ino, folder.st_mtime_ns)
        if changed == self._settled:
            return
        now = self._monotonic()
        if changed != self._changed:
            self._changed, self._changed_at = changed, now
        for segment in self.segments.values():
            if identity_of(segment.path) != _identity(segment.file):
                raise lost(self.place.directory, segment.path.name)
        if not self.place.manifest.exists():
            raise lost(self.place.directory, self.place.manifest.name)
        if now - self._changed_at > _TICK_S:
            self._settled = changed

    def _release(self, segment: Segment) -> None:
        """Let the file close with the last who reads from it."""
        release(segment.file)
        if segment.file in self._files:
            self._files.remove(segment.file)


def _identity(file: OpenFile) -> Identity:
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o600)
