"""The commands `backup ...` and `copy`: whole databases as files, and to other engines."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import holdfast
from holdfast.cli import exits, opening, options, shown
from holdfast.cli.exits import BadUsage
from holdfast.cli.progress import progress

if TYPE_CHECKING:
    from holdfast.backups.chain import BackupFacts

app = typer.Typer(help="A database as a file: whole, or what is newer than another backup.")

Files = Annotated[
    list[str],
    typer.Argument(metavar="FILE...", help="A full backup and what continues it; or a directory."),
]
#: Stands for standard output.
STANDARD = "-"


def create(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="Where to: a path, a URL of fsspec, or - (stdout)."),
    ],
    url: options.Url = "",
    since: Annotated[
        Path | None,
        typer.Option("--since", metavar="FILE", help="Only what is newer than this backup."),
    ] = None,
    compression: Annotated[
        str | None, typer.Option("--compression", help="zstd, gzip, lz4, snappy or none.")
    ] = None,
    as_json: options.AsJson = False,
) -> int:
    """Write the present moment of the whole database to FILE; writes go on meanwhile.

    A backup that was broken off goes on where it was when it is asked for again.
    """
    if file == STANDARD and as_json:
        raise BadUsage("--json and a backup cannot both go to stdout; give a FILE")

    async def work() -> Any:
        async with opening.for_reading(url) as db:
            with progress("backup", None) as moved:
                return await db.backup(
                    sys.stdout.buffer if file == STANDARD else file,
                    since=since,
                    compression=compression,
                    progress=lambda rows, _bytes: moved(rows),
                )

    taken = opening.run(work())
    if file == STANDARD:
        return exits.OK
    if as_json:
        shown.document(
            {"file": file, "revision": taken.revision, "rows": taken.rows,
             "written": taken.written, "resumed": taken.resumed}
        )  # fmt: skip
        return exits.OK
    newer = "" if since is None else f", {taken.written:,} of them newer than {since}"
    went_on = " (went on where it was broken off)" if taken.resumed else ""
    shown.line(f"{taken.rows:,} rows of revision {taken.revision} in {file}{newer}{went_on}")
    return exits.OK


def restore(
    files: Files,
    url: options.Url = "",
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="WHEN",
            help="The newest backup no newer than a revision, a date, or '2 hours ago'.",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="WHEN",
            help="What stood at a revision or time between backups, where the past is kept.",
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> int:
    """Make a new database, --url, of a full backup and those that continue it."""
    config = opening.config_of(url)
    moment, between = options.moment_of(to, "--to"), options.moment_of(at, "--at")

    async def work() -> Any:
        with progress("restore", None) as moved:
            return await holdfast.restore(
                files, url, to=moment, at=between, encryption=opening.encryption_of(url),
                progress=moved,
            )  # fmt: skip

    done = opening.run(work())
    if as_json:
        shown.document(
            {"url": config.url, "revision": done.revision, "rows": done.rows, "files": done.files}
        )
        return exits.OK
    shown.line(f"{done.rows:,} rows of revision {done.revision} restored to {config.url}")
    return exits.OK


def verify(files: Files, as_json: options.AsJson = False) -> int:
    """Read backups, compare all their checksums, and show what each is of."""
    found = opening.run(holdfast.verify_backups(files))
    if as_json:
        shown.document([_document(one) for one in found])
        return exits.OK
    shown.table(
        None,
        ["file", "made at", "revision", "rows", "in the file", "continues"],
        [
            [one.name, _instant(one), str(one.end.revision), f"{one.end.rows:,}",
             f"{one.end.written:,}", f"revision {one.head.since}" if one.head.base else ""]
            for one in found
        ],
    )  # fmt: skip
    return exits.OK


def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The database to copy.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The new one, on whatever engine.")],
    as_json: options.AsJson = False,
) -> int:
    """Make database TO of the present moment of database FROM, past and feed included."""
    config = opening.config_of(target)

    async def work() -> Any:
        async with opening.for_reading(source) as db:
            with progress("copy", None) as moved:
                return await db.copy_to(target, progress=moved)

    done = opening.run(work())
    if as_json:
        shown.document({"url": config.url, "revision": done.revision, "rows": done.rows})
        return exits.OK
    shown.line(f"{done.rows:,} rows of revision {done.revision} copied to {config.url}")
    return exits.OK


def _document(one: BackupFacts) -> dict[str, Any]:
    head, end = one.head, one.end
    return {
        "file": one.name, "id": head.id, "base": head.base, "since": head.since,
        "lineage": head.lineage, "engine": head.engine, "made_at": _instant(one),
        "compression": head.compression, "revision": end.revision, "rows": end.rows,
        "written": end.written, "sha256": end.sha256.hex(),
    }  # fmt: skip


def _instant(one: BackupFacts) -> str:
    return datetime.fromtimestamp(one.head.made_at_ms / 1000, UTC).isoformat(timespec="seconds")


COMMANDS = ((create, "create"), (restore, "restore"), (verify, "verify"))
