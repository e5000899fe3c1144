"""What turns a promise into a pytest test that needs no plug-in.

A promise is a coroutine that gets a `Subject` and asserts something every engine must hold. Each
runs awaited on an event loop of its own (`loop`), and again driven in its thread without one
(`thread`), because synchronous handles use engines that way.

A promise that needs a capability the engine does not claim turns round: it then proves that the
engine really cannot (`holdfast.testing.lacking`). So no promise is ever skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from holdfast.runtime.system import drive
from holdfast.testing.author import Author
from holdfast.testing.lacking import LACKING, Capability
from holdfast.testing.subject import Subject

Driver = Literal["loop", "thread"]
Body = Callable[[Any, Subject], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a promise states about itself.

    Attributes:
        rows: the requirement rows it holds.
        needs: the capability without which its opposite is proved.
        tasks: it starts tasks, so it only runs on a loop.
    """

    rows: tuple[str, ...]
    needs: Capability | None
    tasks: bool


def promise(
    *rows: str, needs: Capability | None = None, tasks: bool = False
) -> Callable[[Body], Callable[..., None]]:
    """Make a test of a coroutine `async def test_...(self, subject)`."""

    def make(body: Body) -> Callable[..., None]:
        def run(self: Section, tmp_path: Path, driver: Driver) -> None:
            self.keep(body, needs, tmp_path, driver)

        # Not functools.wraps: pytest would ask for the fixtures of the wrapped signature.
        run.__name__, run.__qualname__ = body.__name__, body.__qualname__
        run.__module__, run.__doc__ = body.__module__, body.__doc__
        run.terms = Terms(rows, needs, tasks)  # type: ignore[attr-defined]
        return run

    return make


def promises_of(contract: type[Section]) -> dict[str, Callable[..., None]]:
    """Every promise by name, section by section, to run without pytest.

    Each takes the contract's instance and an empty folder, and runs on a loop.
    """
    found: dict[str, Callable[..., None]] = {}
    for section in contract.__mro__:
        for name in vars(section):
            if name.startswith("test_"):
                test = getattr(contract, name)
                found.setdefault(
                    name, partial(test, driver="loop") if hasattr(test, "terms") else test
                )
    return found


class Section(Author):
    """A part of the contract, and how its promises run on the author's engine."""

    def keep(
        self, body: Body, needs: Capability | None, folder: Path, driver: Driver = "loop"
    ) -> None:
        """Run one promise, and check the database when it ends."""
        work = self._keep(body, needs, folder)
        if driver == "thread":
            drive(work)
        else:
            asyncio.run(self._in_time(work))

    async def _keep(self, body: Body, needs: Capability | None, folder: Path) -> None:
        subject = Subject(self, folder)
        try:
            if needs is None or subject.claims(needs):
                await body(self, subject)
            else:
                await LACKING[needs](subject)
            await subject.finish()
        except BaseException:
            await subject.abandon()
            raise

    async def _in_time(self, work: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(self.promise_timeout_s):
            await work

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        terms = getattr(metafunc.function, "terms", None)
        if terms is None:
            return
        # The mark is ours; who has not registered it runs without.
        known = any(line.startswith("row(") for line in metafunc.config.getini("markers"))
        marks = [pytest.mark.row(row) for row in terms.rows] if known else []
        drivers = ("loop",) if terms.tasks else ("loop", "thread")
        metafunc.parametrize("driver", [pytest.param(one, marks=marks) for one in drivers])
