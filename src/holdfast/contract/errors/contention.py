"""Another caller came first, or waits for what this caller holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from holdfast.contract.errors.base import StoreError
from holdfast.contract.errors.codes import ErrorCode
from holdfast.contract.errors.facts import Fact

#: How an entry stood, or had to stand: a revision, a version or (incarnation, version), the hex
#: digits of a digest; None stands for absent.
Standing = int | tuple[int, int] | str | None


class Conflict(StoreError, code=ErrorCode.VERSION_CONFLICT, retryable=True):
    """A condition of the write no longer held; nothing was written.

    Next: read what stands there now and decide again, or let `modify` and `transact` do it. The
    same call with the same condition meets the same conflict.
    """

    key: Fact[str | bytes | None] = Fact("the key; bytes where an engine refused")
    condition: Fact[Literal["revision", "version", "hash", "absent", "range"] | None] = Fact(
        "what was compared"
    )
    expected: Fact[Standing] = Fact("what the condition asked for; None: to be absent")
    found: Fact[Standing] = Fact("the same of what stands there; None: it is absent")
    current: Fact[Any] = Fact("the entry that won, None when the key is absent or not known")
    range: Fact[Any] = Fact("the range of keys that was to be unchanged")
    attempts: Fact[int | None] = Fact("how often it was tried")
    name: Fact[str | None] = Fact("the store or keyspace whose settings were changed")
    versions: Fact[Sequence[int]] = Fact("the saved versions that are being read", ())
    keys: Fact[Sequence[bytes]] = Fact("the keys that both sides of a merge changed", ())


class TransactionAborted(StoreError, code=ErrorCode.TRANSACTION_ABORTED, retryable=True):
    """The transaction was given up and rolled back.

    Next: run the whole transaction again; `transact` does.
    """

    key: Fact[str | None] = Fact("the key that others wrote")


class DeadlockDetected(StoreError, code=ErrorCode.DEADLOCK_DETECTED, retryable=True):
    """Waiting would close a cycle; this caller is the victim.

    Next: let go of what is held and begin again; take several locks in one fixed order.
    """

    locks: Fact[Sequence[str]] = Fact("the locks of the circle, in its order", ())


class ConsistencyViolation(StoreError, code=ErrorCode.CONSISTENCY_VIOLATION, retryable=True):
    """The asked-for consistency level could not be reached.

    Next: try again, or ask for a weaker level.
    """


class Fenced(StoreError, code=ErrorCode.FENCED):
    """A newer owner holds the lease; a write with the old token was refused.

    Next: stop: another owner goes on with the work. Acquire the lock anew before writing again.
    """

    lock: Fact[str | None] = Fact("the name of the lock")


class LeaseLost(StoreError, code=ErrorCode.LEASE_LOST):
    """The lease ran out before it was renewed.

    Next: treat the protected work as interrupted; acquire again, with a longer `ttl` if need be.
    """

    lock: Fact[str | None] = Fact("the name of the lock")
