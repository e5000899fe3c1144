"""Refusing what no engine takes: malformed batches, and those over an engine's limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from holdfast.contract.batch import (
    APPEND_BYTES,
    Append,
    Batch,
    CheckKey,
    CheckRange,
    Delete,
    DeleteRange,
    Draft,
    Operation,
    Put,
    Rewrite,
)
from holdfast.contract.capability import Capabilities
from holdfast.contract.errors import InvalidKey, InvalidValue, ValueTooLarge


def check_batch(batch: Batch, limits: Capabilities) -> None:
    """Raise unless an engine with these limits can take the batch; nothing is written then.

    Raises:
        InvalidKey: a key is no bytes, empty, or too long.
        InvalidValue: a value is no bytes, or something else is no operation.
        ValueTooLarge: a value, the batch, or the number of its operations is over the limit.
    """
    operations = batch.operations
    if len(operations) > limits.batch_operations_max:
        raise ValueTooLarge(
            f"a batch holds at most {limits.batch_operations_max} operations; "
            f"found {len(operations)}. Split it",
            limit=limits.batch_operations_max,
            found=len(operations),
        )
    key_bytes_max = limits.key_bytes_max
    value_bytes_max = limits.value_bytes_max
    total = 0
    for operation in operations:
        kind = type(operation)
        # One comparison for the good case; the bad one is then looked at closely.
        if kind is Put or kind is Append or (kind is Rewrite and limits.rewrites):
            key, value = operation  # type: ignore[misc]
            longest = key_bytes_max - APPEND_BYTES if kind is Append else key_bytes_max
            if not (
                type(key) is bytes
                and 0 < len(key) <= longest
                and type(value) is bytes
                and len(value) <= value_bytes_max
            ):
                _refuse(operation, limits)
            total += len(value)
        elif kind is Delete or kind is CheckKey:
            check_key(operation.key, key_bytes_max)  # type: ignore[union-attr]
        elif kind is not CheckRange and kind is not DeleteRange:
            _refuse(operation, limits)
    if total > limits.batch_bytes_max:
        raise ValueTooLarge(
            f"the values of a batch have at most {limits.batch_bytes_max} bytes together; "
            f"found {total}. Split it",
            limit=limits.batch_bytes_max,
            found=total,
        )


def check_draft(draft: Draft, limits: Capabilities) -> None:
    """The same for a draft."""
    # Sums and the longest key decide the good case; the bad one is then looked at closely.
    total, longest = 0, 1
    rows, appends = draft.rows, draft.appends
    for key, value in rows.items():
        if type(key) is not bytes:
            total = _OVER
        elif len(key) > longest:
            longest = len(key)
        if value is not None:
            total += len(value) if type(value) is bytes else _OVER
    for prefix, value in appends:
        if type(prefix) is bytes and prefix and type(value) is bytes:
            total += len(value)
            longest = max(longest, len(prefix) + APPEND_BYTES)
        else:
            total = _OVER
    if draft.checks:
        _check_checks(draft.checks, limits)
    operations = len(rows) + len(appends) + len(draft.ranges) + len(draft.checks)
    if (
        total > limits.value_bytes_max
        or longest > limits.key_bytes_max
        or b"" in rows
        or operations > limits.batch_operations_max
    ):
        check_batch(draft.batch(), limits)


def _check_checks(checks: Sequence[CheckKey | CheckRange], limits: Capabilities) -> None:
    for check in checks:
        if type(check) is CheckKey:
            check_key(check.key, limits.key_bytes_max)
        elif type(check) is not CheckRange:
            raise InvalidValue(
                f"the checks of a draft are CheckKey and CheckRange; found a {type(check).__name__}"
            )


#: Above every limit: what is no bytes makes a draft one to be looked at closely.
_OVER = 1 << 62


def check_key(key: bytes, key_bytes_max: int) -> None:
    """Raise InvalidKey unless the key can be one."""
    if type(key) is not bytes:
        raise InvalidKey(f"a key is bytes; found a {type(key).__name__}")
    if not key:
        raise InvalidKey("a key has at least one byte; found an empty key")
    if len(key) > key_bytes_max:
        raise InvalidKey(
            f"a key has at most {key_bytes_max} bytes here; found {len(key)}",
            limit=key_bytes_max,
            found=len(key),
        )


def _refuse(operation: Operation, limits: Capabilities) -> NoReturn:
    """Say what is wrong with an operation that is known to be wrong."""
    if isinstance(operation, Put | Rewrite) and (limits.rewrites or type(operation) is Put):
        check_key(operation.key, limits.key_bytes_max)
    elif isinstance(operation, Append):
        check_key(operation.prefix, limits.key_bytes_max - APPEND_BYTES)
    else:
        raise InvalidValue(
            "a batch holds Put, Delete, DeleteRange, Append, CheckKey and CheckRange; "
            f"found a {type(operation).__name__}"
        )
    value = operation.value
    if type(value) is not bytes:
        raise InvalidValue(f"a value is bytes; found a {type(value).__name__}")
    raise ValueTooLarge(
        f"a value has at most {limits.value_bytes_max} bytes; found {len(value)}. "
        "Store it in chunks",
        limit=limits.value_bytes_max,
        found=len(value),
    )
