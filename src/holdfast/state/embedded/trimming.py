"""Giving up what was published a while ago: who was there has heard of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Final, NamedTuple

import msgspec

from holdfast.contract.batch import APPEND_BYTES, Need
from holdfast.contract.record import Range, Record
from holdfast.store.plain.rows import pack_plain, plain_expires_at_ms, plain_value
from holdfast.store.plan import Plan
from holdfast.store.space import Space

#: How long a message of a channel is kept for listeners that come late to it, in milliseconds.
KEPT_MS: Final = 60_000
#: How long after that whoever publishes waits for the housekeeping to give it up.
PATIENCE_MS: Final = 10_000
#: How many of them one commit gives up.
_ROWS: Final = 1000

_at_ms = msgspec.msgpack.Decoder(tuple[int, str, bytes]).decode


class Notes(NamedTuple):
    """The row beside what was published: up to where it was given up, and when that goes on.

    The row expires when it goes on, so that the housekeeping comes by.
    """

    given_up: int = 0
    due_ms: int = 0

    @classmethod
    def of(cls, stored: bytes) -> Notes:
        """The notes of a stored row."""
        return cls(int.from_bytes(plain_value(stored), "big"), plain_expires_at_ms(stored))

    @staticmethod
    def body(stored: bytes) -> bytes:
        """What a message's row holds."""
        return plain_value(stored)

    @classmethod
    def plan(cls, plan: Plan, news: bytes, record: Record | None) -> bool:
        """Have a message that comes now given up in time; whether that is overdue for others."""
        notes = cls() if record is None else cls.of(record.value)
        if notes.due_ms:
            return notes.due_ms + PATIENCE_MS < plan.now_ms
        notes._replace(due_ms=plan.now_ms + KEPT_MS).put(plan, news, 0)
        return False

    def put(self, plan: Plan, news: bytes, before_ms: int) -> None:
        """Write the row."""
        plan.put(news, pack_plain(self.given_up.to_bytes(8, "big"), self.due_ms))
        plan.expires(news, before_ms, self.due_ms)


def note_key(news: bytes, revision: int) -> bytes:
    """The first row of what was published with this revision or later."""
    return news + revision.to_bytes(8, "big")


async def give_up_old(space: Space, news: bytes) -> None:
    """Give up what was published more than `KEPT_MS` ago, and say when that goes on."""
    until_ms = space.clock.now_ms() - KEPT_MS
    while True:
        # Behind the row of notes, which is the region's own key.
        page = await space.scan(Range(news + b"\0", Range.prefix(news).end, limit=_ROWS))
        rows = [(key, _at_ms(plain_value(record.value))[0]) for key, record in page.rows]
        # As far as they are old, in order: a clock that was set back keeps some a while longer.
        old = [key for key, _ in takewhile(lambda row: row[1] <= until_ms, rows)]
        due_ms = rows[len(old)][1] + KEPT_MS if len(old) < len(rows) else 0

        def write(
            plan: Plan,
            records: Sequence[Record | None],
            old: Sequence[bytes] = old,
            due_ms: int = due_ms,
        ) -> Need | None:
            notes = Notes() if records[0] is None else Notes.of(records[0].value)
            for key in old:
                plan.delete(key)
            given_up = int.from_bytes(old[-1][-APPEND_BYTES:-4], "big") if old else 0
            Notes(max(notes.given_up, given_up), due_ms).put(plan, news, notes.due_ms)
            return None

        if space.commit_now((news,), write) is None:
            await space.commit((news,), write)
        if due_ms or not old:
            return
