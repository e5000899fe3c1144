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
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=True
    )
    child, parent = done.stdout.splitlines()
    assert child == "['child storage', 'child work']"
    # A hook that raises keeps no other from being called.
    assert parent == str(["before work", "before storage", "after storage", "KeyboardInterrupt"])


HELD = """
import os, threading
from holdfast.contract.forks import renewed_lock

class Owner:
    def __init__(self):
        self.lock = renewed_lock(self, "lock")

owner = Owner()
held, done = threading.Event(), threading.Event()

def hold():
    with owner.lock:
        held.set()
        done.wait()

thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if not child:
    os._exit(0 if owner.lock.acquire(timeout=5) else 1)
print(os.waitpid(child, 0)[1], owner.lock.locked())
done.set()
thread.join()
"""


@needs.fork
def test_a_lock_that_a_thread_held_at_the_fork_is_free_in_the_child() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELD], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split() == ["0", "True"]
