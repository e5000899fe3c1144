"""Changes of what is saved, as a tree hands them out: to be committed, then adopted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from holdfast.stores.iavl.nodes import Link, Node, Root
from holdfast.stores.iavl.rows import RowBatch


class Saved(NamedTuple):
    """What is saved: the first and the latest version, and the root of the latest."""

    first: int
    latest: int
    root: Link | None


class Kind(StrEnum):
    """What a step does."""

    SAVE = "save"
    PRUNE = "prune"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Step:
    """A change of what is saved, to be committed and then adopted.

    Attributes:
        kind: what it does.
        version: the version that is saved, pruned, or rolled back to.
        root_hash: the root hash of the version that is the latest then.
        batch: what has to be committed.
    """

    kind: Kind
    version: int
    root_hash: bytes
    batch: RowBatch
    before: Saved
    after: Saved
    working: Root
    new: list[Node]
    replaced: list[Link]
