"""The keys of an encrypted database, for those who look after it: `db.data_keys`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from holdfast.contract.engine import Engine
from holdfast.contract.errors import InvalidInput
from holdfast.runtime.working import checked_progress
from holdfast.store.encrypted import encryption_of
from holdfast.store.instants import instant
from holdfast.store.keyspaces import Keyspaces

if TYPE_CHECKING:
    from holdfast.layers.encrypt.layer import EncryptLayer
    from holdfast.layers.encrypt.rotation import Rotated

#: The name of the key that encrypts what no other name was given for.
DATABASE = "database"


class DataKeyFacts(NamedTuple):
    """What is known of a data key. The key itself is in nobody's hands.

    Attributes:
        name: what it is for: `database`, or what keyspaces name.
        version: of the name, from 1.
        state: `active`, `retired` or `destroyed`.
        made_at: when.
        master: the version of the master key that wraps it.
        in_rotation: whether rows are being written anew under a later one.
    """

    name: str
    version: int
    state: str
    made_at: datetime
    master: str
    in_rotation: bool


class DataKeys:
    """The keys of a database that is encrypted; every call refuses one that is not.

    Args:
        engine: of the database.
        keyspaces: its directory.
        check: raises unless the handle may be used.
    """

    def __init__(self, engine: Engine, keyspaces: Keyspaces, check: Callable[[], object]) -> None:
        self._engine = engine
        self._keyspaces = keyspaces
        self._check = check

    async def list(self) -> Sequence[DataKeyFacts]:
        """All keys, destroyed ones too, by name and version."""
        layer = self._layer()
        await layer.keeper.refresh()
        ring = layer.rows.ring
        walk = ring.rotation
        return [
            DataKeyFacts(
                key.name, key.version, key.state, instant(key.made_at_ms), key.master,
                walk is not None and walk.name == key.name and key.number <= walk.up_to,
            )
            for key in sorted(ring.keys.values(), key=lambda key: (key.name, key.version))
        ]  # fmt: skip

    async def rotate(
        self,
        name: str = DATABASE,
        *,
        rewrite: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> Rotated:
        """Write under a new version of a key from now on, and what is stored anew under it.

        Reads and writes go on meanwhile. Broken off, it goes on where it was when it is asked for
        again. The older version stays for backups until `forget`.

        Args:
            name: of the key.
            rewrite: False: what is stored stays under the older version.
            progress: called with (rows looked at, rows written anew).

        Raises:
            InvalidInput: there is no key of that name, or the database is not encrypted.
            StoreLocked: a walk for another key was broken off; finish that one first.
            Unsupported: the engine cannot write rows anew.
            DecryptionFailed: rows that `rows` names do not open, and stay as they are; all others
                are done. Asked again, it goes on with these.
        """
        layer = self._layer()
        checked_progress(progress)
        from holdfast.layers.encrypt import rotation

        return await rotation.rotate(layer, name, rewrite=rewrite, progress=progress)

    async def forget(self, name: str = DATABASE) -> Sequence[int]:
        """Destroy the retired versions of a key; which ones.

        Backups that were taken before the rotation cannot be read any more.

        Raises:
            InvalidInput: there is no key of that name, or rows are still under one of them.
        """
        layer = self._layer()
        from holdfast.layers.encrypt import rotation

        return await rotation.forget(layer, name)

    async def wrap_anew(self, *, renew: bool = False) -> int:
        """Wrap every data key under the newest master key; how many. No row is touched.

        Args:
            renew: first have the provider make a new version of each master key.

        Raises:
            Unsupported: the provider makes no master keys; add one where they are kept.
        """
        layer = self._layer()
        from holdfast.layers.encrypt import rotation

        return await rotation.wrap_anew(layer, renew=renew)

    async def destroy(
        self, name: str, *, progress: Callable[[int, int], None] | None = None
    ) -> Rotated:
        """Destroy a key for good, and with it all data under it, in every backup too.

        The master key goes first; then the keyspaces that name the key are dropped, and their rows
        and changes removed. Broken off, it goes on when it is asked for again.

        Args:
            name: of the key; never that of the database.
            progress: called with (rows looked at, rows removed).

        Raises:
            InvalidInput: it is the database's own key, or there is none of that name.
            Unsupported: the provider destroys no master keys.
        """
        layer = self._layer()
        checked_progress(progress)
        from holdfast.layers.encrypt import rotation

        destroyed = await rotation.destroy(layer, name, progress)
        theirs = [
            one async for one in self._keyspaces.list(every=True) if one.settings.cipher == name
        ]
        for keyspace in theirs:
            if keyspace.state == "living":
                await self._keyspaces.drop(keyspace.view, keyspace.name)
            else:
                await self._keyspaces.clear(keyspace)
        return destroyed

    def _layer(self) -> EncryptLayer:
        self._check()
        layer = encryption_of(self._engine)
        if layer is None:
            raise InvalidInput(
                f"{self._engine.config.url} is not encrypted, and has no keys. Copy it into a "
                "database that is: `await db.copy_to(address, encryption=...)`"
            )
        return layer
