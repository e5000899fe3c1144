"""Iterators that failed: asked again, they say so, and do not end as if there were no more."""

from __future__ import annotations

from holdfast.contract.errors import StoreClosed, WrongContext


class Breach:
    """What broke an iteration over an asynchronous generator, which then only ends."""

    def __init__(self) -> None:
        self._by = ""

    def note(self, error: BaseException, steps: object) -> None:
        """An error came out of a step of the generator.

        Raises:
            WrongContext: the generator is in a step of another task, which goes on.
        """
        if getattr(steps, "ag_running", False):
            raise in_another_task() from None
        self._by = self._by or type(error).__name__

    def check(self) -> None:
        """Raise StoreClosed if the iteration is broken."""
        if self._by:
            raise StoreClosed(
                f"this iteration was broken off by a {self._by}, and what is left is not known; "
                "begin another one, behind the last item if there is a cursor"
            )


def in_another_task() -> WrongContext:
    """The error of who asks for an item while another task waits for one."""
    return WrongContext(
        "another task waits for an item of this iteration; give each task one of its own, or take "
        "the items in one task and hand them on"
    )
