"""Folding changed keys into a content tree.

A fold works on copies of its own, and changes those in place: whoever gives up half-way loses the
copies and nothing else. All loops are loops, no function calls itself: keys can be chosen so that
the tree becomes deep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from holdfast.stores.iavl.nodes import Link
from holdfast.stores.merkle.nodes import Child, Node, hash_of, node_hash, node_row, priority

Load: TypeAlias = Callable[[Link], Node]


class Fold:
    """A content tree that changes, on top of a saved one."""

    __slots__ = ("_load", "root")

    def __init__(self, load: Load, root: Link | None) -> None:
        self._load = load
        self.root: Child = root

    def change(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Give keys new digests; None removes a key."""
        for key, digest in changes:
            if digest is None:
                self._remove(key)
            else:
                self._set(key, digest)

    def rows(
        self, node_key: Callable[[int], bytes]
    ) -> tuple[Link | None, list[Node], list[tuple[bytes, bytes]]]:
        """The link of the tree's root, its new nodes, and their rows by node key.

        `node_key` makes the key of the n-th new node, counted from 1.
        """
        order = self._own_nodes()
        new = []
        rows = []
        links: dict[int, Link] = {}

        def saved(child: Child) -> Link | None:
            return links[id(child)] if isinstance(child, Node) else child

        number = 0
        # Backwards, so that children come before their parents.
        for node in reversed(order):
            left, right = saved(node.left), saved(node.right)
            hash = node_hash(node.key, node.digest, hash_of(left), hash_of(right))
            if node.origin.endswith(hash) and node.origin:
                links[id(node)] = node.origin  # copied, but not changed after all
                continue
            number += 1
            key = node_key(number)
            links[id(node)] = link = key + hash
            new.append(Node(node.key, node.digest, node.priority, left, right, link))
            rows.append((key, node_row(node, left, right)))
        return saved(self.root), new, rows

    def _own_nodes(self) -> list[Node]:
        order = []
        pending = [self.root]
        while pending:
            node = pending.pop()
            if isinstance(node, Node):
                order.append(node)
                pending += (node.right, node.left)
        return order

    def _own(self, child: Node | Link) -> Node:
        """The node itself, as a copy that may be changed."""
        if isinstance(child, Node):
            return child
        node = self._load(child)
        return Node(node.key, node.digest, node.priority, node.left, node.right, b"", child)

    def _hang(self, parent: Node | None, left: bool, child: Child) -> None:
        if parent is None:
            self.root = child
        elif left:
            parent.left = child
        else:
            parent.right = child

    def _set(self, key: bytes, digest: bytes) -> None:
        rank = priority(key)
        parent: Node | None = None
        left = False
        child = self.root
        while child is not None:
            node = self._own(child)
            self._hang(parent, left, node)
            if key == node.key:
                node.digest = digest
                return
            if rank > node.priority:
                child = node
                break
            parent, left = node, key < node.key
            child = node.left if left else node.right
        below, above = self._split(child, key)
        self._hang(parent, left, Node(key, digest, rank, below, above))

    def _split(self, child: Child, key: bytes) -> tuple[Child, Child]:
        """The parts of a subtree before and after a key that it does not have."""
        # Each part grows at one open place: the right end of the lower, the left of the upper.
        halves = Node(b"", b"", b"", None, None)
        low = high = halves
        while child is not None:
            node = self._own(child)
            if node.key < key:
                if low is halves:
                    halves.left = node
                else:
                    low.right = node
                low, child = node, node.right
            else:
                if high is halves:
                    halves.right = node
                else:
                    high.left = node
                high, child = node, node.left
        if low is not halves:
            low.right = None
        if high is not halves:
            high.left = None
        return halves.left, halves.right

    def _remove(self, key: bytes) -> None:
        parent: Node | None = None
        left = False
        child = self.root
        while child is not None:
            node = self._own(child)
            self._hang(parent, left, node)
            if key == node.key:
                self._merge(parent, left, node.left, node.right)
                return
            parent, left = node, key < node.key
            child = node.left if left else node.right

    def _merge(self, parent: Node | None, left: bool, below: Child, above: Child) -> None:
        """Hang two subtrees, all keys of one before all of the other, in one place."""
        while below is not None and above is not None:
            low, high = self._own(below), self._own(above)
            if low.priority > high.priority:
                self._hang(parent, left, low)
                parent, left, below, above = low, False, low.right, high
            else:
                self._hang(parent, left, high)
                parent, left, below, above = high, True, low, high.left
        self._hang(parent, left, above if below is None else below)
