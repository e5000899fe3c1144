"""ICS-23 proofs from a tree: of a key that is there, and of one that is not.

Nodes carry the hashes of their children in their links, so a proof reads the way to its leaf and
nothing beside it.
"""

from __future__ import annotations

from holdfast.contract.errors import InvalidInput, Unsupported
from holdfast.stores.iavl.encoding import inner_head, zigzag
from holdfast.stores.iavl.loading import NodeStore
from holdfast.stores.iavl.nodes import NODE_KEY_BYTES, Link, Node, link_version
from holdfast.stores.iavl.walking import check_absent, descend, neighbour
from holdfast.stores.ics23.proofs import (
    ExistenceProof,
    Hash,
    InnerOp,
    LeafOp,
    Length,
    NonExistenceProof,
    Proof,
)

_SHA256 = int(Hash.SHA256)  # a member of an enumeration is looked up more slowly


def prove(nodes: NodeStore, root: Link | None, key: bytes) -> Proof:
    """The proof of what a saved tree says of a key: its value, or that it is absent.

    Raises:
        Unsupported: ICS-23 has no such proof: the tree is empty, or a leaf the proof needs has an
            empty value.
    """
    if root is None:
        raise Unsupported(
            "ICS-23 has no proof of absence in an empty tree. Compare its root hash with the hash "
            "of nothing instead"
        )
    if not key:
        raise InvalidInput("a key has at least one byte; found an empty key")
    path, leaf = descend(nodes, root, key)
    if leaf.key == key:
        return _existence(path, leaf, key)
    check_absent(nodes, path, leaf, key)
    after = leaf.key < key
    other = neighbour(nodes, path, key, after=after)
    here = _existence(path, leaf, key)
    there = None if other is None else _existence(*other, other[1].key)
    return NonExistenceProof(key, here, there) if after else NonExistenceProof(key, there, here)


def _existence(path: list[Node], leaf: Node, key: bytes) -> ExistenceProof:
    """The proof of the leaf to which the way for `key` leads."""
    if not leaf.value:
        raise Unsupported(
            "ICS-23 cannot prove a key with an empty value, nor absence next to one. Store at "
            "least one byte",
            key=leaf.key,
        )
    prefix = b"\x00\x02" + zigzag(link_version(leaf.link))
    steps = []
    for node in reversed(path):
        head = inner_head(node, link_version(node.link))
        # Saved nodes have links, and those on a way that was gone have been checked.
        left: bytes = node.left  # type: ignore[assignment]
        right: bytes = node.right  # type: ignore[assignment]
        if key < node.key:
            steps.append(InnerOp(_SHA256, head + b"\x20", b"\x20" + right[NODE_KEY_BYTES:]))
        else:
            before = b"\x20".join((head, left[NODE_KEY_BYTES:], b""))
            steps.append(InnerOp(_SHA256, before))
    hashed = LeafOp(_SHA256, Hash.NONE, _SHA256, Length.VAR_PROTO, prefix)
    return ExistenceProof(leaf.key, leaf.value, hashed, tuple(steps))
