"""The command watch: a line for each change, from where the last watch stopped."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from holdfast.cli import exits, opening, options, shown
from holdfast.cli.differences import difference, whole
from holdfast.cli.hints import hint_if_none
from holdfast.contract.errors import StoreError
from holdfast.contract.record import Cursor
from holdfast.store.change import Change
from holdfast.store.feed.watch import Watch


def watch(
    pattern: options.Patterns = "#",
    url: options.Url = "",
    kind: options.PatternKind = options.Kind.MQTT,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="CURSOR", help="Every change after this cursor or revision."
        ),
    ] = None,
    snapshot: Annotated[
        bool, typer.Option("--snapshot", help="First the entries as they stand.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=1, metavar="N", help="End after N changes; a snapshot is shown whole."
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> int:
    """Print each change of the keys that match, as it happens, until Ctrl-C.

    At the end the cursor to resume from goes to stderr: give it to --since, and nothing is missed.
    """
    wanted = options.pattern_of(pattern, kind)
    start = int(since) if since is not None and since.isascii() and since.isdigit() else since

    async def work() -> None:
        async with opening.for_reading(url) as db:
            lineage = Cursor.parse(db.cursor).lineage
            place = _Place(None if snapshot else _cursor_of(start, lineage, await db.head()))
            # From a known place, so that the cursor is right before the first change too.
            after = start if snapshot or start is not None else place.cursor
            if not as_json and since is None:
                # Who misspelt the pattern would wait in vain.
                await hint_if_none(db, wanted)
            try:
                async with db.watch(wanted, since=after, snapshot=snapshot) as changes:
                    await _follow(changes, place, limit, as_json=as_json)
            except StoreError:
                if not place.printed:
                    # Refused: the place asked for is no place to resume from.
                    place.cursor = None
                raise
            finally:
                _say_where(place, as_json=as_json)

    asyncio.run(work())
    return exits.OK


class _Place:
    """How far the watch has printed.

    Attributes:
        cursor: where to resume from; None while there is no such place.
        printed: how many lines.
    """

    def __init__(self, cursor: Cursor | None) -> None:
        self.cursor = cursor
        self.printed = 0


def _cursor_of(start: int | str | None, lineage: str, head: int) -> Cursor:
    if isinstance(start, str):
        return Cursor.parse(start)
    return Cursor(lineage, head if start is None else start)


async def _follow(watch: Watch, place: _Place, limit: int | None, *, as_json: bool) -> None:
    """Print changes until the limit, a signal to stop, or the end of whoever reads them."""
    with stop_requests() as stop:
        stopping = asyncio.ensure_future(stop.wait())
        pending = asyncio.ensure_future(_next(watch))
        try:
            while limit is None or place.cursor is None or place.printed < limit:
                await asyncio.wait((pending, stopping), return_when=asyncio.FIRST_COMPLETED)
                if stop.is_set():
                    return
                _print(pending.result(), place, as_json=as_json)
                pending = asyncio.ensure_future(_next(watch))
        finally:
            stopping.cancel()
            pending.cancel()
            await asyncio.wait((pending,))


async def _next(watch: Watch) -> Change:
    return await watch.__anext__()


def _print(change: Change, place: _Place, *, as_json: bool) -> None:
    try:
        if as_json:
            shown.document(_document(change))
        else:
            shown.stream_line(_line(change))
        # Each line at once: who follows a pipe waits for it.
        sys.stdout.flush()
    except BrokenPipeError:
        if place.cursor is not None:
            # Lines of this commit may have been lost in the pipe: better told twice than never.
            place.cursor = Cursor(change.lineage, change.revision - 1)
        raise
    place.printed += 1
    if change.cause != "snapshot" or change.op == "snapshot_end":
        # A row of a snapshot is no place to resume from: that comes with the marker behind it.
        place.cursor = change.cursor


def _say_where(place: _Place, *, as_json: bool) -> None:
    """Tell on stderr where to resume: behind the last change that was printed."""
    if place.cursor is None:
        return
    if as_json:
        print(f'{{"cursor":"{place.cursor}"}}', file=sys.stderr, flush=True)
    else:
        shown.note(f"resume with --since {place.cursor}")


@contextmanager
def stop_requests() -> Iterator[asyncio.Event]:
    """An event that Ctrl-C and SIGTERM set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    before = {}

    def set_stop(_number: int, _frame: Any) -> None:
        loop.call_soon_threadsafe(stop.set)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, set_stop)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _line(change: Change) -> str:
    at = shown.when(change.at)
    if change.op == "snapshot_end":
        return f"{at}  end of snapshot at revision {change.revision}"
    after = change.after
    version = "" if after is None else f" v{after.metadata.version}"
    parts = [at, str(change.revision).rjust(8), change.op.ljust(6), f"{change.key}{version}"]
    if change.modified_by is not None:
        parts.append(f"by {change.modified_by}")
    comment = change.comment
    if comment:
        parts.append(f"({comment})")
    if change.cause not in ("write", "snapshot"):
        parts.append(f"[{change.cause}]")
    if after is not None:
        parts.append(_what(change))
    return shown.safe("  ".join(parts))


def _what(change: Change) -> str:
    """What the change made of the value: the difference where there was one before."""
    before, after = change.before, change.after
    assert after is not None
    if not after.has_value:
        return "(no longer kept)"
    if before is None or not before.has_value or change.cause == "snapshot":
        return whole(after.value)
    return difference(before.value, after.value)


def _document(change: Change) -> dict[str, Any]:
    return {
        "op": change.op,
        "key": None if change.key is None else str(change.key),
        "revision": change.revision,
        "index": change.index,
        "at": change.at.isoformat(),
        "cause": change.cause,
        "modified_by": change.modified_by,
        "before": None if change.before is None else shown.entry_document(change.before),
        "after": None if change.after is None else shown.entry_document(change.after),
    }
