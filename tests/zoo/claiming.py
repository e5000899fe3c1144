"""Animals that describe themselves wrongly, or do not keep to their limits."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, ClassVar

from holdfast.contract.batch import Batch, Draft, Put
from holdfast.contract.capability import Io
from holdfast.contract.engine import Engine
from tests.zoo.good import GoodEngine, Rewriting, as_batch


class ClaimsSnapshots(GoodEngine):
    """Says it has snapshots, and refuses them."""

    snapshot = Engine.snapshot


class HidesSnapshots(GoodEngine):
    """Has snapshots and says it has none."""

    claims: ClassVar[dict[str, Any]] = {"snapshots": False}


class ClaimsWaits(GoodEngine):
    """Says it can wait, and refuses to."""

    wait = Engine.wait


class HidesWaits(GoodEngine):
    """Can wait and says it cannot."""

    claims: ClassVar[dict[str, Any]] = {"waits": False}


class ClaimsPersistence(GoodEngine):
    """Says its data outlive the handle, and begins empty each time."""

    async def open(self) -> None:
        self.config.path.unlink(missing_ok=True)
        await super().open()


class HidesPersistence(GoodEngine):
    """Keeps its data and says it does not."""

    claims: ClassVar[dict[str, Any]] = {"persistent": False}


class ClaimsToBeShared(GoodEngine):
    """Says several processes may open it, and excludes them."""

    claims: ClassVar[dict[str, Any]] = {"shared": True}


class ClaimsToCompact(GoodEngine):
    """Says it can compact, and refuses to."""

    compact = Engine.compact


class HidesTheCheck(GoodEngine):
    """Can check itself and says it cannot."""

    claims: ClassVar[dict[str, Any]] = {"checks": False}


class HidesLoading(GoodEngine):
    """Can load and says it cannot."""

    claims: ClassVar[dict[str, Any]] = {"loads": False}


class SuspendsWithoutSayingSo(GoodEngine):
    """Says it never waits, and suspends when it opens."""

    async def open(self) -> None:
        await asyncio.sleep(0)
        await super().open()


class SaysItIsRemote(GoodEngine):
    """Says it waits for a server, and never does."""

    claims: ClassVar[dict[str, Any]] = {"io": Io.REMOTE}


class KeyLimitNotEnforced(GoodEngine):
    """Takes keys of any length."""

    def _validate(self, batch: Batch | Draft) -> None:
        batch = as_batch(batch)
        short = [one._replace(key=one.key[:100] if isinstance(one.key, bytes) else one.key)
                 if isinstance(one, Put) else one for one in batch.operations]  # fmt: skip
        super()._validate(replace(batch, operations=short))


class ValueLimitNotEnforced(GoodEngine):
    """Takes values of any size."""

    def _validate(self, batch: Batch | Draft) -> None:
        batch = as_batch(batch)
        small = [one._replace(value=one.value[:100] if isinstance(one.value, bytes) else one.value)
                 if isinstance(one, Put) else one for one in batch.operations]  # fmt: skip
        super()._validate(replace(batch, operations=small))


class OperationsLimitNotEnforced(GoodEngine):
    """Takes batches of any length."""

    def _validate(self, batch: Batch | Draft) -> None:
        batch = as_batch(batch)
        for start in range(0, len(batch.operations), 5):
            super()._validate(replace(batch, operations=batch.operations[start : start + 5]))


class EmptyKeyAccepted(GoodEngine):
    """Takes the empty key for a key."""

    def _validate(self, batch: Batch | Draft) -> None:
        batch = as_batch(batch)
        named = [one for one in batch.operations if one != Put(b"", b"value")]
        super()._validate(replace(batch, operations=named))


class LongKeysCut(Rewriting):
    """Stores the first 511 bytes of a key."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        return replace(batch, operations=[
            one._replace(key=one.key[:511]) if isinstance(one, Put) else one
            for one in batch.operations
        ])  # fmt: skip


class LargeValuesCut(Rewriting):
    """Stores the first 8 KiB of a value."""

    def rewrite(self, batch: Batch, revision: int) -> Batch:
        return replace(batch, operations=[
            one._replace(value=one.value[:8192]) if isinstance(one, Put) else one
            for one in batch.operations
        ])  # fmt: skip
