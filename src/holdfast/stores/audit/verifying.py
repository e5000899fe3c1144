"""Comparing the feed with what was sealed of it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from holdfast.contract.engine import Engine
from holdfast.contract.record import Range
from holdfast.runtime.drive import drive
from holdfast.store import layout
from holdfast.stores.audit.places import PLACE_BYTES, Place, Places
from holdfast.stores.merkle.log import BLOCK_ROWS, FeedLog, leaf_hash


class Finding(Struct, frozen=True):
    """What a comparison found.

    Attributes:
        size, root: the head that the feed was compared with.
        revision: of the last commit that is sealed.
        checked: how many changes are still there and were compared.
        given_up: how many sealed changes retention has given up since.
        skipped: how often changes were given up before anybody sealed them.
        wrong_revision: the first revision that does not hold; None: all do.
        fault: what is wrong with it.
    """

    size: int
    root: bytes
    revision: int
    checked: int
    given_up: int
    skipped: int
    wrong_revision: int | None = None
    fault: str | None = None

    @property
    def holds(self) -> bool:
        """Whether every change that is there is what was sealed."""
        return self.wrong_revision is None


def first_fault(engine: Engine, log: FeedLog, places: Places, oldest: int) -> Finding:
    """The first revision that does not hold, on a moment.

    Args:
        oldest: the lowest revision that retention has left whole.

    Raises:
        IntegrityFailed: the log itself is damaged, so that it cannot judge the feed.
    """
    sealed = places.sealed
    log.require_whole()
    rows = _rows(engine, oldest, sealed.revision)
    checked = given_up = 0
    row = next(rows, None)
    wrong: tuple[int, str] | None = None
    for number, hash, packed in _leaves(log, places):
        place = Place.of(packed)
        if place.revision < oldest:
            given_up += 1
            continue
        if row is not None and row[0] < packed:
            wrong = Place.of(row[0]).revision, "a change was put in that nobody sealed"
            break
        if row is None or row[0] != packed:
            wrong = place.revision, f"change {place.index} of it, row {number}, is missing"
            break
        if leaf_hash(packed + row[1]) != hash:
            wrong = place.revision, f"change {place.index} of it, row {number}, was altered"
            break
        checked += 1
        row = next(rows, None)
    else:
        if row is not None:
            wrong = Place.of(row[0]).revision, "a change was put in that nobody sealed"
    revision, fault = (None, None) if wrong is None else wrong
    return Finding(
        log.head.size, log.head.root, sealed.revision, checked, given_up, sealed.skipped, revision,
        fault,
    )  # fmt: skip


def _leaves(log: FeedLog, places: Places) -> Iterator[tuple[int, bytes, bytes]]:
    """The rows of the log in order: number, hash, and place in the feed."""
    for block in range(-(-log.head.size // BLOCK_ROWS)):
        hashes = log.block(block)
        for offset, (hash, packed) in enumerate(zip(hashes, places.block(block), strict=True)):
            yield block * BLOCK_ROWS + offset, hash, packed


def _rows(engine: Engine, oldest: int, last: int) -> Iterator[tuple[bytes, bytes]]:
    """The changes of sealed revisions that are there, with their places."""
    rest: Range | None = Range(
        layout.FEED + oldest.to_bytes(8, "big"), layout.FEED + (last + 1).to_bytes(8, "big")
    )
    while rest is not None:
        page = drive(engine.scan(rest))
        for key, record in page.rows:
            yield key[1 : 1 + PLACE_BYTES], record.value
        rest = page.resume
