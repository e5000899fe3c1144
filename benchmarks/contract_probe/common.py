"""What both probes share: limits, the split of a batch, and refusals."""

from __future__ import annotations

from holdfast.contract.batch import Append, Batch, CheckKey, CheckRange, Delete, DeleteRange, Put
from holdfast.contract.capability import Capabilities
from holdfast.contract.errors import Conflict, InvalidKey, ValueTooLarge

#: How long a batch id is remembered by the server.
BATCH_ID_MEMORY_S = 15 * 60

#: A server's connections of one engine; more tasks wait for a free one.
CONNECTIONS_MAX = 16

Check = CheckKey | CheckRange
Write = Put | Delete | DeleteRange | Append


def split(batch: Batch, limits: Capabilities) -> tuple[list[Check], list[Write]]:
    """The batch's checks and writes, each in order, once it is known to be within the limits."""
    if len(batch.operations) > limits.batch_operations_max:
        raise ValueTooLarge(
            f"a batch holds at most {limits.batch_operations_max} operations; this one has "
            f"{len(batch.operations)}. Split it",
            operations=len(batch.operations),
        )
    checks: list[Check] = []
    writes: list[Write] = []
    for operation in batch.operations:
        if isinstance(operation, CheckKey | CheckRange):
            checks.append(operation)
            continue
        if isinstance(operation, Append):
            _within(len(operation.prefix) + 12, len(operation.value), limits)
        elif isinstance(operation, Put):
            _within(len(operation.key), len(operation.value), limits)
        writes.append(operation)
    return checks, writes


def _within(key_bytes: int, value_bytes: int, limits: Capabilities) -> None:
    if key_bytes > limits.key_bytes_max:
        raise InvalidKey(
            f"a key has at most {limits.key_bytes_max} bytes on {limits.engine}; found "
            f"{key_bytes}. Shorten it",
            bytes=key_bytes,
        )
    if value_bytes > limits.value_bytes_max:
        raise ValueTooLarge(
            f"a value has at most {limits.value_bytes_max} bytes on {limits.engine}; found "
            f"{value_bytes}. Store it in parts",
            bytes=value_bytes,
        )


def refusal(check: Check, found: int | None, newer: int | None = None) -> Conflict:
    """The Conflict of a failed check.

    Attributes:
        found: the key's revision (None: absent), or how many keys the range holds.
        newer: the revision of a key of the range that was written since.
    """
    if isinstance(check, CheckKey):
        return Conflict(
            f"the key was expected {_standing(check.revision)} and is {_standing(found)}; "
            "read it again and decide anew",
            key=check.key,
            expected=check.revision,
            found=found,
        )
    seen = f"{found} keys" if newer is None else f"a key at revision {newer}"
    return Conflict(
        f"the range was expected with {check.count} keys as of revision {check.at_revision}; "
        f"found {seen}. Read it again and decide anew",
        range=check.range,
        expected=check.count,
        found=seen,
    )


def _standing(revision: int | None) -> str:
    return "absent" if revision is None else f"at revision {revision}"
