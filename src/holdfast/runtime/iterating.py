"""Iterators that failed: asked again, they say so, and do not end as if there were no more.

A generator that an error came out of only ends. Who hands out its items notes what it was, by
`breach_of`, and raises `broken_off` from then on.
"""

from __future__ import annotations

from holdfast.contract.errors import StoreClosed, WrongContext


def breach_of(error: BaseException, steps: object) -> str:
    """The name of an error that came out of a step of a generator, and broke it.

    Raises:
        WrongContext: the generator is in a step of another task, which goes on.
    """
    if getattr(steps, "ag_running", False):
        raise in_another_task() from None
    return type(error).__name__


def broken_off(by: str) -> StoreClosed:
    """The error of who asks a broken iteration for more."""
    return StoreClosed(
        f"this iteration was broken off by a {by}, and what is left is not known; begin another "
        "one, behind the last item if there is a cursor"
    )


def in_another_task() -> WrongContext:
    """The error of who asks for an item while another task waits for one."""
    return WrongContext(
        "another task waits for an item of this iteration; give each task one of its own, or take "
        "the items in one task and hand them on"
    )
