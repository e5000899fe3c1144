"""Versions that branches began at: their rows are needed as long as the branch is there."""

from __future__ import annotations

from typing import Final

from holdfast.contract.record import Range
from holdfast.store import layout
from holdfast.store.keyspaces import Keyspaces
from holdfast.stores.versions.tree_content import TreeContent

_HOLD: Final = b"hold "


def hold_key(number: int, branch: str) -> bytes:
    """The row by which a store knows of a branch."""
    return layout.region(number, layout.SAVED) + _HOLD + branch.encode()


async def held_versions(content: TreeContent) -> list[tuple[int, str]]:
    """The versions that living branches of a store began at, with the names of the branches."""
    engine = content.space.engine
    prefix = hold_key(content.number, "")
    found = []
    rest: Range | None = Range.prefix(prefix)
    while rest is not None:
        page = await engine.scan(rest)
        for key, record in page.rows:
            found.append((int.from_bytes(record.value, "big"), key[len(prefix) :].decode()))
        rest = page.resume
    if not found:
        return found
    keyspaces, view = Keyspaces(engine), content.space.keyspace.view
    # A branch that was deleted, or never came to be, holds nothing.
    return [one for one in found if await keyspaces.get(view, one[1]) is not None]
