"""Which versions are saved, and where their roots are."""

from __future__ import annotations

from holdfast.contract.errors import IntegrityFailed, VersionNotFound
from holdfast.stores.iavl.encoding import (
    EMPTY_ROOT,
    HASH_BYTES,
    MalformedNode,
    read_zigzag,
    zigzag,
)
from holdfast.stores.iavl.loading import NodeStore
from holdfast.stores.iavl.nodes import NODE_KEY_BYTES, NONCE_BITS, VERSION_MAX, Link, node_key
from holdfast.stores.iavl.rows import (
    NODE,
    SAVED_VERSIONS,
    Rows,
    node_row,
    root_hash_row,
    root_id,
)


def saved_versions(rows: Rows) -> tuple[int, int]:
    """The first and the latest saved version; (0, 0) when nothing was saved."""
    row = rows.get(SAVED_VERSIONS)
    if row is None:
        return 0, 0
    try:
        first, at = read_zigzag(row, 0)
        latest, at = read_zigzag(row, at)
    except (MalformedNode, IndexError):
        first, latest, at = 0, 0, -1
    if at != len(row) or not 0 < first <= latest <= VERSION_MAX:
        raise IntegrityFailed(
            "the row of saved versions is not what was written. Restore from a backup",
            row="saved_versions",
        )
    return first, latest


def saved_versions_row(first: int, latest: int) -> tuple[bytes, bytes]:
    """The row that says which versions are saved."""
    return SAVED_VERSIONS, zigzag(first) + zigzag(latest)


def saved_root(nodes: NodeStore, version: int) -> Link | None:
    """The root of a saved version, read and checked; None when the tree is empty.

    Raises:
        VersionNotFound: the version is not saved, or not any more.
        IntegrityFailed: its root is not what was saved.
    """
    rows = nodes.rows
    hash = rows.get(root_hash_row(version)) if 0 < version <= VERSION_MAX else None
    if hash is None:
        first, latest = saved_versions(rows)
        if first <= version <= latest:
            raise _damaged(version, "its root hash is missing")
        raise not_found(version, first, latest)
    row = rows.get(node_row(root_id(version)))
    if row is None:
        raise _damaged(version, "its root is missing")
    if len(hash) != HASH_BYTES:
        raise _damaged(version, "its root hash is not what was written")
    if not row:
        if hash != EMPTY_ROOT:
            raise _damaged(version, "an empty tree stands in its place")
        return None
    id = root_id(version)
    # No node begins with the letter: it would be a height that is negative.
    if row.startswith(NODE):
        id = int.from_bytes(row[1:], "big")
        if len(row) != 1 + NODE_KEY_BYTES or id >> NONCE_BITS >= version:
            raise _damaged(version, "its reference to an earlier root is not what was written")
    link = node_key(id) + hash
    root = nodes.at(link)
    if root.height:
        nodes.links(root)
    return link


def not_found(version: int, first: int, latest: int) -> VersionNotFound:
    """The error that names which versions there are."""
    there = f"versions {first} to {latest} are" if latest else "no version is"
    return VersionNotFound(
        f"version {version} is not there: {there} saved",
        version=version,
        first=first,
        latest=latest,
    )


def another_root(version: int) -> IntegrityFailed:
    """The error for a version whose root hash is not the one that was asked for."""
    return IntegrityFailed(
        f"version {version} has another root hash than the one that was given. Compare where that "
        "one comes from; restore from a backup if it is right",
        version=version,
        node=f"(version {version}, nonce 1)",
    )


def _damaged(version: int, what: str) -> IntegrityFailed:
    return IntegrityFailed(
        f"version {version} is damaged: {what}. Restore from a backup, or load another version",
        version=version,
        node=f"(version {version}, nonce 1)",
    )
