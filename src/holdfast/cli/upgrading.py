"""The command `upgrade`: from an older format of a database to the newest."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

import holdfast
from holdfast.cli import exits, opening, options, shown
from holdfast.contract.formats import Formats
from holdfast.database.upgrading import Part, Upgraded


def upgrade(
    place: Annotated[
        str, typer.Argument(metavar="[URL]", help="The database, in place of --url.")
    ] = "",
    url: options.Url = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    as_json: options.AsJson = False,
) -> int:
    """Bring a database to the newest format: how its engine stores rows, then what stands in them.

    Each step is done whole or not at all; killed and run again, it goes on.
    """
    config = opening.config_of(place or url)
    done = opening.run(holdfast.upgrade(config, dry_run=dry_run, progress=_told))
    if as_json:
        shown.document(
            {"url": done.url, "dry_run": dry_run, "engine": _document(done.engine),
             "rows": _document(done.rows)}
        )  # fmt: skip
        return exits.OK
    shown.line(f"engine: {_line(done.engine, dry_run=dry_run)}")
    shown.line(f"rows: {_rows(done)}")
    return exits.OK


def _told(part: Part, format: int) -> None:
    """Tell of a step, at once and beside the answer."""
    sys.stderr.write(f"{part}: format {format} reached\n")
    sys.stderr.flush()


def _rows(done: Upgraded) -> str:
    if done.rows is not None:
        return _line(done.rows, dry_run=done.dry_run)
    if done.changes:
        return "looked at once the engine is upgraded"
    return "none was written by a view yet"


def _line(part: Formats, *, dry_run: bool) -> str:
    if not part.steps:
        return f"format {part.found} is what this version writes; nothing to do"
    leads = " -> ".join(str(one) for one in (part.found, *part.steps))
    return f"format {leads}, {'to be done' if dry_run else 'done'}"


def _document(part: Formats | None) -> dict[str, Any] | None:
    if part is None:
        return None
    return {"found": part.found, "newest": part.newest, "steps": list(part.steps)}
