"""The sound engine that the animals of the zoo are broken versions of.

It has every optional verb and is plain enough to break in a few lines: a dict that each write
transaction copies, and a file that each commit appends the whole state to. One process at a time.
"""

from __future__ import annotations

import fcntl
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from holdfast.contract.batch import Batch, Draft, Receipt
from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.config import EngineConfig, PathConfig
from holdfast.contract.engine import Snapshot
from holdfast.contract.errors import InvalidInput, StoreClosed, StoreLocked, StoreNotFound
from holdfast.contract.record import Page, Range, Record
from holdfast.contract.runtime import Components
from holdfast.engines.embedded.engine import EmbeddedEngine
from holdfast.engines.embedded.group import Pending, Writer

Rows = dict[bytes, Record]


@dataclass(frozen=True, kw_only=True)
class GoodConfig(PathConfig):
    scheme: ClassVar[str] = "good"


class GoodSnapshot(Snapshot):
    def __init__(self, rows: Rows, revision: int) -> None:
        self.rows, self.revision, self.closed = rows, revision, False

    def close(self) -> None:
        self.closed = True


class GoodWriter(Writer):
    def __init__(self, engine: GoodEngine) -> None:
        self.engine, self.head = engine, engine.revision
        self.rows, self.ids = dict(engine.rows), dict(engine.ids)

    def read(self, key: bytes) -> Record | None:
        return self.rows.get(key)

    def walk(self, range: Range) -> Iterator[tuple[bytes, Record]]:
        return iter(self.engine.select(self.rows, range))

    def apply(self, rows: Sequence[tuple[bytes, Pending]]) -> None:
        for key, (value, revision) in rows:
            self.rows.pop(key, None)
            if value is not None:
                self.rows[key] = Record(value, revision)

    def recall(self, id: bytes) -> int | None:
        return self.ids.get(id)

    def remember(self, id: bytes, revision: int) -> None:
        self.ids[id] = revision

    def finish(self, head: int) -> None:
        self.engine.rows, self.engine.ids, self.engine.revision = self.rows, self.ids, head
        self.engine.save()

    def abandon(self) -> None:
        """Nothing to undo: the engine still holds its own dict."""


