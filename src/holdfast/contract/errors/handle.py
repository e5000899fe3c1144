"""The handle cannot be used so, or no longer."""

from __future__ import annotations

from holdfast.contract.errors.base import StoreError
from holdfast.contract.errors.codes import ErrorCode
from holdfast.contract.errors.facts import Fact


class StoreClosed(StoreError, code=ErrorCode.STORE_CLOSED):
    """The handle was closed.

    Next: open another handle.
    """


class TransactionClosed(StoreError, code=ErrorCode.TRANSACTION_CLOSED):
    """The transaction was committed or rolled back before.

    Next: begin another transaction.
    """


class WrongContext(StoreError, code=ErrorCode.WRONG_CONTEXT):
    """The handle belongs to another event loop, thread or process (before a fork).

    Next: open a handle where it is used; handles of one process share the engine. After a fork the
    child opens its own.
    """


class ReadOnly(StoreError, code=ErrorCode.READ_ONLY):
    """The handle was opened for reading only.

    Next: open the database without `read_only`.
    """

    path: Fact[str | None] = Fact("the database")


class Unsupported(StoreError, code=ErrorCode.NOT_SUPPORTED):
    """This engine cannot; the message names what can.

    Next: do what the message names instead, or choose an engine whose capabilities say yes.
    """

    engine: Fact[str | None] = Fact("the engine that cannot")
    scheme: Fact[str | None] = Fact("the scheme of its URL")
    path: Fact[str | None] = Fact("the database")
    found: Fact[int | None] = Fact("the format that is no longer read")
    supported: Fact[int | None] = Fact("the format that is")
    key: Fact[bytes | None] = Fact("the key whose value cannot be proven")
