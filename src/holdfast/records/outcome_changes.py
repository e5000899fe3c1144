"""Changes from the outcomes of a commit, where they are the same that the feed tells."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from holdfast.records.services.protocols import Outcome
from holdfast.records.write import Rename, Write
from holdfast.store.change import Change
from holdfast.store.feed.dispatcher import Told
from holdfast.store.feed.subscription import Place
from holdfast.store.versions.entry import Entry


def changes_of(
    revision: int, writes: Sequence[Write], outcomes: Sequence[Outcome], lineage: str
) -> list[Told] | None:
    """The changes of a commit in order; None when only the feed can tell them.

    The feed says more than the outcomes where a rename makes two changes, where an entry that had
    run out was ended on the way, when a delete happened, and when a big value was replaced whose
    chunks were not read.
    """
    made: list[tuple[Place, Write, Entry[Any] | None, Entry[Any]]] = []
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
        place = revision, len(made)
        made.append((place, write, before, after))
    last = len(made) - 1
    return [
        (one[0], one[3].key, partial(_change, *one, last=place == last, lineage=lineage))
        for place, one in enumerate(made)
    ]


def _change(
    place: Place,
    write: Write,
    before: Entry[Any] | None,
    after: Entry[Any],
    *,
    last: bool,
    lineage: str,
) -> Change:
    return Change(
        *place,
        "set",
        after.key,
        before,
        # The writer keeps its own.
        after.fresh(),
        after.metadata.updated_at,
        write.cause.name.lower(),
        modified_by=write.options.modified_by,
        comment=write.options.comment,
        last=last,
        lineage=lineage,
    )
