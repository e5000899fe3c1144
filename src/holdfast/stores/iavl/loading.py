"""The store of nodes: reads them from rows, checks them against hashes, and keeps recent ones.

A node's hash covers its height, size and version and the hashes of both children, so reading both
children of a node is enough to check it. This happens once for a node in memory, when somebody goes
through it for the first time; from then on its links carry the hashes that its children must have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from holdfast.contract.errors import IntegrityFailed
from holdfast.stores.iavl.cache import NodeCache
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
from holdfast.stores.iavl.rows import ROOT_NONCE, Rows, TreeRows, node_row

T = TypeVar("T")

#: How many nodes a walk keeps beside the cache.
READ_ONCE_MAX: Final = 10_000


class NodeStore:
    """Nodes by link: from the cache, or from their rows.

    A link has the hash in it, so a node that was rolled back is never taken for another that got
    its number.

    Args:
        rows: where they are read.
        cache: what is known already, perhaps by other trees over the same store.

    Attributes:
        young: of the cache at this moment; see `miss`.
    """

    __slots__ = ("cache", "keep", "rows")

    def __init__(self, rows: TreeRows, cache: NodeCache[Node]) -> None:
        self.rows = rows
        self.cache = cache
        self.keep = cache.keep

    def __len__(self) -> int:
        return len(self.cache)

    @property
    def young(self) -> dict[Link, Node]:
        """Looked at directly where speed counts: `young.get(link) or miss(link)`."""
        return self.cache.young

    def at(self, ref: Child) -> Node:
        """The node itself. Raises IntegrityFailed when its row is missing or not what was saved."""
        if isinstance(ref, bytes):
            return self.cache.young.get(ref) or self.miss(ref)
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
        node = self.cache.older(link)
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

    def _children(self, left: NodeId, right: NodeId) -> tuple[Node, Node]:
        """Both children of a node, read from their rows."""
        low_row, high_row = self.rows.both(node_row(left), node_row(right))
        return self._decoded(left, low_row), self._decoded(right, high_row)

    def _read(self, id: NodeId) -> Node:
        return self._decoded(id, self.rows.get(node_row(id)))

    def _decoded(self, id: NodeId, row: bytes | None) -> Node:
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
        low, high = self._children(left, right)
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
            if child.link not in self.cache:
                self.keep(child)
        # The left one last: who sees a link there, in another thread too, finds one on the right.
        node.right = high.link
        node.left = low.link


class WalkStore(NodeStore):
    """Nodes for one walk through several versions, which share most of their nodes.

    A child that two versions have in common is read and decoded once, and from the newest rows
    where these cost less to read than those of a moment. Its number alone does not say which node
    it is, as versions may be rolled back and saved anew meanwhile; but a parent is believed only
    when its hash is that of its children, so what does not fit is read again.

    Args:
        rows: of the moment that is walked.
        cache: as of `NodeStore`.
        newest: what may be newer, and is quicker to read; None: nothing is.
    """

    __slots__ = ("_newest", "_read_once")

    def __init__(self, rows: TreeRows, cache: NodeCache[Node], newest: Rows | None = None) -> None:
        super().__init__(rows, cache)
        self._newest = newest
        self._read_once: dict[NodeId, Node] = {}

    def _children(self, left: NodeId, right: NodeId) -> tuple[Node, Node]:
        known = self._read_once
        low, high = known.pop(left, None), known.pop(right, None)
        if self._newest is None and low is None and high is None:
            low, high = super()._children(left, right)  # Both at once: it may be a server.
        low = low or self._read(left)
        high = high or self._read(right)
        if len(known) > READ_ONCE_MAX:
            known.clear()
        known[left], known[right] = low, high
        return low, high

    def _read(self, id: NodeId) -> Node:
        row = None if self._newest is None else self._newest.get(node_row(id))
        return super()._read(id) if row is None else self._decoded(id, row)

    def miss(self, link: Link) -> Node:
        try:
            return super().miss(link)
        except IntegrityFailed:
            return self._of_the_moment(lambda: super(WalkStore, self).miss(link))

    def _check(self, node: Node) -> None:
        try:
            super()._check(node)
        except IntegrityFailed:
            self._of_the_moment(lambda: super(WalkStore, self)._check(node))

    def _of_the_moment(self, work: Callable[[], T]) -> T:
        """What work comes to that believes the rows of the moment alone."""
        self._read_once.clear()
        newest, self._newest = self._newest, None
        try:
            return work()
        finally:
            self._newest = newest
