"""An ordered store in memory, for the rows of one index."""

from collections.abc import Iterable, Iterator

from sortedcontainers import SortedDict

from holdfast.documents.text.rows import Change


class Rows:
    """Rows sorted by key."""

    def __init__(self) -> None:
        self.rows: SortedDict = SortedDict()

    def read(self, key: bytes) -> bytes | None:
        value: bytes | None = self.rows.get(key)
        return value

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        for key in self.rows.irange(prefix, prefix + b"\xff" * 8):
            yield key, self.rows[key]

    def take(self, changes: Iterable[Change]) -> int:
        """Apply changes; each row changes once, and a deleted row was there."""
        changed = list(changes)
        assert len({key for key, _ in changed}) == len(changed)
        for key, value in changed:
            if value is None:
                del self.rows[key]
            else:
                self.rows[key] = value
        return len(changed)
