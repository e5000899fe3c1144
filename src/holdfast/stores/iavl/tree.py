"""The versioned tree: one working state, and any number of saved versions that never change.

The tree reads rows and hands out what has to be written, so whoever holds it decides how a batch is
committed:

    tree.set(b"key", b"value")
    step = tree.save_version()
    engine.write(step.batch)     # all of it or nothing
    tree.adopt(step)             # from now on the version is saved

A step that is not adopted changes nothing. One caller writes at a time; views may be read by others
meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from weakref import WeakSet

from holdfast.contract.errors import (
    Conflict,
    InvalidInput,
    Unsupported,
)
from holdfast.stores.iavl import editing, index, saving, versions, walking, working
from holdfast.stores.iavl.cache import CACHE_NODES, NodeCache
from holdfast.stores.iavl.checking import check_tree, check_versions
from holdfast.stores.iavl.diffing import Change, differences
from holdfast.stores.iavl.limits import KEY_BYTES_MAX, VALUE_BYTES_MAX, checked_key, checked_value
from holdfast.stores.iavl.loading import NodeStore, WalkStore
from holdfast.stores.iavl.nodes import VERSION_MAX, Link, Node, Root
from holdfast.stores.iavl.pruning import without_version
from holdfast.stores.iavl.rows import RowBatch, Rows, TreeRows, root_hash_row, versions_range
from holdfast.stores.iavl.steps import Kind, Saved, Step
from holdfast.stores.iavl.view import View


class IavlTree:
    """An IAVL+ tree over rows.

    Args:
        rows: where rows are read; what `get` finds must be committed.
        initial_version: the number of the first version that is saved.
        cache_nodes: how many nodes are kept in memory.
        cache: where, if other trees over the same store are to share them.
        fast_index: keep one row for each key of the latest version, so that a get is one look-up.

    Raises:
        IntegrityFailed: the latest version is not what was saved.
    """

    def __init__(
        self,
        rows: TreeRows,
        *,
        initial_version: int = 1,
        cache_nodes: int = CACHE_NODES,
        cache: NodeCache[Node] | None = None,
        fast_index: bool = False,
    ) -> None:
        if not 0 < initial_version < VERSION_MAX:
            raise InvalidInput(
                f"initial_version is between 1 and {VERSION_MAX - 1}; found {initial_version}",
                initial_version=initial_version,
            )
        self.initial_version = initial_version
        self.fast_index = fast_index
        self._nodes = NodeStore(rows, NodeCache(cache_nodes) if cache is None else cache)
        self._views: WeakSet[View] = WeakSet()
        # What the working state began as: the latest version, or an earlier one that was loaded.
        self._base = 0
        self._saved = Saved(0, 0, None)
        self._root: Root = None
        # Keys that were removed since the latest version; new leaves tell which were set.
        self._removed: set[bytes] = set()
        self._index_complete = False
        self.refresh()

    @property
    def indexed(self) -> bool:
        """Whether the fast index is wanted and complete; if not complete, `build_index`."""
        return self.fast_index and self._index_complete

    # --- Versions -----------------------------------------------------------------------------

    @property
    def latest_version(self) -> int:
        """The latest saved version; 0 when none is."""
        return self._saved.latest

    @property
    def current_version(self) -> int:
        """The version that the working state began as; 0 when nothing is saved."""
        return self._base

    def list_versions(self) -> range:
        """All saved versions, ascending."""
        first, latest, _ = self._saved
        return range(first, latest + 1) if latest else range(0)

    def refresh(self) -> None:
        """Read anew what is saved, when somebody else may have saved. Drops unsaved changes."""
        first, latest = versions.saved_versions(self._nodes.rows)
        root = versions.saved_root(self._nodes, latest) if latest else None
        self._saved = Saved(first, latest, root)
        self._index_complete = self.fast_index and index.is_complete(self._nodes.rows, self._saved)
        self.discard()

    def load_version(self, version: int, *, root_hash: bytes | None = None) -> bytes:
        """Make a saved version the working state; the next one that is saved is latest + 1.

        Unsaved changes are dropped. Returns the root hash.

        Raises:
            VersionNotFound: the version is not saved.
            IntegrityFailed: it is not what was saved, or its root hash is not `root_hash`.
        """
        root = self._root_of(version)
        found = saving.root_hash(root)
        if root_hash is not None and found != root_hash:
            raise versions.another_root(version)
        self._base = version
        self._root = root
        self._removed = set()
        return found

    def view(self, version: int) -> View:
        """A saved version to read; it is not pruned while the view is open."""
        view = View(self._nodes, version, self._root_of(version), self._is_pruned)
        self._views.add(view)
        return view

    def root_hash(self, version: int) -> bytes:
        """The root hash of a saved version; that of an empty tree is sha256 of nothing."""
        return saving.root_hash(self._root_of(version))

    def diff(self, before: int, after: int, *, newest: Rows | None = None) -> Iterator[Change]:
        """What leads from one saved version to another, in the order of the keys.

        Args:
            before, after: their numbers.
            newest: see `WalkStore`.
        """
        nodes = WalkStore(self._nodes.rows, self._nodes.cache, newest)
        return differences(nodes, self._root_of(before), self._root_of(after))

    def check(self, version: int) -> int:
        """Read a whole saved version from its rows; returns how many nodes it has.

        Raises:
            IntegrityFailed: the first node that is not what was saved.
        """
        self._root_of(version)
        return check_tree(self._nodes, versions.saved_root(self._nodes, version))

    def check_all(self) -> int:
        """Read everything that saved versions have; returns how many nodes there are.

        The first and the latest are read whole, of those between what is new in them.

        Raises:
            IntegrityFailed: the first node that is not what was saved.
        """
        first, latest, _ = self._saved
        return check_versions(self._nodes, first, latest) if latest else 0

    def changes(self) -> Iterator[Change]:
        """What leads from the latest version to the working state, in the order of the keys."""
        return differences(self._nodes, self._saved.root, self._root)

    # --- The working state --------------------------------------------------------------------

    @property
    def working_root(self) -> Root:
        """The root of the working state: whatever is done later makes another one."""
        return self._root

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        indexed = self.indexed and self._root is self._saved.root
        if indexed:
            value = index.index_value(self._nodes.rows, key)
            if value is not None:
                return value
        leaf = walking.find(self._nodes, self._root, key)
        if leaf is None:
            return None
        if indexed:
            raise index.damaged(key, "is missing")
        return leaf.value

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def __len__(self) -> int:
        return 0 if self._root is None else self._nodes.at(self._root).size

    def items(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs of the working state as it is now, with `start` <= key < `end`."""
        for leaf in walking.leaves(self._nodes, self._root, start, end, reverse=reverse):
            assert leaf.value is not None  # a leaf has one
            yield leaf.key, leaf.value

    def set(self, key: bytes, value: bytes) -> None:
        """Give a key a value.

        Raises:
            InvalidKey: the key is no bytes, empty, or too long.
            InvalidValue: the value is no bytes.
            ValueTooLarge: the value is too long.
        """
        if type(key) is not bytes or not 0 < len(key) <= KEY_BYTES_MAX:
            key = checked_key(key)
        if type(value) is not bytes or len(value) > VALUE_BYTES_MAX:
            value = checked_value(value)
        root = self._writable()
        self._root = editing.put(self._nodes, root, key, value, editing.next_edit())

    def apply(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Set and remove many keys in turn, for less than one by one; a value of None removes.

        All of them happen, or none does.

        Raises:
            As `set`.
        """
        root, removed = editing.applied(self._nodes, self._writable(), changes)
        if self.indexed:
            self._removed |= removed
        self._root = root

    def remove(self, key: bytes) -> bytes | None:
        """Remove a key; returns the value it had, or None when it had none."""
        key = checked_key(key)
        root, value = working.remove(self._nodes, self._writable(), key)
        if value is not None and self.indexed:
            self._removed.add(key)
        self._root = root
        return value

    def discard(self) -> None:
        """Drop unsaved changes; the working state is the latest version again."""
        self._removed = set()
        self._base = self._saved.latest
        self._root = self._saved.root

    def working_hash(self) -> bytes:
        """The root hash that `save_version` would give."""
        root = self._writable()
        saving.hashed_rows(saving.new_nodes(root), self._next_version())
        return saving.root_hash(root)

    # --- Steps --------------------------------------------------------------------------------

    def save_version(self) -> Step:
        """The step that saves the working state as the next version."""
        root = self._writable()
        saved = self._saved
        version = self._next_version()
        new = saving.new_nodes(root)
        replaced = [node.link for node in new if node.link]
        batch = RowBatch(saving.hashed_rows(new, version) or saving.root_rows(root, version))
        hash = saving.root_hash(root)
        first = saved.first or version
        if self.indexed:
            removed = (
                (key, None)
                for key in sorted(self._removed)
                if walking.find(self._nodes, root, key) is None
            )
            set_anew = ((leaf.key, leaf.value) for leaf in new if leaf.value is not None)
            index.write(batch, chain(removed, set_anew), version, hash)
        batch.puts.append(versions.saved_versions_row(first, version))
        batch.puts.append((root_hash_row(version), hash))
        after = Saved(first, version, None if root is None else saving.link_to(root))
        return Step(Kind.SAVE, version, hash, batch, saved, after, root, new, replaced)

    def prune(self, to: int) -> Iterator[Step]:
        """The steps that delete the versions up to and with `to`, the oldest first.

        Commit and adopt each before asking for the next. It ends early before a version of which a
        view is open, or that was loaded.

        Raises:
            InvalidInput: the latest version would go.
        """
        if to >= self._saved.latest:
            raise InvalidInput(
                f"the latest version, {self._saved.latest}, stays; wanted to prune to {to}",
                latest=self._saved.latest,
                to=to,
            )
        while (saved := self._saved).first <= to:
            if self._base == saved.first or self._held(saved.first, saved.first):
                return
            first, latest, root = saved
            batch = without_version(
                self._nodes, first, self._root_of(first), self._root_of(first + 1)
            )
            batch.puts.append(versions.saved_versions_row(first + 1, latest))
            after = Saved(first + 1, latest, root)
            yield Step(
                Kind.PRUNE, first, saving.root_hash(root), batch, saved, after, self._root, [], []
            )
            if self._saved is saved:
                raise Conflict("the step was not adopted, and the next one builds on it")

    def rollback(self, version: int) -> Step:
        """The step that drops all versions after `version`, and unsaved changes.

        Raises:
            VersionNotFound: the version is not saved.
            Conflict: a view of a version that would go is open.
        """
        saved = self._saved
        root = self._root_of(version)
        held = self._held(version + 1, saved.latest)
        if held:
            raise Conflict(
                f"version {held[0]} is being read and would be dropped; close its views first",
                versions=held,
            )
        batch = RowBatch(ranges=versions_range(version + 1, saved.latest + 1))
        hash = saving.root_hash(root)
        if self.indexed:
            changes = differences(self._nodes, saved.root, root)
            index.write(batch, ((one.key, one.after) for one in changes), version, hash)
        batch.puts.append(versions.saved_versions_row(saved.first, version))
        after = Saved(saved.first, version, root)
        return Step(Kind.ROLLBACK, version, hash, batch, saved, after, root, [], [])

    def build_index(self) -> Iterator[RowBatch]:
        """The batches that make the fast index of the latest version.

        Commit each before asking for the next, and call `refresh` afterwards. Until then the tree
        answers without the index.
        """
        if not self._saved.latest:
            return  # of nothing it is complete
        self._index_complete = False
        with self.view(self._saved.latest) as view:
            yield from index.rebuilt(view.items(), view.version, view.root_hash)

    def adopt(self, step: Step) -> None:
        """Go on from a step that was committed.

        Raises:
            Conflict: something else was saved or changed since the step was made.
        """
        if step.before is not self._saved or (
            step.kind is Kind.SAVE and step.working is not self._root
        ):
            raise Conflict(
                "the tree went on since this step was made; if the step was committed, `refresh`"
            )
        self._saved = step.after
        if step.kind is Kind.PRUNE:
            return
        self._index_complete = self.indexed
        self.discard()
        saving.keep_saved(self._nodes, step.new, step.replaced)

    # --- Inside -------------------------------------------------------------------------------

    def _next_version(self) -> int:
        version = self._saved.latest + 1 if self._saved.latest else self.initial_version
        if version > VERSION_MAX:
            raise Unsupported(f"versions end at {VERSION_MAX}")
        return version

    def _writable(self) -> Root:
        """The working root, grown out of the latest version.

        A version shares nodes with the one before it and no other, or pruning could not tell what
        is needed. So an earlier version that was loaded is not written to: what differs is set and
        removed in the latest one.
        """
        if self._base != self._saved.latest:
            latest = self._saved.root
            changes = differences(self._nodes, latest, self._root)
            self._root, self._removed = editing.applied(
                self._nodes, latest, ((key, after) for key, _, after in changes)
            )
            self._base = self._saved.latest
        return self._root

    def _root_of(self, version: int) -> Link | None:
        first, latest, root = self._saved
        if not 0 < first <= version <= latest:
            raise versions.not_found(version, first, latest)
        return root if version == latest else versions.saved_root(self._nodes, version)

    def _held(self, first: int, last: int) -> list[int]:
        """The versions in a range of which a view is open."""
        return sorted(
            {
                view.version
                for view in self._views
                if not view.closed and first <= view.version <= last
            }
        )

    def _is_pruned(self, version: int) -> bool:
        first, latest = versions.saved_versions(self._nodes.rows)
        return not first <= version <= latest
