"""The store of nodes: reads them from rows, checks them against hashes, and keeps recent ones.

A node's hash covers its height, size and version and the hashes of both children, so reading both
children of a node is enough to check it. This happens once for a node in memory, when somebody goes
through it for the first time; from then on its links carry the hashes that its children must have.
"""

from __future__ import annotations

from holdfast.contract.errors import IntegrityFailed, InvalidInput
from holdfast.stores.iavl.encoding import MalformedNode, decode_node, inner_hash, zigzag
from holdfast.stores.iavl.nodes import NONCE_BITS, NONCE_MASK, Child, Link, Node, NodeId, text
from holdfast.stores.iavl.rows import ROOT_NONCE, Rows, node_row

#: How many nodes a tree keeps in memory unless told otherwise: about 400 bytes each, keys of 16
#: and values of 40 bytes included.
CACHE_NODES = 200_000
_CACHE_NODES_MIN = 2


class NodeStore:
    """Nodes by id, at most `cache_nodes` of them in memory.

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
        self.young: dict[NodeId, Node] = {}
        self._old: dict[NodeId, Node] = {}
        self._half = cache_nodes // 2

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def at(self, ref: Child) -> Node:
        """The node itself. Raises IntegrityFailed when its row is missing or not what was saved."""
        if ref.__class__ is tuple:
            return self.young.get(ref[0]) or self.miss(ref)  # type: ignore[index, arg-type]
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
        id, hash = link
        node = self._old.pop(id, None)
        if node is None:
            node = self._read(id)
            if node.hash != hash:
                raise IntegrityFailed(
                    f"node {text(id)} is not the one that was saved: its hash is another. "
                    "Restore from a backup",
                    node=text(id),
                )
        self.keep(node)
        return node

    def keep(self, node: Node) -> None:
        """Remember a node that is known to be right."""
        if len(self.young) >= self._half:
            self._old, self.young = self.young, {}
        self.young[node.id] = node

    def clear(self) -> None:
        """Forget all nodes."""
        self.young, self._old = {}, {}

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
        left, right = (
            self.young.get(id) or self._old.get(id) or self._read(id)
            for id in (node.left, node.right)
            if isinstance(id, int)
        )
        version = zigzag(node.id >> NONCE_BITS)
        if (
            inner_hash(node.height, node.size, version, left.hash, right.hash) != node.hash
            or node.size != left.size + right.size
            or node.height != 1 + max(left.height, right.height)
            or left.key >= node.key
            or (right.key != node.key if right.height == 0 else right.key <= node.key)
        ):
            raise IntegrityFailed(
                f"node {text(node.id)} and its children {text(left.id)} and {text(right.id)} do "
                "not fit: one of them is not what was saved. Restore from a backup",
                node=text(node.id),
                children=(text(left.id), text(right.id)),
            )
        self.keep(left)
        self.keep(right)
        # The left one last: who sees a link there, in another thread too, finds one on the right.
        node.right = (right.id, right.hash)
        node.left = (left.id, left.hash)

