"""The default `transact` (read, decide, check, try again) keeps the contract too."""

from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.contract.batch import Batch, Put, Receipt
from holdfast.contract.capability import Capabilities
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import TRANSACT_ATTEMPTS_MAX, TRANSACT_REST_MAX_S, Engine
from holdfast.contract.errors import Conflict
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.runtime.drive import drive
from holdfast.runtime.system import system_components
from holdfast.testing import EngineContract


class DefaultTransact(MemoryEngine):
    """An engine that only knows how to commit."""

    transact = Engine.transact
    transact_now = None  # type: ignore[assignment]

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, transacts_once=False)


@pytest.mark.row("K-005", "I-005")
class TestDefaultTransact(EngineContract):
    engine_type = DefaultTransact

    def make_config(self, folder: Path) -> EngineConfig:
        return MemoryConfig()


class AlwaysLate(DefaultTransact):
    """Another writer is faster each time."""

    commits = 0

    async def commit(self, batch: Batch) -> Receipt:
        self.commits += 1
        raise Conflict("the key has changed", key=b"n", expected=None, found=1)


@pytest.mark.row("K-005")
def test_a_loser_gives_up_after_so_many_tries_with_rests_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rests: list[float] = []

    async def rested(seconds: float) -> None:
        rests.append(seconds)

    async def lose(engine: AlwaysLate) -> None:
        await engine.open()
        monkeypatch.setattr(type(engine.components.host.runtime()), "sleep", staticmethod(rested))
        with pytest.raises(Conflict, match="64 reads and commits"):
            await engine.transact([b"n"], lambda records, revision: Batch([Put(b"n", b"1")]))
        await engine.close()

    engine = AlwaysLate(MemoryConfig(), system_components())
    drive(lose(engine))
    assert engine.commits == TRANSACT_ATTEMPTS_MAX
    assert len(rests) == TRANSACT_ATTEMPTS_MAX - 1
    assert all(0 <= rest <= TRANSACT_REST_MAX_S for rest in rests)
    assert len({*rests}) > 10, "losers that rest equally long meet again"
