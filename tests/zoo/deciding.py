"""Animals that run decisions wrongly, or sleep when they should wake."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from holdfast.contract.batch import Answer, Batch, Decide, Delete, Draft, Receipt
from holdfast.contract.engine import decided_batch
from holdfast.contract.errors import StoreError, TransactionAborted
from holdfast.contract.record import Record
from holdfast.engines.embedded.work import Work
from tests.zoo.good import GoodEngine


class LosesUpdates(GoodEngine):
    """Reads, decides, and commits later without a look back."""

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        answer = decide(await self.read(keys), self.revision + 1)
        if not self.components.host.runtime().blocking:
            await asyncio.sleep(0)
        if answer is None:
            return Receipt(self.revision)
        return await self.commit(replace(decided_batch(answer), previous=previous))


class MistakePoisonsTheNext(GoodEngine):
    """Lets a decision that raises spoil the one after it."""

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        if self.__dict__.pop("poisoned", False):
            raise TransactionAborted("the group was rolled back")
        try:
            return await super().transact(keys, decide, previous=previous)
        except Exception:
            self.poisoned = True
            raise


class MistakeIsWrapped(GoodEngine):
    """Hides what a decision raised behind an error of its own."""

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        try:
            return await super().transact(keys, decide, previous=previous)
        except StoreError:
            raise
        except Exception as error:
            raise StoreError("the decision failed") from error


class DecidesTwice(GoodEngine):
    """Runs each decision once to try it, and claims to run it once."""

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        def twice(records: list[Record | None], revision: int) -> Answer:
            decide(records, revision)
            return decide(records, revision)

        return await super().transact(keys, twice, previous=previous)


class DecidesOnSortedKeys(GoodEngine):
    """Shows a decision the records in key order."""

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        return await super().transact(sorted(keys), decide, previous=previous)


class TellsAnOldRevision(GoodEngine):
    """Tells a decision the revision that is, not the one that will be."""

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        return await super().transact(
            keys, lambda records, revision: decide(records, revision - 1), previous=previous
        )


class DecidingNothingWrites(GoodEngine):
    """Commits something when the decision was for nothing."""

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        return await super().transact(
            keys,
            lambda records, revision: decide(records, revision) or Batch([Delete(b"nothing")]),
            previous=previous,
        )


class DecidedBatchUnchecked(GoodEngine):
    """Does not look at the input of a batch that a decision made."""

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        self.deciding = True
        try:
            return await super().transact(keys, decide, previous=previous)
        finally:
            self.deciding = False

    def _validate(self, batch: Batch | Draft) -> None:
        if not self.__dict__.get("deciding"):
            super()._validate(batch)


class StarvesTheLoop(GoodEngine):
    """Commits on a loop as often as it is asked, without a pause."""

    async def commit(self, batch: Batch) -> Receipt:
        self.seen(None)
        self._validate(batch)
        return self._committer.commit_here(Work(batch))


class LosesWakeUps(GoodEngine):
    """Waits for the next commit instead of one above the revision asked for."""

    async def wait(self, after_revision: int) -> int:
        return await self._watcher.wait(await self.head())


class WakesForNothing(GoodEngine):
    """Returns the head without waiting for it to pass anything."""

    async def wait(self, after_revision: int) -> int:
        return await self.head()


class WakesOneOnly(GoodEngine):
    """Wakes the first who waits, and leaves the others asleep."""

    async def wait(self, after_revision: int) -> int:
        head = await self.head()
        if head > after_revision:
            return head
        asleep: bool = self.__dict__.setdefault("asleep", False)
        self.asleep = True
        return await self._watcher.wait(after_revision + 10**6 * asleep)


class SleepsThroughTransactions(GoodEngine):
    """Wakes for commits and not for transactions."""

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        publish = self._watcher.publish
        self._watcher.publish = lambda head: None  # type: ignore[method-assign]
        try:
            return await super().transact(keys, decide, previous=previous)
        finally:
            self._watcher.publish = publish  # type: ignore[method-assign]


class WaitLeavesATask(GoodEngine):
    """Starts a task for each wait that outlives it."""

    async def wait(self, after_revision: int) -> int:
        inner = super().wait(after_revision)
        if self.components.host.runtime().blocking:
            return await inner
        return await asyncio.shield(asyncio.create_task(inner))


class WaitsBeyondTheEnd(GoodEngine):
    """Leaves who waits asleep when it closes."""

    async def wait(self, after_revision: int) -> int:
        try:
            return await super().wait(after_revision)
        except StoreError:
            if not self.__dict__.get("was_closed"):
                raise
            return await self.components.host.runtime().completion().wait()

    async def close(self) -> None:
        self.was_closed = True
        await super().close()
