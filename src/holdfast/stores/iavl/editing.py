"""Setting keys, one or many at once: nodes that this very edit made are changed in place.

All other nodes stay as they are, so a key that is set alone has every node on its way made anew. Of
a thousand keys that are set together, most ways share their upper half, and only the first one has
to copy it: nobody else has seen the copy yet. Shapes, and so hashes, are those of setting the keys
one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from holdfast.stores.iavl.limits import KEY_BYTES_MAX, VALUE_BYTES_MAX, checked_key, checked_value
from holdfast.stores.iavl.loading import NodeStore
from holdfast.stores.iavl.nodes import Child, Edit, Node, Root
from holdfast.stores.iavl.walking import check_absent
from holdfast.stores.iavl.working import balanced, remove

#: Names an edit: the keys that one call sets. No two have the same name.
next_edit = count(1).__next__


def applied(
    nodes: NodeStore, root: Root, changes: Iterable[tuple[bytes, bytes | None]]
) -> tuple[Root, set[bytes]]:
    """The root of the tree with keys set, or removed where the value is None; which went.

    Raises:
        InvalidKey, InvalidValue, ValueTooLarge: a key or value is none.
    """
    removed: set[bytes] = set()
    edit = next_edit()
    for given, value in changes:
        simple = type(given) is bytes and 0 < len(given) <= KEY_BYTES_MAX
        key = given if simple else checked_key(given)
        if value is None:
            root, before = remove(nodes, root, key)
            if before is not None:
                removed.add(key)
        else:
            simple = type(value) is bytes and len(value) <= VALUE_BYTES_MAX
            root = put(nodes, root, key, value if simple else checked_value(value), edit)
    return root, removed


def put(nodes: NodeStore, root: Root, key: bytes, value: bytes, edit: Edit) -> Root:
    """The root of the tree in which `key` has `value`.

    When it raises, only nodes that the edit made are left half changed; the root that the edit
    began with is a whole tree still.
    """
    if root is None:
        return Node(key, value, 0, 1, None, None, True, b"", edit)
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
        if node.edit == edit:
            node.value = value
            return root
        leaf = Node(key, value, 0, 1, None, None, True, b"", edit)
        return _replaced(root, path, key, leaf, edit)
    check_absent(nodes, path, node, key)
    leaf = Node(key, value, 0, 1, None, None, True, b"", edit)
    if key < node.key:
        new = Node(node.key, None, 1, 2, leaf, ref, True, b"", edit)
    else:
        new = Node(key, None, 1, 2, ref, leaf, True, b"", edit)
    return _grown(nodes, path, key, new, edit)


def _replaced(root: Root, path: list[Node], key: bytes, new: Node, edit: Edit) -> Root:
    """The root above a leaf that took another's place."""
    for old in reversed(path):
        left = key < old.key
        if old.edit == edit:
            if left:
                old.left = new
            else:
                old.right = new
            return root  # Nothing above it changes.
        low, high = (new, old.right) if left else (old.left, new)
        new = Node(old.key, None, old.height, old.size, low, high, old.own, old.link, edit)
    return new


def _grown(nodes: NodeStore, path: list[Node], key: bytes, new: Node, edit: Edit) -> Node:
    """The root above a leaf that became two."""
    higher = moved = True
    for old in reversed(path):
        if not moved and old.edit == edit:
            old.size += 1  # What is below it was changed in place.
            new = old
            continue
        name, height = old.key, old.height
        low: Child
        high: Child
        if key < name:
            low, high = new, old.right  # type: ignore[assignment]
        else:
            low, high = old.left, new  # type: ignore[assignment]
        # A child that grew to less than its parent's height was the lower one: now both are even.
        if higher and new.height == height:
            other = high if low is new else low
            node = nodes.at(other)
            if height - node.height > 1:
                new = balanced(nodes, name, old.own, low, high, edit)
                higher, moved = new.height > height, True
                continue
            height += 1
        else:
            higher = False
        if old.edit == edit:
            old.height = height
            old.size += 1
            old.left = low
            old.right = high
            new = old
            moved = higher
        else:
            new = Node(name, None, height, old.size + 1, low, high, old.own, old.link, edit)
            moved = True
    return new
