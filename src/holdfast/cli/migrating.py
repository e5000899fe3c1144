"""The command `migrate`: an older file of keys and values into a store."""

from __future__ import annotations

import dbm
from pathlib import Path
from typing import Annotated, Any

import typer

from holdfast.cli import exits, opening, options, shown
from holdfast.cli.exits import BadUsage
from holdfast.cli.progress import progress
from holdfast.stores.migration import Migrated
from holdfast.stores.migration import migrate as copy


def migrate(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A dbm file, of whatever kind.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the store; made if need be.")],
    url: options.Url = "",
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Read both sides again, and compare.")
    ] = True,
    as_json: options.AsJson = False,
) -> int:
    """Copy an older file of keys and values into a store; done again, it completes."""
    table = _opened(old)

    async def work() -> Migrated:
        async with opening.for_writing(url) as db:
            store = await db.stores.open(name)
            with progress("migrate", None) as done:
                return await copy(table, store, verify=verify, progress=done)

    try:
        found = opening.run(work())
    finally:
        table.close()
    if as_json:
        shown.document(
            {"pairs": found.pairs, "written": found.written, "digest": found.digest or None}
        )
    else:
        shown.line(f"{found.pairs:,} pairs, of which {found.written:,} were not there yet")
        if found.digest:
            shown.line(f"both sides have the digest {found.digest}")
    return exits.OK


def _opened(old: Path) -> Any:
    # Modules of dbm add endings of their own, so the file itself need not be there.
    kind = dbm.whichdb(str(old))
    if not kind:
        what = "nothing of that name" if kind is None else "a file of another kind"
        raise BadUsage(f"a dbm file was wanted at {old}; found {what}")
    try:
        return dbm.open(str(old), "r")
    except dbm.error as error:
        raise BadUsage(f"the dbm file {old} cannot be read: {error}") from None
