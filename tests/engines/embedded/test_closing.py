"""What a write leaves behind that meets the close of its engine."""

from __future__ import annotations

import threading

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import StoreClosed
from holdfast.contract.runtime import ManualClock
from holdfast.engines.embedded.committer import Committer
from holdfast.engines.embedded.pace import Pace
from holdfast.engines.embedded.work import Work
from holdfast.runtime.system import SystemHost


async def test_a_write_that_meets_the_close_leaves_no_thread() -> None:
    def closing(work: Work) -> bool:
        committer.close()
        return False

    pace = Pace(ManualClock())
    pace.note(1, 0.0, 1.0)  # Flushes are long here, so that the batch is handed over.
    committer = Committer(
        "closed", SystemHost(), lambda _: None, closing, lambda: False, lambda: None, pace
    )
    with pytest.raises(StoreClosed):
        await committer.commit(Work(Batch([Put(b"a", b"1")])))
    for thread in threading.enumerate():
        if thread.name == "closed writer":
            thread.join(10)
            assert not thread.is_alive()
