"""Shipping: a full backup and ever more that continue it, to a directory or an object store.

    00000001.full   00000002.more   00000003.more   ...   00000101.full

Each object is a backup as `backup` writes it, so `restore` takes any full one with what follows.
What a lost source loses is what it committed since the object before: an interval, a walk over its
rows, and an upload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from holdfast.backups.chain import BackupFacts, no_newer, verify_path
from holdfast.backups.following import LOOK_S, Followed, Progress, Round, rest_after
from holdfast.backups.places import file_system, is_url
from holdfast.backups.taking import Base, base_of, best_compression, head_of, to_stream
from holdfast.backups.turns import Turns
from holdfast.contract.config import masked
from holdfast.contract.engine import Engine
from holdfast.contract.errors import (
    IntegrityFailed,
    InvalidInput,
    NotADatabase,
    StoreNotFound,
    TimedOut,
    VersionNotFound,
)
from holdfast.runtime.drive import drive

#: So many backups continue a full one; then another full one begins.
CONTINUED_MAX: Final = 100
FULL: Final = ".full"
MORE: Final = ".more"
_DIGITS: Final = 8


class Place:
    """A directory, or what stands for one in an object store, with shipped backups.

    Args:
        place: a path, or a URL of fsspec.
    """

    def __init__(self, place: Path | str) -> None:
        self.name = masked(str(place)) if is_url(place) else str(place)
        self._system, path = file_system(place)
        self._path = path.rstrip("/")
        self._url = f"{str(place).rstrip('/')}/"

    def names(self) -> list[str]:
        """The backups that lie there, in their order."""
        # A store that others write to: what was listed a moment ago is old.
        self._system.invalidate_cache()
        try:
            found = self._system.ls(self._path, detail=False)
        except FileNotFoundError:
            return []
        names = [one.rstrip("/").rpartition("/")[2] for one in found]
        return sorted(one for one in names if one[:_DIGITS].isdigit() and one[_DIGITS:] in _KINDS)

    def address(self, name: str) -> str:
        """Where a backup lies, as `restore` takes it."""
        return self._url + name

    def facts(self, name: str) -> BackupFacts:
        """What a backup says of itself, once its checksums were compared."""
        return verify_path(self.address(name))

    def remove(self, name: str) -> None:
        """Remove a backup."""
        self._system.rm_file(f"{self._path}/{name}")

    def write(self, name: str, work: Callable[[Any], Any]) -> Any:
        """What the work returns that writes a backup; one that fails is given up."""
        self._system.makedirs(self._path, exist_ok=True)
        path = f"{self._path}/{name}"
        stream = self._system.open(path, "wb")
        try:
            result = work(stream)
        except BaseException:
            _give_up(self._system, stream, path)
            raise
        stream.close()
        return result


_KINDS = (FULL, MORE)


def _give_up(system: Any, stream: Any, path: str) -> None:
    """Leave nothing behind, as far as the store lets us; a torn object is noticed later.

    What a store has against it is not told: the failure that led here is, and matters more.
    """
    discard = getattr(stream, "discard", None)
    if discard is None:
        # NotImplementedError: a file system of fsspec that only adds files.
        with suppress(OSError, NotImplementedError):
            stream.close()
            system.rm_file(path)
        return
    with suppress(OSError):
        discard()
    # An upload that was discarded would be finished when the stream is collected. Files whose
    # `closed` cannot be set close by themselves, and upload nothing.
    with suppress(AttributeError):
        stream.closed = True


def shipped(place: Path | str, to: int | datetime | None) -> list[BackupFacts]:
    """The full backup of a place to restore from, and those that continue it.

    Args:
        place: where they were shipped to.
        to: the newest chain that begins no newer than this; None: the newest.

    Raises:
        NotADatabase: there are none.
        VersionNotFound: all of them are newer.
        IntegrityFailed: one is damaged.
    """
    there = Place(place)
    names = there.names()
    chains: list[list[str]] = []
    for name in names:
        if name.endswith(FULL):
            chains.append([])
        if chains:
            chains[-1].append(name)
    for chain in reversed(chains):
        facts = list(_whole(there, chain, names[-1]))
        if facts and (to is None or no_newer(facts[0], to)):
            return facts
    if to is None or not chains:
        raise NotADatabase(
            f"nothing was shipped to {there.name} as a whole; give a place that was followed to"
        )
    raise VersionNotFound(f"no backup of {there.name} is so old")


def _whole(there: Place, chain: list[str], last: str) -> Iterator[BackupFacts]:
    """What the backups of a chain say of themselves."""
    for name in chain:
        try:
            yield there.facts(name)
        except IntegrityFailed:
            if name != last:
                raise
            # Torn when its shipper ended: what it continues is all there is.


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
        if interval_s <= 0:
            raise InvalidInput(f"interval is a time above zero; found {interval_s}")
        self._source = source
        self._place = place
        self._interval_s = interval_s
        self._progress = progress
        self._stale = stale
        self._clock = source.components.clock
        self._turns = Turns(source.components.host)
        self._there: Place | None = None
        self._base: Base | None = None
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
        if self._base is not None and self._continued >= CONTINUED_MAX:
            self._base, reason = None, f"{CONTINUED_MAX} backups continue the one before"
        head = head_of(self._source, self._base, best_compression())
        kind = FULL if self._base is None else MORE
        name = f"{self._number + 1:0{_DIGITS}}{kind}"

        def work(stream: Any) -> Any:
            return drive(to_stream(self._source, stream, head, None, lambda: self._turns.over))

        taken = self._there.write(name, work)
        self._continued = 0 if self._base is None else self._continued + 1
        self._base = Base(head.id, name, head.lineage, taken.revision)
        self._number += 1
        self.rounds, self.written = self.rounds + 1, self.written + taken.written
        result = Round(
            taken.revision, taken.written, 0, reason, True, self._clock.monotonic() - started
        )
        if self._progress is not None:
            self._progress(result)
        return result

    def _find(self, there: Place) -> str:
        """Go on with what lies there; why a full backup has to follow, if it has to."""
        names = there.names()
        if not names:
            return "nothing was shipped yet"
        self._number = int(names[-1][:_DIGITS])
        try:
            last = there.facts(names[-1])
        except (IntegrityFailed, NotADatabase):
            # Torn when its shipper was killed: one of its number takes its place.
            there.remove(names.pop())
            if not names:
                return "nothing was shipped as a whole yet"
            last = there.facts(names[-1])
        if last.head.lineage != self._source.lineage:
            return "what lies there is of another database, or of this one before it was restored"
        self._base = base_of(last)
        fulls = [at for at, name in enumerate(names) if name.endswith(FULL)]
        self._continued = len(names) - 1 - fulls[-1] if fulls else CONTINUED_MAX
        return ""
