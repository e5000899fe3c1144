"""Around a fork: work is stopped first, then the storage it works on; the reverse afterwards.

The hooks of `os.register_at_fork` run in the reverse order of their registration, which is the
order in which modules happen to be imported. An engine that is paused while housekeeping is in the
middle of a round keeps that round waiting, and the fork waits for the round.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import NamedTuple

Hook = Callable[[], None]


class Paused(IntEnum):
    """What is paused, in the order in which it is."""

    WORK = 0
    STORAGE = 1


class _Hooks(NamedTuple):
    paused: Paused
    before: Hook
    in_parent: Hook
    in_child: Hook


_known: list[_Hooks] = []


def around_fork(paused: Paused, *, before: Hook, in_parent: Hook, in_child: Hook) -> None:
    """Have these called around every fork of this process, for good."""
    hooks = _Hooks(paused, before, in_parent, in_child)
    # In one step: while a list sorts itself it is empty, and another thread may fork just then.
    _known[:] = sorted([*_known, hooks], key=lambda one: one.paused)


def _run(hooks: Iterable[Hook]) -> None:
    failure: BaseException | None = None
    for hook in hooks:
        try:
            hook()
        except BaseException as error:  # noqa: BLE001 - the others are to run too
            failure = failure or error
    if failure is not None:
        raise failure  # Python prints it: a fork cannot be refused.


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _run([hooks.before for hooks in _known]),
        after_in_parent=lambda: _run([hooks.in_parent for hooks in reversed(_known)]),
        after_in_child=lambda: _run([hooks.in_child for hooks in reversed(_known)]),
    )
