"""Deleting the oldest version: which rows no later version needs.

A version is made from the one before it, so what the next version does not share, no later one
does either.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.stores.iavl.loading import NodeStore
from holdfast.stores.iavl.nodes import (
    NONCE_BITS,
    NONCE_MASK,
    Child,
    Link,
    link_id,
    link_version,
)
from holdfast.stores.iavl.rows import ROOT_NONCE, RowBatch, node_row, root_hash_row, root_id


def without_version(
    nodes: NodeStore, version: int, root: Link | None, next_root: Link | None
) -> RowBatch:
    """The changes of rows that delete `version`, the oldest; its successor is left as it is."""
    batch = RowBatch(deletes=[root_hash_row(version)])
    own = root_id(version)
    orphans = list(_orphans(nodes, version, root, next_root))
    nodes.cache.forget_all(orphans)  # or the cache fills with what is read for this alone
    for id in map(link_id, orphans):
        batch.deletes.append(node_row(id))
        if id & NONCE_MASK == ROOT_NONCE and id >> NONCE_BITS < version:
            # The root of a version that is gone may have moved.
            batch.deletes.append(node_row(id - ROOT_NONCE))
    if root is None or link_id(root) != own:
        batch.deletes.append(node_row(own))  # it only said where the root is
    elif next_root is not None and link_id(next_root) == own:
        row = nodes.rows.get(node_row(own))
        assert row is not None  # the root was just read
        batch.deletes.append(node_row(own))
        batch.puts.append((node_row(own - ROOT_NONCE), row))
    return batch


def _orphans(
    nodes: NodeStore, version: int, root: Link | None, next_root: Link | None
) -> Iterator[Link]:
    """The nodes below `root` that are not below `next_root`, in pre-order."""
    kept = _kept(nodes, version, next_root)
    expected = next(kept, None)
    pending: list[Child] = [] if root is None else [root]
    while pending:
        ref = pending.pop()
        assert isinstance(ref, bytes)  # saved trees have no other children
        if ref == expected:
            expected = next(kept, None)
            continue
        yield ref
        node = nodes.at(ref)
        if node.height:
            left, right = nodes.links(node)
            pending += (right, left)


def _kept(nodes: NodeStore, version: int, root: Link | None) -> Iterator[Link]:
    """The links to the highest nodes below `root` that `version` has too, in pre-order."""
    pending: list[Child] = [] if root is None else [root]
    while pending:
        ref = pending.pop()
        assert isinstance(ref, bytes)  # saved trees have no other children
        if link_version(ref) <= version:
            yield ref
            continue
        node = nodes.at(ref)
        if node.height:
            left, right = nodes.links(node)
            pending += (right, left)
