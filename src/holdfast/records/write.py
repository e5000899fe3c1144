"""A write as a value, so that a decorator can look at it, change it, or refuse it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from holdfast.codecs.text import StoreKey
from holdfast.records.options import NO_CONDITIONS, NO_OPTIONS, Conditions, WriteOptions
from holdfast.store.feed_row import Cause
from holdfast.store.versions.entry import Entry


class SetValue(msgspec.Struct, frozen=True):
    """Put this value."""

    value: Any


class Modify(msgspec.Struct, frozen=True):
    """Put what `change` makes of the current value (None: there is none), inside the commit.

    Attributes:
        change: pure and quick; may run more than once.
        only_living: do nothing when there is no entry.
        keeps_schema: the new version fits the schema of the old one.
        allow_none: None may take the place of a value.
    """

    change: Callable[[Any], Any]
    only_living: bool = False
    keeps_schema: bool = False
    allow_none: bool = False


class Delete(msgspec.Struct, frozen=True):
    """Remove the entry."""


class Rename(msgspec.Struct, frozen=True):
    """Move the entry to the key with this canonical text."""

    new_key: str


Action = SetValue | Modify | Delete | Rename

DELETE: Final = Delete()

#: Judges a value that is about to be written, once it is known to be storable: the digest of the
#: schema it fits; raises to refuse it.
Admit = Callable[[Any], str]


class Write(msgspec.Struct, frozen=True):
    """One write to one key.

    Attributes:
        key: which.
        action: what.
        options: who, why, how long.
        conditions: what must hold of the entry there.
        if_changed: write nothing when the value is equal to the one there.
        cause: what the feed will say it was.
        admit: judges the value; for Modify and Rename inside the commit, where it is known.
    """

    key: StoreKey | str
    action: Action
    options: WriteOptions = NO_OPTIONS
    conditions: Conditions = NO_CONDITIONS
    if_changed: bool = False
    cause: Cause = Cause.WRITE
    admit: Admit | None = None


def migration(entry: Entry[Any], value: Any, digest: str) -> Write:
    """The write that stores what a migration made of an entry. Expiry and tags stay."""
    before = entry.metadata.schema_hash
    comment = f"migrated from schema {before}" if before else "migrated from no schema"
    return Write(
        entry.key,
        SetValue(value),
        WriteOptions(comment=comment, keeps_expiry=True, schema_hash=digest),
        Conditions(if_revision=entry.revision),
        cause=Cause.MIGRATED,
    )
