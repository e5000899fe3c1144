"""What a driver gives: one way to a server, on one event loop."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from holdfast.contract.batch import Batch, Receipt
from holdfast.contract.errors import StoreError, Unsupported
from holdfast.contract.record import Page, Range, Record

#: How often a server that cannot tell of commits is asked for its head.
POLL_INTERVAL_S = 0.05


class Welcome(NamedTuple):
    """What a server says of the database when a connection is made.

    Attributes:
        lineage: the line of history that its revisions belong to.
        revision: of its newest commit.
    """

    lineage: str
    revision: int


class Moved(NamedTuple):
    """A batch was not applied: the head that it was decided for is not the one it met.

    Attributes:
        head: the one it met.
    """

    head: int


#: What became of a batch.
Outcome = Receipt | StoreError | Moved


class Transport(ABC):
    """One way to a server: a connection, or as many as it likes.

    Several calls may be on their way at once (`requests_max` of the configuration). None of them
    is cancelled when its caller is, but for `wait_above`; when one takes too long it is cancelled
    and the transport closed.

    Every method translates the driver's errors. A broken connection is ConnectionLost when the
    server certainly did nothing, OutcomeUnknown when a write was sent and its answer lost. Other
    errors of the contract are final. The driver itself must repeat nothing.
    """

    @abstractmethod
    async def connect(self) -> Welcome:
        """Connect, or connect again after a loss.

        Raises:
            ConnectionFailed, ConnectionLost: there is no way to the server now.
            StoreNotFound, Unauthenticated, FormatTooNew: trying again will not help.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of every connection, broken ones too; closing twice does nothing."""

    @abstractmethod
    async def read(self, keys: Sequence[bytes]) -> tuple[list[Record | None], int]:
        """The records in the order of the keys, and the head, all of one moment."""

    @abstractmethod
    async def scan(self, range: Range, rows_max: int, bytes_max: int) -> Page:
        """A page of the range."""

    @abstractmethod
    async def commit_many(
        self, batches: Sequence[Batch], heads: Sequence[int | None], since: int
    ) -> list[Outcome]:
        """Apply the batches one after the other, in one round trip; what became of each.

        Each is a commit of its own: one that is refused does not concern the others. A batch
        with a known id is not applied again, whatever its checks say.

        Args:
            batches: to apply.
            heads: for each the revision that must be the newest when its turn comes, all commits
                after `since` being those of earlier batches here; or it is not applied (`Moved`).
                None: it need not meet anything. Such a batch was decided on what earlier ones are
                expected to leave. When a commit of somebody else comes in between, their
                revisions are others, and its checks may find the revisions that they want on rows
                of somebody else. The head alone does not tell: one commit too many and one
                refused leave it as it was expected.
            since: the newest revision when the batches were decided.
        """

    async def wait_above(self, revision: int) -> int:
        """The head once it is above `revision`. Default: ask again and again."""
        while True:
            _, head = await self.read(())
            if head > revision:
                return head
            await asyncio.sleep(POLL_INTERVAL_S)

    async def compact(self) -> int:
        """See `Engine.compact`."""
        raise Unsupported("this server compacts by itself")

    async def check(self) -> list[str]:
        """See `Engine.check`."""
        raise Unsupported("this server checks its store by itself")

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], next_revision: int | None
    ) -> None:
        """See `Engine.load`."""
        raise Unsupported("this server takes no rows with revisions")
