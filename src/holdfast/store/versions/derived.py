"""Rows derived from versioned values: when they expire, and which tags they carry."""

from __future__ import annotations

from typing import Final

from holdfast.codecs import envelope
from holdfast.store.plan import Derived, Plan, RowChange
from holdfast.store.versions.rows import Rows


class ExpiryRows:
    """One row for each value that expires, by instant: what the sweep walks."""

    name: Final = "expiry"
    flags: Final = envelope.EXPIRES
    fence: Final = None

    def plan(self, plan: Plan, change: RowChange) -> None:
        before = envelope.expires_at_ms(change.before) if change.before is not None else 0
        after = envelope.expires_at_ms(change.after) if change.after is not None else 0
        plan.expires(change.data_key, before, after)


class TagRows:
    """One row for each tag of a value: what `find_by_tag` walks.

    Args:
        rows: of the keyspace.
    """

    name: Final = "tags"
    flags: Final = envelope.TAGGED
    fence: Final = None

    def __init__(self, rows: Rows) -> None:
        self._tag_key = rows.tag_key

    def plan(self, plan: Plan, change: RowChange) -> None:
        had, has = tags_of(change.before), tags_of(change.after)
        for tag in had:
            if tag not in has:
                plan.delete(self._tag_key(tag, change.data_key))
        for tag in has:
            if tag not in had:
                plan.put(self._tag_key(tag, change.data_key), b"")


def tags_of(stored: bytes | None) -> tuple[str, ...]:
    """The tags of stored bytes."""
    if stored is None or not stored[1] & envelope.TAGGED:
        return ()
    return envelope.extras_of(stored, envelope.header_of(stored).extras_length).tags


def standard_derived(rows: Rows) -> tuple[Derived, ...]:
    """What every keyspace of versioned values derives."""
    return ExpiryRows(), TagRows(rows)
