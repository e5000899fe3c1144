"""The medium, or the way to it, says no."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.contract.errors.base import StoreError
from holdfast.contract.errors.codes import ErrorCode
from holdfast.contract.errors.facts import Fact


class StoreLocked(StoreError, code=ErrorCode.STORE_LOCKED, retryable=True):
    """Another process holds the database in a way that excludes this one.

    Next: try again, raise the engine's time-out, or close the other process; the message says
    which.
    """

    path: Fact[str | None] = Fact("the database")
    timeout_s: Fact[float | None] = Fact("how long was waited")
    found: Fact[str | None] = Fact("the machine or container that holds it")
    here: Fact[str | None] = Fact("this one")


class StorageFull(StoreError, code=ErrorCode.STORAGE_FULL, retryable=True):
    """The medium or the engine's own limit is full; reads and deletes still work.

    Next: delete or compact, or make room on the medium; then write again.
    """

    path: Fact[str | None] = Fact("the database")


class QuotaExceeded(StoreError, code=ErrorCode.QUOTA_EXCEEDED):
    """A limit set by configuration is reached.

    Next: raise the limit, or delete.
    """

    limit: Fact[int | None] = Fact("the limit")
    stage: Fact[str | None] = Fact("the stage of the pipeline that reached it")
    path: Fact[str | None] = Fact("the database")


class IntegrityFailed(StoreError, code=ErrorCode.INTEGRITY_FAILED):
    """Stored bytes do not match their digest or their structure.

    Next: run `holdfast check` to see how much is damaged; restore from a backup or an export.
    """

    key: Fact[str | None] = Fact("the key")
    path: Fact[str | None] = Fact("the database")
    revision: Fact[int | None] = Fact("the revision of the damaged row")
    log: Fact[str | None] = Fact("the log of the database")
    version: Fact[int | None] = Fact("the saved version")
    node: Fact[str | None] = Fact("the node of a tree")
    missing: Fact[bool] = Fact("whether the node is not there at all", default=False)
    children: Fact[Sequence[str]] = Fact("the nodes below it", ())
    row: Fact[str | None] = Fact("the kind of row")
    first: Fact[int | None] = Fact("the first row of a log that is damaged, from 0")
    end: Fact[int | None] = Fact("the first row behind those")
    size: Fact[int | None] = Fact("how many rows the signed log has")


class NotADatabase(StoreError, code=ErrorCode.NOT_A_DATABASE):
    """The path holds something that Holdfast did not write.

    Next: choose another path; what is there was left as it was.
    """

    path: Fact[str | None] = Fact("what was looked at")
    found: Fact[int | None] = Fact("the version that stands in it")


class FormatTooNew(StoreError, code=ErrorCode.FORMAT_TOO_NEW):
    """A newer Holdfast wrote this.

    Next: open it with the version that wrote it, or upgrade.
    """

    found: Fact[int | None] = Fact("the format that stands there")
    supported: Fact[int | None] = Fact("the newest that this version reads")
    features: Fact[Sequence[str]] = Fact("those that this version does not know", ())


class DriverMissing(StoreError, ImportError, code=ErrorCode.DRIVER_MISSING):
    """The engine's driver is not installed; the message names the extra.

    Next: `pip install` what the message names.
    """

    extra: Fact[str | None] = Fact("the extra that brings it")
    driver: Fact[str | None] = Fact("the package")
    scheme: Fact[str | None] = Fact("the engine that needs it")


class ConnectionFailed(StoreError, code=ErrorCode.CONNECTION_FAILED, retryable=True):
    """The server could not be reached.

    Next: check the address and that the server runs; then try again.
    """

    address: Fact[str | None] = Fact("where it was wanted: host:port")


class ConnectionLost(StoreError, code=ErrorCode.CONNECTION_LOST, retryable=True):
    """The connection broke before the request was sent.

    Next: try again: nothing was sent.
    """


class OutcomeUnknown(StoreError, code=ErrorCode.OUTCOME_UNKNOWN):
    """The connection broke after a write was sent; repeat it with the same batch id.

    Next: read what stands there, or send the same batch with the same id: it is applied once.
    """

    timeout_s: Fact[float | None] = Fact("how long was waited, in seconds, if that is the cause")


class TimedOut(StoreError, TimeoutError, code=ErrorCode.TIMEOUT, retryable=True):
    """The time allowed ran out.

    Next: try again, or allow more time.
    """

    timeout_s: Fact[float | None] = Fact("how long was waited, in seconds")
    lock: Fact[str | None] = Fact("the lock that was waited for")


class Overloaded(StoreError, code=ErrorCode.OVERLOADED, retryable=True):
    """A bounded queue is full.

    Next: wait and try again; send less at once, or raise the limit that the message names.
    """

    limit: Fact[int | None] = Fact("how many fit")
