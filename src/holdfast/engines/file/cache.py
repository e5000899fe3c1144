"""Values that were read or written lately, as many as fit."""

from __future__ import annotations

#: What a value takes beside its own bytes and those of its key.
_OVERHEAD_BYTES = 200
#: Both generations together.
_GENERATIONS = 2

#: (value, revision), as `Engine.peek` answers.
Cached = tuple[bytes, int]


class Cache:
    """Two generations: when the younger one is full it becomes the older, whose values go.

    A value that is used moves to the younger one, so that the older one ends with what nobody
    used. Nothing is locked: each step is one of a dict, and an addition to the count that two
    threads make at once only makes a generation a little larger.

    Args:
        bytes_max: the most that keys and values take together.
    """

    def __init__(self, bytes_max: int) -> None:
        self._each_bytes = bytes_max // _GENERATIONS
        self._young: dict[bytes, Cached] = {}
        self._old: dict[bytes, Cached] = {}
        self._bytes = 0

    def get(self, key: bytes, revision: int) -> Cached | None:
        """The value that the key was given at that revision, if it is here."""
        found = self._young.get(key)
        if found is not None and found[1] == revision:
            return found
        found = self._old.get(key)
        if found is None or found[1] != revision:
            return None
        self.put(key, found)
        return found

    def put(self, key: bytes, value: Cached) -> None:
        """Keep the value for some time, unless it is too large for that."""
        size = len(key) + len(value[0]) + _OVERHEAD_BYTES
        if size > self._each_bytes // 4:
            self._young.pop(key, None)
            return
        self._young[key] = value
        self._bytes += size
        if self._bytes > self._each_bytes:
            self._old, self._young, self._bytes = self._young, {}, 0

    def clear(self) -> None:
        """Forget everything."""
        self._young, self._old, self._bytes = {}, {}, 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
