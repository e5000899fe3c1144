"""Saving: the nodes of a working tree get numbers, hashes and rows.

The nodes keep their children until the rows are committed, so a tree whose commit failed is
unchanged and can be saved again.
"""

from __future__ import annotations

from holdfast.stores.iavl.encoding import (
    EMPTY_ROOT,
    inner_hash,
    inner_row,
    leaf_hash,
    leaf_row,
    zigzag,
)
from holdfast.stores.iavl.loading import NodeStore
from holdfast.stores.iavl.nodes import NONCE_BITS, Link, Node, Root
from holdfast.stores.iavl.rows import node_row, root_id


def number_and_hash(root: Root, version: int) -> list[Node]:
    """Give every node without a row its id and hash in `version`; they come in pre-order."""
    order = _without_rows(root)
    base = version << NONCE_BITS
    encoded = zigzag(version)
    # Backwards, so that children come before their parents.
    for nonce in range(len(order), 0, -1):
        node = order[nonce - 1]
        node.id = base | nonce
        if node.value is not None:
            node.hash = leaf_hash(node.key, node.value, encoded)
        else:
            left, right = node.left, node.right
            node.hash = inner_hash(
                node.height,
                node.size,
                encoded,
                left[1] if left.__class__ is tuple else left.hash,  # type: ignore[index, union-attr]
                right[1] if right.__class__ is tuple else right.hash,  # type: ignore[index, union-attr]
            )
    return order


def rows_of(root: Root, order: list[Node], version: int) -> list[tuple[bytes, bytes]]:
    """The rows of a version whose new nodes are `order`, in ascending order of their keys."""
    if root is None:
        return [(node_row(root_id(version)), b"")]
    if root.__class__ is tuple:
        return [(node_row(root_id(version)), node_row(root[0]))]  # type: ignore[index]
    rows = []
    for node in order:
        if node.value is not None:
            row = leaf_row(node.key, node.value)
        else:
            left, right = node.left, node.right
            row = inner_row(
                node,
                node.hash,
                left[0] if left.__class__ is tuple else left.id,  # type: ignore[index, union-attr]
                right[0] if right.__class__ is tuple else right.id,  # type: ignore[index, union-attr]
            )
        rows.append((node_row(node.id), row))
    return rows


def root_hash(root: Root) -> bytes:
    """The hash of a root whose nodes are hashed."""
    if root is None:
        return EMPTY_ROOT
    return root[1] if isinstance(root, tuple) else root.hash


def link(root: Root) -> Link | None:
    """The link to a root that is numbered and hashed."""
    return None if root is None else _link(root)


def keep_saved(nodes: NodeStore, order: list[Node]) -> None:
    """Remember new nodes whose rows were committed, their children being links from now on."""
    for node in reversed(order):
        if node.value is None:
            node.left = _link(node.left)
            node.right = _link(node.right)
        nodes.keep(node)


def _link(ref: object) -> Link:
    return (ref.id, ref.hash) if isinstance(ref, Node) else ref  # type: ignore[return-value]


def _without_rows(root: Root) -> list[Node]:
    order: list[Node] = []
    if not isinstance(root, Node):
        return order
    pending = [root]
    while pending:
        node = pending.pop()
        order.append(node)
        if node.value is None:
            if isinstance(node.right, Node):
                pending.append(node.right)
            if isinstance(node.left, Node):
                pending.append(node.left)
    return order
