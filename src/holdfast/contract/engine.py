"""The engine contract: ordered bytes, four verbs, one way to write.

An engine stores records under byte-string keys in byte order. It reads keys, scans ranges, and
commits batches; `transact` decides a batch from what stands there. Everything richer (entries,
time-to-live, feed, transactions) is built above from these and is the same on every engine.

An engine is told everything it needs at its making: a frozen configuration and the `Components`
(who waits how, time, ids). It keeps one number for the whole database, the revision: every commit
that writes gets a higher one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from types import TracebackType
from typing import ClassVar, Final, Literal, Self

from holdfast.contract.batch import (
    NEEDS_MAX,
    Batch,
    CheckKey,
    Decide,
    Draft,
    Need,
    Receipt,
)
from holdfast.contract.capability import Capabilities
from holdfast.contract.config import EngineConfig
from holdfast.contract.errors import Conflict, InvalidInput, Unsupported
from holdfast.contract.formats import Formats
from holdfast.contract.limits import check_draft
from holdfast.contract.lookup import Look, LookedUp, Lookup, Sifted, Tally
from holdfast.contract.pauses import pause_s
from holdfast.contract.record import Counted, Page, Range, Record
from holdfast.contract.runtime import Components

#: How often the default `transact` reads and decides again before it gives up with `Conflict`.
TRANSACT_ATTEMPTS_MAX = 64
#: How long it rests between two tries, in seconds: doubled each time up to the second of these.
TRANSACT_REST_S = 0.000_05
TRANSACT_REST_MAX_S = 0.01


class _NotNow(Enum):
    NOT_NOW = "NOT_NOW"


#: What `peek` answers when the key has to be asked for with `read`.
NOT_NOW: Final = _NotNow.NOT_NOW
#: The type of NOT_NOW.
NotNow = Literal[_NotNow.NOT_NOW]
#: (value, revision), None for an absent key, or NOT_NOW.
Peeked = tuple[bytes, int] | None | NotNow


class Snapshot(ABC):
    """A fixed view of the database. Close it: it may hold space that writes have freed.

    Attributes:
        revision: of the last commit that the view contains.
    """

    revision: int

    @abstractmethod
    def close(self) -> None:
        """Let go of the view; closing twice does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Engine(ABC):
    """Ordered bytes on some medium.

    Subclasses state their configuration class; its `scheme` names the engine in URLs. All verbs
    raise StoreClosed after `close`, WrongContext after a fork, and translate every driver error
    into an error of the contract, chained.
    """

    config_type: ClassVar[type[EngineConfig]]

    #: The newest record of one key without a coroutine, which for a warm embedded engine would
    #: cost as much as the look-up. None on engines that cannot, and on layers that do not say
    #: that reads pass them unchanged.
    peek: Callable[[bytes], Peeked] | None = None

    #: A page without a coroutine, or NOT_NOW; None like `peek`.
    peek_page: Callable[[Range], Page | NotNow] | None = None

    #: How many rows the pages of a range would have together, up to its limit, without making
    #: them and without a coroutine; or NOT_NOW. None like `peek`, and on engines that would make
    #: the rows all the same: whoever counts takes pages then.
    peek_count: Callable[[Range], Counted | NotNow] | None = None

    #: Rows of an index with what they refer to, as of one moment and without a coroutine; or
    #: NOT_NOW, also where what is there takes more than that. None like `peek`, and on engines
    #: that would not gain by it.
    peek_lookup: Callable[[Lookup], list[LookedUp] | NotNow] | None = None

    #: How many rows some ranges have; otherwise like `peek_lookup`.
    peek_tally: Callable[[Tally], list[int] | NotNow] | None = None

    #: The rows of a page of a snapshot of which something is wanted, without a coroutine, or
    #: NOT_NOW. The page is the one that `scan` gives, but records are made of these rows alone:
    #: most are not wanted where somebody looks at all. None like `peek_lookup`.
    peek_sifted: Callable[[Range, Look, Snapshot], Sifted | NotNow] | None = None

    #: `transact` without a coroutine, where the caller's thread may decide and commit here and
    #: now: always without a loop, on a loop only if that neither flushes nor waits. Otherwise
    #: NOT_NOW, and nothing was decided. None like `peek`.
    transact_now: Callable[[Sequence[bytes], Decide], Receipt | NotNow] | None = None

    def __init__(self, config: EngineConfig, components: Components) -> None:
        self.config = config
        self.components = components

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this engine, as configured, can do."""

    @property
    @abstractmethod
    def lineage(self) -> str:
        """The line of history that revisions belong to; known once the engine is open."""

    @property
    def stored_format(self) -> int:
        """The format of what is stored on the medium; known once the engine is open.

        An engine has it from 1 on, and opens only what it reads and writes as it stands.
        """
        return 1

    @classmethod
    async def upgrade(
        cls,
        config: EngineConfig,
        components: Components,
        *,
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Formats:
        """Bring a database that is not open here to the newest format of the engine.

        This default is that of engines which refuse what they do not write: it opens the database
        to see what is there, and does nothing. An engine that has steps overrides it. Each step
        is done whole or not at all, and doing one twice is doing it once.

        Args:
            config: of the database.
            components: as for the engine.
            dry_run: say what would be done, and do nothing.
            progress: called after each step with the format that the database is of by then.

        Raises:
            StoreNotFound: there is no database.
            FormatTooNew, Unsupported: it is of a format that no step begins with.
            ReadOnly: there is something to be done, and the configuration says to read only.
        """
        del progress
        read_only = dry_run or config.read_only
        asked = replace(config, create=False, read_only=read_only).shown_as(config)
        engine = cls(asked, components)
        try:
            await engine.open()
            found = engine.stored_format
        finally:
            await engine.close()
        return Formats(found, found)

    @abstractmethod
    async def open(self) -> None:
        """Open or create the database.

        Raises:
            StoreNotFound: it does not exist and the configuration says not to create it.
            NotADatabase, FormatTooNew, IntegrityFailed: what is there cannot be used.
            StoreLocked: another process excludes this one.
        """

    @abstractmethod
    async def close(self) -> None:
        """Flush what is acknowledged and let go; closing twice does nothing."""

    @abstractmethod
    async def head(self) -> int:
        """The revision of the newest commit, of any process. 0 before the first."""

    @abstractmethod
    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        """The records of the keys, in the order of the keys, all of one moment."""

    @abstractmethod
    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        """The first page of the range, all of one moment, with the range that continues it.

        A page ends at the range's limit, or at the row or byte limit of the capabilities; it
        holds at least one row if the range does.
        """

    @abstractmethod
    async def commit(self, batch: Batch) -> Receipt:
        """Apply the batch, all or nothing. Cancelling the caller does not withdraw it.

        Raises:
            Conflict: a check failed (`details`: key or range, expected, found).
            ReadOnly, StorageFull, InvalidKey, ValueTooLarge: nothing was written.
            OutcomeUnknown: only where a server answers; repeat with the same `batch.id`.
        """

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        """Read the keys, let `decide` make a batch of them, commit it as one step.

        `decide` gets the records and the revision that the commit will have (engines that cannot
        know it pass the lowest it can be), and returns what to write (None: nothing), or which
        keys it needs to see beside those. What it raises concerns only its caller. `previous` asks
        for previous records like `Batch.previous`.

        This default reads, decides, checks and tries again, after rests that grow and differ, so
        that writers of one key get out of step. It gives up with Conflict after
        `TRANSACT_ATTEMPTS_MAX` tries: engines that can do better override it (embedded ones decide
        inside the commit, `engines/remote` gathers).
        """
        for attempt in range(TRANSACT_ATTEMPTS_MAX):
            if attempt:
                ids, runtime = self.components.ids, self.components.host.runtime()
                await runtime.sleep(pause_s(ids, attempt, TRANSACT_REST_S, TRANSACT_REST_MAX_S))
            wanted = list(keys)
            records = await self.read(wanted)
            head = await self.head()
            answer = decide(records, head + 1)
            for _ in range(NEEDS_MAX):
                if type(answer) is not Need:
                    break
                wanted += answer.keys
                records = records + await self.read(answer.keys)
                answer = decide(records, head + 1)
            if answer is None:
                return Receipt(head)
            if type(answer) is Draft:
                check_draft(answer, self.capabilities)
            batch = decided_batch(answer)
            seen = [
                CheckKey(key, record.revision if record is not None else None)
                for key, record in zip(wanted, records, strict=True)
            ]
            decided = Batch([*seen, *batch.operations], batch.id, previous or batch.previous)
            try:
                return await self.commit(decided)
            except Conflict as conflict:
                # Only what changed between our read and our commit is worth another try.
                details = conflict.details
                if CheckKey(details.get("key", b""), details.get("expected")) not in seen:
                    raise
        raise Conflict(
            f"{len(keys)} keys changed between each of {TRANSACT_ATTEMPTS_MAX} reads and commits; "
            "try again when the writers of these keys are fewer",
            attempts=TRANSACT_ATTEMPTS_MAX,
        )

    # --- Optional verbs, by capability ------------------------------------------------------

    async def snapshot(self) -> Snapshot:
        """A fixed view of this moment, for `at=`. By capability `snapshots`."""
        raise self._unsupported("snapshots", "an engine with snapshots, such as lmdb or sqlite")

    async def wait(self, after_revision: int) -> int:
        """Return the head once it is above `after_revision`. By capability `waits`.

        Woken by a commit of this process or, on shared engines, of any other within 100 ms.
        Cancelling leaves nothing behind.
        """
        raise self._unsupported("waiting for commits", "an engine that can, such as lmdb")

    async def compact(self) -> int:
        """Give space of overwritten data back; bytes freed. By capability `compacts`."""
        raise self._unsupported("compaction", "an engine that can, such as sqlite")

    async def check(self) -> list[str]:
        """Walk the whole store; one line for each thing wrong. By capability `checks`."""
        raise self._unsupported("a check of the store", "an engine that can, such as lmdb")

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], *, next_revision: int | None = None
    ) -> None:
        """Write rows with the revisions they carry, into an empty database or one being loaded.

        None in place of a record removes the key. An embedded engine takes all of one call or
        none of it. The restore of a backup, the move between engines and a standby use it;
        ordinary writes never. `next_revision` on the last call makes later commits start there.
        By capability `loads`.
        """
        raise self._unsupported("loading records", "an engine that can, such as lmdb")

    def _unsupported(self, wanted: str, remedy: str) -> Unsupported:
        engine = self.capabilities.engine
        return Unsupported(f"the engine {engine} has no {wanted}; use {remedy}", engine=engine)


def decided_batch(answer: Draft | Batch | Need) -> Batch:
    """What a function decided, as a batch. Raises InvalidInput when it only asked on and on."""
    if type(answer) is Draft:
        return answer.batch()
    if type(answer) is Need:
        raise InvalidInput(
            f"a function of transact may ask for further keys {NEEDS_MAX} times; it asked again"
        )
    assert isinstance(answer, Batch)
    return answer


class Layer(Engine):
    """An engine that stands on another: forwards every verb; subclasses override some.

    What a layer changes of the capabilities it states by overriding `capabilities`. It forwards
    by named methods, never by attribute look-up, so that a new verb cannot slip past a layer.

    The calls without a coroutine (`peek`, `peek_page`, `peek_count`, `peek_lookup`,
    `peek_tally`, `peek_sifted`, `transact_now`) are None on a layer, so that nothing passes it by,
    unless its class says that what they do passes it unchanged, or overrides them. An override is
    only called where the engine below can do the same.

    Attributes:
        passes_reads: the class leaves `read` and `scan` as they are.
        passes_writes: the class leaves `commit` and `transact` as they are.
        feature: the name, in the format row, of what only this layer can read; empty: what it
            stores can be read without it.
    """

    passes_reads: ClassVar[bool] = False
    passes_writes: ClassVar[bool] = False
    feature: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for claim, verbs in (
            ("passes_reads", ("read", "scan")),
            ("passes_writes", ("commit", "transact")),
        ):
            changed = [verb for verb in verbs if getattr(cls, verb) is not getattr(Layer, verb)]
            if getattr(cls, claim) and changed:
                raise TypeError(
                    f"the layer {cls.__name__} says {claim} and overrides {' and '.join(changed)}; "
                    f"set {claim} = False on it, or leave them alone"
                )

    def __init__(self, inner: Engine) -> None:
        super().__init__(inner.config, inner.components)
        self.inner = inner
        kind = type(self)
        if inner.peek is None or kind.peek is None:
            self.peek = inner.peek if self.passes_reads else None
        if inner.peek_page is None or kind.peek_page is None:
            self.peek_page = inner.peek_page if self.passes_reads else None
        if inner.peek_count is None or kind.peek_count is None:
            self.peek_count = inner.peek_count if self.passes_reads else None
        if inner.peek_lookup is None or kind.peek_lookup is None:
            self.peek_lookup = inner.peek_lookup if self.passes_reads else None
        if inner.peek_tally is None or kind.peek_tally is None:
            self.peek_tally = inner.peek_tally if self.passes_reads else None
        if inner.peek_sifted is None or kind.peek_sifted is None:
            self.peek_sifted = inner.peek_sifted if self.passes_reads else None
        if inner.transact_now is None or kind.transact_now is None:
            self.transact_now = inner.transact_now if self.passes_writes else None

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    @property
    def lineage(self) -> str:
        return self.inner.lineage

    @property
    def stored_format(self) -> int:
        return self.inner.stored_format

    async def open(self) -> None:
        await self.inner.open()

    async def close(self) -> None:
        await self.inner.close()

    async def head(self) -> int:
        return await self.inner.head()

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        return await self.inner.read(keys, at=at)

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        return await self.inner.scan(range, at=at)

    async def commit(self, batch: Batch) -> Receipt:
        return await self.inner.commit(batch)

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        return await self.inner.transact(keys, decide, previous=previous)

    async def snapshot(self) -> Snapshot:
        return await self.inner.snapshot()

    async def wait(self, after_revision: int) -> int:
        return await self.inner.wait(after_revision)

    async def compact(self) -> int:
        return await self.inner.compact()

    async def check(self) -> list[str]:
        return await self.inner.check()

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], *, next_revision: int | None = None
    ) -> None:
        await self.inner.load(rows, next_revision=next_revision)
