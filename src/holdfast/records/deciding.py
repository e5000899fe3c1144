"""What a commit of entries writes is decided here, inside the commit, on what stands there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from holdfast.codecs import envelope
from holdfast.codecs.text import StoreKey
from holdfast.contract.batch import Draft, Need
from holdfast.contract.errors import DuplicateKey, InvalidKey
from holdfast.contract.record import Record
from holdfast.records.services.protocols import Past, Proposal, Step
from holdfast.store.plan import Plan
from holdfast.store.space import Space
from holdfast.store.versions.entry import Entry
from holdfast.store.versions.past_rows import read_grave
from holdfast.store.versions.plan import VersionPlanner
from holdfast.store.versions.rows import Rows

#: Flags that need more than the row itself.
SPECIAL = envelope.EXPIRES | envelope.BLOB


class BigValue(Exception):
    """A decision made a value so big that it is to be written away from the loop."""


class Deciding:
    """Decides steps on the rows that a commit found, and plans what they write.

    Args:
        space: the keyspace, as the storage sees it.
        rows: where its entries stand.
        planner: what a change writes.
        entry: the entry of a key, stored bytes and their revision.
    """

    def __init__(
        self,
        space: Space,
        rows: Rows,
        planner: VersionPlanner,
        entry: Callable[[StoreKey | str | bytes, bytes, int], Entry[Any]],
    ) -> None:
        self._space = space
        self._in_transaction = space.transaction is not None
        self._key_bytes_max = space.engine.capabilities.key_bytes_max
        self._data_key = rows.data_key
        self._planner = planner
        self._needs = planner.needs
        self._plan_set = planner.set
        #: Nothing further has to be seen of a row that lives, unless some namespace has a policy.
        self._keeps_all, self._policies = planner.keeps_all, planner.policies
        self._now_ms = space.clock.now_ms
        self._entry = entry

    def keys_of(self, steps: Sequence[Step]) -> list[bytes]:
        """The data rows of the steps, then those that renames lead to."""
        keys = [self._data_key(step.key) for step in steps]
        for step, data_key in zip(steps, keys, strict=True):
            if len(data_key) > self._key_bytes_max and step.size:
                self.refuse_long(data_key)
        keys += [self._data_key(step.new_key) for step in steps if step.new_key is not None]
        return keys

    def one(
        self,
        step: Step,
        data_key: bytes,
        payloads: dict[bytes, list[bytes]] | None,
        records: list[Record | None],
        _revision: int,
    ) -> Draft | Need | None:
        """Decide a single step, without the book-keeping of many."""
        row = records[0]
        further: Sequence[bytes] = ()
        if row is None or self._policies or not self._keeps_all:
            further = self._needs(data_key, row)
        if row is None or further or self._in_transaction or row[0][1] & SPECIAL:
            return self._rare(step, data_key, payloads, records, further)
        plan = Plan(self._now_ms(), step.context)
        self._write_over(plan, step, data_key, row, payloads)
        return plan.draft if step.written else None

    def _write_over(
        self,
        plan: Plan,
        step: Step,
        data_key: bytes,
        row: Record,
        payloads: dict[bytes, list[bytes]] | None,
    ) -> None:
        """`_plan_step` for most of what is written: the row lives for good and keeps its past."""
        stored, revision = row
        living: Entry[Any] = Entry(step.key, stored, revision)
        if step.before is not None or step.written:
            step.after = step.chunks = None
            step.written = False
        step.before = living
        proposal = step.decide(living, None)
        if proposal is None:
            return
        metadata, value = proposal.metadata, proposal.value
        if metadata is None or value is None or value.payload is None:
            self._carry_out(plan, step, data_key, None, row, None, proposal, payloads)
            return
        step.after = self._plan_set(plan, data_key, row, None, metadata, value, living.metadata)
        step.written = True

    def _rare(
        self,
        step: Step,
        data_key: bytes,
        payloads: dict[bytes, list[bytes]] | None,
        records: list[Record | None],
        further: Sequence[bytes],
    ) -> Draft | Need | None:
        """Decide a single step on a key without a row, or with one that ends, or in a transaction.

        Args:
            further: keys that have to be seen beside the first.
        """
        extra = None
        if further:
            if len(records) == 1:
                return Need(further)
            extra = records[1]
        context = step.context
        if self._in_transaction:
            context = self._space.context(context)
        plan = Plan(self._now_ms(), context)
        self._plan_step(plan, step, data_key, None, records[0], extra, payloads)
        return plan.draft if step.written else None

    def many(
        self,
        steps: Sequence[Step],
        keys: list[bytes],
        payloads: dict[bytes, list[bytes]],
        records: list[Record | None],
        _revision: int,
    ) -> Draft | Need | None:
        """Decide several steps, or one that moves, as one plan."""
        count = len(steps)
        planner = self._planner
        needs = [planner.needs(key, row) for key, row in zip(keys, records, strict=False)]
        further = [key for need in needs for key in need]
        if further and len(records) == len(keys):
            return Need(further)
        found = iter(records[len(keys) :])
        extras = [next(found) if need else None for need in needs]
        _require_free(records[count : len(keys)], extras[count:])
        targets = iter(keys[count:])
        plan = Plan(self._now_ms())
        in_transaction, write_over = self._in_transaction, self._write_over
        for step, key, row, need, extra in zip(steps, keys, records, needs, extras, strict=False):
            plan.context = step.context
            if in_transaction:
                plan.context = self._space.context(step.context)
            elif not (row is None or need or step.new_key is not None or row.value[1] & SPECIAL):
                write_over(plan, step, key, row, payloads)
                continue
            target = None if step.new_key is None else next(targets)
            self._plan_step(plan, step, key, target, row, extra, payloads)
        return plan.draft if plan.draft.writes else None

    def _plan_step(
        self,
        plan: Plan,
        step: Step,
        data_key: bytes,
        new_key: bytes | None,
        row: Record | None,
        extra: Record | None,
        payloads: dict[bytes, list[bytes]] | None,
    ) -> None:
        """Decide one step on what stands under its key, and put what it writes into the plan."""
        living: Entry[Any] | None
        living, past = self._standing(step.key, row, extra, plan.now_ms, payloads)
        proposal = step.decide(living, past)
        step.before = living
        step.after = step.chunks = None
        step.written = False
        if proposal is not None:
            self._carry_out(plan, step, data_key, new_key, row, extra, proposal, payloads)

    def _carry_out(
        self,
        plan: Plan,
        step: Step,
        data_key: bytes,
        new_key: bytes | None,
        row: Record | None,
        extra: Record | None,
        proposal: Proposal,
        payloads: dict[bytes, list[bytes]] | None,
    ) -> None:
        """Put what a step decided into the plan."""
        planner, living = self._planner, step.before
        metadata, value = proposal.metadata, proposal.value
        if row is not None and living is None:
            # It was not swept yet, so this commit tells that it ran out.
            planner.expire(plan, data_key, row, extra, bury=metadata is None)
            step.written = True
            row = extra = None
        if metadata is not None:
            if value is not None and value.payload is None:
                if payloads is None:
                    raise BigValue
                step.chunks = value.chunks
            if new_key is None:
                before = None if living is None or row is None else living.metadata
                step.after = planner.set(plan, data_key, row, extra, metadata, value, before)
            else:
                assert row is not None
                step.after = planner.move(plan, data_key, row, extra, new_key, metadata, value)
            step.written = True
        elif row is not None:
            planner.delete(plan, data_key, row, extra)
            step.written = True

    def _standing(
        self,
        key: str,
        row: Record | None,
        extra: Record | None,
        now_ms: int,
        payloads: dict[bytes, list[bytes]] | None,
    ) -> tuple[Entry[Any] | None, Past | None]:
        """(the living entry, what is remembered of a key without one)."""
        if row is None:
            if extra is None:
                return None, None
            grave = read_grave(extra)
            return None, Past(grave.identity, grave.incarnation, grave.updated_at_ms)
        stored = row.value
        if stored[1] & envelope.EXPIRES and envelope.expires_at_ms(stored) <= now_ms:
            head = envelope.header_of(stored)
            return None, Past(head.identity, head.incarnation, head.updated_at_ms)
        living = self._entry(key, stored, row.revision)
        chunks = payloads.get(stored) if payloads else None
        if chunks is not None:
            living.attach(chunks)
        return living, None

    def refuse_long(self, data_key: bytes) -> None:
        """Refuse to set what no engine call could store; a key so long is absent otherwise."""
        limit = self._key_bytes_max
        raise InvalidKey(
            f"a key takes at most {limit} bytes here; found one of {len(data_key)}. "
            "Use a shorter name, and keep the long one in the value",
            limit=limit,
            length=len(data_key),
        )


class Expiry:
    """Ends the entries of some rows, those that have run out.

    Args:
        data_keys: the rows.
        planner: what the end of an entry writes.
        now_ms: the instant that decides.

    Attributes:
        ended: how many did, once `decide` was called for the last time.
    """

    def __init__(
        self, data_keys: Sequence[bytes], planner: VersionPlanner, now_ms: Callable[[], int]
    ) -> None:
        self._data_keys = data_keys
        self._planner = planner
        self._now_ms = now_ms
        self.ended = 0

    def decide(self, records: list[Record | None], _revision: int) -> Draft | Need | None:
        """What ends, as one commit; the rows first, then what else has to be seen of them."""
        planner, data_keys = self._planner, self._data_keys
        self.ended = 0
        plan = Plan(self._now_ms())
        due = [
            (key, row)
            for key, row in zip(data_keys, records, strict=False)
            if row is not None
            and row.value[1] & envelope.EXPIRES
            and envelope.expires_at_ms(row.value) <= plan.now_ms
        ]
        extras: list[bytes] = []
        for key, row in due:
            extras += planner.needs(key, row)
        if extras and len(records) == len(data_keys):
            return Need(extras)
        further = iter(records[len(data_keys) :])
        for key, row in due:
            extra = next(further) if planner.needs(key, row) else None
            planner.expire(plan, key, row, extra, bury=True)
            self.ended += 1
        return plan.draft if self.ended else None


def _require_free(rows: list[Record | None], graves: list[Record | None]) -> None:
    """Raise unless neither an entry nor the past of one stands where a rename leads."""
    if any(one is not None for one in (*rows, *graves)):
        raise DuplicateKey(
            "a rename leads to a key that was never used; found an entry, or the history of a "
            "deleted one. Choose another name, or delete the entry and set it anew"
        )