class GoodEngine(EmbeddedEngine):
    config: GoodConfig
    claims: ClassVar[dict[str, Any]] = {}

    def __init__(self, config: EngineConfig, components: Components) -> None:
        super().__init__(config, components)
        self.rows: Rows = {}
        self.ids: dict[bytes, int] = {}
        self.revision = 0
        self.line = ""
        self.closed = False

    @property
    def capabilities(self) -> Capabilities:
        # Small limits, so that a visit to the whole zoo stays short.
        sound: dict[str, Any] = {
            "engine": "good", "io": Io.INLINE, "shared": False, "snapshots": True, "waits": True,
            "transacts_once": True, "compacts": True, "checks": True, "loads": True,
            "rewrites": True,
            "value_bytes_max": 16_384, "batch_operations_max": 600, "batch_bytes_max": 100_000,
            "page_rows_max": 40, "page_bytes_max": 40_000,
        }  # fmt: skip
        return Capabilities(**(sound | {"writable": not self.config.read_only} | self.claims))

    @property
    def lineage(self) -> str:
        return self.line

    async def open(self) -> None:
        path = self.config.path
        if self.closed:
            raise StoreClosed("an engine is opened once; make another")
        if not path.exists() and (self.config.read_only or not self.config.create):
            raise StoreNotFound(f"no database at {path}; open it with create=True")
        try:
            self.file = path.open("ab+", buffering=0)
        except OSError as error:
            raise StoreNotFound(f"no folder for {path}; make it first") from error
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.file.close()
            raise StoreLocked(f"another handle has {path} open; close it first") from error
        self.line = self.components.ids.new().hex()
        newest = _last_frame(path.read_bytes())
        if newest:
            self.line, self.revision, rows, self.ids = msgspec.msgpack.decode(newest)
            self.rows = {key: Record(*record) for key, record in rows.items()}
        else:
            self.save()
        self._opened()

    def save(self) -> None:
        """Append a frame with all that the engine holds: its length, then its bytes."""
        state = msgspec.msgpack.encode((self.line, self.revision, self.rows, self.ids))
        self.file.write(len(state).to_bytes(4, "big") + state)

    async def close(self) -> None:
        if self._refusal is None:
            self._retire()
            self.file.close()
            self.closed = True

    def select(self, rows: Rows, range: Range) -> list[tuple[bytes, Record]]:
        """The rows of the range in the order of its walk."""
        keys = sorted((key for key in rows if key in range), reverse=range.reverse)
        return [(key, rows[key]) for key in keys]

    def seen(self, at: Snapshot | None) -> Rows:
        """The rows that a reader sees."""
        if self._refusal is not None:
            raise self._refuse()
        if at is None:
            return self.rows
        assert isinstance(at, GoodSnapshot)
        if at.closed:
            raise StoreClosed("the snapshot is closed; take a new one")
        return at.rows

    async def head(self) -> int:
        self.seen(None)
        return self.revision

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        rows = self.seen(at)
        return [rows.get(key) for key in keys]

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        limits, size, page = self.capabilities, 0, list[tuple[bytes, Record]]()
        wanted = range.rows_wanted(limits.page_rows_max)
        revision = self.revision if at is None else at.revision
        for key, record in self.select(self.seen(at), range):
            page.append((key, record))
            size += len(key) + len(record.value)
            if len(page) == wanted or size >= limits.page_bytes_max:
                return Page(page, range.after(key), revision)
        return Page(page, None, revision)

    async def snapshot(self) -> Snapshot:
        return GoodSnapshot(self.seen(None), self.revision)

    async def compact(self) -> int:
        self.seen(None)
        before = self.file.seek(0, 2)
        self.file.truncate(0)
        self.save()
        return before - self.file.seek(0, 2)

    async def check(self) -> list[str]:
        rows = self.seen(None)
        return [f"{key!r} is newer than the head" for key in rows if rows[key][1] > self.revision]

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], *, next_revision: int | None = None
    ) -> None:
        self.seen(None)
        for key, _ in rows:
            self._check_key(key, self.capabilities.key_bytes_max)
        standing = {key: record for key, record in rows if record is not None}
        newest = max((one.revision for one in standing.values()), default=self.revision)
        if next_revision is not None and next_revision <= newest:
            raise InvalidInput(f"the next revision lies above {newest}; found {next_revision}")
        removed = {key for key, record in rows if record is None}
        left = {key: record for key, record in self.rows.items() if key not in removed}
        self.rows = left | standing
        self.revision = max(newest, self.revision) if next_revision is None else next_revision - 1
        self.save()

    def _begin(self) -> Writer:
        return GoodWriter(self)

    def _head_now(self) -> int:
        return self.revision

    def _may_commit_inline(self) -> bool:
        return True


def _last_frame(stored: bytes) -> bytes:
    """The last frame that was written whole."""
    frame, place = b"", 0
    while len(stored) >= place + 4:
        end = place + 4 + int.from_bytes(stored[place : place + 4], "big")
        if end > len(stored):
            break
        frame, place = stored[place + 4 : end], end
    return frame


def as_batch(answer: Batch | Draft) -> Batch:
    """The operations, in whatever form they came."""
    return answer.batch() if isinstance(answer, Draft) else answer


class Rewriting(GoodEngine):
    """Passes each batch through `rewrite`, inside the commit."""

    async def commit(self, batch: Batch) -> Receipt:
        self.seen(None)
        self._validate(batch)
        return await super().transact([], lambda _, revision: self.rewrite(batch, revision))

    @abstractmethod
    def rewrite(self, batch: Batch, revision: int) -> Batch:
        """What is committed in place of the batch."""
