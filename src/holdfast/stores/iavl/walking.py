"""Ways through a tree: to a key, to a place in the order, along a range.

Which way a look-up goes is decided by keys of inner nodes, which no hash covers. A leaf that is
found is right in any case, for its own hash covers key and value. That a key is absent is believed
only when the leaves on both sides of its place say so, unless every node on the way was made here.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.contract.errors import IntegrityFailed
from holdfast.stores.iavl.loading import NodeStore
from holdfast.stores.iavl.nodes import Child, Node, Root, text


def find(nodes: NodeStore, root: Root, key: bytes) -> Node | None:
    """The leaf of a key, or None when there is no such key."""
    if root is None:
        return None
    cached, miss = nodes.young.get, nodes.miss
    node = nodes.at(root)
    own = True
    while node.height:
        child = node.left if key < node.key else node.right
        own &= node.own
        if child.__class__ is bytes:
            node = cached(child) or miss(child)
        else:
            node = nodes.left(node) if key < node.key else nodes.right(node)
    if node.key == key:
        return node
    if not own:
        path, leaf = descend(nodes, root, key)
        check_absent(nodes, path, leaf, key)
    return None


def descend(nodes: NodeStore, root: Child, key: bytes) -> tuple[list[Node], Node]:
    """The inner nodes on the way to a key's place, and the leaf where the way ends."""
    cached, miss = nodes.young.get, nodes.miss
    path = []
    node = nodes.at(root)
    while node.height:
        path.append(node)
        if node.left.__class__ is int:
            nodes.links(node)
        child = node.left if key < node.key else node.right
        node = cached(child) or miss(child) if child.__class__ is bytes else child  # type: ignore[assignment]
    return path, node


def check_absent(nodes: NodeStore, path: list[Node], leaf: Node, key: bytes) -> None:
    """Raise IntegrityFailed unless the neighbours of a key's place show that it is absent.

    `path` and `leaf` are where the way to the key led.
    """
    if all(node.own for node in path):
        return
    goes_on = leaf.key < key
    other = neighbour(nodes, path, key, after=goes_on)
    if other is not None and (other[1].key <= key) is goes_on:
        raise IntegrityFailed(
            f"an inner node on the way from {text(path[0].link)} to {text(leaf.link)} leads to a "
            "wrong place. Restore from a backup",
            node=text(path[0].link),
        )


def neighbour(
    nodes: NodeStore, path: list[Node], key: bytes, *, after: bool
) -> tuple[list[Node], Node] | None:
    """The way to the leaf before or after the one where `path` for `key` ends, and that leaf.

    None at the edge.
    """
    for depth in range(len(path) - 1, -1, -1):
        turn = path[depth]
        if (key < turn.key) is after:
            way = path[: depth + 1]
            node = nodes.right(turn) if after else nodes.left(turn)
            while node.height:
                way.append(node)
                node = nodes.left(node) if after else nodes.right(node)
            return way, node
    return None


def leaf_at(nodes: NodeStore, root: Root, index: int) -> Node:
    """The leaf at a place in the order, which has to be within the tree's size."""
    assert root is not None
    node = nodes.at(root)
    while node.height:
        left = nodes.left(node)
        if index < left.size:
            node = left
        else:
            index -= left.size
            node = nodes.right(node)
    return node


def rank(nodes: NodeStore, root: Root, key: bytes) -> int:
    """How many keys sort before `key`."""
    if root is None:
        return 0
    before = 0
    path, leaf = descend(nodes, root, key)
    for node in path:
        if key >= node.key:
            before += nodes.left(node).size
    if leaf.key != key:
        check_absent(nodes, path, leaf, key)
    return before + (leaf.key < key)


def leaves(
    nodes: NodeStore, root: Root, start: bytes | None, end: bytes | None, *, reverse: bool
) -> Iterator[Node]:
    """The leaves with `start` <= key < `end` in the order of their keys, or against it."""
    if root is None or (start is not None and end is not None and start >= end):
        return
    node, pending = _seek(nodes, root, end if reverse else start, reverse=reverse)
    stop = start if reverse else end
    while node is not None:
        if stop is not None and (node.key < stop if reverse else node.key >= stop):
            return
        yield node
        node = _next(nodes, pending, reverse=reverse)


def _seek(
    nodes: NodeStore, root: Child, bound: bytes | None, *, reverse: bool
) -> tuple[Node | None, list[Node]]:
    """The first leaf from a bound on, and the nodes whose other side is still to be walked.

    A bound is part of what follows when the walk goes up, and not part of it when it goes down.
    """
    node = nodes.at(root)
    pending: list[Node] = []
    path: list[Node] = []
    while node.height:
        path.append(node)
        near = not reverse if bound is None else bound < node.key
        if near is not reverse:
            pending.append(node)
        node = nodes.left(node) if near else nodes.right(node)
    if bound is None:
        return node, pending
    if node.key != bound:
        check_absent(nodes, path, node, bound)
    outside = node.key >= bound if reverse else node.key < bound
    return _next(nodes, pending, reverse=reverse) if outside else node, pending


def _next(nodes: NodeStore, pending: list[Node], *, reverse: bool) -> Node | None:
    if not pending:
        return None
    turn = pending.pop()
    node = nodes.left(turn) if reverse else nodes.right(turn)
    while node.height:
        pending.append(node)
        node = nodes.right(node) if reverse else nodes.left(node)
    return node
