"""The rows a tree stands in: their keys, how they are read, and the batches that change them.

    s | version u64 | nonce u32   a node. In the place of a root (nonce 1) there may stand an empty
                                  row, the tree is empty; or the key of another row, the version
                                  has the root of an earlier one. When the version that made a
                                  root is pruned and a later one refers to it, it moves to nonce 0.
    f | key                       the value of the latest version, if there is a fast index
    m storage_version             for which version the fast index is complete, and its root hash
    v | version u64               the root hash of a saved version
    m saved_versions              the first and the latest saved version

The first three are as cosmos/iavl v1 has them but for a check sum behind the values of `f` and the
root hash behind the version of the index. Numbers are big-endian. Who keeps several trees in one
keyspace puts a prefix of its own before all keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from holdfast.stores.iavl.nodes import NONCE_BITS, NodeId, node_key

NODE = b"s"
INDEX = b"f"
ROOT_HASH = b"v"
INDEX_COMPLETE = b"mstorage_version"
SAVED_VERSIONS = b"msaved_versions"

ROOT_NONCE = 1


class Rows(Protocol):
    """Where rows are read: a committed state that saved batches become part of."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a row, or None when there is no such row."""
        ...


class TreeRows(Rows, Protocol):
    """The rows of a tree whose nodes have two children, which are read together."""

    def both(self, first: bytes, second: bytes) -> tuple[bytes | None, bytes | None]:
        """The values of two rows, read at once; see `get`."""
        ...


@dataclass(slots=True)
class RowBatch:
    """Changes of rows that happen together or not at all: ranges first, then deletes, then puts.

    No key is both deleted and put. A range is cleared from its first key up to, but without, its
    second.
    """

    puts: list[tuple[bytes, bytes]] = field(default_factory=list)
    deletes: list[bytes] = field(default_factory=list)
    ranges: list[tuple[bytes, bytes]] = field(default_factory=list)


def node_row(id: NodeId) -> bytes:
    """The key of a node's row."""
    return NODE + node_key(id)


def root_id(version: int) -> NodeId:
    """The id under which a version's root is looked for."""
    return version << NONCE_BITS | ROOT_NONCE


def root_hash_row(version: int) -> bytes:
    """The key of the row that records a version's root hash."""
    return ROOT_HASH + version.to_bytes(8, "big")


def versions_range(first: int, end: int) -> list[tuple[bytes, bytes]]:
    """The ranges of all rows that the versions from `first` up to, but without, `end` made."""
    return [
        (node_row(first << NONCE_BITS), node_row(end << NONCE_BITS)),
        (root_hash_row(first), root_hash_row(end)),
    ]
