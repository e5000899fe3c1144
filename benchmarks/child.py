"""Child processes in which stores live, so that none costs another memory, cache or threads.

A child is told functions to call; it calls them with its `Session` and sends back what they
return. The parent lets one child work at a time.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

from benchmarks.data import Model
from benchmarks.stores.base import Store

P = ParamSpec("P")
T = TypeVar("T")

#: The longest one call may take.
CALL_S_MAX = 300.0
#: How long a child that was asked to end may take for it.
END_S_MAX = 30.0
ERROR_CHARACTERS_MAX = 4_000
_REPOSITORY = Path(__file__).resolve().parent.parent


class ChildFailed(Exception):
    """A child raised, died or did not answer."""


class Session:
    """What lives in a child between two calls.

    Attributes:
        stores: open ones, by name.
        models: what they must hold.
    """

    def __init__(self) -> None:
        self.stores: dict[str, Store] = {}
        self.models: dict[str, Model] = {}

    def close(self) -> None:
        """Close every store."""
        for store in self.stores.values():
            store.stop()
        self.stores.clear()


class Child:
    """A child process; a context manager that ends it.

    Args:
        environment: variables besides those of this process.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        ours, theirs = socket.socketpair()
        # Standard error is kept, to be shown when the child fails.
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the child
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker", str(theirs.fileno())],
                cwd=_REPOSITORY, env={**os.environ, **(environment or {})},
                pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL, stdout=self._errors,
                stderr=self._errors,
            )  # fmt: skip
        self._connection = Connection(ours.detach())

    @property
    def pid(self) -> int:
        return self._process.pid

    def call(
        self, function: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What `function(session, ...)` returns in the child.

        Raises:
            ChildFailed: it raised there, or the child died or took longer than `CALL_S_MAX`.
        """
        name = f"{function.__module__}:{function.__qualname__}"
        try:
            self._connection.send((function, args, kwargs))
            if not self._connection.poll(CALL_S_MAX):
                raise ChildFailed(f"{name} was given {CALL_S_MAX:.0f} s and has not ended")
            worked, answer = self._connection.recv()
        except (EOFError, OSError) as error:
            self._process.wait(END_S_MAX)
            raise ChildFailed(
                f"the child ended with {self._process.returncode} during {name}:\n{self._said()}"
            ) from error
        if not worked:
            raise ChildFailed(f"{name} failed in its child:\n{answer}")
        result: T = answer
        return result

    def kill(self) -> None:
        """End it as a crash would: nothing is flushed or closed."""
        self._process.kill()
        self._process.wait(END_S_MAX)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()  # The child ends when it reads this.
        try:
            self._process.wait(0.001 if error is not None else END_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
        self._errors.close()

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-ERROR_CHARACTERS_MAX:]
