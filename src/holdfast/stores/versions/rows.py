"""Rows of trees on an engine: read where they stand, also those that a branch shares."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.contract.engine import NOT_NOW, Engine
from holdfast.runtime.drive import drive
from holdfast.store import layout
from holdfast.store.transaction import TransactionEngine
from holdfast.stores.config import Origin
from holdfast.stores.iavl.rows import INDEX, INDEX_COMPLETE, NODE, ROOT_HASH

#: What the keys of a tree's rows begin with, behind the region of saved versions.
TREE = b"t"
_VERSIONED = (NODE[0], ROOT_HASH[0])


def tree_prefix(number: int) -> bytes:
    """What the keys of the rows of a store's tree begin with."""
    return layout.region(number, layout.SAVED) + TREE


def index_prefix(number: int) -> bytes:
    """What the keys of the rows of a store's fast index begin with."""
    return tree_prefix(number) + INDEX


def complete_key(number: int) -> bytes:
    """The key of the row that says for which version the fast index is complete."""
    return tree_prefix(number) + INDEX_COMPLETE


class EngineRows:
    """The rows of one store's tree, read without a coroutine.

    A tree goes from node to node, and a coroutine for each would cost more than the look-up. On an
    engine behind a network this holds the thread, so trees are then walked away from the loop.

    Args:
        engine: the engine, or one moment of it. What a transaction reads here needs no check:
            nodes never change, and the state of the store is read and checked beside them.
        number: of the store's keyspace.
        origins: of a branch: where the rows of the versions before it began stand.
    """

    def __init__(self, engine: Engine, number: int, origins: Sequence[Origin] = ()) -> None:
        if isinstance(engine, TransactionEngine):
            engine = engine.inner
        self._engine = engine
        self._peek = engine.peek
        self._own = tree_prefix(number)
        self._older = [(origin.up_to, tree_prefix(origin.number)) for origin in origins]

    @property
    def quick(self) -> bool:
        """Whether rows are read without a coroutine, which a moment's are not."""
        return self._peek is not None

    def get(self, key: bytes) -> bytes | None:
        """The value of a row, or None when there is no such row."""
        full = self._prefix_of(key) + key
        if self._peek is not None:
            found = self._peek(full)
            if found is not NOT_NOW:
                return None if found is None else found[0]
        [record] = drive(self._engine.read((full,)))
        return None if record is None else record.value

    def both(self, first: bytes, second: bytes) -> tuple[bytes | None, bytes | None]:
        """The values of two rows, read at once; see `get`."""
        if self._peek is not None:
            return self.get(first), self.get(second)
        keys = (self._prefix_of(first) + first, self._prefix_of(second) + second)
        one, other = drive(self._engine.read(keys))
        return None if one is None else one.value, None if other is None else other.value

    def _prefix_of(self, key: bytes) -> bytes:
        if self._older and key[0] in _VERSIONED:
            version = int.from_bytes(key[1:9], "big")
            for up_to, prefix in self._older:
                if version <= up_to:
                    return prefix
        return self._own


class PrefixRows:
    """Rows under one prefix on an engine, read without a coroutine."""

    def __init__(self, engine: Engine, prefix: bytes) -> None:
        self._engine = engine
        self._prefix = prefix

    def get(self, key: bytes) -> bytes | None:
        """The value of a row, or None when there is no such row."""
        [record] = drive(self._engine.read((self._prefix + key,)))
        return None if record is None else record.value
