"""Isolation levels, and what a transaction remembers of its reads to keep them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final, Literal

from holdfast.contract.batch import CheckKey, CheckRange
from holdfast.contract.errors import InvalidInput
from holdfast.contract.record import Range, Record

#: What an isolation level is called.
IsolationName = Literal[
    "serializable", "repeatable_read", "snapshot", "read_committed", "read_uncommitted"
]


class IsolationLevel(StrEnum):
    """What a transaction is protected from, by the anomalies it cannot have.

    READ_COMMITTED sees each commit of others as it lands, each statement one moment; no dirty
    reads. READ_UNCOMMITTED is the same here: nothing shows uncommitted data. REPEATABLE_READ, also
    called snapshot, reads one moment and loses no update. SERIALIZABLE also has no write skew and
    no phantoms.
    """

    READ_UNCOMMITTED = "read_uncommitted"
    READ_COMMITTED = "read_committed"
    REPEATABLE_READ = "repeatable_read"
    SERIALIZABLE = "serializable"

    @classmethod
    def parse(cls, text: str) -> IsolationLevel:
        """The level of that name; `snapshot` is another name of repeatable_read."""
        try:
            return cls.REPEATABLE_READ if text == "snapshot" else cls(text)
        except ValueError:
            names = ", ".join([*cls, "snapshot"])
            raise InvalidInput(f"an isolation level is one of {names}; found {text!r}") from None

    @property
    def weak(self) -> bool:
        """Whether each statement sees a moment of its own."""
        return self in _WEAK


_WEAK: Final = frozenset((IsolationLevel.READ_UNCOMMITTED, IsolationLevel.READ_COMMITTED))


class ReadSet:
    """What a transaction has read, as far as its commit has to check it.

    Args:
        level: of the transaction.
        read_only: it writes nothing.
        fixed: its reads come from a snapshot, so they agree with each other by themselves.
    """

    def __init__(self, level: IsolationLevel, *, read_only: bool, fixed: bool) -> None:
        self._level = level
        # From a snapshot, what is only read needs no check unless the level asks for one.
        if level.weak or (read_only and fixed):
            self.checks_reads = False
        else:
            self.checks_reads = level is IsolationLevel.SERIALIZABLE or not fixed
        self._keys: dict[bytes, int | None] = {}
        self._ranges: list[CheckRange] = []
        #: What was read, where nothing else keeps it the same: without a snapshot.
        self._records: dict[bytes, Record | None] | None = None if fixed or level.weak else {}

    @property
    def remembers(self) -> bool:
        """Whether what was read has to agree, and nothing but this set sees to it."""
        return self._records is not None

    def known(self, key: bytes) -> tuple[Record | None] | None:
        """(what the key held when it was first read,), where the set has to remember that."""
        if self._records is not None and key in self._records:
            return (self._records[key],)
        return None

    def keys_read(self, keys: Iterable[bytes], records: Sequence[Record | None]) -> None:
        """Keys were read, and not to be written by this very step."""
        if self.checks_reads:
            self.keys_decided(keys, records)

    def keys_decided(self, keys: Iterable[bytes], records: Sequence[Record | None]) -> None:
        """Keys were read to decide on what is written."""
        for key, record in zip(keys, records, strict=True):
            revision = None if record is None else record.revision
            if self._level.weak:
                # The next write of this key builds on what this read found, not on the first.
                self._keys[key] = revision
            else:
                self._keys.setdefault(key, revision)
            if self._records is not None:
                self._records.setdefault(key, record)

    def range_read(self, range: Range, revision: int, count: int) -> None:
        """A range was read, as of a revision."""
        if self.checks_reads:
            self._ranges.append(CheckRange(range, revision, count))

    def checks(self, checked: Callable[[bytes], bool]) -> list[CheckKey | CheckRange]:
        """What the commit has to check.

        Args:
            checked: whether a key is checked at every level: the transaction writes it, say.
        """
        if self.checks_reads:
            keys = [CheckKey(key, revision) for key, revision in self._keys.items()]
            return [*keys, *self._ranges]
        return [CheckKey(key, revision) for key, revision in self._keys.items() if checked(key)]

    def span(self) -> Range:
        """One range with everything that was read."""
        starts = [*self._keys, *(one.range.start or b"" for one in self._ranges)]
        ends: list[bytes | None] = [key + b"\0" for key in self._keys]
        ends += [one.range.end for one in self._ranges]
        known = [end for end in ends if end is not None]
        return Range(min(starts), max(known) if len(known) == len(ends) else None)
