"""What differs between two trees, found by walking only the subtrees that differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from holdfast.stores.iavl.loading import NodeStore
from holdfast.stores.iavl.nodes import Child, Node, Root


class Change(NamedTuple):
    """A key whose value differs; None where the key is absent."""

    key: bytes
    before: bytes | None
    after: bytes | None


def differences(nodes: NodeStore, before: Root, after: Root) -> Iterator[Change]:
    """The changes that lead from one tree to another, in the order of their keys.

    Both trees are walked side by side. Where both stand before the same subtree, it is skipped;
    elsewhere the higher of the two nodes is taken apart. That costs O(log n) for each change.
    """
    old: list[Child] = [] if before is None else [before]
    new: list[Child] = [] if after is None else [after]
    while old and new:
        if old[-1] is new[-1] or old[-1] == new[-1]:
            old.pop()
            new.pop()
            continue
        left, right = nodes.at(old[-1]), nodes.at(new[-1])
        if left.height or right.height:
            if left.height >= right.height:
                _take_apart(nodes, old, left)
            if right.height >= left.height:
                _take_apart(nodes, new, right)
            continue
        key = min(left.key, right.key)
        value = left.value if left.key == key and old.pop() else None
        other = right.value if right.key == key and new.pop() else None
        if value != other:
            yield Change(key, value, other)
    for leaf in _rest(nodes, old):
        yield Change(leaf.key, leaf.value, None)
    for leaf in _rest(nodes, new):
        yield Change(leaf.key, None, leaf.value)


def _take_apart(nodes: NodeStore, pending: list[Child], node: Node) -> None:
    left, right = nodes.links(node)
    pending[-1:] = (right, left)


def _rest(nodes: NodeStore, pending: list[Child]) -> Iterator[Node]:
    while pending:
        node = nodes.at(pending[-1])
        if node.height:
            _take_apart(nodes, pending, node)
        else:
            pending.pop()
            yield node
