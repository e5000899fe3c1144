"""Changes of the keys (rotation, wrapping anew, destruction), and the walk behind them.

A rotation makes a new version of a key, under which all writes happen from that commit on, and then
walks over the rows and writes those that are under older versions anew, a few at a time, while
others read and write. The rows keep their revisions. How far the walk got stands in the database,
so whoever asks for the same again goes on there.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from holdfast.contract.errors import InvalidInput, StoreLocked, Unsupported
from holdfast.contract.record import Range
from holdfast.layers.encrypt.keeper import Change
from holdfast.layers.encrypt.layer import EncryptLayer
from holdfast.layers.encrypt.ring import DATABASE, DataKey, Ring, Rotation
from holdfast.layers.encrypt.walk import Progress, Walk


class Rotated(NamedTuple):
    """What a change of keys came to.

    Attributes:
        name: of the key.
        version: that rows are written under now; 0: it is destroyed.
        looked_at: rows of the database.
        changed: how many of them were written anew, or removed.
        resumed: whether it went on with a walk that was broken off.
    """

    name: str
    version: int
    looked_at: int
    changed: int
    resumed: bool


async def rotate(
    layer: EncryptLayer, name: str, *, rewrite: bool, progress: Progress | None
) -> Rotated:
    """A new version of a key; with `rewrite` no row stays under an older one.

    Raises:
        InvalidInput: there is no key of that name.
        StoreLocked: a walk for another key was broken off, or is under way; finish that one first.
        Unsupported: the engine cannot write rows anew.
        DecryptionFailed: rows do not open, and stay as they are; all others are done.
    """
    resumed = False

    async def begin(ring: Ring) -> Change | None:
        nonlocal resumed
        active = _active(ring, name)
        if rewrite and not layer.inner.capabilities.rewrites:
            raise Unsupported(
                f"the engine {layer.capabilities.engine} cannot write rows anew under their "
                "revisions; rotate with rewrite=False: what is written from now on is under the "
                "new key"
            )
        _require_free(ring, name)
        standing = ring.rotation
        resumed = standing is not None and standing.name == name
        if resumed and (rewrite or not _ended(ring)):
            return None
        # What a walk had to leave is no reason to go on writing under a key that is to go.
        resumed = False
        made = await layer.keeper.make(name, ring)
        retired = msgspec.structs.replace(active, state="retired")
        theirs = standing is not None and standing.name != name
        if rewrite:
            return [retired, made], Rotation(name, active.number)
        return [retired, made], "same" if theirs else None

    ring = await layer.keeper.change(begin)
    looked_at = changed = 0
    if ring.rotation is not None and ring.rotation.name == name:
        looked_at, changed = await Walk(layer, ring.rotation, progress).run()
    return Rotated(name, ring.active[name].version, looked_at, changed, resumed)


async def destroy(layer: EncryptLayer, name: str, progress: Progress | None) -> Rotated:
    """Destroy a key with its master key, and remove the rows that nobody can read any more.

    Raises:
        InvalidInput: it is the key of the database itself, or there is no key of that name.
        Unsupported: the provider destroys no master keys.
    """
    provider = layer.keeper.asking.provider
    if name == DATABASE:
        raise InvalidInput(
            "the key of the database itself is not destroyed from within: remove the files, and "
            "destroy its master key where that is kept"
        )
    resumed = False

    async def mark(ring: Ring) -> Change | None:
        nonlocal resumed
        keys = ring.of_name(name)
        if not keys:
            raise _unknown(ring, name)
        _require_free(ring, name)
        resumed = ring.rotation is not None and ring.rotation.name == name
        # Not before the ring can be changed, and before it is: nobody comes back from here.
        await layer.keeper.asking.ask(lambda: provider.destroy(name))
        if all(key.state == "destroyed" for key in keys) and resumed:
            return None
        gone = [msgspec.structs.replace(key, state="destroyed", wrapped=b"") for key in keys]
        return gone, Rotation(name, max(key.number for key in keys))

    ring = await layer.keeper.change(mark)
    looked_at = changed = 0
    if (
        ring.rotation is not None and ring.rotation.name == name
    ):  # Else another process, which did the same, was faster.
        looked_at, changed = await Walk(layer, ring.rotation, progress).run()
    return Rotated(name, 0, looked_at, changed, resumed)


async def forget(layer: EncryptLayer, name: str) -> list[int]:
    """Destroy the retired versions of a key, under which no row is any more; which ones.

    Backups from before the rotation cannot be restored afterwards.

    Raises:
        InvalidInput: there is no key of that name, or rows are still under it; rotate first.
    """
    versions: list[int] = []

    async def mark(ring: Ring) -> Change | None:
        _active(ring, name)
        _require_free(ring, "")
        retired = [key for key in ring.of_name(name) if key.state == "retired"]
        await _require_unused(layer, {key.number for key in retired})
        versions[:] = [key.version for key in retired]
        gone = [msgspec.structs.replace(key, state="destroyed", wrapped=b"") for key in retired]
        return (gone, "same") if gone else None

    await layer.keeper.change(mark)
    return versions


async def wrap_anew(layer: EncryptLayer, *, renew: bool) -> int:
    """Wrap all data keys under the newest master keys; how many. No row is touched.

    Args:
        layer: of the database.
        renew: first have the provider make new versions of the master keys.
    """
    provider, renewed = layer.keeper.asking.provider, not renew
    count = 0

    async def wrapped(ring: Ring) -> Change | None:
        nonlocal count, renewed
        living = [key for key in ring.keys.values() if key.state != "destroyed"]
        if not renewed:
            for name in sorted({key.name for key in living}):
                await layer.keeper.asking.ask(lambda name=name: provider.renew(name))  # type: ignore[misc]
            renewed = True
        count = len(living)
        return [await layer.keeper.rewrapped(key) for key in living], "same"

    await layer.keeper.change(wrapped)
    return count


# --- Inside -------------------------------------------------------------------------------------


async def _require_unused(layer: EncryptLayer, numbers: set[int]) -> None:
    rest: Range | None = Range()
    while rest is not None:
        page = await layer.inner.scan(rest)
        for key, (stored, _) in page.rows:
            number = layer.rows.number_of(key, stored)
            if number in numbers:
                found = layer.rows.ring.keys[number]
                raise InvalidInput(
                    f"rows are still under the key {found.name!r} in version {found.version}; "
                    "rotate it with rewrite=True first, which says which of them do not open",
                )
        rest = page.resume


def _active(ring: Ring, name: str) -> DataKey:
    found = ring.active.get(name)
    if found is None:
        raise _unknown(ring, name)
    return found


def _require_free(ring: Ring, name: str) -> None:
    standing = ring.rotation
    if standing is not None and standing.name != name and not standing.ended:
        raise StoreLocked(
            f"a walk for the key {standing.name!r} was broken off, or is under way elsewhere. Ask "
            "for the same again: it goes on where it was",
        )


def _ended(ring: Ring) -> bool:
    """Whether the walk that stands in the ring came to its end, and left rows."""
    return ring.rotation is not None and ring.rotation.ended


def _unknown(ring: Ring, name: str) -> InvalidInput:
    known = ", ".join(sorted(ring.active))
    return InvalidInput(f"there is no key named {name!r} in the database; found {known}")
