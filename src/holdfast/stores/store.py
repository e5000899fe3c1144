"""`Store`: plain bytes under byte keys, in order."""

from __future__ import annotations

from datetime import timedelta

from holdfast.contract.errors import (
    Conflict,
    InvalidInput,
    StoreClosed,
    StoreError,
    StoreNotFound,
    Unsupported,
)
from holdfast.store.feed_row import WriteContext
from holdfast.stores.config import StoreConfig
from holdfast.stores.content import WRITE_ATTEMPTS, Content, Overtaken, moving
from holdfast.stores.home import Home
from holdfast.stores.lifecycle import CLOSED
from holdfast.stores.limits import checked_version
from holdfast.stores.mounts import MountedStore, mounted, part_of
from holdfast.stores.transaction import StoreTransaction
from holdfast.stores.verbs import Verbs
from holdfast.stores.versioned import VersionedVerbs


class Store(Verbs, VersionedVerbs):
    """Bytes under byte keys, in the order of the keys.

    Made by `db.stores`. Every write is one durable commit, told in the feed (`db.watch` with
    `view="stores"`); inside a transaction it is part of that.
    """

    def __init__(self, content: Content, config: StoreConfig, home: Home) -> None:
        super().__init__(content, config, home)
        self._refusal: StoreError | None = None

    def __repr__(self) -> str:
        return f"<Store {self.name!r}>"

    @property
    def supports_transactions(self) -> bool:
        """Whether `transaction` works here."""
        return not self._home.fixed

    @property
    def supports_versioning(self) -> bool:
        """Whether `save_version` works here."""
        return not self._home.fixed and self._home.writable

    def transaction(
        self,
        isolation: str = "serializable",
        *,
        read_only: bool = False,
        timeout: float | timedelta | None = None,
    ) -> StoreTransaction:
        """A transaction on this store, which is a store itself; `db.transaction` is one on all.

        Args:
            isolation: `read_committed`, `repeatable_read` (also `snapshot`) or `serializable`.
            read_only: it writes nothing.
            timeout: seconds or a timedelta, after which it is rolled back.

        Raises:
            InvalidInput: the arguments cannot be.
            Unsupported: inside another transaction, or on a snapshot.
        """
        content = self._require_outside("a transaction begins")
        return StoreTransaction(
            content, self._config, self._home, isolation, read_only=read_only, timeout=timeout
        )

    def under(self, prefix: bytes) -> MountedStore:
        """The keys that begin with `prefix`, as a store in which they do not. Raises InvalidInput.

        What is set, walked or counted there stays within the prefix.
        """
        return part_of(self, prefix)

    def mount(self, prefix: bytes, store: Verbs) -> MountedStore:
        """This store with another one under a prefix: keys that begin with it are that store's.

        What this store has under the prefix itself is hidden there. A batch that writes into both
        is one commit.

        Raises:
            InvalidInput: the prefix is empty, or another mount stands in its way.
            Unsupported: the stores are not of one database.
        """
        return mounted(self, prefix, store)

    async def branch(self, name: str, version: int | None = None) -> Store:
        """A new store that begins as a saved version of this one; nothing is copied.

        Both go on by themselves, share the rows that neither has changed, and can be merged.

        Args:
            name: of the new store.
            version: where it begins; left out, at the current one.

        Raises:
            VersionNotFound: it is not saved, or none is.
            StoreExists, InvalidName: the name cannot be had.
            Unsupported: of a plain store, inside a transaction, or on a snapshot.
        """
        content = self._require_outside("a store is branched")
        if version is not None:
            checked_version(version)
        branch: Store = await self._home.branched(content, name, version)
        return branch

    async def merge(self, branch: Store, *, prefer: str | None = None) -> int:
        """Bring what changed in a branch since it began into this store, as one commit.

        Args:
            branch: a branch of this store, with its unsaved changes.
            prefer: which value is taken where both changed a key to different values: `ours` of
                this store, or `theirs` of the branch; left out, that is a conflict.

        Returns:
            How many keys were changed here.

        Raises:
            Conflict: both changed a key to different values; `keys` names them. Nothing was
                changed.
            InvalidInput: the other store is no branch of this one.
        """
        from holdfast.stores.versions.branches import merged_wishes

        content = self._require_outside("stores are merged")
        if not isinstance(branch, Store):
            raise InvalidInput(f"a branch of this store is merged; found a {type(branch).__name__}")
        context = WriteContext(comment=f"merge of {branch.name}")
        for _ in range(WRITE_ATTEMPTS):
            wishes, revision = await merged_wishes(content, branch._open(), prefer)
            try:
                if wishes:
                    await content.write_since(wishes, revision, context)
            except Overtaken:
                continue  # What came meanwhile may be a conflict.
            except Conflict as conflict:
                if not await self._renew(conflict):
                    raise
                content = self._require_outside("stores are merged")
                continue
            return len(wishes)
        raise moving()

    async def close(self) -> None:
        """Let go of it: every later call raises StoreClosed. Closing twice does nothing."""
        if self._refusal is None:
            self._refusal = StoreClosed(
                f"the store {self._name!r} was closed; get it again from `db.stores`"
            )
            self._home.forget(self._content.space.keyspace.number)
            self._home.lifecycle.publish(CLOSED, self._name)

    @property
    def closed(self) -> bool:
        """Whether it was closed or deleted."""
        return self._refusal is not None

    # --- Inside -----------------------------------------------------------------------------

    def _dropped(self) -> None:
        """It was deleted: every later call raises StoreNotFound."""
        if self._refusal is None:
            self._refusal = StoreNotFound(
                f"the store {self._name!r} was deleted; nothing is there any more. Create another",
                name=self._name,
            )

    def _open(self) -> Content:
        if self._refusal is not None:
            raise self._refusal
        return self._content

    async def _renew(self, conflict: Conflict) -> bool:
        if self._home.fixed or conflict.details.keys() != {"name"}:
            return False
        renewed = await self._home.renewed(self._content)
        if renewed is not None:
            self._use(self._content, renewed)
        return True  # Another task may have noticed it before.

    def _require_outside(self, what: str) -> Content:
        content = self._open()
        content.space.check()
        if self._home.fixed:
            raise Unsupported(
                f"{what} outside of transactions and snapshots; do it on the store of the database"
            )
        return content
