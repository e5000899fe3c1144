"""Ctrl-C at the start: no trace, whatever is being loaded."""

import signal
import subprocess
import sys

import pytest

from tests.cli.conftest import environment

# Sends the interrupt when a module is about to be loaded, as somebody does who was too quick.
INTERRUPTED = """
import os, signal, sys
class Interrupter:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupter())
sys.argv = ["holdfast", "keys", "--url", "memory://"]
import holdfast_command
sys.exit(holdfast_command.main())
"""


@pytest.mark.parametrize(
    "module",
    [
        "holdfast", "msgspec", "holdfast.database.handle", "holdfast.cli", "holdfast.cli.exits",
        "typer", "holdfast.cli.app", "holdfast.engines.memory", "asyncio",
    ],
)  # fmt: skip
def test_an_interrupt_while_loading_leaves_no_trace(module: str) -> None:
    # Coverage looks for the package itself, and would be what is interrupted.
    unmeasured = {name: text for name, text in environment().items() if "COVERAGE_" not in name}
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(module=module)],
        env=unmeasured, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    # Ended by the signal before the command line listens, by its own code afterwards: a shell
    # tells 130 of both.
    assert done.returncode in (-signal.SIGINT, 130)
    assert done.stderr == ""
    assert done.stdout == ""


def test_the_console_command_is_that_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "holdfast_command", "--version"],
        env=environment(), capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.strip()
