"""A snapshot as an engine: every read is of its moment, every write is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from holdfast.contract.batch import Batch, Decide, Receipt
from holdfast.contract.capability import Capabilities
from holdfast.contract.engine import NOT_NOW, Engine, Layer, NotNow, Snapshot
from holdfast.contract.errors import ReadOnly, Unsupported
from holdfast.contract.lookup import Look, Sifted
from holdfast.contract.record import Page, Range, Record


class SnapshotEngine(Layer):
    """The engine as it was at one moment. Closing it closes the snapshot."""

    def __init__(self, inner: Engine, view: Snapshot) -> None:
        super().__init__(inner)
        self._view = view
        self.revision = view.revision

    @property
    def capabilities(self) -> Capabilities:
        return replace(
            self.inner.capabilities,
            writable=False, snapshots=False, waits=False, compacts=False, checks=False,
            loads=False,
            rewrites=False,
        )  # fmt: skip

    async def close(self) -> None:
        self._view.close()

    async def head(self) -> int:
        return self.revision

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        return await self.inner.read(keys, at=self._view)

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        return await self.inner.scan(range, at=self._view)

    def sift(self, range: Range, look: Look) -> Sifted | NotNow:
        """The rows of a page of which something is wanted, if the engine has them at once."""
        peek = self.inner.peek_sifted
        return NOT_NOW if peek is None else peek(range, look, self._view)

    async def commit(self, batch: Batch) -> Receipt:
        raise _refused()

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        raise _refused()

    async def wait(self, after_revision: int) -> int:
        raise _unsupported("wait")

    async def snapshot(self) -> Snapshot:
        raise _unsupported("take another one")

    async def compact(self) -> int:
        raise _unsupported("compact")

    async def check(self) -> list[str]:
        raise _unsupported("check the store")

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], *, next_revision: int | None = None
    ) -> None:
        raise _refused()


def _unsupported(wish: str) -> Unsupported:
    return Unsupported(f"a snapshot sees one moment and cannot {wish}; do it on the database")


def _refused() -> ReadOnly:
    return ReadOnly("a snapshot is for reading; write through the database")
