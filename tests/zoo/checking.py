"""Animals whose checks let through what they should refuse."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, ClassVar

from holdfast.contract.batch import (
    Batch,
    CheckKey,
    CheckRange,
    Delete,
    Operation,
    Put,
    Receipt,
)
from holdfast.contract.capability import Isolation
from holdfast.contract.errors import Conflict
from tests.zoo.good import GoodEngine, Rewriting


class AbsenceNotChecked(Rewriting):
    """Lets every check pass that expects a key to be absent."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        return replace(batch, operations=[
            one for one in batch.operations
            if not (isinstance(one, CheckKey) and one.revision is None)
        ])  # fmt: skip


class PresenceIsEnough(Rewriting):
    """Checks that a key is there, not which write of it."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        return replace(batch, operations=[
            one._replace(revision=self.rows[one.key].revision)
            if isinstance(one, CheckKey) and one.revision and one.key in self.rows else one
            for one in batch.operations
        ])  # fmt: skip


class OnlyTheFirstCheckCounts(Rewriting):
    """Stops checking after the first check."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        checks = [one for one in batch.operations if isinstance(one, CheckKey | CheckRange)]
        rest = [one for one in batch.operations if one not in checks]
        return replace(batch, operations=[*checks[:1], *rest])


class ChecksSeeTheBatch(Rewriting):
    """Decides checks on what the batch itself has written."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        written: set[bytes] = set()
        for operation in batch.operations:
            if isinstance(operation, Put):
                written.add(operation.key)
            if isinstance(operation, CheckKey) and operation.key in written:
                raise Conflict("seen in the batch", key=operation.key)
        return batch


class BlindToDeletes(Rewriting):
    """Looks in a checked range for newer rows, and does not count."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        return _with_count_of_the_present(self, batch)


def _with_count_of_the_present(engine: GoodEngine, batch: Batch) -> Batch:
    return replace(batch, operations=[
        replace(one, count=len(engine.select(engine.rows, one.range)))
        if isinstance(one, CheckRange) else one
        for one in batch.operations
    ])  # fmt: skip


class BlindToDeleteAndInsert(Rewriting):
    """Counts the rows of a checked range, and does not look how new they are."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        for check in batch.operations:
            if not isinstance(check, CheckRange):
                continue
            if len(self.select(self.rows, check.range)) != check.count:
                raise Conflict("another count", range=check.range)
        return _without_range_checks(batch)


def _without_range_checks(batch: Batch) -> Batch:
    return replace(
        batch, operations=[one for one in batch.operations if not isinstance(one, CheckRange)]
    )


class BlindToInserts(Rewriting):
    """Does not mind more rows in a checked range than there were, as long as those are old."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        for check in batch.operations:
            if isinstance(check, CheckRange):
                rows = self.select(self.rows, check.range)
                old = [record for _, record in rows if record.revision <= check.at_revision]
                if len(old) < check.count:
                    raise Conflict("rows are missing", range=check.range)
        return _without_range_checks(batch)


class BlindBehindThePage(Rewriting):
    """Checks no more of a range than one page."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        rewritten: list[Operation] = []
        for operation in batch.operations:
            if isinstance(operation, CheckRange):
                rows = self.select(self.rows, operation.range)
                page = self.capabilities.page_rows_max
                if len(rows) > page:
                    end = rows[page][0]
                    cut = replace(operation.range, end=end)
                    rewritten.append(
                        replace(operation, range=cut, count=min(page, operation.count))
                    )
                    continue
            rewritten.append(operation)
        return replace(batch, operations=rewritten)


class ShortCutTooShort(Rewriting):
    """Takes a range for unchanged when only one commit came since."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        return replace(batch, operations=[
            one for one in batch.operations
            if not (isinstance(one, CheckRange) and self.revision <= one.at_revision + 1)
        ])  # fmt: skip


class ChecksOutsideTheCommit(GoodEngine):
    """Decides the checks first and commits later."""

    async def commit(self, batch: Batch) -> Receipt:
        checks = [one for one in batch.operations if isinstance(one, CheckKey | CheckRange)]
        rest = [one for one in batch.operations if not isinstance(one, CheckKey | CheckRange)]
        if not checks or batch.id or self.components.host.runtime().blocking:
            return await super().commit(batch)
        receipt = await super().commit(Batch(checks))
        await asyncio.sleep(0)
        return await super().commit(replace(batch, operations=rest)) if rest else receipt


class ChecksOnlyWhatItWrites(Rewriting):
    """Checks what a batch writes and not what it only read: write skew passes."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        written = {one.key for one in batch.operations if isinstance(one, Put | Delete)}
        if not written:
            return batch
        return replace(batch, operations=[
            one for one in batch.operations
            if not (isinstance(one, CheckKey) and one.key not in written)
        ])  # fmt: skip


class ChecksRangesByTheirRows(Rewriting):
    """Checks that the rows of a range which the batch deletes are there, and not the range."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        deleted = {one.key for one in batch.operations if isinstance(one, Delete)}
        if deleted - self.rows.keys():
            raise Conflict("a row is gone", key=min(deleted), expected=0, found=None)
        return _without_range_checks(batch) if deleted else batch


class HidesItsIsolation(GoodEngine):
    """Keeps every check and says that its transactions are weaker."""

    claims: ClassVar[dict[str, Any]] = {"isolation": Isolation.SNAPSHOT}


class ClaimsNoIsolation(GoodEngine):
    """Keeps every check and says that it keeps none."""

    claims: ClassVar[dict[str, Any]] = {"isolation": Isolation.NONE}


class ConflictWithoutFacts(GoodEngine):
    """Refuses without telling what it found."""

    async def commit(self, batch: Batch) -> Receipt:
        try:
            return await super().commit(batch)
        except Conflict:
            raise Conflict("somebody was faster") from None
