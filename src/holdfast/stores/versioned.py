"""The verbs of a store that concern its saved versions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from holdfast.contract.errors import InvalidInput, Unsupported
from holdfast.stores.config import StoreConfig, remembered
from holdfast.stores.content import Content
from holdfast.stores.home import Home
from holdfast.stores.lifecycle import VERSION_LOADED, VERSION_SAVED
from holdfast.stores.limits import checked_key, checked_version

if TYPE_CHECKING:
    from holdfast.stores.versions.base import KeyChange, SavedVersion, Versions
    from holdfast.stores.versions.saved import SavedStore


class VersionedVerbs:
    """Saving versions, looking at them, going back to them.

    The version of a store of kind `iavl` is all of its keys and values, under the root hash of
    cosmos/iavl. That of a plain store is a content root: which keys had which values, whatever
    happened before; the values themselves are those of now.
    """

    _content: Content
    _home: Home
    _name: str
    _config: StoreConfig
    _known: tuple[Content, Versions] | None = None

    # --- Saving -----------------------------------------------------------------------------

    async def save_version(self) -> SavedVersion:
        """Save what stands here as the next version: its number, and its root hash.

        Writers go on meanwhile; the version is one moment. What is saved costs what changed since
        the version before. A plain store records its changed keys from its first version on.

        Raises:
            Unsupported: inside a transaction or on a snapshot.
            ReadOnly: the handle was opened for reading.
        """
        await self._recorded()
        saved = await self._versions().save()
        self._home.lifecycle.publish(
            VERSION_SAVED, self._name, version=saved.number, root=saved.root
        )
        return saved

    # --- Looking at versions ----------------------------------------------------------------

    async def list_versions(self) -> list[int]:
        """The numbers of all saved versions, ascending; none, when none was saved."""
        return await self._versions().numbers()

    async def current_version(self) -> int:
        """The version that unsaved changes stand on: the one saved or loaded last; 0: none."""
        return await self._versions().current()

    async def root(self, version: int | None = None) -> SavedVersion:
        """A saved version with its root hash; left out, the current one.

        Raises:
            VersionNotFound: it is not saved, or not any more.
        """
        return await self._versions().root(_checked(version))

    async def content_root(self, version: int | None = None) -> bytes:
        """The content root of a saved version: equal for equal keys and values, in any store.

        Of a plain store it is the root of the version. A store of kind `iavl`, whose root depends
        on its history, reads the whole version for it.

        Raises:
            VersionNotFound: it is not saved, or not any more.
        """
        return await self._versions().content_root(_checked(version))

    async def diff(self, before: int, after: int) -> AsyncIterator[KeyChange]:
        """The keys that differ between two saved versions, in order; walks what differs only.

        Values of a store of kind `iavl`, SHA-256 digests of values of a plain one.

        Raises:
            VersionNotFound: one of them is not saved, or not any more.
        """
        async for change in self._versions().diff(*map(checked_version, (before, after))):
            yield change

    async def prove(self, key: bytes, version: int | None = None) -> bytes:
        """The proof of a key's value, or of its absence, below the root of a saved version.

        That of a store of kind `iavl` is an ICS-23 CommitmentProof, that of a plain store a proof
        of the value's SHA-256 digest; `holdfast.stores.proofs.proven` reads both.

        Raises:
            VersionNotFound: the version is not saved, or not any more.
            Unsupported: ICS-23 has no such proof: the tree is empty, or a value it needs is.
        """
        return await self._versions().prove(checked_key(key), _checked(version))

    async def verify(self, version: int | None = None) -> int:
        """Read a saved version whole, or all of them; how many nodes there are.

        Raises:
            IntegrityFailed: the first row that is not what was saved.
            VersionNotFound: the version is not saved, or not any more.
        """
        return await self._versions().verify(_checked(version))

    async def at_version(self, version: int) -> SavedStore:
        """A saved version to read from. Close it, or use it as a context manager.

        Pruning and rolling back, by whatever process, take nothing away from it where the engine
        has snapshots.

        Raises:
            VersionNotFound: it is not saved, or not any more.
            Unsupported: of a plain store.
        """
        from holdfast.stores.versions.saved import open_saved
        from holdfast.stores.versions.tree_content import TreeContent

        content = self._open()
        content.space.check()
        if not isinstance(content, TreeContent):
            raise Unsupported(
                f"the versions of the plain store {self._name!r} keep roots and proofs, not "
                "values. Create the store with kind='iavl'"
            )
        return await open_saved(content, checked_version(version))

    # --- Going back, and giving up ----------------------------------------------------------

    async def load_version(self, version: int) -> SavedVersion:
        """Make a saved version what stands here; unsaved changes are dropped, in one commit.

        Every reader sees it from then on. Versions after it stay, and the next one that is saved
        is the latest plus one.

        Raises:
            VersionNotFound: it is not saved, or not any more; nothing was changed.
            Unsupported: of a plain store, inside a transaction, or on a snapshot.
        """
        await self._renewed("versions are loaded")
        loaded = await self._versions().load(checked_version(version))
        self._home.lifecycle.publish(VERSION_LOADED, self._name, version=version)
        return loaded

    async def rollback(self, version: int) -> SavedVersion:
        """Drop all versions after this one, and unsaved changes; it is what stands here then.

        Raises:
            VersionNotFound: it is not saved, or not any more; nothing was changed.
            Conflict: a branch began at a version that would go.
            Unsupported: of a plain store, inside a transaction, or on a snapshot.
        """
        await self._renewed("versions are dropped")
        return await self._versions().rollback(checked_version(version))

    async def prune(self, to: int) -> int:
        """Drop the versions up to and with `to`, the oldest first; how many went.

        It ends before a version that unsaved changes stand on, or that a branch began at. Whoever
        reads a version reads on.

        Raises:
            InvalidInput: the latest version would go.
            Conflict: others saved or dropped versions meanwhile.
        """
        await self._renewed("versions are dropped")
        if type(to) is not int or to < 0:
            raise InvalidInput(f"versions are pruned up to a number from 0; found {to!r}")
        return await self._versions().prune(to)

    # --- The fast index ---------------------------------------------------------------------

    async def build_index(self) -> int:
        """Make the fast index of a store of kind `iavl` anew; how many rows it has.

        From then on the store keeps it, as one made with `fast_index=True` does from the start.
        It is made beside readers and writers; until it is complete, they go through the tree.

        Raises:
            Conflict: somebody else began to build it meanwhile.
            Unsupported: of a plain store, inside a transaction, or on a snapshot.
            IntegrityFailed: the tree is damaged.
        """
        content = await self._renewed("an index is built")
        if self._config.kind == "iavl":
            self._use(content, await self._home.indexed(content, wanted=True))
        return await self._versions().build_index()

    async def drop_index(self) -> int:
        """Give up the fast index of a store of kind `iavl`; how many rows it had.

        From then on reads go down the tree, and saved versions write no rows for it. Broken off, it
        goes on when it is asked for again.

        Raises:
            Conflict: somebody else began to build it meanwhile.
            Unsupported: of a plain store, inside a transaction, or on a snapshot.
        """
        content = await self._renewed("an index is dropped")
        if self._config.kind == "iavl":
            self._use(content, await self._home.indexed(content, wanted=False))
        return await self._versions().drop_index()

    # --- Inside -----------------------------------------------------------------------------

    @abstractmethod
    def _open(self) -> Content:
        """The content, if the store may be used."""

    @abstractmethod
    def _require_outside(self, what: str) -> Content:
        """The content, if versions can be changed here."""

    async def _recorded(self) -> Content:
        """The content, with its changed keys recorded from now on."""
        content = self._require_outside("versions are saved")
        self._use(content, await self._home.tracked(content))
        return self._content

    async def _renewed(self, what: str) -> Content:
        """The content, as the settings of the store are by now."""
        content = self._require_outside(what)
        self._use(content, await self._home.renewed(content) or content)
        return self._content

    def _use(self, content: Content, renewed: Content) -> None:
        """Go on with a renewed content, unless somebody else does already."""
        if renewed is not content and self._content is content:
            self._content = renewed
            self._config = remembered(renewed.space.keyspace.settings).config

    def _versions(self) -> Versions:
        content = self._open()
        content.space.check()
        known = self._known
        if known is None or known[0] is not content:
            from holdfast.stores.versions.kinds import versions_of

            known = self._known = content, versions_of(content)
        return known[1]


def _checked(version: int | None) -> int | None:
    return None if version is None else checked_version(version)
