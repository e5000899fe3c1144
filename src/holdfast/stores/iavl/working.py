"""Setting and removing keys: a new root for each, sharing all that did not change.

Nothing that exists is changed, so an operation that fails or is interrupted half-way leaves the
tree as it was, and an older root stays a whole tree. Rotations are those of cosmos/iavl: which of
two balanced shapes comes out decides the hash.
"""

from __future__ import annotations

from holdfast.stores.iavl.loading import NodeStore
from holdfast.stores.iavl.nodes import Child, Edit, Node, Root
from holdfast.stores.iavl.walking import check_absent, descend


def put(nodes: NodeStore, root: Root, key: bytes, value: bytes) -> Node:
    """The root of the tree in which `key` has `value`."""
    leaf = Node(key, value, 0, 1, None, None)
    if root is None:
        return leaf
    # The loop of `descend`, spelled out: it is half of the cost of a write.
    cached, miss = nodes.young.get, nodes.miss
    ref: Child = root
    path: list[Node] = []
    node = nodes.at(ref)
    while node.height:
        path.append(node)
        if node.left.__class__ is int:
            nodes.links(node)
        ref = node.left if key < node.key else node.right  # type: ignore[assignment]
        node = cached(ref) or miss(ref) if ref.__class__ is bytes else ref  # type: ignore[assignment]
    if node.key == key:
        return _replaced(path, key, leaf)
    check_absent(nodes, path, node, key)
    if key < node.key:
        new = Node(node.key, None, 1, 2, leaf, ref)
    else:
        new = Node(key, None, 1, 2, ref, leaf)
    return _grown(nodes, path, key, new)


def _replaced(path: list[Node], key: bytes, new: Node) -> Node:
    """The root above a leaf that took another's place."""
    for old in reversed(path):
        if key < old.key:
            new = Node(old.key, None, old.height, old.size, new, old.right, old.own, old.link)
        else:
            new = Node(old.key, None, old.height, old.size, old.left, new, old.own, old.link)
    return new


def _grown(nodes: NodeStore, path: list[Node], key: bytes, new: Node) -> Node:
    """The root above a leaf that became two."""
    higher = True
    for old in reversed(path):
        left: Child
        right: Child
        if key < old.key:
            left, right = new, old.right  # type: ignore[assignment]
        else:
            left, right = old.left, new  # type: ignore[assignment]
        # A child that grew to less than its parent's height was the lower one: now both are even.
        if higher and new.height == old.height:
            new = balanced(nodes, old.key, old.own, left, right)
            higher = new.height > old.height
        else:
            higher = False
            new = Node(old.key, None, old.height, old.size + 1, left, right, old.own, old.link)
    return new


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
