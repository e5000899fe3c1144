"""The layer: what goes down is sealed, what comes up is opened, and nothing passes it by.

Every commit also looks at the head of the ring and is tried again where that changed, so no process
writes under a key that another one has retired or destroyed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from holdfast.contract.batch import (
    Answer,
    Append,
    Batch,
    CheckKey,
    CheckRange,
    Decide,
    DeleteRange,
    Draft,
    Need,
    Operation,
    Put,
    Receipt,
    append_key,
)
from holdfast.contract.capability import Capabilities
from holdfast.contract.engine import NOT_NOW, Engine, Layer, NotNow, Peeked, Snapshot
from holdfast.contract.errors import Conflict
from holdfast.contract.limits import check_batch, check_draft, check_key
from holdfast.contract.record import Page, Range, Record
from holdfast.layers.encrypt.cipher import Nonces, new_nonces
from holdfast.layers.encrypt.keeper import ATTEMPTS_MAX, Keeper
from holdfast.layers.encrypt.providers import KeyProvider
from holdfast.layers.encrypt.rows import KEY, LOG, OVERHEAD_BYTES, Again, Places, Rows
from holdfast.layers.encrypt.spans import Counts, Spans

T = TypeVar("T")

#: Those that the ring of a new database takes.
RING_OPERATIONS: Final = 3


class EncryptLayer(Layer):
    """Encrypts the values of all rows, under keys that their places name.

    Args:
        inner: the engine.
        provider: of the master keys.
        places: where rows stand.
    """

    feature = "encryption"

    def __init__(self, inner: Engine, provider: KeyProvider, places: Places) -> None:
        super().__init__(inner)
        rows = Rows(places)
        self._use(rows, places, Keeper(inner, provider, places, rows))

    def _use(self, rows: Rows, places: Places, keeper: Keeper) -> None:
        """Seal and open with these."""
        self.rows, self.places, self.keeper = rows, places, keeper
        self._ring = places.ring
        self._spans = Spans(places.ring)
        self._limits: tuple[Capabilities, Capabilities] | None = None
        below = self.inner.capabilities
        self._once = below.transacts_once
        self._operations_max = below.batch_operations_max - RING_OPERATIONS

    @property
    def capabilities(self) -> Capabilities:
        """Those of the engine, with a little less room in each row."""
        below = self.inner.capabilities
        if self._limits is None or self._limits[0] is not below:
            mine = replace(
                below,
                rewrites=False,
                value_bytes_max=below.value_bytes_max - OVERHEAD_BYTES,
                # The first commit of a database brings its ring.
                batch_operations_max=below.batch_operations_max - RING_OPERATIONS,
                batch_bytes_max=below.batch_bytes_max
                - min(OVERHEAD_BYTES * below.batch_operations_max, below.batch_bytes_max // 2),
            )
            self._limits = (below, mine)
        return self._limits[1]

    async def open(self) -> None:
        await self.inner.open()
        try:
            await self.keeper.open()
        except BaseException:
            await self.inner.close()
            raise

    async def close(self) -> None:
        try:
            await self.inner.close()
        finally:
            self.rows.forget()

    # --- Reading ----------------------------------------------------------------------------

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        records = await self.inner.read(keys, at=at)
        return await self._fetched(lambda: list(map(self._shown, keys, records)))

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        while True:
            page = await self.inner.scan(self._wider(range), at=at)
            rows = await self._fetched(lambda found=page.rows: self._shown_rows(found))  # type: ignore[misc]
            if rows or page.resume is None:
                return self._cut(Page(rows, page.resume, page.revision), range)
            # All of it was the ring's, or under a key that was destroyed.
            range = replace(page.resume, limit=range.limit)

    def peek(self, key: bytes) -> Peeked:
        """See `Engine.peek`."""
        inner_peek = self.inner.peek
        assert inner_peek is not None
        found = inner_peek(key)
        if found is None or found is NOT_NOW:
            return found
        stored, revision = found
        try:
            value = self.rows.open(key, stored, revision)
        except Again:
            return NOT_NOW
        return None if value is None else (value, revision)

    def peek_page(self, range: Range) -> Page | NotNow:
        """See `Engine.peek_page`."""
        inner_peek = self.inner.peek_page
        assert inner_peek is not None
        page = inner_peek(self._wider(range))
        if page is NOT_NOW:
            return page
        try:
            rows = self._shown_rows(page.rows)
        except Again:
            return NOT_NOW
        if not rows and page.resume is not None:
            return NOT_NOW
        return self._cut(Page(rows, page.resume, page.revision), range)

    # --- Writing ----------------------------------------------------------------------------

    async def commit(self, batch: Batch) -> Receipt:
        if self._once:
            return await self.transact([], lambda _records, _revision: batch)
        counts: Counts = {}
        for _ in range(ATTEMPTS_MAX):
            await self.keeper.store()  # Such an engine has no other way to do it first.
            fence = CheckKey(self._ring, self.keeper.revision)
            try:
                sealed = self._sealed_batch(batch, None, counts)
                operations = [fence, *sealed.operations] if batch.operations else []
                receipt = await self.inner.commit(Batch(operations, batch.id, batch.previous))
                return await self._receipt(receipt)
            except Again as again:
                await self._settle(again, counts)
            except Conflict as conflict:
                if conflict.details.get("key") != self._ring:
                    raise
                await self.keeper.settle(Again(stale=True))
        raise self._contended()

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        wanted = [*keys, self._ring]
        counts: Counts = {}
        for _ in range(ATTEMPTS_MAX):
            if self.keeper.revision is None:
                await self.keeper.refresh()
            try:
                receipt = await self.inner.transact(
                    wanted, self._sealing(keys, decide, counts), previous=previous
                )
            except Again as again:
                await self._settle(again, counts)
                continue
            except Conflict as conflict:
                if self.keeper.revision is not None or conflict.details.get("range") != Range():
                    raise
                await self.keeper.store()  # Another process was faster, or wrote past this one.
                continue
            return receipt if receipt.previous is None else await self._receipt(receipt)
        raise self._contended()

    def transact_now(self, keys: Sequence[bytes], decide: Decide) -> Receipt | NotNow:
        """See `Engine.transact_now`."""
        inner_transact = self.inner.transact_now
        assert inner_transact is not None
        if self.keeper.revision is None:
            return NOT_NOW
        try:
            return inner_transact([*keys, self._ring], self._sealing(keys, decide, {}))
        except Again:
            return NOT_NOW

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], *, next_revision: int | None = None
    ) -> None:
        for key, _ in rows:
            check_key(key, self.capabilities.key_bytes_max)

        def sealed() -> list[tuple[bytes, Record | None]]:
            nonces = new_nonces()
            return [(key, one and self._sealed(key, one, nonces)) for key, one in rows]

        if rows:
            await self.keeper.load()
        for _ in range(ATTEMPTS_MAX):
            try:
                loaded = sealed()
                break
            except Again as again:
                await self.keeper.settle(again)
        else:
            raise self._contended()
        await self.inner.load(loaded, next_revision=next_revision)

    def _sealed(self, key: bytes, record: Record, nonces: Nonces) -> Record:
        return Record(self.rows.seal(key, record[0], record[1], nonces), record[1])

    # --- Inside: reading --------------------------------------------------------------------

    def _shown(self, key: bytes, record: Record | None) -> Record | None:
        if record is None:
            return None
        value = self.rows.open(key, record[0], record[1])
        return None if value is None else Record(value, record[1])

    def _wider(self, range: Range) -> Range:
        """The range to ask for, so that rows of the ring take no place of others in a page."""
        if range.limit is None or range.limit < 1 or self._spans.around(range) == [range]:
            return range
        return replace(range, limit=range.limit + 1 + len(self.rows.ring.keys))

    def _cut(self, page: Page, range: Range) -> Page:
        """A page of the range that was asked for."""
        limit = range.limit
        if limit is not None and len(page.rows) > limit:
            return Page(page.rows[:limit], range.after(page.rows[limit - 1][0]), page.revision)
        if page.resume is not None and page.resume.limit != limit:
            return page._replace(resume=replace(page.resume, limit=limit))
        return page

    def _shown_rows(self, rows: list[tuple[bytes, Record]]) -> list[tuple[bytes, Record]]:
        opened = self.rows.open
        shown = []
        for key, (stored, revision) in rows:
            value = opened(key, stored, revision)
            if value is not None:
                shown.append((key, Record(value, revision)))
        return shown

    async def _fetched(self, work: Callable[[], T]) -> T:
        """What the work returns, once all keys that it asks for are at hand."""
        while True:  # One page may be under many keys; each of them is fetched once.
            try:
                return work()
            except Again as again:
                await self.keeper.settle(again)

    async def _receipt(self, receipt: Receipt) -> Receipt:
        before = receipt.previous
        if before is None:
            return receipt
        shown = await self._fetched(
            lambda: {key: self._shown(key, record) for key, record in before.items()}
        )
        return Receipt(receipt.revision, shown)

    # --- Inside: writing --------------------------------------------------------------------

    def _sealing(self, keys: Sequence[bytes], decide: Decide, counts: Counts) -> Decide:
        """The function that decides, with rows opened before it and sealed behind it."""
        first = len(keys)
        asked = list(keys)
        shown = self._shown

        def decide_sealed(records: list[Record | None], revision: int) -> Answer:
            nonlocal asked
            fence = records[first]
            if (None if fence is None else fence[1]) != self.keeper.revision:
                raise Again(stale=True)
            if len(records) == first + 1:
                asked = list(keys)
            # A list of its own: the engine goes on with the one it gave.
            mine = records[:first] + records[first + 1 :]
            answer = decide(list(map(shown, asked, mine)), revision)
            if type(answer) is Draft:
                return self._sealed_draft(answer, revision, counts)
            if type(answer) is Need:
                asked = [*asked, *answer.keys]
                return answer
            if answer is None:
                return None
            assert isinstance(answer, Batch)
            return self._sealed_batch(answer, revision, counts)

        return decide_sealed

    def _sealed_draft(self, draft: Draft, revision: int, counts: Counts) -> Draft:
        if len(draft.rows) + len(draft.appends) + len(draft.ranges) > self._operations_max:
            check_draft(draft, self.capabilities)
        sealed = Draft()
        sealed.id = draft.id
        begins = self.keeper.revision is None
        nonces = new_nonces()
        rows = self.keeper.pending.rows if begins else self.rows
        try:
            if self._once:
                seal = rows.seal
                sealed.rows = {
                    key: None if value is None else seal(key, value, revision, nonces)
                    for key, value in draft.rows.items()
                }
                sealed.appends = [
                    (prefix, seal(append_key(prefix, revision, index), value, revision, nonces))
                    for index, (prefix, value) in enumerate(draft.appends)
                ]
            else:
                unbound = rows.seal_unbound
                sealed.rows = {
                    key: None if value is None else unbound(key, value, KEY, nonces)
                    for key, value in draft.rows.items()
                }
                sealed.appends = [
                    (prefix, unbound(prefix, value, LOG, nonces)) for prefix, value in draft.appends
                ]
        except (TypeError, IndexError, AttributeError):
            check_draft(draft, self.capabilities)  # Says what is no bytes, or empty.
            raise
        if draft.ranges:
            sealed.ranges = [part for range in draft.ranges for part in self._spans.around(range)]
        if draft.checks:
            sealed.checks = [part for one in draft.checks for part in self._checked(one, counts)]
        if begins and draft.writes:
            sealed.rows |= self.keeper.pending.stored
            sealed.checks = [*sealed.checks, CheckRange(Range(), revision - 1, 0)]
        return sealed

    def _sealed_batch(self, batch: Batch, revision: int | None, counts: Counts) -> Batch:
        check_batch(batch, self.capabilities)
        operations: list[Operation] = []
        appends = 0
        begins = self.keeper.revision is None
        nonces = new_nonces()
        rows = self.keeper.pending.rows if begins else self.rows
        for operation in batch.operations:
            if isinstance(operation, Put | Append):
                at, value = operation
                if revision is None or not self._once:
                    kind = KEY if type(operation) is Put else LOG
                    sealed = rows.seal_unbound(at, value, kind, nonces)
                elif type(operation) is Put:
                    sealed = rows.seal(at, value, revision, nonces)
                else:
                    sealed = rows.seal(append_key(at, revision, appends), value, revision, nonces)
                    appends += 1
                operations.append(operation._replace(value=sealed))
            elif isinstance(operation, DeleteRange):
                operations += [DeleteRange(part) for part in self._spans.around(operation.range)]
            elif isinstance(operation, CheckKey | CheckRange):
                operations += self._checked(operation, counts)
            else:
                operations.append(operation)
        if begins and any(type(one) not in (CheckKey, CheckRange) for one in batch.operations):
            operations = [
                CheckRange(Range(), (revision or 1) - 1, 0),
                *operations,
                *(Put(*row) for row in self.keeper.pending.stored.items()),
            ]
        return Batch(operations, batch.id, batch.previous)

    def _checked(
        self, check: CheckKey | CheckRange, counts: Counts
    ) -> Sequence[CheckKey | CheckRange]:
        """A check as the engine is to make it: it sees rows of the ring."""
        if not isinstance(check, CheckRange):
            return [check]
        return self._spans.checked(check, self.keeper.revision, self.rows.ring.keys, counts)

    async def _settle(self, again: Again, counts: Counts) -> None:
        """Fetch what a commit lacks."""
        if again.check is not None:
            counts[again.check] = await self._spans.count(self.inner, again.check)
        await self.keeper.settle(again)

    def _contended(self) -> Conflict:
        return Conflict(
            f"the keys of the database changed in each of {ATTEMPTS_MAX} attempts of a commit; try "
            "again",
            attempts=ATTEMPTS_MAX,
        )
