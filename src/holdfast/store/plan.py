"""The plan: one object in which a write of any view puts all its rows.

A view decides inside the commit: it sees what stands there and puts the new value, the rows
derived from it (expiry, tags, indexes), its past and its feed row into one plan. They are written
together or not at all, and several views may write into one plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from holdfast.contract.batch import Draft
from holdfast.contract.errors import StoreError
from holdfast.contract.record import Range
from holdfast.store import layout
from holdfast.store.feed_row import (
    NO_CONTEXT,
    Act,
    Cause,
    Life,
    WriteContext,
    encode_feed_row,
)

_NO_ERRORS: Mapping[bytes, StoreError] = MappingProxyType({})


class RowChange(NamedTuple):
    """One data row before and after a write.

    Attributes:
        data_key: of the row.
        before, after: stored bytes; None: there is no row.
    """

    data_key: bytes
    before: bytes | None
    after: bytes | None


class Derived(Protocol):
    """Rows that follow from data rows: tags, expiry, indexes, manifests.

    Whatever changes a data row (a write, its expiry, a rename, a restore) runs every derivation of
    its keyspace in the same plan, so derived rows are never out of step.
    """

    @property
    def name(self) -> str:
        """What the rows are, for messages."""
        ...

    @property
    def flags(self) -> int:
        """Bits of the flags byte: a row without any of them is of no concern. 0: all rows are."""
        ...

    @property
    def fence(self) -> bytes | None:
        """The row that says what has to be derived; None: nothing changes that.

        It is read in every commit of the keyspace, so that no process can write without knowing
        what it says.
        """
        ...

    def plan(self, plan: Plan, change: RowChange) -> None:
        """Put the rows that the change makes, and delete those that it ends."""
        ...


class Plan:
    """What one commit will write, as far as it is decided.

    Made for one attempt, inside the commit. Deleted ranges go first, then rows are written.

    Attributes:
        draft: what the engine is given.
        rows: the new value of each key; None deletes it.
        now_ms: the instant of the attempt.
        context: who writes and why.
        unique: the error for each row that has to be absent.
    """

    __slots__ = ("context", "draft", "now_ms", "rows", "unique")

    def __init__(self, now_ms: int, context: WriteContext = NO_CONTEXT) -> None:
        self.draft = draft = Draft()
        self.rows = draft.rows
        self.now_ms = now_ms
        self.context = context
        self.unique: Mapping[bytes, StoreError] = _NO_ERRORS

    def put(self, key: bytes, value: bytes) -> None:
        """Write a row."""
        self.rows[key] = value

    def delete(self, key: bytes) -> None:
        """Remove a row; removing an absent one is no error."""
        self.rows[key] = None

    def delete_range(self, range: Range) -> None:
        """Remove every row of the range that stood there before the commit."""
        self.draft.ranges = [*self.draft.ranges, range]

    def append(self, prefix: bytes, value: bytes) -> None:
        """Write a row whose key ends with the commit's revision."""
        self.draft.appends.append((prefix, value))

    def expires(self, data_key: bytes, before_ms: int, after_ms: int) -> None:
        """Have the row end at another instant than before; 0: never."""
        if before_ms != after_ms:
            if before_ms:
                self.rows[layout.expiry_key(before_ms, data_key)] = None
            if after_ms:
                self.rows[layout.expiry_key(after_ms, data_key)] = b""

    def derive(
        self, derived: Iterable[Derived], data_key: bytes, before: bytes | None, after: bytes | None
    ) -> None:
        """Run the derivations that the change of a data row concerns."""
        flags = (before[1] if before else 0) | (after[1] if after else 0)
        for one in derived:
            if not one.flags or one.flags & flags:
                try:
                    one.plan(self, RowChange(data_key, before, after))
                except StoreError:
                    raise
                except Exception as error:
                    raise StoreError(
                        f"the rows of {one.name} could not be derived ({type(error).__name__}), so "
                        "nothing was written; mend or drop what derives them",
                        derived=one.name,
                    ) from error

    def tell(
        self,
        keyspace: int,
        act: Act,
        key: bytes,
        previous: int,
        at_ms: int,
        life: Life | tuple[bytes, int, int] | None = None,
        cause: Cause | None = None,
    ) -> None:
        """Add a row to the feed.

        Args:
            keyspace, key: what was changed.
            act: what was done to it.
            previous: revision of the state before; see `FeedRow`.
            at_ms: when.
            life: which version it made or ended, where the keyspace has versions.
            cause: why, when it is not the cause of the whole plan.
        """
        self.draft.appends.append(
            (
                layout.FEED,
                encode_feed_row(act, keyspace, key, previous, at_ms, self.context, life, cause),
            )
        )
