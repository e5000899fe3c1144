"""The store of nodes: reads them from rows, checks them against hashes, and keeps recent ones.

A node's hash covers its height, size and version and the hashes of both children, so reading both
children of a node is enough to check it. This happens once for a node in memory, when somebody goes
through it for the first time; from then on its links carry the hashes that its children must have.
"""

from __future__ import annotations

from holdfast.contract.errors import IntegrityFailed, InvalidInput
from holdfast.stores.iavl.encoding import MalformedNode, decode_node, inner_hash, zigzag
from holdfast.stores.iavl.nodes import (
    NONCE_MASK,
    Child,
    Link,
    Node,
    NodeId,
    link_hash,
    link_id,
    link_version,
    text,
)
from holdfast.stores.iavl.rows import ROOT_NONCE, Rows, node_row

#: How many nodes a tree keeps in memory unless told otherwise: about 400 bytes each, keys of 16
#: and values of 40 bytes included.
CACHE_NODES = 400_000
_CACHE_NODES_MIN = 2


class NodeStore:
    """Nodes by link, at most `cache_nodes` of them in memory.

    A link has the hash in it, so a node that was rolled back is never taken for another that got
    its number.

    The cache has two generations: what is used moves to the young one; when that has half the
    limit, it becomes the old one, and what was still in the old one is forgotten.
    """

    __slots__ = ("_half", "_old", "rows", "young")

    def __init__(self, rows: Rows, cache_nodes: int = CACHE_NODES) -> None:
        if cache_nodes < _CACHE_NODES_MIN:
            raise InvalidInput(
                f"cache_nodes is at least {_CACHE_NODES_MIN}; found {cache_nodes}",
                cache_nodes=cache_nodes,
            )
        self.rows = rows
        #: Looked at directly where speed counts: `young.get(id) or miss(link)`.
        self.young: dict[Link, Node] = {}
        self._old: dict[Link, Node] = {}
        self._half = cache_nodes // 2

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def at(self, ref: Child) -> Node:
        """The node itself. Raises IntegrityFailed when its row is missing or not what was saved."""
        if isinstance(ref, bytes):
            return self.young.get(ref) or self.miss(ref)
        assert isinstance(ref, Node)  # ids alone do not leave this file
        return ref

    def left(self, node: Node) -> Node:
        """The left child, which an inner node has."""
        return self.at(self.links(node)[0])

    def right(self, node: Node) -> Node:
        """The right child, which an inner node has."""
        return self.at(self.links(node)[1])

    def links(self, node: Node) -> tuple[Child, Child]:
        """Both children of an inner node, as nodes or as links that can be trusted."""
        if node.left.__class__ is int:
            self._check(node)
        return node.left, node.right  # type: ignore[return-value]

    def miss(self, link: Link) -> Node:
        """The node of a link that is not in the young generation."""
        node = self._old.pop(link, None)
        if node is None:
            node = self._read(link_id(link))
            if node.link != link:
                raise IntegrityFailed(
                    f"node {text(link)} is not the one that was saved: its hash is another. "
                    "Restore from a backup",
                    node=text(link),
                )
            node.link = link  # the same object as in the parent: look-ups compare by identity
        self.keep(node)
        return node

    def keep(self, node: Node) -> None:
        """Remember a node that is known to be right."""
        if len(self.young) >= self._half:
            self._old, self.young = self.young, {}
        self.young[node.link] = node

    def forget(self, link: Link) -> None:
        """Make room: the node is hardly needed any more."""
        if self.young.pop(link, None) is None:
            self._old.pop(link, None)

    def _read(self, id: NodeId) -> Node:
        row = self.rows.get(node_row(id))
        if row is None and id & NONCE_MASK == ROOT_NONCE:
            row = self.rows.get(node_row(id - ROOT_NONCE))
        if row is None:
            raise IntegrityFailed(
                f"node {text(id)} is missing. Restore from a backup", node=text(id), missing=True
            )
        try:
            return decode_node(id, row)
        except MalformedNode as error:
            raise IntegrityFailed(
                f"node {text(id)} cannot be read: {error}. Restore from a backup", node=text(id)
            ) from None

    def _check(self, node: Node) -> None:
        """Check a node that came from its row, and turn its ids into links."""
        left, right = node.left, node.right
        assert isinstance(left, int)
        assert isinstance(right, int)
        low, high = self._read(left), self._read(right)
        version = zigzag(link_version(node.link))
        hash = inner_hash(node.height, node.size, version, low.link[12:], high.link[12:])
        if (
            hash != link_hash(node.link)
            or node.size != low.size + high.size
            or node.height != 1 + max(low.height, high.height)
            or low.key >= node.key
            or (high.key != node.key if high.height == 0 else high.key <= node.key)
        ):
            raise IntegrityFailed(
                f"node {text(node.link)} and its children {text(left)} and {text(right)} do not "
                "fit: one of them is not what was saved. Restore from a backup",
                node=text(node.link),
                children=(text(left), text(right)),
            )
        for child in (low, high):
            # Whoever is remembered was checked further.
            if child.link not in self.young and child.link not in self._old:
                self.keep(child)
        # The left one last: who sees a link there, in another thread too, finds one on the right.
        node.right = high.link
        node.left = low.link
