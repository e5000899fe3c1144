"""A node of the content tree: one key, the digest of its value, and two subtrees.

The tree is a treap: keys stand in order from left to right, and priorities, which are hashes of the
keys, fall from top to bottom. There is exactly one such tree for a set of keys, whatever order they
came in, so its hash tells contents apart and nothing else.

    hash      sha256(0x02 left hash, right hash, key length u32, key, value digest)
    priority  sha256(key); the greater is above

The hash of an empty subtree is 32 zero bytes. A node's row has the links of both children, which
hold their hashes, so a row is checked by itself.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TypeAlias

from msgspec import Struct

from holdfast.stores.iavl.nodes import NODE_KEY_BYTES, Link, link_hash

DIGEST_BYTES = 32
EMPTY = bytes(DIGEST_BYTES)
_LINK_BYTES = NODE_KEY_BYTES + DIGEST_BYTES
_NO_LINK = bytes(_LINK_BYTES)
_HEAD_BYTES = 2 * _LINK_BYTES + DIGEST_BYTES


class Node(Struct, gc=False):
    """A node; those that were saved are never changed.

    Attributes:
        link: what refers to it: its node key and its hash. Empty while a fold works on it.
        origin: the link of the saved node that a fold copied, if any.
    """

    key: bytes
    digest: bytes
    priority: bytes
    left: Child
    right: Child
    link: Link = b""
    origin: Link = b""


#: A subtree: none, one that is saved, or one that a fold is working on.
Child: TypeAlias = "Node | Link | None"


def priority(key: bytes) -> bytes:
    """Where a key stands from top to bottom."""
    return sha256(key).digest()


def node_hash(key: bytes, digest: bytes, left: bytes, right: bytes) -> bytes:
    """The hash of a node over the hashes of its subtrees."""
    return sha256(b"\x02" + left + right + len(key).to_bytes(4, "big") + key + digest).digest()


def hash_of(child: Link | None) -> bytes:
    """The hash of a saved subtree."""
    return EMPTY if child is None else link_hash(child)


def node_row(node: Node, left: Link | None, right: Link | None) -> bytes:
    """The stored form of a node."""
    return (left or _NO_LINK) + (right or _NO_LINK) + node.digest + node.key


def decode_node(row: bytes, link: Link) -> Node | None:
    """The node of a row, or None when the row is not that of the link."""
    if len(row) <= _HEAD_BYTES:
        return None
    left, right = row[:_LINK_BYTES], row[_LINK_BYTES : 2 * _LINK_BYTES]
    digest, key = row[2 * _LINK_BYTES : _HEAD_BYTES], row[_HEAD_BYTES:]
    hash = node_hash(key, digest, left[NODE_KEY_BYTES:], right[NODE_KEY_BYTES:])
    if hash != link[NODE_KEY_BYTES:]:
        return None
    return Node(
        key,
        digest,
        priority(key),
        None if left == _NO_LINK else left,
        None if right == _NO_LINK else right,
        link,
    )
