"""What embedded engines on files share: verbs that take their time, and what a loop waits for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import islice
from typing import Final

from holdfast.contract.batch import Append, CheckRange, DeleteRange, Put
from holdfast.contract.capability import Capabilities
from holdfast.contract.errors import InvalidInput, StorageFull, StoreClosed
from holdfast.contract.record import Record
from holdfast.engines.embedded.engine import EmbeddedEngine
from holdfast.engines.embedded.group import Pending, Work, Writer

#: What a loop waits for: batches of so few operations, and keys, and of so few bytes.
INLINE_OPERATIONS_MAX: Final = 200
INLINE_BYTES_MAX: Final = 128 * 1024

#: Rows with the revisions that they come with; None: the key is removed.
Loaded = Sequence[tuple[bytes, Record | None]]


class EngineOnFiles(EmbeddedEngine):
    """An embedded engine whose database is files. It opens once, and is closed for good.

    A subclass sets `_capabilities`, and gives `_open`, `_check` and `_compact`.
    """

    _capabilities: Capabilities
    #: Known from the first opening on.
    _lineage = ""

    @abstractmethod
    def _open(self) -> None:
        """Open or make the files; everything is let go again when that fails. Holds the thread."""

    @abstractmethod
    def _check(self) -> list[str]:
        """What is wrong with the files, a line each. Holds the thread."""

    @abstractmethod
    def _compact(self) -> int:
        """Give back what is not used; how many bytes. Holds the thread."""

    def _make_room(self) -> bool:
        """Find room after a write found none; whether it may be tried again. The leader does."""
        return False

    def _loaded(self, head: int) -> None:
        """Rows were loaded, and the newest revision is this one by now."""
        self._watcher.publish(head)

    def _next_are_small(self) -> bool:
        """Whether a group that came now would hold a loop for a short time only."""
        # A copy, because others join the queue meanwhile.
        queue = self._committer._queue.copy()  # noqa: SLF001 - the common part's
        return all(map(is_small, islice(queue, self._pace.batches_now())))

    # --- The verbs --------------------------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def lineage(self) -> str:
        return self._lineage

    async def open(self) -> None:
        if self._refusal is None:
            return
        if self._lineage:
            raise StoreClosed(
                f"this engine of {self.config.url} was closed and cannot be opened again; "
                "make a new one"
            )
        await self._owner.open(self._open)

    async def close(self) -> None:
        await self._owner.close()

    async def check(self) -> list[str]:
        if self._refusal is not None:
            raise self._refuse()
        return await self.components.host.runtime().offload(self._check)

    async def compact(self) -> int:
        self._require_writable()
        return await self.components.host.runtime().offload(self._compact)

    async def load(self, rows: Loaded, *, next_revision: int | None = None) -> None:
        self._require_writable()
        for key, _ in rows:
            self._check_key(key, self._capabilities.key_bytes_max)

        def load() -> None:
            self._committer.exclusively(lambda: self._load(rows, next_revision))

        await self.components.host.runtime().offload(load)

    # --- For the committer ------------------------------------------------------------------

    def _run_group(self, works: list[Work]) -> None:
        super()._run_group(works)
        first = works[0]
        if first.error is None or len(works) > 1:
            return
        if isinstance(first.error, StorageFull) and self._make_room():
            # Once more with what could be freed.
            first.error = None
            super()._run_group(works)

    # --- Inside -----------------------------------------------------------------------------

    def _load(self, rows: Loaded, next_revision: int | None) -> None:
        writer: Writer | None = None
        try:
            writer = self._begin()
            head = load_rows(writer, rows, next_revision)
        except BaseException:
            if writer is not None:
                writer.abandon()
            self._let_go()  # An interrupt may have come before there was a writer.
            raise
        self._loaded(head)

    def _require_writable(self) -> None:
        if self._refusal is not None:
            raise self._refuse()
        if not self._capabilities.writable:
            raise self._read_only()


def load_rows(writer: Writer, rows: Loaded, next_revision: int | None) -> int:
    """Write rows with the revisions they come with, or remove them, and commit; the head.

    Args:
        next_revision: of the next commit; None: the one above the highest.

    Raises:
        InvalidInput: it is not above all of them.
    """
    head = max([writer.head, *(one.revision for _, one in rows if one is not None)])
    if next_revision is not None:
        if next_revision <= head:
            raise InvalidInput(
                f"the next revision lies above {head}, which a row loaded has; "
                f"found {next_revision}"
            )
        head = next_revision - 1
    newest: dict[bytes, Pending] = {
        key: (None, head) if one is None else (one.value, one.revision) for key, one in rows
    }
    writer.apply(sorted(newest.items()))
    writer.finish(head)
    return head


def is_small(work: Work) -> bool:
    """Whether the batch takes so little time that a loop may wait for it."""
    batch = work.batch
    if batch is None:
        return len(work.keys) <= INLINE_OPERATIONS_MAX
    operations = batch.operations
    if len(operations) > INLINE_OPERATIONS_MAX:
        return False
    written = 0
    for operation in operations:
        kind = type(operation)
        if kind is Put or kind is Append:
            written += len(operation.value)  # type: ignore[union-attr]
        elif kind is DeleteRange or kind is CheckRange:
            return False  # Nobody knows how many rows it walks.
    return written <= INLINE_BYTES_MAX
