"""Identities after a fork: parent and child never make the same one."""

from __future__ import annotations

import os
import warnings

from holdfast.contract.runtime import ManualClock, SystemIds
from tests import needs


@needs.fork
def test_a_forked_child_makes_other_ids_than_its_parent() -> None:
    ids = SystemIds(ManualClock())  # Which stands still, so that only the rest tells them apart.
    ids.new()
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Threads there may be.
        pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, b"".join(ids.new() for _ in range(100)))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        found = pipe.read()
    os.waitpid(pid, 0)
    childs = {found[at : at + 16] for at in range(0, len(found), 16)}
    assert len(childs) == 100
    assert not childs & {ids.new() for _ in range(200)}
