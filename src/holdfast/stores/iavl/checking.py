"""Reading a whole version to see whether all of it is what was saved."""

from __future__ import annotations

from holdfast.contract.errors import IntegrityFailed
from holdfast.stores.iavl.cache import NodeCache
from holdfast.stores.iavl.loading import NodeStore
from holdfast.stores.iavl.nodes import Child, Link, Node, link_version, text
from holdfast.stores.iavl.versions import saved_root

# A walk goes through each node once; a small cache holds the way it is on.
_CACHE_NODES = 1_024


def check_tree(nodes: NodeStore, root: Link | None) -> int:
    """Read every node below a root from its row; returns how many there are.

    Beside what each look-up checks on its way, the order of all keys is checked, and that inner
    nodes have the key of the leaf right of their middle.

    Raises:
        IntegrityFailed: the first node, in the order of the keys, that is not what was saved.
    """
    fresh = NodeStore(nodes.rows, NodeCache(_CACHE_NODES))
    pending: list[Child] = [] if root is None else [root]
    count = 0
    last: bytes | None = None
    middle: Node | None = None
    while pending:
        ref = pending.pop()
        if isinstance(ref, Node):
            middle = ref  # its left side is done
            continue
        node = fresh.at(ref)
        count += 1
        if node.height:
            left, right = fresh.links(node)
            pending += (right, node, left)
            continue
        if (last is not None and node.key <= last) or (middle and middle.key != node.key):
            wrong = node if middle is None else middle
            raise IntegrityFailed(
                f"the key of node {text(wrong.link)} is not what was saved. Restore from a backup",
                node=text(wrong.link),
            )
        last, middle = node.key, None
    return count


def check_versions(nodes: NodeStore, first: int, latest: int) -> int:
    """Read what versions have: the first and the latest whole, of those between what is new.

    Returns:
        How many nodes there are.

    Raises:
        IntegrityFailed: the first node that is not what was saved.
    """
    count = check_tree(nodes, saved_root(nodes, first))
    for version in range(first + 1, latest + 1):
        count += check_new(nodes, saved_root(nodes, version), version - 1)
    if latest > first:
        check_tree(nodes, saved_root(nodes, latest))
    return count


def check_new(nodes: NodeStore, root: Link | None, older: int) -> int:
    """Read the nodes below a root that versions up to `older` did not have; how many there are.

    Each is checked against its hash, and with it the links to what it shares with them.

    Raises:
        IntegrityFailed: the first node that is not what was saved.
    """
    fresh = NodeStore(nodes.rows, NodeCache(_CACHE_NODES))
    pending: list[Child] = [] if root is None else [root]
    count = 0
    while pending:
        ref = pending.pop()
        if isinstance(ref, bytes) and link_version(ref) <= older:
            continue
        node = fresh.at(ref)
        count += 1
        if node.height:
            pending += fresh.links(node)
    return count
