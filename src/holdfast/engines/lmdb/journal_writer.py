"""One group of commits on its way into the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import lmdb

from holdfast.contract.record import Range, Record
from holdfast.contract.runtime import Clock
from holdfast.engines.embedded.group import Pending, Writer
from holdfast.engines.lmdb import batch_ids
from holdfast.engines.lmdb.layered import Layered, record_of
from holdfast.engines.lmdb.medium import Medium
from holdfast.engines.lmdb.overlay import Overlay

#: How many rows a walk under a decision reads in one transaction of LMDB.
_WALK_ROWS = 1000


class JournalWriter(Writer):
    """Decides on what it stages, the layers below that, and the file.

    Nobody sees what it stages until the journal has it. Nobody else writes meanwhile, because
    this process has the database to itself.

    Args:
        layered: what lies over the file.
        commit: has the journal hold what is staged.
        medium: the environment.
        clock: for the age of batch ids.
        head: the newest revision.
    """

    def __init__(
        self,
        layered: Layered,
        commit: Callable[[Overlay], None],
        medium: Medium,
        clock: Clock,
        head: int,
    ) -> None:
        self.head = head
        self.staged = Overlay()
        self._layered = layered
        self._commit = commit
        self._medium = medium
        self._clock = clock

    def read(self, key: bytes) -> Record | None:
        pending = self.staged.rows.get(key) or self._layered.layers.find(key)
        return self._medium.record(key) if pending is None else record_of(*pending)

    def walk(self, range: Range) -> Iterator[tuple[bytes, Record]]:
        rest: Range | None = None if range.empty else range
        while rest is not None:
            # In portions, so that no transaction stays open while its rows are looked at.
            rows, rest = self._portion(rest)
            yield from rows

    def apply(self, rows: Sequence[tuple[bytes, Pending]]) -> None:
        self.staged.update(dict(rows))

    def recall(self, id: bytes) -> int | None:
        layers = self._layered.layers
        for layer in (self.staged, *layers):
            known = None if layer is None else layer.ids.get(id)
            if known is not None:
                return known
        medium, now = self._medium, self._clock.now_ms()
        return medium.reading(
            lambda transaction: batch_ids.recall(transaction, medium.batches, id, now)
        )

    def remember(self, id: bytes, revision: int) -> None:
        self.staged.ids[id] = revision

    def finish(self, head: int) -> None:
        self.staged.head = head
        self._commit(self.staged)

    def abandon(self) -> None:
        self.staged = Overlay()

    def _portion(self, range: Range) -> tuple[list[tuple[bytes, Record]], Range | None]:
        staged, layers = self.staged, self._layered.layers

        def portion(
            transaction: lmdb.Transaction[bytes],
        ) -> tuple[list[tuple[bytes, Record]], Range | None]:
            below = layers.over(range, self._medium.tree(transaction).walk_range(range))
            over = staged.over(range, below) if staged.rows else below
            rows = list(islice(over, _WALK_ROWS))
            return rows, range.after(rows[-1][0]) if len(rows) == _WALK_ROWS else None

        return self._medium.reading(portion)
