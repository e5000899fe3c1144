"""The commands put together, and run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any

import typer

import holdfast
from holdfast.cli import (
    auditing,
    backing_up,
    bench,
    changing,
    doctor,
    documents,
    encrypting,
    entries,
    exits,
    exporting,
    following,
    importing,
    indexes,
    keeping,
    logs,
    maintenance,
    migrating,
    schemas,
    stats,
    stores,
    telemetry,
    upgrading,
    watching,
)

_EPILOG = "Exit codes: " + "; ".join(f"{code} {text}" for code, text in exits.MEANINGS.items())

app = typer.Typer(
    name="holdfast",
    help="Look into a Holdfast database, change it, watch it, move data, measure.",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _until_reader_gone(command: Callable[..., int]) -> Callable[..., int]:
    """The command, ending with ReaderGone when a pipe breaks; see there."""

    @wraps(command)
    def run_command(*arguments: Any, **options: Any) -> int:
        try:
            return command(*arguments, **options)
        except BrokenPipeError as error:
            raise exits.ReaderGone from error

    return run_command


for command, name, panel in (
    (entries.get, "get", "Entries"),
    (entries.set, "set", "Entries"),
    (entries.delete, "delete", "Entries"),
    (changing.undelete, "undelete", "Entries"),
    (changing.restore, "restore", "Entries"),
    (changing.rename, "rename", "Entries"),
    (changing.touch, "touch", "Entries"),
    (changing.tag, "tag", "Entries"),
    (changing.purge, "purge", "Entries"),
    (entries.keys, "keys", "Entries"),
    (entries.history, "history", "Entries"),
    (watching.watch, "watch", "Entries"),
    (logs.logs, "logs", "Entries"),
    (documents.collections, "collections", "Documents"),
    (documents.find, "find", "Documents"),
    (documents.aggregate, "aggregate", "Documents"),
    (importing.import_, "import", "Data"),
    (exporting.export, "export", "Data"),
    (migrating.migrate, "migrate", "Data"),
    (backing_up.copy, "copy", "Data"),
    (following.follow, "follow", "Data"),
    (following.promote, "promote", "Data"),
    (maintenance.info, "info", "Care"),
    (stats.stats, "stats", "Care"),
    (maintenance.size, "size", "Care"),
    (maintenance.check, "check", "Care"),
    (maintenance.compact, "compact", "Care"),
    (upgrading.upgrade, "upgrade", "Care"),
    (auditing.seal, "seal", "Care"),
    (auditing.verify, "verify", "Care"),
    (auditing.receipt, "receipt", "Care"),
    (bench.bench, "bench", "Machine"),
    (doctor.doctor, "doctor", "Machine"),
    (doctor.engines, "engines", "Machine"),
    (telemetry.telemetry, "telemetry", "Machine"),
):
    app.command(name, rich_help_panel=panel, epilog=_EPILOG)(_until_reader_gone(command))

for group, name, members in (
    (schemas.app, "schema", schemas.COMMANDS),
    (keeping.app, "retention", keeping.COMMANDS),
    (stores.app, "stores", stores.COMMANDS),
    (backing_up.app, "backup", backing_up.COMMANDS),
    (indexes.app, "index", indexes.COMMANDS),
    (encrypting.app, "encryption", encrypting.COMMANDS),
):
    for member, part in members:
        group.command(part, epilog=_EPILOG)(_until_reader_gone(member))
    app.add_typer(group, name=name, rich_help_panel="Data")


def _version(wanted: bool) -> None:
    if wanted:
        print(holdfast.__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Look into a Holdfast database, change it, watch it, move data, measure."""


def _refuse_misplaced(arguments: Sequence[str], root: Any) -> None:
    """Refuse an option of a command that stands before it, saying where it belongs."""
    commands = vars(root)["commands"]
    first = arguments[0] if arguments else ""
    option = first.partition("=")[0]
    owned = {name for one in commands.values() for part in one.params for name in part.opts}
    own = {name for part in root.params for name in part.opts} | {"--help", "-h"}
    if not option.startswith("-") or option not in owned - own:
        return
    meant = next((one for one in arguments[1:] if one in commands), "COMMAND")
    shown_as = "--url URL" if option in ("--url", "-u") else option
    raise exits.BadUsage(
        f"{option} stands behind the command: holdfast {meant} {shown_as} ..., or set HOLDFAST_URL"
        if option in ("--url", "-u")
        else f"{option} stands behind the command: holdfast {meant} {shown_as}"
    )


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. Raises what the command raises."""
    command = typer.main.get_command(app)
    _refuse_misplaced(arguments, command)
    # Nothing at all asks for help, which then is the answer and no error.
    code = command.main(
        args=list(arguments) or ["--help"], prog_name="holdfast", standalone_mode=False
    )
    return code if isinstance(code, int) else exits.OK
