"""Changes from the outcomes of a commit, where they are the same that the feed tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from holdfast.codecs.text import StoreKey
from holdfast.records.services.protocols import Outcome
from holdfast.records.write import Rename, Write
from holdfast.store.feed.change import Change
from holdfast.store.feed.subscription import Place
from holdfast.store.versions.entry import Entry

#: Where a change stands, of which key it is, and how it is made when somebody wants it.
Told = tuple[Place, StoreKey, Callable[[], Change]]


def changes_of(
    revision: int, writes: Sequence[Write], outcomes: Sequence[Outcome]
) -> list[Told] | None:
    """The changes of a commit in order; None when only the feed can tell them.

    The feed says more than the outcomes where a rename makes two changes, where an entry that had
    run out was ended on the way, when a delete happened, and when a big value was replaced whose
    chunks were not read.
    """
    changes: list[Told] = []
    for write, outcome in zip(writes, outcomes, strict=True):
        if not outcome.written:
            continue
        before, after = outcome.before, outcome.after
        if after is None or type(write.action) is Rename:
            return None
        if before is None:
            if after.metadata.incarnation != 1:
                return None
        elif before.in_chunks:
            return None
        place = revision, len(changes)
        changes.append((place, after.key, partial(_change, place, write, before, after)))
    return changes


def _change(place: Place, write: Write, before: Entry[Any] | None, after: Entry[Any]) -> Change:
    return Change(
        *place,
        "set",
        after.key,
        before,
        # The writer keeps its own.
        after.fresh(),
        after.metadata.updated_at,
        write.cause.name.lower(),
        actor=write.options.modified_by,
    )
