"""Saving: the nodes of a working tree get numbers, hashes and rows.

The nodes keep their children until the rows are committed, so a tree whose commit failed is
unchanged and can be saved again.
"""

from __future__ import annotations

from struct import Struct

from holdfast.stores.iavl.encoding import (
    EMPTY_ROOT,
    Named,
    inner_rows,
    leaf_rows,
    named,
    zigzag,
)
from holdfast.stores.iavl.loading import NodeStore
from holdfast.stores.iavl.nodes import Child, Link, Node, Root, link_hash, link_id
from holdfast.stores.iavl.rows import NODE, node_row, root_id

_nonce = Struct(">I").pack


def new_nodes(root: Root) -> list[Node]:
    """The nodes of a tree that have no row, in pre-order: the order of their numbers."""
    order: list[Node] = []
    if not isinstance(root, Node):
        return order
    pending = [root]
    while pending:
        node = pending.pop()
        order.append(node)
        if node.value is None:
            if node.right.__class__ is Node:
                pending.append(node.right)
            if node.left.__class__ is Node:
                pending.append(node.left)
    return order


def hashed_rows(order: list[Node], version: int) -> list[tuple[bytes, bytes]]:
    """The rows of new nodes in a version, ascending by key; each node gets its link."""
    prefix = version.to_bytes(8, "big")
    encoded = zigzag(version)
    rows: list[tuple[bytes, bytes]] = []
    # Backwards, so that children come before their parents: the right one's hash and id lie below
    # those of the left one, and nobody has to look for them.
    below: list[Named] = []
    for nonce in range(len(order), 0, -1):
        node = order[nonce - 1]
        value = node.value
        if value is not None:
            hash, row = leaf_rows(node.key, value, encoded)
        else:
            left, right = node.left, node.right
            low = named(left) if left.__class__ is bytes else below.pop()
            high = named(right) if right.__class__ is bytes else below.pop()
            hash, row = inner_rows(node, encoded, low, high)
        key = prefix + _nonce(nonce)
        node.link = key + hash
        rows.append((NODE + key, row))
        below.append((hash, encoded + zigzag(nonce)))
    rows.reverse()
    return rows


def root_rows(root: Root, version: int) -> list[tuple[bytes, bytes]]:
    """The row in a root's place when the version made no nodes."""
    if root is None:
        return [(node_row(root_id(version)), b"")]
    return [(node_row(root_id(version)), node_row(link_id(link_to(root))))]


def root_hash(root: Root) -> bytes:
    """The hash of a root whose nodes are hashed."""
    return EMPTY_ROOT if root is None else link_hash(link_to(root))


def link_to(ref: Child) -> Link:
    """The link to a node that has been hashed."""
    if isinstance(ref, Node):
        return ref.link
    assert isinstance(ref, bytes)  # ids alone stay inside nodes that nobody went through
    return ref


def keep_saved(nodes: NodeStore, order: list[Node], replaced: list[Link]) -> None:
    """Remember new nodes whose rows were committed, their children being links from now on.

    Those whose places they took are forgotten; only readers of older versions want them still.
    """
    nodes.cache.forget_all(replaced)
    for node in order:
        if node.value is None:
            left, right = node.left, node.right
            if left.__class__ is Node:
                node.left = left.link
            if right.__class__ is Node:
                node.right = right.link
    nodes.cache.keep_all(order[::-1])
