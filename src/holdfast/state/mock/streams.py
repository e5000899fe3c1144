"""Streams of one process: entries, groups, what each consumer was given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.contract.errors import KeyNotFound
from holdfast.contract.runtime import Clock
from holdfast.state.adapter import Delivered, Pending
from holdfast.state.checks import stream_id

Id = tuple[int, int]


@dataclass(slots=True)
class Given:
    """A message that was given out."""

    consumer: str
    at: float
    deliveries: int


@dataclass(slots=True)
class Group:
    """What a group has got so far, and has not acknowledged."""

    last: Id
    pending: dict[Id, Given] = field(default_factory=dict)


class Stream:
    """One stream. Ids grow even when the clock steps back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.entries: dict[Id, bytes] = {}
        self.groups: dict[str, Group] = {}
        self._newest: Id = (0, 0)
        self.waiting: list[Callable[[], None]] = []

    def append(self, data: bytes, length_max: int) -> str:
        """Add a message, trim, wake who waits."""
        now = self._clock.now_ms()
        last_ms, number = self._newest
        self._newest = (now, 0) if now > last_ms else (last_ms, number + 1)
        self.entries[self._newest] = data
        while length_max and len(self.entries) > length_max:
            del self.entries[next(iter(self.entries))]
        waiting, self.waiting = self.waiting, []
        for wake in waiting:
            wake()
        return text(self._newest)

    def ensure(self, group: str, start: str) -> bool:
        """Make a group unless it is there."""
        if group in self.groups:
            return False
        self.groups[group] = Group(self._newest if start == "$" else parsed(start))
        return True

    def group(self, name: str) -> Group:
        """The group. Raises KeyNotFound."""
        found = self.groups.get(name)
        if found is None:
            raise KeyNotFound("the stream has no such group; call ensure() first")
        return found

    def give(self, name: str, consumer: str, count: int) -> list[Delivered]:
        """New messages for one consumer."""
        group = self.group(name)
        found = [id for id in self.entries if id > group.last][:count]
        for id in found:
            group.last = id
            group.pending[id] = Given(consumer, self._clock.monotonic(), 1)
        return [Delivered(text(id), self.entries[id]) for id in found]

    def acknowledge(self, name: str, ids: list[Id]) -> int:
        """How many were pending."""
        group = self.groups.get(name)
        if group is None:
            return 0
        return sum(group.pending.pop(id, None) is not None for id in ids)

    def list_pending(self, name: str, count: int) -> list[Pending]:
        """The oldest ones."""
        now = self._clock.monotonic()
        return [
            Pending(text(id), one.consumer, round((now - one.at) * 1000), one.deliveries)
            for id, one in sorted(self.group(name).pending.items())[:count]
        ]

    def reclaim(self, name: str, consumer: str, idle_ms: int, count: int) -> list[Delivered]:
        """Give idle ones to another consumer; forget those that were trimmed away."""
        now = self._clock.monotonic()
        group = self.group(name)
        found: list[Delivered] = []
        for id, one in sorted(group.pending.items()):
            if len(found) == count:
                break
            if round((now - one.at) * 1000) < idle_ms:
                continue
            if id not in self.entries:
                del group.pending[id]
                continue
            group.pending[id] = Given(consumer, now, one.deliveries + 1)
            found.append(Delivered(text(id), self.entries[id], one.deliveries + 1))
        return found

    def after(self, start: str, count: int) -> list[Delivered]:
        """Messages behind an id."""
        behind = parsed(start)
        found = [id for id in self.entries if id > behind][:count]
        return [Delivered(text(id), self.entries[id]) for id in found]

    @property
    def newest(self) -> str:
        """The last id that was given."""
        return text(self._newest)


def text(id: Id) -> str:
    """An id as callers see it."""
    return f"{id[0]}-{id[1]}"


def parsed(id: str) -> Id:
    """An id of a text. Raises InvalidInput."""
    milliseconds, _, number = stream_id(id).partition("-")
    return int(milliseconds), int(number or 0)
