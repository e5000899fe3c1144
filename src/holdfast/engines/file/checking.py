"""The check of a journal: every record is read again, and compared with what is in memory."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.engines.file.index import Index, Kept
from holdfast.engines.file.journal import Journal
from holdfast.engines.file.replay import Replay
from holdfast.engines.file.segment import Segment

#: After so many findings a check ends: the database is damaged, whatever follows.
FINDINGS_MAX = 100


class Moment(NamedTuple):
    """What there was at one moment: journals only grow, so it can be read while writes go on.

    Attributes:
        segments: by number, each with where it ended.
        records, head: of the index.
        store: the database.
    """

    segments: dict[int, tuple[Segment, int]]
    records: dict[bytes, Kept]
    head: int
    store: str


def moment_of(journal: Journal) -> Moment:
    """What there is now. No group runs meanwhile."""
    index = journal.index
    segments = {number: (one, one.size) for number, one in journal.segments.items()}
    return Moment(segments, dict(index.records), index.head, journal.manifest.store)


def what_is_wrong(moment: Moment) -> list[str]:
    """One line for each thing wrong, naming file and record."""
    found = Index()
    replay = Replay(found, moment.store)
    for segment, end in moment.segments.values():
        # A segment of its own, because replaying measures it anew.
        replay.take(Segment(segment.path, segment.file), last=False, end=end)
    wrong = [f"{one.segment.path.name}: {one}" for one in replay.damage]
    if not wrong:
        if found.head != moment.head:
            wrong.append(f"the journal ends at revision {found.head}; the head is {moment.head}")
        differing = moment.records.items() ^ found.records.items()
        keys = sorted({key for key, _ in differing})
        wrong += [f"the key {key!r} is not what the journal says" for key in keys]
        wrong += [
            f"the key {key!r} has revision {revision}; the head is {moment.head}"
            for key, (_, revision) in found.records.items()
            if not 0 < revision <= moment.head
        ]
    return wrong[:FINDINGS_MAX]
