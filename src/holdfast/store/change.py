"""`Change`: what one commit did to one key, as subscribers and watchers see it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol, Self, runtime_checkable

import msgspec

from holdfast.contract.record import Cursor


@runtime_checkable
class Held(Protocol):
    """A value that a change hands out and that knows how much memory it holds, as entries do."""

    @property
    def bytes_held(self) -> int:
        """How many bytes it holds."""
        ...

    def fresh(self) -> Self:
        """The same value with nothing decoded yet, so that subscribers share no object."""
        ...


class Change(msgspec.Struct, frozen=True):
    """One change of one key.

    Attributes:
        revision: of the commit. Changes of one commit share it.
        index: place among the changes of the commit.
        op: `set`, `delete`, `drop` or `restore` of a whole keyspace, or `snapshot_end` after the
            last value of a snapshot. What a later Holdfast does is passed on as `act-` and its
            number.
        key: which, as its view has it: a `StoreKey` of entries; None at the end of a snapshot and
            for a whole keyspace.
        before: what it replaced; None if there was nothing, or it is no longer kept.
        after: what it made; None for a delete.
        at: when, as an aware instant.
        cause: `write`, `expired`, `restored`, `renamed`, `imported`, `migrated`, `snapshot`; of a
            later Holdfast `cause-` and its number.
        origin: the replica or client it came from, if any.
        transaction_id: of the transaction it was part of, if any.
        modified_by: who, as given by the writer.
        comment: why, as given by the writer.
        view, keyspace: where the key stands: entries all stand in `entries` of the view `entries`.
        last: whether it is the last change of its commit.
        lineage: of the database.
    """

    revision: int
    index: int
    op: str
    key: Any
    before: Any
    after: Any
    at: datetime
    cause: str
    origin: str | None = None
    transaction_id: str | None = None
    modified_by: str | int | None = None
    comment: str | None = None
    view: str = "entries"
    keyspace: str = "entries"
    last: bool = True
    lineage: str = ""

    @property
    def cursor(self) -> Cursor:
        """Where a later watch goes on behind this change: `since=change.cursor`."""
        return Cursor(self.lineage, self.revision, None if self.last else self.index)
