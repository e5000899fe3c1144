"""Progress of long work: a bar on stderr when that is a terminal, otherwise nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Move(Protocol):
    """Moves a bar to what is done so far, and to another total when one is given."""

    def __call__(self, done: int, total: int | None = None, /) -> None: ...


@contextmanager
def progress(
    title: str, total: int | None, *, sizes: bool = False, visible: bool = True
) -> Iterator[Move]:
    """A function that moves the bar to what is done so far.

    Args:
        title: what goes on.
        total: how much there is; None when nobody knows.
        sizes: whether these are bytes.
        visible: False for no bar even on a terminal.
    """
    if not (visible and shows_progress()):
        yield lambda _done, _total=None: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    amount = DownloadColumn() if sizes else MofNCompleteColumn()
    columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn()]
    if total is not None or not sizes:
        columns.append(amount)
    with Progress(
        *columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done, total=None: bar.update(task, completed=done, total=total)


def shows_progress() -> bool:
    """Whether somebody watches."""
    return sys.stderr.isatty()
