"""The command logs: the operations that handles opened with `logged=True` recorded."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli import exits, opening, options, shown
from holdfast.cli.exits import BadUsage
from holdfast.store.operation_log import LogRecord

#: How many records are printed unless told otherwise.
LIMIT = 100


def logs(
    pattern: Annotated[
        str | None,
        typer.Argument(metavar="[PATTERN]", help="Only operations on keys that match."),
    ] = None,
    url: options.Url = "",
    kind: options.PatternKind = options.Kind.MQTT,
    operation: Annotated[
        str | None, typer.Option("--operation", metavar="NAME", help="Such as set or get_many.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only what failed.")] = False,
    succeeded: Annotated[bool, typer.Option("--succeeded", help="Only what did not.")] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="AGO", help="Not older than 90, 15m, 1h or 7d."),
    ] = None,
    slower_than: Annotated[
        str | None,
        typer.Option("--slower-than", metavar="TIME", help="At least that long: 500ms, 2."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, metavar="N", help="Only the newest N.")
    ] = LIMIT,
    as_json: options.AsJson = False,
) -> int:
    """Print what was asked of the database, oldest first: when, what, how long, how it ended."""
    if failed and succeeded:
        raise BadUsage("--failed and --succeeded exclude each other; give one, or neither")
    wanted = None if pattern is None else options.pattern_of(pattern, kind)
    success = False if failed else True if succeeded else None
    since_s = options.seconds_of(since, "--since")
    duration_s = options.seconds_of(slower_than, "--slower-than")

    async def work() -> list[LogRecord]:
        async with opening.for_reading(url) as db:
            newest: list[LogRecord] = []
            async for record in db.log.query(
                operation=operation, key=wanted, success=success, since=since_s,
                duration_min=duration_s, reverse=True,
            ):  # fmt: skip
                newest.append(record)
                if len(newest) == limit:
                    break
            return newest[::-1]

    records = opening.run(work())
    if not records:
        shown.note("no record matches; handles opened with logged=True write them")
    for record in records:
        if as_json:
            shown.document(record.fields())
        else:
            shown.stream_line(shown.safe(_line(record)))
    return exits.OK


def _line(record: LogRecord) -> str:
    """One record: the instant, milliseconds, operation, outcome, keys."""
    instant = record.ended_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    outcome = "ok" if record.success else record.code or record.error
    more = record.key_count - len(record.keys)
    keys = " ".join(record.keys) + (f" and {more} more" if more > 0 else "")
    milliseconds = record.duration_s * 1000
    return f"{instant} {milliseconds:9.3f} ms  {record.operation:<11} {outcome:<16} {keys}"
