"""The content root: one hash over all keys and values of a store, whatever their history.

    tree = ContentTree(rows)
    step = tree.fold({b"key": value_digest(b"value"), b"gone": None})
    engine.write(step.batch)     # all of it or nothing
    tree.adopt(step)             # from now on `tree.root_hash` is that of the new content

Whoever keeps a store records which keys changed, and folds them when a version is saved; a store
that is never saved pays nothing. One change among a million keys rewrites some thirty small rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from holdfast.contract.errors import (
    Conflict,
    IntegrityFailed,
    InvalidInput,
    InvalidKey,
    InvalidValue,
    VersionNotFound,
)
from holdfast.stores.iavl.cache import CACHE_NODES, NodeCache
from holdfast.stores.iavl.nodes import NODE_KEY_BYTES, Link, link_version, text
from holdfast.stores.iavl.rows import RowBatch, Rows
from holdfast.stores.merkle.comparing import DigestChange, differences, orphans
from holdfast.stores.merkle.folding import Fold
from holdfast.stores.merkle.nodes import DIGEST_BYTES, Node, decode_node, hash_of
from holdfast.stores.merkle.proofs import ContentProof, Step

NODE = b"t"
ROOT = b"r"
LATEST = b"mcontent"
VERSION_BYTES = 8
KEY_BYTES_MAX = 1 << 16


def value_digest(value: bytes) -> bytes:
    """The digest under which a value goes into the content root."""
    return sha256(value).digest()


class Saved(NamedTuple):
    """The version that was folded last, and its root."""

    version: int
    root: Link | None


@dataclass(frozen=True, slots=True)
class Folded:
    """A new version, to be committed and then adopted.

    Attributes:
        version: its number.
        root_hash: the content root; of nothing, 32 zero bytes.
        batch: what has to be committed.
    """

    version: int
    root_hash: bytes
    batch: RowBatch
    before: Saved
    after: Saved
    new: list[Node]


class ContentTree:
    """A history-independent Merkle tree over rows: keys, and digests of 32 bytes.

    Args:
        rows: where rows are read; what `get` finds must be committed.
        cache_nodes: how many nodes are kept in memory.
        cache: where, if other trees over the same store are to share them.

    Raises:
        IntegrityFailed: the latest version is not what was written.
        VersionNotFound: its root is missing.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        cache_nodes: int = CACHE_NODES,
        cache: NodeCache[Node] | None = None,
    ) -> None:
        self._rows = rows
        self._cache = NodeCache(cache_nodes) if cache is None else cache
        latest = rows.get(LATEST)
        self._saved = Saved(0, None)
        if latest is not None:
            version = int.from_bytes(latest, "big")
            if len(latest) != VERSION_BYTES or not version:
                raise IntegrityFailed(
                    "the latest version of the content tree is not what was written. Fold all "
                    "keys anew"
                )
            self._saved = Saved(version, self._root_of(version))

    @property
    def version(self) -> int:
        """The version that was folded last; 0 when none was."""
        return self._saved.version

    @property
    def root_hash(self) -> bytes:
        """The content root of the latest version."""
        return hash_of(self._saved.root)

    def root_of(self, version: int) -> bytes:
        """The content root of a saved version. Raises VersionNotFound."""
        return hash_of(self._root_of(version))

    def fold(self, changes: Mapping[bytes, bytes | None], *, version: int | None = None) -> Folded:
        """The step that makes a version of the latest one and changed keys.

        Args:
            changes: the new digest of each changed key; None for a key that is gone.
            version: the number of the version, above the latest; the next one unless given.

        Raises:
            InvalidKey: a key is no bytes, empty or too long.
            InvalidValue: a digest has not 32 bytes.
        """
        saved = self._saved
        number = saved.version + 1 if version is None else version
        if not saved.version < number < 1 << 8 * VERSION_BYTES - 1:
            raise InvalidInput(
                f"the next version is above {saved.version}; found {number}", version=number
            )
        for key, digest in changes.items():
            _check(key, digest)
        fold = Fold(self._load, saved.root)
        fold.change(changes.items())
        prefix = number.to_bytes(VERSION_BYTES, "big")
        root, new, rows = fold.rows(lambda nonce: prefix + nonce.to_bytes(4, "big"))
        batch = RowBatch([(NODE + key, row) for key, row in rows])
        batch.puts.append((ROOT + prefix, root or b""))
        batch.puts.append((LATEST, prefix))
        return Folded(number, hash_of(root), batch, saved, Saved(number, root), new)

    def adopt(self, folded: Folded) -> None:
        """Go on from a step that was committed. Raises Conflict when another came between."""
        if folded.before is not self._saved:
            raise Conflict("the tree went on since this step was made; open the tree anew")
        self._saved = folded.after
        for node in folded.new:
            self._cache.keep(node)

    def get(self, key: bytes, *, version: int | None = None) -> bytes | None:
        """The digest of a key's value, or None."""
        child = self._at(version)
        while child is not None:
            node = self._load(child)
            if key == node.key:
                return node.digest
            child = node.left if key < node.key else node.right  # type: ignore[assignment]
        return None

    def prove(self, key: bytes, *, version: int | None = None) -> ContentProof:
        """The proof of a key's digest, or of its absence; see `proofs.py` for what it shows."""
        child = self._at(version)
        steps: list[Step] = []
        while child is not None:
            node = self._load(child)
            left, right = hash_of(_saved(node.left)), hash_of(_saved(node.right))
            if key == node.key:
                return ContentProof(key, node.digest, left, right, tuple(steps))
            lower = key < node.key
            steps.append(Step(node.key, node.digest, right if lower else left))
            child = _saved(node.left if lower else node.right)
        return ContentProof(key, None, b"", b"", tuple(steps))

    def diff(self, before: int, after: int) -> Iterator[DigestChange]:
        """The keys whose digests differ between two versions, in order; walks what differs."""
        return differences(self._load, self._root_of(before), self._root_of(after))

    def check(self, version: int) -> int:
        """Read a whole version from its rows; how many keys it has.

        Each row is checked against the hash in its parent's link when it is read; beside that, keys
        have to stand in order, and priorities to fall.

        Raises:
            IntegrityFailed: something is not what was saved.
        """
        count = 0
        last: bytes | None = None
        for change in differences(self._checked, None, self._root_of(version)):
            if last is not None and change.key <= last:
                raise IntegrityFailed(
                    f"the keys of version {version} of the content tree are out of order. Fold all "
                    "keys anew"
                )
            last = change.key
            count += 1
        return count

    def check_new(self, version: int, before: int) -> int:
        """Read what a version has and an earlier one had not; how many keys differ.

        Raises:
            IntegrityFailed: something is not what was saved.
        """
        old, new = self._root_of(before), self._root_of(version)
        return sum(1 for _ in differences(self._checked, old, new))

    def _checked(self, link: Link) -> Node:
        node = self._load(link)
        for child in (node.left, node.right):
            if child is not None and self._load(_required(child)).priority > node.priority:
                raise IntegrityFailed(
                    f"node {text(link)} of the content tree stands above a greater one. Fold all "
                    "keys anew",
                    node=text(link),
                )
        return node

    def without(self, version: int, following: int) -> RowBatch:
        """The changes of rows that delete the oldest version, `following` being the next one."""
        old, new = self._root_of(version), self._root_of(following)
        batch = RowBatch(deletes=[ROOT + version.to_bytes(VERSION_BYTES, "big")])
        gone = list(orphans(self._load, version, old, new))
        self._cache.forget_all(gone)  # or it fills with what is read for this alone
        batch.deletes += [NODE + link[:NODE_KEY_BYTES] for link in gone]
        return batch

    def _at(self, version: int | None) -> Link | None:
        return self._saved.root if version is None else self._root_of(version)

    def _root_of(self, version: int) -> Link | None:
        row = None
        if 0 < version < 1 << 8 * VERSION_BYTES:
            row = self._rows.get(ROOT + version.to_bytes(VERSION_BYTES, "big"))
        if row is None:
            raise VersionNotFound(f"no content root of version {version} is saved", version=version)
        if not row:
            return None
        if len(row) != NODE_KEY_BYTES + DIGEST_BYTES or link_version(row) > version:
            raise IntegrityFailed(
                f"the content root of version {version} is not what was written. Fold all keys "
                "anew",
                version=version,
            )
        return row

    def _load(self, link: Link) -> Node:
        node = self._cache.young.get(link) or self._cache.older(link)
        if node is None:
            node = self._read(link)
            self._cache.keep(node)
        return node

    def _read(self, link: Link) -> Node:
        row = self._rows.get(NODE + link[:NODE_KEY_BYTES])
        node = None if row is None else decode_node(row, link)
        if node is None:
            what = "missing" if row is None else "not what was saved"
            raise IntegrityFailed(
                f"node {text(link)} of the content tree is {what}. Fold all keys anew",
                node=text(link),
            )
        return node


def _saved(child: object) -> Link | None:
    assert child is None or isinstance(child, bytes)  # nodes that are kept have no others
    return child


def _required(child: object) -> Link:
    assert isinstance(child, bytes)  # nodes that are kept have no others
    return child


def _check(key: bytes, digest: bytes | None) -> None:
    if type(key) is not bytes or not 0 < len(key) <= KEY_BYTES_MAX:
        what = f"{len(key)} bytes" if isinstance(key, bytes) else f"a {type(key).__name__}"
        raise InvalidKey(f"a key is bytes, 1 to {KEY_BYTES_MAX} of them; found {what}")
    if digest is not None and (type(digest) is not bytes or len(digest) != DIGEST_BYTES):
        raise InvalidValue(
            f"a digest is {DIGEST_BYTES} bytes; `value_digest` makes one", limit=DIGEST_BYTES
        )
