"""Around a fork: work is stopped first, then the storage it works on; the reverse afterwards.

The hooks of `os.register_at_fork` run in the reverse order of their registration, which is the
order in which modules happen to be imported. An engine that is paused while housekeeping is in the
middle of a round keeps that round waiting, and the fork waits for the round.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import NamedTuple
from weakref import WeakKeyDictionary

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


#: Whose locks are free in a forked child, and the names of their attributes.
_renewed: WeakKeyDictionary[object, str] = WeakKeyDictionary()


def renewed_lock(owner: object, attribute: str) -> threading.Lock:
    """A lock for that attribute of the owner, which a forked child finds free.

    A lock that another thread holds at the fork stays held in the child, where nobody gives it
    back. So what it guards has to be right after each statement, and it is not held while the
    process forks by the hand of its holder.
    """
    _renewed[owner] = attribute
    return threading.Lock()


def _renew_locks() -> None:
    for owner, attribute in list(_renewed.items()):
        setattr(owner, attribute, threading.Lock())


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
        after_in_child=lambda: _run(
            [_renew_locks, *(hooks.in_child for hooks in reversed(_known))]
        ),
    )
