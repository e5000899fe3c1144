"""Animals that commit or number wrongly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from holdfast.contract.batch import (
    Append,
    Batch,
    CheckKey,
    CheckRange,
    Decide,
    Delete,
    DeleteRange,
    Operation,
    Put,
    Receipt,
    Rewrite,
    append_key,
)
from holdfast.contract.errors import Conflict
from holdfast.contract.record import Record
from tests.zoo.good import GoodEngine, GoodWriter, Rewriting


class TornByACheck(GoodEngine):
    """Writes what stands before a failing check."""

    async def commit(self, batch: Batch) -> Receipt:
        try:
            return await super().commit(batch)
        except Conflict:
            checks = [isinstance(one, CheckKey | CheckRange) for one in batch.operations]
            await super().commit(Batch(batch.operations[: checks.index(True)]))
            raise


class RewritesUnderANewRevision(GoodEngine):
    """Puts rows that it was to write anew, so that they get another revision."""

    async def commit(self, batch: Batch) -> Receipt:
        operations = [Put(*one) if isinstance(one, Rewrite) else one for one in batch.operations]
        return await super().commit(replace(batch, operations=operations))


class TornInTwo(GoodEngine):
    """Writes a batch as two commits."""

    async def commit(self, batch: Batch) -> Receipt:
        half = len(batch.operations) // 2
        if batch.id or batch.previous or half == 0:
            return await super().commit(batch)
        await super().commit(replace(batch, operations=batch.operations[:half]))
        return await super().commit(replace(batch, operations=batch.operations[half:]))


class TornByCancelling(GoodEngine):
    """Writes the rest of a batch only if its caller is still there."""

    async def commit(self, batch: Batch) -> Receipt:
        self._validate(batch)
        plain = all(isinstance(one, Put) for one in batch.operations)
        if (
            plain
            and len(batch.operations) == 2
            and self.components.host.runtime().blocking is False
        ):
            await super().commit(replace(batch, operations=batch.operations[:1]))
            await asyncio.sleep(0)
        return await super().commit(batch)


class TornForThreads(GoodEngine):
    """Makes the rows of a batch visible in two steps."""

    def _begin(self) -> GoodWriter:
        writer = GoodWriter(self)
        finish = writer.finish

        def in_two_steps(head: int) -> None:
            half = list(writer.rows)[: len(writer.rows) // 2]
            self.rows = self.rows | {key: writer.rows[key] for key in half}
            time.sleep(0.0001)
            finish(head)

        writer.finish = in_two_steps  # type: ignore[method-assign]
        return writer


class FirstOperationWins(Rewriting):
    """Applies the operations of a batch from the last to the first."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        return replace(batch, operations=batch.operations[::-1])


class DeleteRangeLeavesTheLast(Rewriting):
    """Leaves the last row of a deleted range."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        rewritten: list[Operation] = []
        for operation in batch.operations:
            if isinstance(operation, DeleteRange):
                found = self.select(self.rows, replace(operation.range, reverse=False))
                rewritten += [Delete(key) for key, _ in found[:-1]]
            else:
                rewritten.append(operation)
        return replace(batch, operations=rewritten)


class DeleteRangeStopsAtALimit(Rewriting):
    """Deletes no more rows of a range than one of its pages holds."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        rewritten: list[Operation] = []
        for operation in batch.operations:
            if isinstance(operation, DeleteRange):
                found = self.select(self.rows, operation.range)
                wanted = operation.range.rows_wanted(self.capabilities.page_rows_max)
                rewritten += [Delete(key) for key, _ in found[:wanted]]
            else:
                rewritten.append(operation)
        return replace(batch, operations=rewritten)


class DeleteRangeComesLast(Rewriting):
    """Deletes ranges after everything else in the batch."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        operations = sorted(batch.operations, key=lambda one: isinstance(one, DeleteRange))
        return replace(batch, operations=operations)


class AppendCountsEverything(Rewriting):
    """Counts every operation of the batch in the index of an append."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        return replace(batch, operations=[
            Put(append_key(one.prefix, revision, index), one.value)
            if isinstance(one, Append) else one
            for index, one in enumerate(batch.operations)
        ])  # fmt: skip


