"""Removing a key, and balancing: a new root that shares all that did not change.

Nothing that exists is changed, so a removal that fails or is interrupted half-way leaves the tree
as it was, and an older root stays a whole tree. Rotations are those of cosmos/iavl: which of two
balanced shapes comes out decides the hash.
"""

from __future__ import annotations

from holdfast.stores.iavl.loading import NodeStore
from holdfast.stores.iavl.nodes import Child, Edit, Node, Root
from holdfast.stores.iavl.walking import check_absent, descend


def remove(nodes: NodeStore, root: Root, key: bytes) -> tuple[Root, bytes | None]:
    """The root of the tree without `key`, and the value it had; None and the same root if none."""
    if root is None:
        return None, None
    path, leaf = descend(nodes, root, key)
    if leaf.key != key:
        check_absent(nodes, path, leaf, key)
        return root, None
    if not path:
        return None, leaf.value
    old = path.pop()
    rest: Child
    # When the smallest key of a right side goes, the node above that is named after it gets the
    # next one; `smallest` is on its way up to there.
    smallest: tuple[bytes, bool] | None
    left, right = nodes.links(old)
    rest, smallest = (right, (old.key, old.own)) if key < old.key else (left, None)
    lower = True
    while path:
        below, old = old, path.pop()
        left, right = nodes.links(old)
        name, own = old.key, old.own
        if key < name:
            left = rest
        else:
            right = rest
            if smallest is not None:
                (name, own), smallest = smallest, None
        if lower and nodes.at(rest).height < below.height:
            rest = balanced(nodes, name, own, left, right)
        else:
            lower = False
            rest = Node(name, None, old.height, old.size - 1, left, right, own, old.link)
    return rest, leaf.value  # type: ignore[return-value]


def balanced(
    nodes: NodeStore, key: bytes, own: bool, left: Child, right: Child, edit: Edit = 0
) -> Node:
    """A node over two children of which one may be two higher than the other."""
    low, high = nodes.at(left), nodes.at(right)
    lean = low.height - high.height
    if lean > 1:
        inner = nodes.right(low)
        outer = nodes.left(low)
        if outer.height < inner.height:
            low = _turn_left(nodes, low.key, low.own, nodes.links(low)[0], inner, edit)
        return _turn_right(nodes, key, own, low, right, edit)
    if lean < -1:
        inner = nodes.left(high)
        outer = nodes.right(high)
        if outer.height < inner.height:
            high = _turn_right(nodes, high.key, high.own, inner, nodes.links(high)[1], edit)
        return _turn_left(nodes, key, own, left, high, edit)
    # Most are balanced already; `_over` would look both up once more.
    height = 1 + max(low.height, high.height)
    return Node(key, None, height, low.size + high.size, left, right, own, b"", edit)


def _turn_right(
    nodes: NodeStore, key: bytes, own: bool, low: Node, right: Child, edit: Edit
) -> Node:
    """The node `(low, right)`, turned so that `low` comes up."""
    outer, inner = nodes.links(low)
    below = _over(nodes, key, own, inner, right, edit)
    return _over(nodes, low.key, low.own, outer, below, edit)


def _turn_left(
    nodes: NodeStore, key: bytes, own: bool, left: Child, high: Node, edit: Edit
) -> Node:
    """The node `(left, high)`, turned so that `high` comes up."""
    inner, outer = nodes.links(high)
    below = _over(nodes, key, own, left, inner, edit)
    return _over(nodes, high.key, high.own, below, outer, edit)


def _over(nodes: NodeStore, key: bytes, own: bool, left: Child, right: Child, edit: Edit) -> Node:
    low, high = nodes.at(left), nodes.at(right)
    height = 1 + max(low.height, high.height)
    return Node(key, None, height, low.size + high.size, left, right, own, b"", edit)
