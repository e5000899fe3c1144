"""Somebody else was faster, or waits for what this caller holds."""

from __future__ import annotations

from holdfast.contract.errors.base import StoreError
from holdfast.contract.errors.codes import ErrorCode


class Conflict(StoreError, code=ErrorCode.VERSION_CONFLICT, retryable=True):
    """A condition of the write no longer held; nothing was written.

    `details`: key or range, expected, found (a revision or None), current (the entry that won).

    Next: decide again with what stands there now, or let `modify` and `transact` do it.
    """


class TransactionAborted(StoreError, code=ErrorCode.TRANSACTION_ABORTED, retryable=True):
    """The transaction was given up and rolled back.

    Next: run the whole transaction again; `transact` does.
    """


class DeadlockDetected(StoreError, code=ErrorCode.DEADLOCK_DETECTED, retryable=True):
    """Waiting would close a cycle; this caller is the victim.

    Next: let go of what is held and begin again; take several locks in one fixed order.
    """


class ConsistencyViolation(StoreError, code=ErrorCode.CONSISTENCY_VIOLATION, retryable=True):
    """The asked-for consistency level could not be reached.

    Next: try again, or ask for a weaker level.
    """


class Fenced(StoreError, code=ErrorCode.FENCED):
    """A newer owner holds the lease; a write with the old token was refused.

    Next: stop: another owner goes on with the work. Acquire the lock anew before writing again.
    """


class LeaseLost(StoreError, code=ErrorCode.LEASE_LOST):
    """The lease ran out before it was renewed.

    Next: treat the protected work as interrupted; acquire again, with a longer `ttl` if need be.
    """
