"""Several operations on a collection in their order, as one commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from holdfast.codecs.text import several
from holdfast.contract.errors import InvalidInput, StoreError, Unsupported
from holdfast.documents.collections import Collections
from holdfast.documents.results import BatchFailure, BatchResult
from holdfast.store.isolation import IsolationLevel
from holdfast.store.retrying import retried
from holdfast.store.snapshot import SnapshotEngine
from holdfast.store.transaction import TransactionEngine
from holdfast.store.versions.entry import PendingRevision

#: The parts of an operation by its name, the name among them.
PARTS: Final = {"set": 3, "delete": 2, "clear": 1}


def checked_operations(operations: Iterable[Any]) -> list[tuple[Any, ...]]:
    """The operations of a batch. Raises InvalidInput, saying which is none."""
    checked = []
    for position, given in enumerate(several(operations, "operations", "set, key, value")):
        one = _parts(given) if isinstance(given, Mapping) else given
        named = isinstance(one, Sequence) and len(one) > 0 and isinstance(one[0], str)
        if not named or len(one) != PARTS.get(one[0]):
            raise InvalidInput(
                "an operation is ('set', key, value), ('delete', key) or ('clear',); that at "
                f"position {position} is none. Correct it",
            )
        checked.append(tuple(one))
    return checked


def _parts(operation: Mapping[str, Any]) -> tuple[Any, ...]:
    """The parts of an operation that names them, such as `{"type": "delete", "key": key}`."""
    kind = operation.get("type")
    names = ("key", "value")[: PARTS.get(kind, 1) - 1] if isinstance(kind, str) else ()
    if operation.keys() != {"type", *names}:
        return ()
    return (kind, *(operation[name] for name in names))


async def run_batch(
    collections: Collections,
    operations: list[tuple[Any, ...]],
    apply: Callable[[Collections, tuple[Any, ...]], Awaitable[object]],
) -> BatchResult:
    """Apply the operations one after the other to what they see of each other, and commit.

    They depend on nothing that was read before, so what loses to another commit is run again.

    Raises:
        Unsupported: inside a transaction, which is such a batch already.
    """
    engine = collections.engine
    if isinstance(engine, TransactionEngine | SnapshotEngine):
        raise Unsupported(
            "a batch is a commit of its own; inside a transaction write one by one, and all of it "
            "is committed together"
        )
    collections.gate.check()
    position = 0

    async def attempt() -> int:
        nonlocal position
        inside = await TransactionEngine.begin(engine, IsolationLevel.SERIALIZABLE, read_only=False)
        pending = PendingRevision()
        try:
            view = collections.on(inside, pending)
            for position, operation in enumerate(operations):  # noqa: B007 - told when one fails
                await apply(view, operation)
            return await inside.finish(pending.settle)
        finally:
            inside.release()

    try:
        revision = await retried(attempt, collections.components)
    except StoreError as error:
        return BatchResult(False, 0, [BatchFailure(position, error)])
    collections.wrote(revision)
    await collections.committed(revision)
    return BatchResult(True, len(operations), [])
