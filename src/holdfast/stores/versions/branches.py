"""Branches: a store that begins as a saved version of another, and the way back.

A branch reads the rows of the versions before it began where they stand, and writes its own. The
store it came from keeps the version it began at, for as long as the branch is there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec.structs import replace

from holdfast.contract.batch import Need
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict, InvalidInput, Unsupported
from holdfast.contract.record import Record
from holdfast.runtime.drive import drive
from holdfast.store.keyspaces import Begins, Keyspace, KeyspaceSettings
from holdfast.store.plan import Plan
from holdfast.stores.config import Origin, Remembered
from holdfast.stores.content import Content, Moved, Wish
from holdfast.stores.iavl.diffing import differences
from holdfast.stores.iavl.loading import NodeStore
from holdfast.stores.iavl.nodes import Root
from holdfast.stores.iavl.rows import SAVED_VERSIONS
from holdfast.stores.iavl.versions import saved_root, saved_versions_row
from holdfast.stores.versions.base import Moment, moment_of, not_found
from holdfast.stores.versions.holds import hold_key
from holdfast.stores.versions.rows import EngineRows, tree_prefix
from holdfast.stores.versions.state import encode_state, state_key
from holdfast.stores.versions.tree_content import TreeContent
from holdfast.stores.versions.trees import TreeVersions

#: How many keys of a conflict are named.
KEYS_NAMED_MAX: Final = 100
_ATTEMPTS: Final = 64
_SIDES: Final = (None, "ours", "theirs")


async def make_branch(
    content: Content,
    version: int | None,
    create: Callable[[KeyspaceSettings, Begins], Awaitable[Keyspace]],
    name: str,
) -> Keyspace:
    """The keyspace of a new branch that begins at a saved version of a store."""
    if not isinstance(content, TreeContent):
        raise Unsupported(
            "the versions of a plain store keep no values, so nothing can begin there. Create the "
            "store with kind='iavl'"
        )
    versions = TreeVersions(content)
    number = (await versions.root(version)).number
    # First the origin is told, so that it does not drop what the branch will stand on. A hold
    # without a branch holds nothing.
    await _hold(content, versions, number, name)
    origins = (*content.origins, Origin(content.number, number))
    # Nor does a branch have a fast index, which would be one row for each key.
    config = replace(content.remembered.config, fast_index=False)
    settings = Remembered(config, origins=origins).settings()
    key, row = saved_versions_row(number, number)

    def begins(keyspace: int) -> dict[bytes, bytes]:
        return {tree_prefix(keyspace) + key: row, state_key(keyspace): encode_state(number)}

    # As one commit: a branch without its beginning would look as if all had been removed in it.
    return await create(settings, begins)


async def _hold(content: TreeContent, versions: TreeVersions, version: int, name: str) -> None:
    """Have the origin keep a version; raises VersionNotFound when it was dropped meanwhile."""
    saved_key = tree_prefix(content.number) + SAVED_VERSIONS
    for _ in range(_ATTEMPTS):
        [seen] = await content.space.read((saved_key,))
        numbers = await versions.numbers()
        if version not in numbers:
            raise not_found(version, numbers)

        def write(
            plan: Plan, records: Sequence[Record | None], seen: Record | None = seen
        ) -> Need | None:
            if _revision(records[0]) != _revision(seen):
                raise Moved
            assert seen is not None  # or no version would be saved
            plan.put(hold_key(content.number, name), version.to_bytes(8, "big"))
            plan.put(saved_key, seen.value)  # Whoever is about to drop versions notices.
            return None

        try:
            await content.space.commit((saved_key,), write)
        except Moved:
            continue
        return
    raise Conflict("versions of the store were saved or dropped all the time; try again later")


async def merged_wishes(
    content: Content, branch: Content, prefer: str | None
) -> tuple[list[Wish], int]:
    """What has to be done in a store to have in it what changed in a branch of it.

    With the revision of the moment that both were looked at.
    """
    if prefer not in _SIDES:
        raise InvalidInput(f"prefer is 'ours', 'theirs' or None; found {prefer!r}")
    if not isinstance(content, TreeContent) or not isinstance(branch, TreeContent):
        raise Unsupported("only stores of kind 'iavl' have branches that can be merged")
    origin = branch.origins[-1] if branch.origins else None
    if origin is None or origin.number != content.number:
        raise InvalidInput(
            f"a branch of {content.space.keyspace.name!r} was wanted; "
            f"{branch.space.keyspace.name!r} is none"
        )
    if not (await branch.state()).base:
        raise InvalidInput(
            f"the branch {branch.space.keyspace.name!r} was never made to its end: it has no "
            "version to begin at. Delete it, and make it anew"
        )
    runtime = content.space.engine.components.host.runtime()
    async with moment_of(content.space.engine) as moment:
        ours, theirs = await runtime.offload(
            lambda: _changed_since(moment, content, branch, origin.up_to)
        )
    conflicts = [key for key in ours if key in theirs and ours[key] != theirs[key]]
    if conflicts and prefer is None:
        raise Conflict(
            f"{len(conflicts)} keys were changed here and in the branch "
            f"{branch.space.keyspace.name!r}, to different values. Say which to prefer, 'ours' or "
            "'theirs', or make them equal",
            keys=conflicts[:KEYS_NAMED_MAX],
        )
    wishes = [
        Wish(key, value)
        for key, value in theirs.items()
        if key not in ours or (prefer == "theirs" and ours[key] != value)
    ]
    return wishes, moment.revision


def _changed_since(
    moment: Moment, content: TreeContent, branch: TreeContent, version: int
) -> tuple[dict[bytes, bytes | None], dict[bytes, bytes | None]]:
    """What a store and its branch changed since a version, unsaved changes included."""
    rows = EngineRows(moment.engine, content.number, content.origins)
    base = saved_root(NodeStore(rows, content.cache), version)
    return _since(moment.engine, content, base), _since(moment.engine, branch, base)


def _since(engine: Engine, content: TreeContent, base: Root) -> dict[bytes, bytes | None]:
    tree = drive(TreeVersions(content).working(engine))
    nodes = NodeStore(EngineRows(engine, content.number, content.origins), content.cache)
    return {key: after for key, _, after in differences(nodes, base, tree.working_root)}


def _revision(record: Record | None) -> int:
    return 0 if record is None else record.revision
