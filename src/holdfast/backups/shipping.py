"""Shipping: a full backup and ever more that continue it, to a directory or an object store.

    00000001.full   00000002.more   00000003.more   ...   00000101.full

Each object is a backup as `backup` writes it, so `restore` takes any full one with what follows.
What a lost source loses is what it committed since the object before: an interval, a walk over its
rows, and an upload.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from holdfast.backups.chain import BackupFacts, no_newer, no_older, verify_file
from holdfast.backups.following import LOOK_S, Followed, Progress, Round, rest_after
from holdfast.backups.framing import FrameReader
from holdfast.backups.given import require_interval
from holdfast.backups.places import file_system, open_backup, shown, written
from holdfast.backups.taking import Base, base_of, best_compression, head_of, to_stream
from holdfast.backups.turns import Turns
from holdfast.contract.engine import Engine
from holdfast.contract.errors import (
    ConnectionFailed,
    IntegrityFailed,
    InvalidInput,
    NotADatabase,
    StorageFull,
    StoreError,
    StoreNotFound,
    TimedOut,
    VersionNotFound,
)
from holdfast.contract.files import NO_ROOM, flush_directory
from holdfast.runtime.drive import drive

#: So many backups continue a full one; then another full one begins.
CONTINUED_MAX: Final = 100
FULL: Final = ".full"
MORE: Final = ".more"
_DIGITS: Final = 8
#: The head of a backup is not longer.
_HEAD_BYTES: Final = 4_096


class Place:
    """A directory, or what stands for one in an object store, with shipped backups.

    Args:
        place: a path, or a URL of fsspec.
    """

    def __init__(self, place: Path | str) -> None:
        self.name = shown(place)
        self._system, path = file_system(place)
        self._local: bool = getattr(self._system, "local_file", False)
        self._path = path.rstrip("/")
        self._url = f"{str(place).rstrip('/')}/"

    def names(self) -> list[str]:
        """The backups that lie there, in their order."""
        # A store that others write to: what was listed a moment ago is old.
        self._system.invalidate_cache()
        try:
            with self._reached():
                found = self._system.ls(self._path, detail=False)
        except StoreNotFound:
            return []
        names = [one.rstrip("/").rpartition("/")[2] for one in found]
        return sorted(one for one in names if one[:_DIGITS].isdigit() and one[_DIGITS:] in _KINDS)

    def address(self, name: str) -> str:
        """Where a backup lies, as `restore` takes it."""
        return self._url + name

    def facts(self, name: str) -> BackupFacts:
        """What a backup says of itself, once its checksums were compared."""
        address = self.address(name)
        with self._reached(), open_backup(address) as stream:
            return verify_file(stream, address)

    def id_of(self, name: str) -> str | None:
        """The id of a backup; None: there is no such backup, or it is torn in its head."""
        self._system.invalidate_cache()
        path = f"{self._path}/{name}"
        try:
            # No more than the head is fetched.
            with self._reached(), self._system.open(path, "rb", block_size=_HEAD_BYTES) as stream:
                return FrameReader(stream, self.address(name)).head.id
        except (StoreNotFound, NotADatabase, IntegrityFailed):
            return None

    def remove(self, name: str) -> None:
        """Remove a backup."""
        with self._reached():
            self._system.rm_file(f"{self._path}/{name}")

    def write(self, name: str, work: Callable[[Any], Any]) -> Any:
        """What the work returns that writes a backup; one that fails is given up."""
        path = f"{self._path}/{name}"
        with self._reached():
            with written(self._system, path) as stream:
                result = work(stream)
                if self._local:
                    os.fsync(stream.fileno())
            if self._local:
                flush_directory(Path(self._path))
        return result

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Tell what a store has against a call as an error of ours.

        Raises:
            StoreNotFound: nothing of that name is there.
            StorageFull, InvalidInput: the file system says no.
            ConnectionFailed: the object store does.
        """
        try:
            yield
        except StoreError:
            raise  # TimedOut is an OSError, too.
        except FileNotFoundError as error:
            raise StoreNotFound(f"{self.name} has no backup of that name") from error
        except OSError as error:
            if error.errno in NO_ROOM:
                raise StorageFull(
                    f"there is no room at {self.name}; make some and follow again: what was "
                    "shipped before stays"
                ) from error
            why = error.strerror if self._local and error.strerror else type(error).__name__
            what = f"{self.name} cannot be used ({why})"
            if self._local:
                raise InvalidInput(f"{what}; give another path, or the right to use it") from error
            # Not its words: they may repeat what the URL holds.
            raise ConnectionFailed(
                f"{what}; check the network and the rights, and follow again: it goes on where it "
                "was"
            ) from None


_KINDS = (FULL, MORE)


