"""What some tests need of the machine they run on.

Elsewhere such a test is skipped, and the reason printed. Any other skip counts as a failure, see
`tests/conftest.py`. Linux in CI has all of it, so there nothing is skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeVar

import pytest

Test = TypeVar("Test", bound=Callable[..., Any])


def needs(there: bool, reason: str) -> Callable[[Test], Test]:
    """A test that runs where `there` is true; the reason says why not elsewhere."""

    def marked(test: Test) -> Test:
        for mark in marks(there, reason):
            test = mark(test)
        return test

    return marked


def marks(there: bool, reason: str) -> tuple[pytest.MarkDecorator, ...]:
    """The same for one case of a parametrized test."""
    return pytest.mark.platform(reason), pytest.mark.skipif(not there, reason=reason)


def command(name: str) -> tuple[pytest.MarkDecorator, ...]:
    """For a case that runs a command which is not on every machine."""
    return marks(shutil.which(name) is not None, f"the case runs the command `{name}`")


@cache
def _may_mount() -> bool:
    """Whether a user may mount in a namespace of their own; containers often forbid it."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    command = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


#: A driver with wheels for Linux alone, and none from Python 3.13 on (see pyproject.toml): what
#: needs it is left out there by name. Where it can be had, its absence fails the run.
LEVELDB = find_spec("plyvel") is not None or (
    sys.version_info < (3, 13) and sys.platform == "linux"
)
_NO_LEVELDB = "LevelDB's driver plyvel has no wheel for this Python"
leveldb = needs(LEVELDB, _NO_LEVELDB)
#: For a case that `tests/conftest.py` finds to be on LevelDB.
on_leveldb = marks(LEVELDB, _NO_LEVELDB)
private_mounts = needs(
    _may_mount(), "a small or read-only medium is mounted in a user namespace: Linux that allows it"
)
process_namespaces = needs(
    _may_mount(), "process ids of a container come from a user namespace: Linux that allows it"
)
file_size_limit = needs(
    sys.platform != "win32", "a full medium is imitated by RLIMIT_FSIZE, which Windows lacks"
)
linux = needs(sys.platform == "linux", "what it reads stands in /proc, which is Linux's own")
_NO_FORK = "a process forks, which Windows cannot"
fork = needs(hasattr(os, "fork"), _NO_FORK)
#: For all tests of a file.
on_fork = marks(hasattr(os, "fork"), _NO_FORK)
strace = needs(
    shutil.which("strace") is not None, "flushes of another process are seen by strace alone"
)
root = needs(
    hasattr(os, "geteuid") and os.geteuid() == 0,
    "root alone may become the user who has no rights to the folder",
)
preloading = needs(
    sys.platform == "linux" and any(map(shutil.which, ("cc", "gcc", "clang"))),
    "flushes are counted and delayed by a preloaded library: Linux and a C compiler",
)
