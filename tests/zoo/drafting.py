"""Animals that take drafts, further keys and what is done at once wrongly."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from holdfast.contract.batch import (
    NEEDS_MAX,
    Answer,
    Batch,
    Decide,
    DeleteRange,
    Draft,
    Need,
    Receipt,
    append_key,
)
from holdfast.contract.engine import NOT_NOW, NotNow, Snapshot
from holdfast.contract.errors import InvalidInput, ReadOnly, StoreClosed, WrongContext
from holdfast.contract.lookup import TAIL, Look, LookedUp, Lookup, Sifted, Tally
from holdfast.contract.record import Counted, Page, Range, Record
from holdfast.runtime.system import drive
from tests.zoo.good import GoodEngine


class Redrafting(GoodEngine):
    """Passes each answer of a function through `redraft`, inside the commit."""

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        def redrafted(records: list[Record | None], revision: int) -> Answer:
            answer = decide(records, revision)
            return self.redraft(answer, revision) if isinstance(answer, Draft) else answer

        return await super().transact(keys, redrafted, previous=previous)

    @abstractmethod
    def redraft(self, draft: Draft, revision: int) -> Answer:
        """What is committed in place of the draft."""


class RangesOfADraftLast(Redrafting):
    """Deletes the ranges of a draft after it has written its rows."""

    def redraft(self, draft: Draft, revision: int) -> Answer:
        operations = sorted(draft.batch().operations, key=lambda one: isinstance(one, DeleteRange))
        return Batch(operations, draft.id)


class AppendsOfADraftCountItsRows(Redrafting):
    """Begins to count the appends of a draft behind its rows."""

    def redraft(self, draft: Draft, revision: int) -> Answer:
        first = len(draft.rows)
        for index, (prefix, value) in enumerate(draft.appends, start=first):
            draft.rows[append_key(prefix, revision, index)] = value
        draft.appends = []
        return draft


class AppendsOfADraftReversed(Redrafting):
    """Appends the logs of a draft from the last to the first."""

    def redraft(self, draft: Draft, revision: int) -> Answer:
        draft.appends = draft.appends[::-1]
        return draft


class DeletesOfADraftWriteNothing(Redrafting):
    """Takes a row without a value for an empty value."""

    def redraft(self, draft: Draft, revision: int) -> Answer:
        draft.rows = {key: value or b"" for key, value in draft.rows.items()}
        return draft


class DraftUnchecked(Redrafting):
    """Leaves the checks of a draft out."""

    def redraft(self, draft: Draft, revision: int) -> Answer:
        draft.checks = []
        return draft


class IdOfADraftForgotten(Redrafting):
    """Applies a draft again whose id it has seen."""

    def redraft(self, draft: Draft, revision: int) -> Answer:
        draft.id = None
        return draft


class DraftOfAnySize(GoodEngine):
    """Looks at the input of batches and not of drafts."""

    def _validate(self, batch: Batch | Draft) -> None:
        if not isinstance(batch, Draft):
            super()._validate(batch)


class DraftAlwaysTakesARevision(Redrafting):
    """Commits a draft that writes nothing."""

    def redraft(self, draft: Draft, revision: int) -> Answer:
        if not draft.writes:
            draft.rows = {b"nothing": None}
        return draft


class ShowsOnlyTheFurtherKeys(GoodEngine):
    """Calls a function again with what it asked for last, without what it had seen."""

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        shown = 0

        def forgetful(records: list[Record | None], revision: int) -> Answer:
            nonlocal shown
            begin, shown = shown if len(records) > len(keys) else 0, len(records)
            return decide(records[begin:], revision)

        return await super().transact(keys, forgetful, previous=previous)


class ReadsFurtherKeysOutside(GoodEngine):
    """Reads what a function asks for before the commit, and does not look again."""

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        records, wanted = await self.read(keys), list(keys)
        for _ in range(NEEDS_MAX + 1):
            answer = decide(list(records), self.revision + 1)
            if not isinstance(answer, Need):
                break
            wanted += answer.keys
            records += await self.read(answer.keys)
            if not self.components.host.runtime().blocking:
                await asyncio.sleep(0)
        else:
            raise InvalidInput(f"asked more than {NEEDS_MAX} times")
        return await super().transact(wanted, lambda *_: answer, previous=previous)


class AnswersEveryQuestion(GoodEngine):
    """Shows a function as many keys as it asks for, without an end."""

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        def patient(records: list[Record | None], revision: int) -> Answer:
            answer = decide(records, revision)
            while isinstance(answer, Need):
                records = records + [self.rows.get(key) for key in answer.keys]
                answer = decide(records, revision)
            return answer

        return await super().transact(keys, patient, previous=previous)


class StopIterationDecidesNothing(GoodEngine):
    """Takes a function that stops for one that decides for nothing."""

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        def stopped(records: list[Record | None], revision: int) -> Answer:
            try:
                return decide(records, revision)
            except StopIteration:
                return None

        return await super().transact(keys, stopped, previous=previous)


class InterruptLeavesADecision(GoodEngine):
    """Commits a mark when a function is interrupted."""

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        try:
            return await super().transact(keys, decide, previous=previous)
        except KeyboardInterrupt:
            draft = Draft()
            draft.rows[b"interrupted"] = b""
            await super().transact([], lambda *_: draft)
            raise


class Instant(GoodEngine):
    """Peeks at pages and counts, too; the animals below are broken versions of it."""

    def peek_page(self, range: Range) -> Page | NotNow:
        return drive(self.scan(range))

    def peek_count(self, range: Range) -> Counted | NotNow:
        rows, rest = 0, replace(range, limit=None)
        while True:
            page = drive(self.scan(rest))
            rows += len(page.rows)
            if page.resume is None:
                break
            rest = page.resume
        return Counted(rows if range.limit is None else min(rows, range.limit), page.revision)

    def peek_lookup(self, lookup: Lookup) -> list[LookedUp] | NotNow:
        [fence] = drive(self.read([lookup.fence.key]))
        if fence is None or fence.value != lookup.fence.value:
            return NOT_NOW
        rows: list[LookedUp] = []
        for start, end in lookup.spans:
            page = drive(self.scan(Range(start, end, lookup.reverse, lookup.limit)))
            for key, (value, _) in page.rows:
                if lookup.in_value is not None and value[lookup.in_value :]:
                    name = value[lookup.in_value :]
                elif lookup.cut is TAIL:
                    name = key[-2 - int.from_bytes(key[-2:], "big") : -2]
                else:
                    name = key[lookup.cut[0] :][: lookup.cut[1]]
                [target] = drive(self.read([lookup.into + name]))
                rows.append((key, value, None if target is None else target.value))
        return rows

    def peek_tally(self, wanted: Tally) -> list[int] | NotNow:
        [fence] = drive(self.read([wanted.fence.key]))
        if fence is None or fence.value != wanted.fence.value:
            return NOT_NOW
        return [
            len(drive(self.scan(Range(start, end, limit=limit))).rows)
            for start, end, limit in wanted.spans
        ]

    def peek_sifted(self, range: Range, look: Look, at: Snapshot) -> Sifted | NotNow:
        page = drive(self.scan(range, at=at))
        rows = [(key, record, look(record.value)) for key, record in page.rows]
        return Sifted([row for row in rows if row[2] is not None], len(rows), page.resume)


class LooksUpTargetsOfAnotherMoment(Instant):
    """Looks up the targets of rows as they were when each was looked up first."""

    def peek_lookup(self, lookup: Lookup) -> list[LookedUp] | NotNow:
        first: dict[bytes, bytes | None] = self.__dict__.setdefault("targets", {})
        rows = super().peek_lookup(lookup)
        if rows is NOT_NOW:
            return rows
        return [(key, value, first.setdefault(key, target)) for key, value, target in rows]


class LooksUpTheSpansReversed(Instant):
    """Reverses the order of the spans with that of their rows."""

    def peek_lookup(self, lookup: Lookup) -> list[LookedUp] | NotNow:
        spans = lookup.spans[::-1] if lookup.reverse else lookup.spans
        return super().peek_lookup(lookup._replace(spans=spans))


class LimitsAllSpansTogether(Instant):
    """Takes the limit of each span for that of all of them."""

    def peek_lookup(self, lookup: Lookup) -> list[LookedUp] | NotNow:
        rows = super().peek_lookup(lookup)
        return rows if rows is NOT_NOW else rows[: lookup.limit]


class LooksUpBehindAnyFence(Instant):
    """Answers a look-up though its fence is another."""

    def peek_lookup(self, lookup: Lookup) -> list[LookedUp] | NotNow:
        [fence] = drive(self.read([lookup.fence.key]))
        believed = lookup.fence._replace(value=b"" if fence is None else fence.value)
        return super().peek_lookup(lookup._replace(fence=believed))


class LooksUpByTheKeyAlone(Instant):
    """Takes the target of a row from its key, also where its value says it."""

    def peek_lookup(self, lookup: Lookup) -> list[LookedUp] | NotNow:
        return super().peek_lookup(lookup._replace(in_value=None))


class LooksUpNothingByAShortValue(Instant):
    """Finds no target of a row whose value is too short to say it."""

    def peek_lookup(self, lookup: Lookup) -> list[LookedUp] | NotNow:
        rows = super().peek_lookup(lookup)
        if rows is NOT_NOW or lookup.in_value is None:
            return rows
        return [(*row[:2], row[2] if row[1][lookup.in_value :] else None) for row in rows]


class TalliesOneBeyondTheBound(Instant):
    """Counts a row more than the bound of a range allows."""

    def peek_tally(self, wanted: Tally) -> list[int] | NotNow:
        spans = [(start, end, limit + 1) for start, end, limit in wanted.spans]
        return super().peek_tally(wanted._replace(spans=spans))


class StarvesTheLoopNow(Instant):
    """Decides now on a loop as often as it is asked."""

    def transact_now(self, keys: Sequence[bytes], decide: Decide) -> Receipt | NotNow:
        return drive(self.transact(keys, decide))


class RefusesOnceItHasDecided(Instant):
    """Runs the function to see what it wants before it refuses to do that now."""

    def transact_now(self, keys: Sequence[bytes], decide: Decide) -> Receipt | NotNow:
        decide([self.rows.get(key) for key in keys], self.revision + 1)
        return NOT_NOW


class DecidesNowInTheMidstOfAnother(Instant):
    """Lets a function that is being decided decide something else."""

    def transact_now(self, keys: Sequence[bytes], decide: Decide) -> Receipt | NotNow:
        try:
            return super().transact_now(keys, decide)
        except WrongContext:
            self.revision += 1
            return Receipt(self.revision)


class DecidesNowUnseen(Instant):
    """Wakes nobody for what was decided now."""

    def transact_now(self, keys: Sequence[bytes], decide: Decide) -> Receipt | NotNow:
        publish = self._watcher.publish
        self._watcher.publish = lambda head: None  # type: ignore[method-assign]
        try:
            return super().transact_now(keys, decide)
        finally:
            self._watcher.publish = publish  # type: ignore[method-assign]


class NeverRefusesNow(Instant):
    """Decides now what may only be read, or is closed."""

    def transact_now(self, keys: Sequence[bytes], decide: Decide) -> Receipt | NotNow:
        try:
            return super().transact_now(keys, decide)
        except (StoreClosed, ReadOnly):
            return Receipt(self.revision)


class PeeksAtAnOldPage(Instant):
    """Peeks at the page that it peeked at before."""

    def peek_page(self, range: Range) -> Page | NotNow:
        pages: dict[Range, Page | NotNow] = self.__dict__.setdefault("peeked", {})
        if range not in pages:
            pages[range] = super().peek_page(range)
        return pages[range]


class CountsPastTheLimit(Instant):
    """Counts the rows of a range beyond its limit."""

    def peek_count(self, range: Range) -> Counted | NotNow:
        return super().peek_count(replace(range, limit=None))


class CountsWhatWasDeleted(Instant):
    """Counts rows as they were when their range was counted first."""

    def peek_count(self, range: Range) -> Counted | NotNow:
        counts: dict[Range, int] = self.__dict__.setdefault("counts", {})
        counted = super().peek_count(range)
        assert counted is not NOT_NOW
        return Counted(counts.setdefault(range, counted.rows), counted.revision)


class PeeksPastTheEnd(Instant):
    """Peeks at a page as if its range had no end."""

    def peek_page(self, range: Range) -> Page | NotNow:
        return super().peek_page(replace(range, end=None))
