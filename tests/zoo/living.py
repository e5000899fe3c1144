"""Animals that open, close or look after themselves wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from holdfast.contract.batch import Batch, Receipt
from holdfast.contract.capability import Capabilities
from holdfast.contract.record import Record
from tests.zoo.good import GoodEngine, GoodWriter


class CommitsAfterClosing(GoodEngine):
    """Takes commits when it is closed, and drops them."""

    async def commit(self, batch: Batch) -> Receipt:
        if self._refusal is not None:
            return Receipt(self.revision)
        return await super().commit(batch)


class ReadsAfterClosing(GoodEngine):
    """Answers from what it remembers when it is closed."""

    def seen(self, at: Any) -> dict[bytes, Record]:
        return self.rows if at is None else super().seen(at)


class ServesForkedChildren(GoodEngine):
    """Lets a forked child write through the parent's handle."""

    def after_fork_in_child(self) -> None:
        pass


class ClosingTwiceFails(GoodEngine):
    """Does not know that it is closed already."""

    async def close(self) -> None:
        if self._refusal is not None:
            raise RuntimeError("closed twice")
        await super().close()


class SavesOnlyWhenClosed(GoodEngine):
    """Acknowledges writes that reach the file when it is closed."""

    def save(self) -> None:
        if self.revision == 0 or self.__dict__.get("closing"):
            super().save()

    async def close(self) -> None:
        self.closing = True
        if self._refusal is None and not self.config.read_only:
            self.save()
        await super().close()


class ForgetsTheNewest(GoodEngine):
    """Does not save the last commit before it is closed."""

    async def close(self) -> None:
        if self._refusal is None and self.revision:
            self.rows = {k: r for k, r in self.rows.items() if r.revision < self.revision}
            self.save()
        await super().close()


class NewLineageEachTime(GoodEngine):
    """Begins a new lineage whenever it is opened."""

    async def open(self) -> None:
        await super().open()
        self.line = self.components.ids.new().hex()


class OneLineageForAll(GoodEngine):
    """Gives every database the same lineage."""

    @property
    def lineage(self) -> str:
        return "lineage"


class ReadOnlyIgnored(GoodEngine):
    """Writes although it was opened for reading only."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, writable=True)


class CreateIgnored(GoodEngine):
    """Makes a database although it was told not to."""

    async def open(self) -> None:
        self.config = replace(self.config, create=True)
        await super().open()


class LoadingRenumbers(GoodEngine):
    """Gives loaded rows new revisions."""

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], *, next_revision: int | None = None
    ) -> None:
        renumbered = [
            (k, r and Record(r.value, n)) for n, (k, r) in enumerate(rows, self.revision + 1)
        ]
        await super().load(renumbered, next_revision=next_revision)


class LoadingKeepsWhatGoes(GoodEngine):
    """Leaves alone what comes without a record."""

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], *, next_revision: int | None = None
    ) -> None:
        standing = [(key, record) for key, record in rows if record is not None]
        await super().load(standing, next_revision=next_revision)


class LoadingForgetsTheNumber(GoodEngine):
    """Ignores where later commits are told to start."""

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], *, next_revision: int | None = None
    ) -> None:
        await super().load(rows)


class CompactionLosesEmptyRows(GoodEngine):
    """Takes rows with empty values for rubbish when it compacts."""

    async def compact(self) -> int:
        self.rows = {key: record for key, record in self.rows.items() if record.value}
        return await super().compact()


class DamagesItself(GoodEngine):
    """Leaves an index row behind when a key is deleted, and finds it in its own check."""

    async def check(self) -> list[str]:
        lost = self.__dict__.get("lost", 0)
        return [*await super().check(), *["an index row without its key"] * lost]

    def _begin(self) -> GoodWriter:
        writer = GoodWriter(self)
        finish = writer.finish

        def leave(head: int) -> None:
            self.lost = len(set(self.rows) - set(writer.rows))
            finish(head)

        writer.finish = leave  # type: ignore[method-assign]
        return writer
