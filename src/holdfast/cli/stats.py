"""The command stats: how a database or a server of state fares, once or as it goes on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from typing import Annotated, Any

import typer

from holdfast.cli import exits, opening, options, shown
from holdfast.cli.exits import BadUsage
from holdfast.cli.sampling import Sample, Source, source
from holdfast.cli.watching import stop_requests
from holdfast.contract.errors import StoreError
from holdfast.contract.runtime import SystemClock
from holdfast.state.keys import DEFAULT_PREFIX
from holdfast.store.instants import instant

#: The shortest and the longest time between two samples, in seconds.
INTERVAL_MIN_S = 0.1
INTERVAL_MAX_S = 3600.0
#: What is told in bytes.
_SIZES = ("disk", "memory")


def stats(
    url: options.Url = "",
    live: Annotated[
        bool, typer.Option("--live", help="Go on until Ctrl-C; in a pipe, a line for each sample.")
    ] = False,
    interval: Annotated[
        str, typer.Option("--interval", metavar="TIME", help="From one sample to the next.")
    ] = "1s",
    count: Annotated[
        int | None,
        typer.Option("--count", min=1, metavar="N", help="With --live: end after N samples."),
    ] = None,
    state: Annotated[
        bool,
        typer.Option(
            "--state", help="A redis:// URL is a server that keeps state, and no database."
        ),
    ] = False,
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="TEXT", help="What the keys of state begin with.")
    ] = DEFAULT_PREFIX,
    as_json: options.AsJson = False,
) -> int:
    """Show commits, size and keys of state by service and area; of a Redis server also its load.

    Keys are counted a part with each sample, so that a large database is not held up.
    """
    pause_s = options.seconds_of(interval, "--interval") or 0.0
    if not INTERVAL_MIN_S <= pause_s <= INTERVAL_MAX_S:
        raise BadUsage(f"--interval is from 100ms to 1h; found {interval!r}")
    if count is not None and not live:
        raise BadUsage("--count belongs to --live; add it, or leave --count out")

    async def work() -> None:
        async with source(url, prefix, state=state) as looked_at:
            if not live:
                _once(await looked_at.sample(), as_json=as_json)
                return
            with _screen(as_json=as_json) as show:
                await _follow(looked_at, show, pause_s, count)

    if live:
        asyncio.run(work())
    else:
        opening.run(work())
    return exits.OK


async def _follow(
    looked_at: Source,
    show: Callable[[Sample | StoreError], None],
    pause_s: float,
    count: int | None,
) -> None:
    """Take samples until there are enough or somebody asks to stop."""
    with stop_requests() as stop:
        taken = 0
        while True:
            answer = await _unless(stop, _sample(looked_at, first=taken == 0))
            if answer is None:
                return
            show(answer)
            taken += 1
            if taken == count:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)
            if stop.is_set():
                return


async def _sample(looked_at: Source, *, first: bool) -> Sample | StoreError:
    try:
        return await looked_at.sample()
    except StoreError as error:
        # Who watches wants to see the end of the trouble; what never was there is an error.
        if first or not error.retryable:
            raise
        return error


async def _unless(
    stop: asyncio.Event, work: Awaitable[Sample | StoreError]
) -> Sample | StoreError | None:
    """What the work gives; None when somebody asked to stop meanwhile."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.wait((working, stopping))


# --- How it is shown ----------------------------------------------------------------------------


def _once(sample: Sample, *, as_json: bool) -> None:
    if as_json:
        shown.document(_document(sample))
        return
    shown.facts([(name, _fact(name, fact)) for name, fact in sample.facts.items()])
    if rows := _rows(sample):
        shown.table(None, ["service", "area", "keys"], rows, right="keys")
    if not sample.counted:
        shown.note("more keys than one look counts; --live counts on")


def _screen(*, as_json: bool) -> AbstractContextManager[Callable[[Sample | StoreError], None]]:
    """Where samples go: a table that is drawn anew on a terminal, lines everywhere else."""
    if as_json:
        return nullcontext(lambda one: _flushed(lambda: shown.document(_document(one))))
    if not sys.stdout.isatty():
        return nullcontext(lambda one: _flushed(lambda: shown.line(_line(one))))
    return _drawn()


@contextmanager
def _drawn() -> Iterator[Callable[[Sample | StoreError], None]]:
    """A table at the end of the terminal; the last one stays there."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    with Live(console=shown.console(), auto_refresh=False) as live:

        def show(one: Sample | StoreError) -> None:
            parts = [Text(shown.safe(_line(one, rows=False)))]
            rows = _rows(one) if isinstance(one, Sample) else []
            room = max(1, live.console.size.height - 3)
            for service, area, keys in rows[: room if len(rows) <= room else room - 1]:
                parts.append(Text(shown.safe(f"{keys:>14,}  {service}  {area}")))
            if len(rows) > room:
                parts.append(Text(f"{'...':>14}  and {len(rows) - room + 1} more"))
            live.update(Group(*parts), refresh=True)

        yield show


def _flushed(work: Callable[[], None]) -> None:
    """Each line at once: who follows a pipe waits for it. A broken pipe ends the command here."""
    work()
    sys.stdout.flush()


def _line(one: Sample | StoreError, *, rows: bool = True) -> str:
    at = shown.when(_now())
    if isinstance(one, StoreError):
        return f"{at}  no answer: {one.code}"
    parts = [at]
    parts += [f"{name} {_fact(name, fact)}" for name, fact in one.facts.items()]
    parts += [f"{name}/s {rate:,.1f}" for name, rate in one.rates.items()]
    if rows:
        parts += [f"{service}/{area} {keys:,}" for service, area, keys in _rows(one)]
    if not one.counted:
        parts.append("(still counting keys)")
    return "  ".join(parts)


def _document(one: Sample | StoreError) -> dict[str, Any]:
    at = {"at": _now().isoformat()}
    if isinstance(one, StoreError):
        return at | {"error": str(one.code)}
    return {
        **at,
        "facts": dict(one.facts),
        "per_second": {name: round(rate, 3) for name, rate in one.rates.items()},
        "keys": [
            {"service": service, "area": area, "keys": keys} for service, area, keys in _rows(one)
        ],
        "counted": one.counted,
    }


def _rows(sample: Sample) -> list[tuple[str, str, int]]:
    return [(service, area, keys) for (service, area), keys in sorted(sample.keys.items())]


def _fact(name: str, fact: int) -> str:
    return shown.size_of(fact) if name in _SIZES else f"{fact:,}"


def _now() -> datetime:
    return instant(SystemClock().now_ms())
