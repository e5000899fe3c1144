"""Following: a standby that takes what its source commits, round by round.

A round compares one moment of the source with the standby and loads what differs, with the
revisions of the source. The feed says where to look; the first round, one whenever the feed does
not lead to everything, and one now and then compare all rows. So it does not matter where the round
before was broken off, by whatever end of whichever side.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from holdfast.backups.differing import Difference, of_keys, of_range
from holdfast.backups.given import require_interval
from holdfast.backups.standby import (
    Standing,
    format_row,
    require_follower,
    standing_of,
    standing_row,
)
from holdfast.backups.touched import Touched, WalkAll, touched
from holdfast.backups.turns import Turns
from holdfast.contract.capability import Io
from holdfast.contract.engine import Engine
from holdfast.contract.errors import (
    ConfigInvalid,
    Fenced,
    IntegrityFailed,
    InvalidInput,
    StoreClosed,
    StoreNotFound,
    TimedOut,
    Unsupported,
)
from holdfast.contract.record import Range
from holdfast.runtime.drive import drive
from holdfast.store import layout
from holdfast.store.snapshot import SnapshotEngine

#: A round of no more rows and bytes than this is one step: whole, or not there at all.
STEP_ROWS: Final = 20_000
STEP_BYTES: Final = 1 << 25
#: The same where a server takes rows in parts of its own.
STEP_ROWS_REMOTE: Final = 400
#: How often everything is compared, in seconds.
WALK_ALL_S: Final = 300.0
#: Sooner where a commit left no trace (a purge, say): after that many times what it takes.
WALK_SHARE: Final = 10
#: A round is followed by a rest of that many times its length, so that the source has its peace.
REST: Final = 4
#: The longest rest, in seconds.
REST_MAX_S: Final = 60.0
#: How often a follower that waits looks whether its source is still there, in seconds.
LOOK_S: Final = 1.0
#: The engine may close a snapshot for its age; so often a round begins anew.
SNAPSHOTS_MAX: Final = 100


class Round(NamedTuple):
    """What one round did.

    Attributes:
        revision: of the source, which the standby has now.
        written, removed: how many rows.
        reason: why all rows were compared; empty: the feed said where to look.
        complete: whether every commit up to the revision left a trace that was followed; if not, a
            commit may have removed rows that nothing tells of, which a round soon looks for.
        seconds: how long it took.
    """

    revision: int
    written: int
    removed: int
    reason: str
    complete: bool
    seconds: float


class Followed(NamedTuple):
    """What following came to.

    Attributes:
        revision: of the source, which the standby has.
        rounds: how many there were.
        written, removed: how many rows.
    """

    revision: int
    rounds: int
    written: int
    removed: int


def rest_after(one: Round, rounds: int) -> float:
    """How long to rest after a round, in seconds; `rounds`: how many there were, with it."""
    # Behind the first one, which is the longest, many commits wait.
    return 0.0 if rounds == 1 else min(REST * one.seconds, REST_MAX_S)


#: Called after each round.
Progress = Callable[[Round], None]


@dataclass
class _Step:
    """Rows to be loaded at once."""

    rows: list[Difference]
    size: int = 0


@dataclass
class _Taken:
    """What a round took: see `Round`, and which commits left a trace."""

    revision: int
    reason: str
    since: int
    written: int = 0
    removed: int = 0
    revisions: set[int] = field(default_factory=set)

    @property
    def complete(self) -> bool:
        """Whether each commit is accounted for."""
        return bool(self.reason) or len(self.revisions) >= self.revision - self.since


class Follower:
    """Keeps a standby level with its source.

    Args:
        source: its engine, open.
        target: the engine of the standby, not open yet.
        interval_s: the shortest time from one round to the next.
        progress: called after each round, from another thread.
        stale: whether the source's path leads to another database by now.
        opened: of an encrypted source: opens rows of it as they are stored, on either side.

    Attributes:
        rounds, written, removed: see `Followed`.
    """

    def __init__(
        self,
        source: Engine,
        target: Engine,
        *,
        interval_s: float,
        progress: Progress | None,
        stale: Callable[[], bool],
        opened: Callable[[Engine], Engine] | None = None,
    ) -> None:
        if not source.capabilities.snapshots:
            raise Unsupported(
                f"a source needs snapshots, which the engine {source.capabilities.engine} does not "
                "have; use the replication of the server itself"
            )
        if target.config.identity is not None and target.config.identity == source.config.identity:
            raise InvalidInput("a database cannot follow itself; give another address")
        if not target.capabilities.persistent:
            raise ConfigInvalid("a standby in memory would be gone with its follower; name a file")
        if not target.capabilities.loads:
            raise Unsupported(f"{target.config.url} takes no rows; give an address to be written")
        require_interval(interval_s)
        self._source = source
        self._target = target
        self._interval_s = interval_s
        self._progress = progress
        self._stale = stale
        self._opened = opened
        self._clock = source.components.clock
        self._me = source.components.ids.new()
        self._turns = Turns(source.components.host)
        self._claimed = False
        self._step_rows = STEP_ROWS_REMOTE if self._remote else STEP_ROWS
        self._standing = Standing(source.lineage, 0, False, self._me, self._clock.now_ms())
        #: When all rows were last compared; None: not by this follower.
        self._walked_at: float | None = None
        #: How long that took, in seconds; and whether a commit left no trace since.
        self._walk_s = 0.0
        self._complete = True
        self.rounds = self.written = self.removed = 0

    async def run(self, *, once: bool) -> Followed:
        """Follow until the caller is cancelled or interrupted; `once`: until it is level."""
        runtime = self._source.components.host.runtime()
        [marker] = await self._source.read([layout.SYSTEM_FORMAT])
        if marker is None:
            raise StoreNotFound(
                f"there is nothing at {self._source.config.url} to follow; write to it first"
            )
        try:
            await self._target.open()
            standing = await require_follower(self._target, self._source)
            if standing is not None:
                self._standing = Standing(
                    standing.source, standing.revision, standing.whole, self._me,
                    self._clock.now_ms(),
                )  # fmt: skip
            while True:
                done = await self._in_place(self._round)
                if once:
                    return Followed(done.revision, self.rounds, self.written, self.removed)
                await runtime.sleep(max(self._interval_s, rest_after(done, self.rounds)))
                await self._wait(done.revision)
        finally:
            await runtime.shielded("holdfast follow", self._close)

    # --- Inside -----------------------------------------------------------------------------

    @property
    def _remote(self) -> bool:
        return self._target.capabilities.io is Io.REMOTE

    async def _wait(self, revision: int) -> None:
        """Wait for a commit of the source, or until rows are to be looked for."""
        runtime = self._source.components.host.runtime()
        while True:
            try:
                await runtime.timeout(self._source.wait(revision), self._look_s())
                return
            except TimedOut:
                if self._reason() and not self._complete:
                    return
                if self._stale():
                    raise StoreNotFound(
                        f"{self._source.config.url} was removed or replaced; the standby has "
                        f"revision {revision} of it"
                    ) from None

    async def _in_place(self, work: Callable[[], Coroutine[Any, Any, Round]]) -> Round:
        """Run a round where it holds up no loop, unless the standby is on a server."""
        if self._remote:
            return await work()
        return await self._turns.take(lambda: drive(work()))

    async def _close(self) -> None:
        # A round whose caller was cancelled ends with the page it is at.
        await self._turns.end()
        await self._target.close()

    async def _round(self) -> Round:
        started = self._clock.monotonic()
        for _ in range(SNAPSHOTS_MAX):
            with await self._source.snapshot() as moment:
                try:
                    done = await self._take(SnapshotEngine(self._source, moment), moment.revision)
                    break
                except StoreClosed:
                    # Too old, unless a database was closed: then this raises it again. What was
                    # loaded is not compared in vain, as it is equal now.
                    await self._source.head()
                    await self._target.head()
                    continue
        else:
            raise Unsupported(
                f"the engine closed {SNAPSHOTS_MAX} snapshots before a round was done; make "
                "`snapshot_age_max` longer"
            )
        self.rounds += 1
        self.written, self.removed = self.written + done.written, self.removed + done.removed
        seconds = self._clock.monotonic() - started
        if done.reason:
            self._walked_at, self._walk_s, self._complete = self._clock.monotonic(), seconds, True
        self._complete = self._complete and done.complete
        result = Round(
            done.revision, done.written, done.removed, done.reason, self._complete, seconds
        )
        if self._progress is not None:
            self._progress(result)
        return result

    async def _take(self, moment: Engine, revision: int) -> _Taken:
        """Load what differs from a moment."""
        taken = _Taken(revision, self._reason(), self._standing.revision)
        step = _Step([])
        async for found in await self._differences(moment, taken):
            self._turns.require()
            for key, record in found:
                step.rows.append((key, record))
                step.size += len(key) + (0 if record is None else len(record.value))
                if record is None:
                    taken.removed += 1
                    continue
                taken.written += 1
                if not taken.reason and record.revision > taken.since:
                    taken.revisions.add(record.revision)
            if len(step.rows) >= self._step_rows or step.size >= STEP_BYTES:
                await self._load(step, self._standing.revision, whole=False)
                step = _Step([])
        [marker] = await moment.read([layout.SYSTEM_FORMAT])
        if marker is None:
            raise IntegrityFailed(f"{self._source.config.url} has no format row; run a check on it")
        # Last of all: before it, what stands there for the first time is no database.
        step.rows.append(format_row(marker, self._target.config.url))
        await self._load(step, revision, whole=True, next_revision=revision + 1)
        return taken

    async def _differences(self, moment: Engine, taken: _Taken) -> AsyncIterator[list[Difference]]:
        """What differs from a moment; says in `taken` why, where all rows are compared."""
        if not taken.reason:
            try:
                wanted = await touched(moment, self._target, self._standing.revision, self._opened)
            except WalkAll as why:
                taken.reason = str(why)
            else:
                return _all_of(moment, self._target, wanted)
        return of_range(moment, self._target, Range())

    def _reason(self) -> str:
        """Why all rows are to be compared; empty: the feed may say where to look."""
        if self._standing.revision == 0:
            return "the standby is new"
        if self._walked_at is None or not self._standing.whole:
            return "the follower began"
        since_s = self._clock.monotonic() - self._walked_at
        if since_s >= WALK_ALL_S:
            return "it was long ago"
        if not self._complete and since_s >= WALK_SHARE * self._walk_s:
            return "a commit left no trace"
        return ""

    def _look_s(self) -> float:
        """How long to wait for a commit before looking at something else."""
        if self._complete or self._walked_at is None:
            return LOOK_S
        rest_s = self._walked_at + WALK_SHARE * self._walk_s - self._clock.monotonic()
        return min(max(rest_s, 0.001), LOOK_S)

    async def _load(
        self, step: _Step, revision: int, *, whole: bool, next_revision: int | None = None
    ) -> None:
        """Load a step, with what the standby says of itself."""
        await self._require_mine()
        standing = Standing(self._source.lineage, revision, whole, self._me, self._standing.at_ms)
        row = standing_row(standing, revision)
        await self._target.load([*step.rows, row], next_revision=next_revision)
        self._standing, self._claimed = standing, True

    async def _require_mine(self) -> None:
        """Raise Fenced if the standby is another follower's by now, or was promoted."""
        standing = await standing_of(self._target)
        if standing is None:
            if not self._claimed and self._standing.revision == 0:
                return  # Not there yet.
            raise Fenced(
                f"{self._target.config.url} is no standby any more: it was promoted, or replaced"
            )
        if self._claimed and standing.follower != self._me:
            raise Fenced(f"another follower writes to {self._target.config.url} since then")


async def _all_of(
    source: Engine, target: Engine, wanted: Touched
) -> AsyncIterator[list[Difference]]:
    yield wanted.found
    async for step in of_keys(source, target, sorted(wanted.keys)):
        yield step
    for one in wanted.ranges:
        async for step in of_range(source, target, one):
            yield step
