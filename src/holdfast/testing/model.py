"""The engine against a plain model: a dict, its revisions, and whatever Hypothesis thinks up."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from holdfast.contract.batch import (
    Answer,
    Append,
    Batch,
    CheckKey,
    CheckRange,
    Delete,
    DeleteRange,
    Need,
    Operation,
    Put,
    append_key,
)
from holdfast.contract.engine import Engine, Snapshot
from holdfast.contract.errors import Conflict
from holdfast.contract.record import Range, Record
from holdfast.testing.promise import Section
from holdfast.testing.subject import Subject, draft, now_or_transact, walk

T = TypeVar("T")
Rows = dict[bytes, Record]

#: Few keys, so that operations meet; with shared prefixes and one that is stored differently.
KEYS = [b"a", b"a\0", b"ab", b"abc", b"b", b"b\xff", b"c", b"\xff", b"a" * 600]
keys = st.sampled_from(KEYS)
borders = st.none() | st.sampled_from([*KEYS, b"", b"aa", b"z"])
values = st.sampled_from([b"", b"1", b"22"]) | st.builds(bytes, st.just(5000))
ranges = st.builds(
    Range, borders, borders, st.booleans(), st.none() | st.integers(min_value=1, max_value=4)
)
writes = st.one_of(
    st.builds(Put, keys, values),
    st.builds(Delete, keys),
    st.builds(Append, st.sampled_from([b"a", b"log"]), values),
    st.builds(DeleteRange, ranges),
)
batches = st.lists(writes, max_size=6)
#: Snapshots that stay open at a time.
SNAPSHOTS_MAX = 3


@dataclass
class Database:
    """What the engine should hold.

    Attributes:
        rows: every key with its record.
        head: revision of the newest commit.
        pasts: rows as they stood after each commit that a later check may name.
    """

    rows: Rows = field(default_factory=dict)
    head: int = 0
    pasts: list[tuple[int, Rows]] = field(default_factory=lambda: [(0, {})])

    def apply(self, operations: list[Operation], revision: int) -> None:
        """What the batch does once it got that revision."""
        appends = itertools.count()
        rows = dict(self.rows)
        for operation in operations:
            match operation:
                case Put(key, value):
                    rows[key] = Record(value, revision)
                case Delete(key):
                    rows.pop(key, None)
                case Append(prefix, value):
                    rows[append_key(prefix, revision, next(appends))] = Record(value, revision)
                case DeleteRange(range):
                    rows = {key: record for key, record in rows.items() if key not in range}
        self.rows, self.head = rows, revision
        self.pasts.append((revision, rows))


def select(rows: Rows, range: Range) -> list[tuple[bytes, Record]]:
    """The rows of a range, in the order of its walk."""
    return [(key, rows[key]) for key in sorted(rows, reverse=range.reverse) if key in range]


class EngineMachine(RuleBasedStateMachine):
    """Runs each step on the engine and on the model, and compares."""

    def __init__(self, section: Section, folder: Path) -> None:
        super().__init__()
        folder.mkdir()
        self.subject = Subject(section, folder)
        self.runner = asyncio.Runner()
        self.model = Database()
        self.snapshots: list[tuple[Snapshot, Rows]] = []
        self.engine: Engine = self.run(self.subject.open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self._close_snapshots()
        try:
            self.run(self.subject.finish())
        finally:
            self.run(self.subject.abandon())
            self.runner.close()

    # --- Steps ------------------------------------------------------------------------------

    @initialize(operations=batches)
    def begins(self, operations: list[Operation]) -> None:
        self._commit(operations)

    @rule(operations=batches)
    def commits(self, operations: list[Operation]) -> None:
        self._commit(operations)

    @rule(operations=batches, key=keys, stale=st.booleans())
    def commits_with_a_key_check(
        self, operations: list[Operation], key: bytes, stale: bool
    ) -> None:
        record = self.model.rows.get(key)
        standing = None if record is None else record.revision
        expected = (standing or 0) + 1 if stale else standing
        self._commit([CheckKey(key, expected), *operations], holds=not stale)

    @rule(operations=batches, range=ranges, back=st.integers(min_value=0, max_value=4))
    def commits_with_a_range_check(
        self, operations: list[Operation], range: Range, back: int
    ) -> None:
        revision, rows = self.model.pasts[max(0, len(self.model.pasts) - 1 - back)]
        before, now = select(rows, range), select(self.model.rows, range)
        check = CheckRange(Range(range.start, range.end), revision, len(before))
        self._commit([*operations, check], holds=before == now)

    @rule(operations=batches, asked=st.lists(keys, max_size=4), nothing=st.booleans())
    def transacts(self, operations: list[Operation], asked: list[bytes], nothing: bool) -> None:
        expected = [self.model.rows.get(key) for key in asked]

        def decide(records: list[Record | None], revision: int) -> Batch | None:
            assert records == expected
            assert revision > self.model.head
            return None if nothing else Batch(operations)

        receipt = self.run(self.engine.transact(asked, decide))
        self._note([] if nothing else operations, receipt.revision)

    @rule(
        rows=st.dictionaries(keys, st.none() | values, max_size=4),
        appends=st.lists(st.tuples(st.sampled_from([b"a", b"log"]), values), max_size=3),
        deleted=st.lists(ranges, max_size=2),
        asked=st.lists(keys, max_size=3),
        further=st.lists(keys, max_size=3),
        now=st.booleans(),
    )
    def drafts(
        self,
        rows: dict[bytes, bytes | None],
        appends: list[tuple[bytes, bytes]],
        deleted: list[Range],
        asked: list[bytes],
        further: list[bytes],
        now: bool,
    ) -> None:
        decided = draft(*rows.items(), appends=appends, ranges=deleted)
        seen = [self.model.rows.get(key) for key in [*asked, *further]]

        def decide(records: list[Record | None], revision: int) -> Answer:
            assert revision > self.model.head
            assert records == seen[: len(records)]
            return Need(further) if len(records) < len(seen) else decided

        transact = now_or_transact if now else type(self.engine).transact
        receipt = self.run(transact(self.engine, asked, decide))
        self._note(list(decided.batch().operations), receipt.revision)

    @rule(asked=st.lists(keys | st.sampled_from([b"none", b"aaa"]), max_size=6))
    def reads(self, asked: list[bytes]) -> None:
        assert self.run(self.engine.read(asked)) == [self.model.rows.get(key) for key in asked]

    @rule(range=ranges)
    def scans(self, range: Range) -> None:
        assert self.run(walk(self.engine, range)) == select(self.model.rows, range)
        assert self.run(self.engine.scan(range)).revision == self.model.head

    @precondition(lambda self: self.engine.capabilities.snapshots)
    @rule()
    def takes_a_snapshot(self) -> None:
        if len(self.snapshots) == SNAPSHOTS_MAX:
            self.snapshots.pop(0)[0].close()
        snapshot = self.run(self.engine.snapshot())
        assert snapshot.revision == self.model.head
        self.snapshots.append((snapshot, self.model.rows))

    @precondition(lambda self: self.snapshots)
    @rule(range=ranges, number=st.integers(min_value=0))
    def looks_back(self, range: Range, number: int) -> None:
        snapshot, rows = self.snapshots[number % len(self.snapshots)]
        assert self.run(walk(self.engine, range, at=snapshot)) == select(rows, range)
        assert self.run(self.engine.read(KEYS, at=snapshot)) == [rows.get(key) for key in KEYS]

    @precondition(lambda self: self.engine.capabilities.persistent)
    @rule()
    def reopens(self) -> None:
        self._close_snapshots()
        lineage = self.engine.lineage
        self.engine = self.run(self.subject.reopen(self.engine))
        assert self.engine.lineage == lineage
        assert self.run(walk(self.engine)) == select(self.model.rows, Range())

    @precondition(lambda self: self.engine.capabilities.compacts)
    @rule()
    def compacts(self) -> None:
        self.run(self.engine.compact())
        assert self.run(walk(self.engine)) == select(self.model.rows, Range())

    @invariant()
    def stands_at_the_revision_of_the_newest_commit(self) -> None:
        assert self.run(self.engine.head()) == self.model.head

    # --- Inside -----------------------------------------------------------------------------

    def _commit(self, operations: list[Operation], *, holds: bool = True) -> None:
        before = self.model.rows
        try:
            receipt = self.run(self.engine.commit(Batch(operations, previous=True)))
        except Conflict:
            assert not holds, "a check was refused though it holds"
            return
        assert holds, "a check passed though it does not hold"
        for key, record in (receipt.previous or {}).items():
            assert record == before.get(key)
        self._note(operations, receipt.revision)

    def _note(self, operations: list[Operation], revision: int) -> None:
        if any(not isinstance(one, CheckKey | CheckRange) for one in operations):
            # Whether removing nothing is a write is the engine's choice; the number tells.
            if revision == self.model.head:
                assert all(
                    isinstance(one, Delete | DeleteRange | CheckKey | CheckRange)
                    for one in operations
                )
                return
            assert revision > self.model.head
            self.model.apply(operations, revision)
        else:
            assert revision == self.model.head

    def _close_snapshots(self) -> None:
        for snapshot, _ in self.snapshots:
            snapshot.close()
        self.snapshots.clear()


class Model(Section):
    """Any history of calls, compared with a model.

    Attributes:
        model_examples: how many histories are tried.
        model_steps: how long each is at most.
        model_shrinks: look for the shortest history that fails; may take a minute once one does.
    """

    model_examples: int = 20
    model_steps: int = 30
    model_shrinks: bool = True

    def test_any_history_agrees_with_a_sorted_dict(self, tmp_path: Path) -> None:
        folders = (tmp_path / str(number) for number in itertools.count())
        run_state_machine_as_test(
            # Any callable that makes a machine will do, though the type says a class.
            lambda: EngineMachine(self, next(folders)),  # type: ignore[arg-type]
            settings=settings(
                max_examples=self.model_examples,
                stateful_step_count=self.model_steps,
                deadline=None,
                phases=[phase for phase in Phase if self.model_shrinks or phase != Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
