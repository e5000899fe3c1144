"""What a forked child must not take over: the threads and loops of its parent are not there."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Parts(Protocol):
    """Something that waits for threads or loops."""

    def _part(self) -> None:
        """In a forked child, before anything else happens there: wait for nobody of the parent."""
        ...


_alive: weakref.WeakSet[Parts] = weakref.WeakSet()


def parts_in_child(one: Parts) -> None:
    """Have its `_part` called in each child that is forked while it lives."""
    _alive.add(one)


def _part_all() -> None:
    for one in list(_alive):
        one._part()  # noqa: SLF001 - which nobody else calls


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_part_all)