def shipped(
    place: Path | str, to: int | datetime | None, at: int | datetime | None = None
) -> list[BackupFacts]:
    """The full backup of a place to restore from, and those that continue it.

    Args:
        place: where they were shipped to.
        to: the newest chain that begins no newer than this; None: the newest.
        at: instead: the chain with the oldest backup no older than this.

    Raises:
        NotADatabase: there are none.
        VersionNotFound: all of them are newer than `to`.
        IntegrityFailed, ConnectionFailed, InvalidInput: one is damaged, or cannot be read.
    """
    there = Place(place)
    names = there.names()
    chains: list[list[str]] = []
    for name in names:
        if name.endswith(FULL):
            chains.append([])
        if chains:
            chains[-1].append(name)
    wanted = to if at is None else at
    #: The full backup that follows the chain in question; it can be taken back to `at`.
    later: BackupFacts | None = None
    for chain in reversed(chains):
        backups = _whole(there, chain, names[-1])
        full = next(backups, None)
        if full is None:
            continue
        if wanted is not None and not no_newer(full, wanted):
            later = full
            continue
        facts = [full, *backups]
        if at is None or later is None or no_older(facts[-1], at):
            return facts
        return [later] if later.head.lineage == full.head.lineage else facts
    if at is not None and later is not None:
        return [later]
    if to is None:
        raise NotADatabase(
            f"nothing was shipped to {there.name} as a whole; give a place that was followed to"
        )
    raise VersionNotFound(f"no backup of {there.name} is so old")


def _whole(there: Place, chain: list[str], last: str) -> Iterator[BackupFacts]:
    """What the backups of a chain say of themselves."""
    for name in chain:
        try:
            yield there.facts(name)
        except (IntegrityFailed, NotADatabase):
            if name != last:
                raise
            # Torn when its shipper ended, or not written to its end yet.


class Shipper:
    """Ships what a database commits.

    Args:
        source: its engine, open.
        place: where to.
        interval_s: the shortest time from one backup to the next.
        progress: called after each, from another thread.
        stale: whether the source's path leads to another database by now.
    """

    def __init__(
        self,
        source: Engine,
        place: Path | str,
        *,
        interval_s: float,
        progress: Progress | None,
        stale: Callable[[], bool],
    ) -> None:
        require_interval(interval_s)
        self._source = source
        self._place = place
        self._interval_s = interval_s
        self._progress = progress
        self._stale = stale
        self._clock = source.components.clock
        self._turns = Turns(source.components.host)
        self._there: Place | None = None
        self._base: Base | None = None
        #: Names and ids of the full backup and of the last one, where there is a base.
        self._full = self._last = ("", "")
        self._number = 0
        self._continued = 0
        self.rounds = self.written = 0

    async def run(self, *, once: bool) -> Followed:
        """Ship until the caller is cancelled or interrupted; `once`: one backup."""
        runtime = self._source.components.host.runtime()
        try:
            while True:
                done = await self._turns.take(self._ship)
                if once:
                    return Followed(done.revision, self.rounds, self.written, 0)
                await runtime.sleep(max(self._interval_s, rest_after(done, self.rounds)))
                await self._wait(done.revision)
        finally:
            # An upload whose caller was cancelled ends with the page it is at.
            await runtime.shielded("holdfast follow", self._turns.end)

    # --- Inside -----------------------------------------------------------------------------

    async def _wait(self, revision: int) -> None:
        runtime = self._source.components.host.runtime()
        while True:
            try:
                await runtime.timeout(self._source.wait(revision), LOOK_S)
                return
            except TimedOut:
                if self._stale():
                    raise StoreNotFound(
                        f"{self._source.config.url} was removed or replaced; {revision} was the "
                        "last revision shipped"
                    ) from None

    def _ship(self) -> Round:
        """Ship one backup."""
        started = self._clock.monotonic()
        reason = ""
        if self._there is None:
            self._there = Place(self._place)
            reason = self._find(self._there)
        elif self._base is not None and not self._stands(self._there):
            reason = self._find(self._there)
        if self._base is not None and self._continued >= CONTINUED_MAX:
            self._base, reason = None, f"{CONTINUED_MAX} backups continue the one before"
        head = head_of(self._source, self._base, best_compression())
        kind = FULL if self._base is None else MORE
        name = f"{self._number + 1:0{_DIGITS}}{kind}"

        def work(stream: Any) -> Any:
            return drive(to_stream(self._source, stream, head, None, lambda: self._turns.over))

        taken = self._there.write(name, work)
        self._continued = 0 if self._base is None else self._continued + 1
        if self._base is None:
            self._full = name, head.id
        self._last = name, head.id
        self._base = Base(head.id, name, head.lineage, taken.revision)
        self._number += 1
        self.rounds, self.written = self.rounds + 1, self.written + taken.written
        result = Round(
            taken.revision, taken.written, 0, reason, True, self._clock.monotonic() - started
        )
        if self._progress is not None:
            self._progress(result)
        return result

    def _stands(self, there: Place) -> bool:
        """Whether the next backup has something to continue: nobody removed or replaced it."""
        return all(there.id_of(name) == id for name, id in {self._full, self._last})

    def _find(self, there: Place) -> str:
        """Go on with what lies there; why a full backup has to follow, if it has to."""
        self._base = None
        names = there.names()
        if not names:
            return "nothing is there yet"
        try:
            last = there.facts(names[-1])
        except (IntegrityFailed, NotADatabase):
            # Torn when its shipper was killed: one of its number takes its place.
            there.remove(names.pop())
            if not names:
                return "nothing is there as a whole yet"
            last = there.facts(names[-1])
        self._number = int(names[-1][:_DIGITS])
        if last.head.lineage != self._source.lineage:
            return "what lies there is of another database, or of this one before it was restored"
        fulls = [at for at, name in enumerate(names) if name.endswith(FULL)]
        id = there.id_of(names[fulls[-1]]) if fulls else None
        if id is None:
            return "the full backup of what lies there is gone"
        self._base = base_of(last)
        self._continued = len(names) - 1 - fulls[-1]
        self._full, self._last = (names[fulls[-1]], id), (names[-1], last.head.id)
        return ""