class AppendsCollide(Rewriting):
    """Gives every append of a batch the index 0."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        return replace(batch, operations=[
            Put(append_key(one.prefix, revision, 0), one.value) if isinstance(one, Append) else one
            for one in batch.operations
        ])  # fmt: skip


class AppendsLittleEndian(Rewriting):
    """Writes the revision of an append with its lowest byte first."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        swapped = int.from_bytes(revision.to_bytes(8, "little"), "big")
        appends = [one for one in batch.operations if isinstance(one, Append)]
        return replace(batch, operations=[
            Put(append_key(one.prefix, swapped, appends.index(one)), one.value)
            if isinstance(one, Append) else one
            for one in batch.operations
        ])  # fmt: skip


class BatchIdForgotten(GoodEngine):
    """Applies a batch again whose id it has seen."""

    async def commit(self, batch: Batch) -> Receipt:
        return await super().commit(replace(batch, id=None))


class BatchIdForgottenAtTheEnd(GoodEngine):
    """Keeps the ids of batches in memory only."""

    async def open(self) -> None:
        await super().open()
        self.ids = {}


class BatchIdForgottenSoon(GoodEngine):
    """Remembers the ids of batches for half a minute."""

    async def commit(self, batch: Batch) -> Receipt:
        now = self.components.clock.monotonic()
        if now > self.__dict__.setdefault("since", now) + 30:
            self.ids = {}
        return await super().commit(batch)


class RefusedBatchIdTaken(GoodEngine):
    """Remembers the id of a batch before its checks are decided."""

    async def commit(self, batch: Batch) -> Receipt:
        try:
            return await super().commit(batch)
        except Conflict:
            if batch.id is not None:
                self.ids[batch.id] = self.revision
            raise


class ChecksBeforeTheId(GoodEngine):
    """Decides the checks of a retry before it looks whether it is one."""

    async def commit(self, batch: Batch) -> Receipt:
        checks = [one for one in batch.operations if isinstance(one, CheckKey | CheckRange)]
        await super().commit(Batch(checks))
        return await super().commit(batch)


class PreviousReadOutside(GoodEngine):
    """Reads what a transaction replaces before it, not in it."""

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        records = await self.read(keys)
        if not self.components.host.runtime().blocking:
            await asyncio.sleep(0)
        receipt = await super().transact(keys, decide, previous=previous)
        if receipt.previous is None:
            return receipt
        return receipt._replace(previous=receipt.previous | dict(zip(keys, records, strict=True)))


class PreviousIsWhatWasWritten(GoodEngine):
    """Tells what stands there after the batch."""

    async def commit(self, batch: Batch) -> Receipt:
        receipt = await super().commit(batch)
        if receipt.previous is None:
            return receipt
        return receipt._replace(previous={key: self.rows.get(key) for key in receipt.previous})


class EmptyBatchTakesARevision(GoodEngine):
    """Counts a batch without operations as a commit."""

    async def commit(self, batch: Batch) -> Receipt:
        return await super().commit(batch if batch.operations else Batch([Delete(b"nothing")]))


class RevisionReusedAfterReopening(GoodEngine):
    """Takes the newest row's revision for the newest revision."""

    async def open(self) -> None:
        await super().open()
        self.revision = max((record.revision for record in self.rows.values()), default=0)


class RevisionUsedTwice(GoodEngine):
    """Gives every eighth commit the revision of the one before."""

    def _begin(self) -> GoodWriter:
        writer = GoodWriter(self)
        writer.head -= writer.head > 0 and writer.head % 8 == 0
        return writer


class RevisionOfARefusedCommitSeen(GoodEngine):
    """Counts a commit before it knows whether it will be one."""

    async def commit(self, batch: Batch) -> Receipt:
        try:
            return await super().commit(batch)
        except Conflict:
            self.revision += 1
            raise


class HeadBehind(GoodEngine):
    """Tells the head of one commit ago."""

    async def head(self) -> int:
        return max(0, await super().head() - 1)


class TouchesNeighbours(GoodEngine):
    """Renews the revision of every row with each commit."""

    async def commit(self, batch: Batch) -> Receipt:
        receipt = await super().commit(batch)
        self.rows = {key: Record(record.value, receipt.revision) if batch.operations else record
                     for key, record in self.rows.items()}  # fmt: skip
        return receipt
