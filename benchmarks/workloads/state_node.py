"""The rivals in Node, in a process of their own that is asked for one figure after the other."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

from benchmarks.workloads.state_clients import WARM_S, Taken

NAMES = ("ioredis", "ioredis, autopipelining", "@igniter-js/store")
PACKAGES = ("ioredis@6.0.0", "@igniter-js/store@0.1.26")
#: Where npm puts them, beside what else the benchmarks make; they are kept for the next run.
PLACE = Path(__file__).parents[2] / "build" / "bench-node"
_SCRIPT = Path(__file__).with_name("state_node.mjs")
_INSTALL_S = 120


class NodeMissing(Exception):
    """Node or npm is missing, or npm got nothing; the message says which."""


class Node:
    """The process, as a context manager.

    Attributes:
        version: of Node.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.version = ""

    def __enter__(self) -> Self:
        node = shutil.which("node")
        npm = shutil.which("npm")
        if node is None or npm is None:
            raise NodeMissing("node and npm are not installed")
        _install(npm)
        # Its warnings go to our error stream, where nobody has to read them for it to go on.
        self._process = subprocess.Popen(
            [node, str(_SCRIPT), str(self._port), str(PLACE)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            self.version = self._answer()["node"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def measure(self, name: str, operation: str, tasks: int, seconds: float) -> Taken:
        """One figure of one of them."""
        assert self._process.stdin is not None
        asked = {
            "name": name, "operation": operation, "tasks": tasks, "seconds": seconds,
            "warm": WARM_S,
        }  # fmt: skip
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        told = self._answer()
        if "error" in told:
            raise NodeMissing(f"{name} failed at {operation}: {told['error']}")
        return Taken(told["per_s"], told["p99_ms"])

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise NodeMissing("the process of Node ended; see what it printed above")
        return json.loads(line)


def _install(npm: str) -> None:
    wanted = PLACE / "installed.json"
    if wanted.exists() and json.loads(wanted.read_text()) == list(PACKAGES):
        return
    PLACE.mkdir(parents=True, exist_ok=True)
    (PLACE / "package.json").write_text('{"private": true}\n')
    try:
        subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES],
            cwd=PLACE, check=True, capture_output=True, timeout=_INSTALL_S,
        )  # fmt: skip
    except (subprocess.SubprocessError, OSError) as error:
        raise NodeMissing(f"npm could not install {', '.join(PACKAGES)}") from error
    wanted.write_text(json.dumps(PACKAGES))
