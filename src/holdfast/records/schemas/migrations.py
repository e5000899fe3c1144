"""Steps between schemas, and the way from one to another over several of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from holdfast.contract.errors import InvalidInput

#: Makes a value of one schema one of the next; pure, it may run more than once.
Step = Callable[[Any], Any]
#: A digest; None: written without a schema.
Node = str | None

#: How many steps one handle knows.
STEPS_MAX = 10_000


class Migrations:
    """The known steps. They never lead in a circle."""

    def __init__(self) -> None:
        self._steps: dict[Node, dict[str, Step]] = {}
        self._count = 0

    def add(self, old: Node, new: str, step: Step) -> None:
        """Know a step; a second one between the same two replaces the first.

        Raises:
            InvalidInput: it closes a circle, or there are too many.
        """
        if old == new or self.path(new, old) is not None:
            raise InvalidInput(
                f"steps lead forward; one from {old} to {new} closes a circle. "
                "Register the way back as a schema of its own",
                old=old,
                new=new,
            )
        steps = self._steps.setdefault(old, {})
        if new not in steps:
            if self._count >= STEPS_MAX:
                raise InvalidInput(f"there are at most {STEPS_MAX} migration steps; found more")
            self._count += 1
        steps[new] = step

    def path(self, old: Node, new: Node) -> list[Step] | None:
        """The steps of the shortest way, or None when there is no way."""
        came: dict[Node, tuple[Node, Step]] = {}
        waiting: deque[Node] = deque([old])
        while waiting:
            here = waiting.popleft()
            for there, step in self._steps.get(here, {}).items():
                if there != old and there not in came:
                    came[there] = (here, step)
                    waiting.append(there)
            if new in came:
                break
        if new not in came:
            return None
        steps: list[Step] = []
        at: Node = new
        while at != old:
            at, step = came[at]
            steps.append(step)
        return steps[::-1]
