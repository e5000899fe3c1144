"""A node of an IAVL+ tree, and how a node refers to its children.

Leaves hold the keys and values; an inner node holds the smallest key of its right side, by which
look-ups find their way. A child is one of three things:

- a `Node`: it belongs to the working tree and has no row yet;
- a link, bytes: it has a row under the node key in the first 12 bytes, and must have the hash in
  the other 32, for which the parent's own hash vouches;
- an id alone: the parent came from its row, and nobody has checked its hash so far.

Only the store of nodes (`loading.py`) makes links of ids, so that whatever was read through links
down from a trusted root is what was saved.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

#: Where a node stands: its version in the upper bits, its number within that version (the nonce,
#: counted from 1 in pre-order) in the lower 32.
NodeId: TypeAlias = int

NONCE_BITS = 32
NONCE_MASK = (1 << NONCE_BITS) - 1
VERSION_MAX = (1 << 63) - 1

#: A child or root that has a row: its node key, then the hash it must have. One object without
#: references in it, so the garbage collector has nothing to look at.
Link: TypeAlias = bytes

NODE_KEY_BYTES = 12

#: Names one call that sets many keys together, in this process; 0: none.
Edit: TypeAlias = int


class Node(Struct, gc=False):
    """A leaf or an inner node; changed by no operation but the one that made it.

    A tree has no cycles, so nodes are not tracked by the garbage collector: with hundreds of
    thousands of them in memory its passes would cost a third of every write.

    Attributes:
        key: of a leaf, its key; of an inner node, the smallest key of its right side.
        value: of a leaf, its value; None in inner nodes.
        height: 0 for a leaf, else one more than the higher child.
        size: the number of leaves below, 1 for a leaf.
        left, right: the children; None in leaves.
        own: the key of this inner node was computed here, not read from a row. The hash does not
            cover that key, so ways through nodes with `own=False` are checked at their end.
        link: what refers to this node; set when it is saved or read. Until then it is the link of
            the node whose place this one took, if that had one: the cache can forget that.
        edit: which of many sets together made it, and may change it until they are done; see
            `editing.py`.
    """

    key: bytes
    value: bytes | None
    height: int
    size: int
    left: Child | None
    right: Child | None
    own: bool = True
    link: Link = b""
    edit: Edit = 0


Child: TypeAlias = "Node | Link | NodeId"
#: The root of a tree: None when the tree is empty. It is never an id alone.
Root: TypeAlias = "Node | Link | None"


def node_key(id: NodeId) -> bytes:
    """An id as the node key that rows and links begin with."""
    return id.to_bytes(NODE_KEY_BYTES, "big")


def link_id(link: Link) -> NodeId:
    """The id of the node that a link leads to."""
    return int.from_bytes(link[:NODE_KEY_BYTES], "big")


def link_version(link: Link) -> int:
    """The version that made the node which a link leads to."""
    return int.from_bytes(link[:8], "big")


def link_hash(link: Link) -> bytes:
    """The hash that the node of a link must have."""
    return link[NODE_KEY_BYTES:]


def text(node: NodeId | Link) -> str:
    """How a node is named in messages: its node key."""
    id = node if isinstance(node, int) else link_id(node)
    return f"(version {id >> NONCE_BITS}, nonce {id & NONCE_MASK})"
