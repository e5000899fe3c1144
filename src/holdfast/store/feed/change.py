"""`Change`: what one commit did to one key, as subscribers and watchers see it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from holdfast.codecs.text import StoreKey
from holdfast.store.versions.entry import Entry

Operation = Literal["set", "delete", "snapshot_end"]


class Change(msgspec.Struct, frozen=True):
    """One change of one key.

    Attributes:
        revision: of the commit; `since=` of a later watch. Changes of one commit share it.
        index: place among the changes of the commit.
        op: `set`, `delete`, or `snapshot_end` after the last entry of a snapshot.
        key: which; None at the end of a snapshot.
        before: the entry it replaced; None if there was none.
        after: the entry it made; None for a delete.
        at: when, as an aware instant.
        cause: `write`, `expired`, `restored`, `renamed`, `imported`, `migrated`, or `snapshot`.
        origin: the replica or client it came from, if any.
        transaction_id: of the transaction it was part of, if any.
        actor: who, as given by the writer.
    """

    revision: int
    index: int
    op: Operation
    key: StoreKey | None
    before: Entry[Any] | None
    after: Entry[Any] | None
    at: datetime
    cause: str
    origin: str | None = None
    transaction_id: str | None = None
    actor: str | int | None = None
