"""`TreeContent`: a saved version of a tree, with the unsaved changes laid over it.

    K n D key          an unsaved value, or that the key is absent
    K n P revision     the unsaved operations of a commit, in order
    K n V state        on which version they stand
    K n V t …          the rows of the tree, and of its fast index

Every set is an ordinary durable commit of three rows. A version that is saved or loaded costs what
changed, never what stands there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, TypeVar

from holdfast.contract.batch import Need
from holdfast.contract.capability import Io
from holdfast.contract.engine import Engine
from holdfast.contract.errors import IntegrityFailed, Unsupported, VersionNotFound
from holdfast.contract.record import Range, Record
from holdfast.store import layout
from holdfast.store.feed_row import Act
from holdfast.store.plain.rows import ABSENT, pack_plain
from holdfast.store.plan import Plan
from holdfast.store.space import Space
from holdfast.store.transaction import TransactionEngine
from holdfast.stores.cells import Cells, Reference
from holdfast.stores.config import Remembered
from holdfast.stores.content import Bounds, Content, Moved, Pair, Prepared, Wish
from holdfast.stores.iavl import walking
from holdfast.stores.iavl.cache import CACHE_NODES, NodeCache
from holdfast.stores.iavl.index import complete_row, damaged, value_in
from holdfast.stores.iavl.loading import NodeStore
from holdfast.stores.iavl.nodes import Link, Node
from holdfast.stores.iavl.saving import root_hash
from holdfast.stores.iavl.versions import saved_root
from holdfast.stores.versions import oplog
from holdfast.stores.versions.overlaid import overlaid_page
from holdfast.stores.versions.rows import EngineRows, complete_key, index_prefix
from holdfast.stores.versions.state import State, state_key, state_of

T = TypeVar("T")

#: How often a read is repeated while others save, load and prune.
READ_ATTEMPTS: Final = 16
_ABSENT_ROW: Final = pack_plain(b"", flags=ABSENT)


class TreeContent(Content):
    """The content of a store with a tree.

    Args:
        space: its keyspace.
        remembered: how it keeps its values.
        cache: of nodes; shared by everything that looks at the store in this process.
    """

    def __init__(
        self,
        space: Space,
        remembered: Remembered,
        cache: NodeCache[Node] | None = None,
    ) -> None:
        self.space = space
        number = space.keyspace.number
        self.number = number
        self.remembered = remembered
        self.origins = remembered.origins
        self.cache: NodeCache[Node] = NodeCache(CACHE_NODES) if cache is None else cache
        self.data = layout.region(number, layout.DATA)
        self.log = oplog.log_prefix(number)
        self.state_key = state_key(number)
        self.cells = Cells(number, remembered, chunk_bytes=0)
        self._nodes = NodeStore(EngineRows(space.engine, number, self.origins), self.cache)
        self._tells = space.keyspace.settings.feed
        self._remote = space.engine.capabilities.io is Io.REMOTE
        self._root: tuple[State, Link | None] = State(0, 0), None
        self.complete_key = complete_key(number)
        self._index = index_prefix(number) if remembered.config.fast_index else None
        # The row that says that the index is of the version below the unsaved changes.
        self._complete: tuple[State, bytes] = State(0, 0), b""
        if isinstance(space.engine, TransactionEngine):
            space.engine.fence((self.state_key,))

    def on(self, engine: Engine) -> TreeContent:
        return TreeContent(self.space.on(engine), self.remembered, self.cache)

    # --- Reading ----------------------------------------------------------------------------

    async def value(self, key: bytes) -> bytes | None:
        self.space.check()
        keys = (self.data + key, self.state_key, *self._index_keys(key))
        for attempt in range(READ_ATTEMPTS):
            unsaved, record, *index = await self.space.read(keys)
            if unsaved is not None:
                return self._unsaved(unsaved.value)
            state = state_of(record)
            if not state.base:
                return None
            try:
                indexed = bool(index) and await self._is_complete(state, index[0])
                if indexed and index[1] is not None:
                    return value_in(key, index[1].value)
                value = await self.asked(lambda state=state: self._saved(state, key))  # type: ignore[misc]
                if indexed and value is not None:
                    raise damaged(key, "is missing")
                return value
            except (IntegrityFailed, VersionNotFound):
                # Nodes and roots change only when another version is below by now.
                if attempt == READ_ATTEMPTS - 1 or await self.state() == state:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def has(self, key: bytes) -> bool:
        return await self.value(key) is not None

    async def length(self, key: bytes) -> int | None:
        value = await self.value(key)
        return None if value is None else len(value)

    async def part(self, key: bytes, offset: int, length: int | None) -> bytes | None:
        value = await self.value(key)
        if value is None:
            return None
        return value[offset:] if length is None else value[offset : offset + length]

    async def walk(self, bounds: Bounds) -> AsyncIterator[Pair]:
        left = bounds.limit
        rest: Bounds | None = bounds
        while rest is not None and (left is None or left > 0):
            self.space.check()
            pairs, rest = await overlaid_page(self, rest._replace(limit=left))
            if left is not None:
                left -= len(pairs)
            for pair in pairs:
                yield pair

    async def page(self, range: Range) -> tuple[list[tuple[bytes, bytes, int]], Range | None]:
        skip = len(self.data)
        last = (
            None if range.end is None or not range.end.startswith(self.data) else range.end[skip:]
        )
        first = (range.start or self.data)[skip:] or None
        revision = (await self.state()).revision
        pairs, rest = await overlaid_page(self, Bounds(first, last))
        found = [(key, value, revision) for key, value in pairs]
        if rest is None:
            return found, None
        return found, Range(self.data + (rest.start or b""), range.end)

    async def count(self, bounds: Bounds) -> int:
        found = 0
        rest: Bounds | None = bounds
        while rest is not None:
            self.space.check()
            pairs, rest = await overlaid_page(self, rest)
            found += len(pairs)
        return found

    # --- Writing ----------------------------------------------------------------------------

    async def prepared(self, wishes: Sequence[Wish]) -> Prepared:
        for wish in wishes:
            if wish.ttl_ms:
                raise Unsupported(
                    "values of a store of kind 'iavl' do not expire: a saved version keeps them. "
                    "Use a plain store for what has a time to live"
                )
        keys = [self.data + wish.key for wish in wishes]
        rows = [self._row(wish) for wish in wishes]
        state, saved = await self._looked_up(wishes)
        existed: list[bool] = []

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            existed.clear()
            now = state_of(records[-1])
            if state is not None and now != state:
                raise Moved
            operations: list[oplog.Operation] = []
            for key, row, wish, unsaved in zip(keys, rows, wishes, records, strict=False):
                if unsaved is None:
                    there, previous = wish.key in saved, now.revision if now.base else 0
                else:
                    there, previous = not unsaved.value[1] & ABSENT, unsaved.revision
                existed.append(there)
                if wish.value is None and not there:
                    continue
                plan.rows[key] = row
                operations.append((wish.value is not None, wish.key))
                if self._tells:
                    act = Act.DELETE if wish.value is None else Act.SET
                    plan.tell(self.number, act, wish.key, previous, plan.now_ms)
            oplog.append(plan, self.log, operations)
            return None

        return Prepared([*keys, self.state_key], write, existed)

    # --- For versions -----------------------------------------------------------------------

    async def asked(self, question: Callable[[], T]) -> T:
        """The answer of a walk through the tree; on a network engine away from the loop."""
        if self._remote:
            return await self.space.engine.components.host.runtime().offload(question)
        return question()

    def root(self, state: State) -> Link | None:
        """The root of the version below the unsaved changes."""
        known, root = self._root
        if known != state or not state.base:
            root = saved_root(self._nodes, state.base) if state.base else None
            self._root = state, root
        return root

    @property
    def nodes(self) -> NodeStore:
        """The nodes of the tree as they stand on the engine."""
        return self._nodes

    async def state(self) -> State:
        """On which version the unsaved changes stand."""
        [record] = await self.space.read((self.state_key,))
        return state_of(record)

    def value_of(self, stored: bytes) -> bytes | None:
        """The value of an unsaved row; None: the key is absent."""
        return self._unsaved(stored)

    # --- Inside -----------------------------------------------------------------------------

    def _index_keys(self, key: bytes) -> tuple[bytes, ...]:
        return () if self._index is None else (self.complete_key, self._index + key)

    def _unsaved(self, stored: bytes) -> bytes | None:
        if stored[1] & ABSENT:
            return None
        value = self.cells.value(stored)
        assert not isinstance(value, Reference)  # nothing lies in chunks here
        return value

    def _saved(self, state: State, key: bytes) -> bytes | None:
        leaf = walking.find(self._nodes, self.root(state), key)
        return None if leaf is None else leaf.value

    async def _is_complete(self, state: State, record: Record | None) -> bool:
        """Whether the fast index is of the version below the unsaved changes, as a row says."""
        if record is None:
            return False
        known, row = self._complete
        if known != state:
            root = await self.asked(lambda: self.root(state))
            row = complete_row(state.base, root_hash(root))[1]
            self._complete = state, row
        return record.value == row

    def _row(self, wish: Wish) -> bytes:
        if wish.value is None:
            return _ABSENT_ROW
        cell = self.cells.pack(wish.value, b"")
        return pack_plain(cell.payload, flags=cell.flags)

    async def _looked_up(self, wishes: Sequence[Wish]) -> tuple[State | None, set[bytes]]:
        """Which of the keys to be removed the saved version has, and which version that is."""
        wanted = [wish.key for wish in wishes if wish.value is None]
        if not wanted:
            return None, set()
        for attempt in range(READ_ATTEMPTS):
            state = await self.state()
            try:
                found = await self.asked(
                    lambda state=state: {  # type: ignore[misc]
                        key for key in wanted if self._saved(state, key) is not None
                    }
                )
            except (IntegrityFailed, VersionNotFound):
                # Nodes and roots change only when another version is below by now.
                if attempt == READ_ATTEMPTS - 1 or await self.state() == state:
                    raise
                continue
            return state, found
        raise AssertionError("the last attempt returns or raises")
