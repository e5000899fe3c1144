"""What floor 3 asks of a view: to end what has run out, to tell its changes, to check its rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

from holdfast.codecs.pattern import Pattern
from holdfast.contract.engine import Engine
from holdfast.contract.record import Range
from holdfast.store.change import Change
from holdfast.store.feed_row import FeedPosition
from holdfast.store.keyspaces import Keyspace

#: After so many findings a check ends: by then it is known that the database is damaged.
FAULTS_MAX: Final = 1000


#: Called now and then with how many values were looked at; from any thread.
Progress = Callable[[int], None]


class Enough(Exception):
    """So much is wrong that the check ends."""


class Report:
    """What a check has found.

    Attributes:
        faults: one line for each thing wrong.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []

    def wrong(self, fault: str) -> None:
        """Add a finding. Raises Enough when there are too many."""
        self.faults.append(fault)
        if len(self.faults) >= FAULTS_MAX:
            self.faults.append(f"more than {FAULTS_MAX} things are wrong; the check ended there")
            raise Enough


class ChangeReader(ABC):
    """Tells the changes of one keyspace, on the engine or on one moment of it."""

    @abstractmethod
    def on(self, moment: Engine) -> ChangeReader:
        """The same keyspace at one moment."""

    @abstractmethod
    def key(self, packed: bytes) -> Any:
        """The key as its view's users know it. Raises IntegrityFailed."""

    @abstractmethod
    def segments(self, key: Any) -> tuple[str, ...]:
        """What patterns are matched with: namespaces, then the name."""

    def shows(self, pattern: Pattern, key: Any) -> bool:
        """Whether the key matches, and the pattern may show it."""
        return pattern.matches_segments(self.segments(key))

    @abstractmethod
    async def values(self, position: FeedPosition, key: Any) -> tuple[Any, Any]:
        """What stood there before and after a change, as far as it is kept."""

    @abstractmethod
    def standing_range(self, pattern: Pattern) -> Range:
        """The rows of living values that can match."""

    @abstractmethod
    async def standing(self, range: Range, pattern: Pattern) -> tuple[list[Change], Range | None]:
        """A page of the living values that match, as changes, and the rest of the range."""


class KeyspaceTally:
    """What the rows of a keyspace say of those that all keyspaces share: expiry and the feed.

    These are read once for all. Whoever checks a keyspace is told what they have of it, and
    reports what does not agree.
    """

    def expiring(self, rows: int) -> None:
        """So many rows of expiry are of the keyspace."""

    async def change(self, position: FeedPosition) -> None:
        """The feed tells of this change of the keyspace; all of them in its order."""

    def told(self) -> None:
        """The feed was read to its end."""


class ViewKeeper(ABC):
    """What a view does about its rows without being asked.

    Found by the `view` of a keyspace. A keyspace of a view without a keeper is left alone: its
    rows are kept, its changes are passed on with packed keys and no values.
    """

    @abstractmethod
    async def expire(self, keyspace: Keyspace, data_keys: list[bytes]) -> int:
        """End the values of these data rows that have run out; how many did."""

    @abstractmethod
    async def check(
        self, moment: Engine, keyspace: Keyspace, report: Report, progress: Progress | None
    ) -> KeyspaceTally | None:
        """Report what is wrong with the rows of a keyspace, as of one moment.

        Returns:
            What is told of the rows that it shares with others; None: nothing is to be.
        """

    @abstractmethod
    def reader(self, engine: Engine, keyspace: Keyspace) -> ChangeReader:
        """What makes changes of the feed rows of a keyspace."""
