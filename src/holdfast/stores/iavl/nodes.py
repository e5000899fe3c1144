"""A node of an IAVL+ tree, and how a node refers to its children.

Leaves hold the keys and values; an inner node holds the smallest key of its right side, by which
look-ups find their way. A child is one of three things:

- a `Node`: it belongs to the working tree and has no row yet;
- a link `(id, hash)`: it has a row, and the parent's own hash vouches for that hash;
- an id alone: the parent came from its row, and nobody has checked its hash so far.

Only the store of nodes (`loading.py`) makes links of ids, so that whatever was read through links
down from a trusted root is what was saved.
"""

from __future__ import annotations

from typing import TypeAlias

#: Where a node stands: its version in the upper bits, its number within that version (the nonce,
#: counted from 1 in pre-order) in the lower 32.
NodeId: TypeAlias = int

NONCE_BITS = 32
NONCE_MASK = (1 << NONCE_BITS) - 1
VERSION_MAX = (1 << 63) - 1

#: A child or root that has a row: its id, and the hash it must have.
Link: TypeAlias = tuple[NodeId, bytes]


class Node:
    """A leaf or an inner node; never changed by the tree's operations, which make new ones.

    Attributes:
        key: of a leaf, its key; of an inner node, the smallest key of its right side.
        value: of a leaf, its value; None in inner nodes.
        height: 0 for a leaf, else one more than the higher child.
        size: the number of leaves below, 1 for a leaf.
        left, right: the children; None in leaves.
        own: the key of this inner node was computed here, not read from a row. The hash does not
            cover that key, so ways through nodes with `own=False` are checked at their end.
        id, hash: set when the node is saved or read.
    """

    __slots__ = ("hash", "height", "id", "key", "left", "own", "right", "size", "value")

    def __init__(
        self,
        key: bytes,
        value: bytes | None,
        height: int,
        size: int,
        left: Child | None,
        right: Child | None,
        own: bool = True,
    ) -> None:
        self.key = key
        self.value = value
        self.height = height
        self.size = size
        self.left = left
        self.right = right
        self.own = own
        self.id = 0
        self.hash = b""


Child: TypeAlias = "Node | Link | NodeId"
#: The root of a tree: None when the tree is empty. It is never an id alone.
Root: TypeAlias = "Node | Link | None"


def text(id: NodeId) -> str:
    """How a node is named in messages: its node key."""
    return f"(version {id >> NONCE_BITS}, nonce {id & NONCE_MASK})"
