"""What is called around a fork, in which order, whatever order modules are imported in."""

from __future__ import annotations

import subprocess
import sys

from tests import needs

SCRIPT = """
import os, sys
from holdfast.contract.forks import Paused, around_fork

told = []

def hooks(name):
    return {
        "before": lambda: told.append(f"before {name}"),
        "in_parent": lambda: told.append(f"after {name}"),
        "in_child": lambda: told.append(f"child {name}"),
    }

def fails():
    raise KeyboardInterrupt

sys.unraisablehook = lambda what: told.append(what.exc_type.__name__)
around_fork(Paused.STORAGE, **hooks("storage"))
around_fork(Paused.WORK, **hooks("work") | {"in_parent": fails})
child = os.fork()
if not child:
    print(told[2:], flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(told)
"""


@needs.fork
def test_work_stops_before_storage_and_goes_on_after_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=50, check=True
    )
    child, parent = done.stdout.splitlines()
    assert child == "['child storage', 'child work']"
    # A hook that raises keeps no other from being called.
    assert parent == str(["before work", "before storage", "after storage", "KeyboardInterrupt"])
