"""A saved version as it can be read for as long as the view is open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, TypeVar

from holdfast.contract.errors import IntegrityFailed, InvalidInput, StoreClosed, VersionNotFound
from holdfast.stores.iavl import proving, walking
from holdfast.stores.iavl.loading import NodeStore
from holdfast.stores.iavl.nodes import Link
from holdfast.stores.iavl.saving import root_hash
from holdfast.stores.ics23.proofs import Proof

Result = TypeVar("Result")


class View:
    """The keys and values of one version; an immutable mapping in the order of its keys.

    An open view keeps its version, and all later ones, from being pruned by the tree it came from.
    Views may be read by several threads at a time.
    """

    def __init__(
        self, nodes: NodeStore, version: int, root: Link | None, is_pruned: Callable[[int], bool]
    ) -> None:
        self.version = version
        self.root_hash = root_hash(root)
        self.closed = False
        self._nodes = nodes
        self._root = root
        self._is_pruned = is_pruned

    def close(self) -> None:
        """Let the version be pruned; closing twice does nothing."""
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        root = self._open()
        return 0 if root is None else self._asked(lambda: self._nodes.at(root).size)

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        root = self._open()
        leaf = self._asked(lambda: walking.find(self._nodes, root, key))
        return None if leaf is None else leaf.value

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def items(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with `start` <= key < `end`, ascending or descending; None is no bound."""
        leaves = walking.leaves(self._nodes, self._open(), start, end, reverse=reverse)
        while (leaf := self._asked(lambda: next(leaves, None))) is not None:
            assert leaf.value is not None  # a leaf has one
            yield leaf.key, leaf.value
            self._open()

    def at(self, index: int) -> tuple[bytes, bytes]:
        """The pair at a place in the order, counted from 0."""
        root = self._open()
        if not 0 <= index < len(self):
            raise InvalidInput(
                f"a place is between 0 and {len(self) - 1}; found {index}", index=index
            )
        leaf = self._asked(lambda: walking.leaf_at(self._nodes, root, index))
        assert leaf.value is not None  # a leaf has one
        return leaf.key, leaf.value

    def rank(self, key: bytes) -> int:
        """How many keys sort before `key`."""
        root = self._open()
        return self._asked(lambda: walking.rank(self._nodes, root, key))

    def prove(self, key: bytes) -> Proof:
        """The ICS-23 proof of a key's value here, or of its absence.

        Raises:
            Unsupported: ICS-23 has no such proof: the tree is empty, or a value it needs is.
        """
        root = self._open()
        return self._asked(lambda: proving.prove(self._nodes, root, key))

    def _open(self) -> Link | None:
        if self.closed:
            raise StoreClosed(f"the view of version {self.version} was closed; open another")
        return self._root

    def _asked(self, question: Callable[[], Result]) -> Result:
        """An answer; a missing node is no damage when somebody pruned the version meanwhile."""
        try:
            return question()
        except IntegrityFailed as error:
            if error.details.get("missing") and self._is_pruned(self.version):
                raise VersionNotFound(
                    f"version {self.version} was pruned while it was read. Read a later one",
                    version=self.version,
                ) from error
            raise
