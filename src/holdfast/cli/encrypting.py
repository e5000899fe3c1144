"""The commands `encryption ...`: the keys of an encrypted database. No key is ever an argument."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from holdfast.cli import exits, opening, options, shown
from holdfast.cli.progress import progress
from holdfast.contract.errors import DecryptionFailed

app = typer.Typer(help="The keys of an encrypted database.")

Name = Annotated[
    str, typer.Argument(metavar="[NAME]", help="Of the key; `database` is the one of all else.")
]


def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A key file that is not there yet.")],
    as_json: options.AsJson = False,
) -> int:
    """Make a key file, for `?encryption=file:FILE` in a URL or HOLDFAST_ENCRYPTION=file:FILE."""
    from holdfast.encryption import FileKeys

    FileKeys.create(file)
    if as_json:
        shown.document({"file": str(file)})
        return exits.OK
    shown.line(f"{file} made; keep a copy of it where the database is not")
    return exits.OK


def list_(url: options.Url = "", as_json: options.AsJson = False) -> int:
    """List the keys of the database, destroyed ones too. The keys themselves are never shown."""

    async def work() -> Any:
        async with opening.for_reading(url) as db:
            return await db.data_keys.list()

    found = opening.run(work())
    if as_json:
        shown.document([{**one._asdict(), "made_at": one.made_at.isoformat()} for one in found])
        return exits.OK
    shown.table(
        None,
        ["name", "version", "state", "made at", "master key", ""],
        [
            [one.name, str(one.version), one.state, shown.when(one.made_at), one.master,
             "rotation under way" if one.in_rotation else ""]
            for one in found
        ],
    )  # fmt: skip
    return exits.OK


def rotate(
    name: Name = "database",
    url: options.Url = "",
    new_writes_only: Annotated[
        bool,
        typer.Option("--new-writes-only", help="Leave what is stored under the older version."),
    ] = False,
    as_json: options.AsJson = False,
) -> int:
    """Write under a new version of a key, and what is stored anew; others read and write on."""

    async def work() -> Any:
        async with opening.for_writing(url, create=False) as db:
            with progress("rotate", None) as moved:
                return await db.data_keys.rotate(
                    name, rewrite=not new_writes_only, progress=lambda seen, _: moved(seen)
                )

    try:
        done = opening.run(work())
    except DecryptionFailed as error:
        if not as_json:  # There they are among the details of the error.
            for key in error.rows:
                shown.note(f"left as it is: the row 0x{key.hex()}")
        raise
    return _changed(done, "written anew", as_json=as_json)


def forget(name: Name = "database", url: options.Url = "", as_json: options.AsJson = False) -> int:
    """Destroy the older versions of a key, which no row is under; older backups are lost."""

    async def work() -> Any:
        async with opening.for_writing(url, create=False) as db:
            return await db.data_keys.forget(name)

    versions = list(opening.run(work()))
    if as_json:
        shown.document({"name": name, "versions": versions})
    else:
        shown.line(f"{name}: versions destroyed: {', '.join(map(str, versions)) or 'none'}")
    return exits.OK


def wrap(
    url: options.Url = "",
    renew: Annotated[
        bool, typer.Option("--renew", help="First make a new version of each master key.")
    ] = False,
    as_json: options.AsJson = False,
) -> int:
    """Wrap all keys under the newest master keys; no row is touched."""

    async def work() -> Any:
        async with opening.for_writing(url, create=False) as db:
            return await db.data_keys.wrap_anew(renew=renew)

    count = opening.run(work())
    if as_json:
        shown.document({"wrapped": count})
    else:
        shown.line(f"{count:,} keys wrapped anew")
    return exits.OK


def destroy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the key.")],
    url: options.Url = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="What is under the key is lost for good; needed.")
    ] = False,
    as_json: options.AsJson = False,
) -> int:
    """Destroy a key with its master key, and all data under it, backups included."""
    if not yes:
        raise exits.BadUsage(
            f"all data under the key {name} will be lost for good, in backups too; add --yes"
        )

    async def work() -> Any:
        async with opening.for_writing(url, create=False) as db:
            with progress("destroy", None) as moved:
                return await db.data_keys.destroy(name, progress=lambda seen, _: moved(seen))

    return _changed(opening.run(work()), "removed", as_json=as_json)


COMMANDS = (
    (new, "new"), (list_, "list"), (rotate, "rotate"), (forget, "forget"), (wrap, "wrap"),
    (destroy, "destroy"),
)  # fmt: skip


def _changed(done: Any, what: str, *, as_json: bool) -> int:
    if as_json:
        shown.document(done._asdict())
        return exits.OK
    went_on = " (went on where it was broken off)" if done.resumed else ""
    now = f"now version {done.version}" if done.version else "destroyed"
    shown.line(f"{done.name}: {now}; {done.changed:,} rows {what}{went_on}")
    return exits.OK
