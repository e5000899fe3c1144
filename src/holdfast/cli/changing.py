"""Commands that change an entry without a new value: bring back, purge, rename, touch, tag."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from holdfast.cli import exits, opening, options, shown
from holdfast.cli.exits import BadUsage
from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import KeyNotFound
from holdfast.database.handle import Database
from holdfast.database.transaction import Transaction
from holdfast.records.options import KEEP
from holdfast.store.versions.entry import Entry
from holdfast.store.versions.trimming import Trimmed


def undelete(
    key: options.Key,
    url: options.Url = "",
    by: options.By = None,
    comment: options.Comment = None,
    as_json: options.AsJson = False,
) -> int:
    """Bring back KEY as it last was before it was deleted or expired."""
    return _changed(
        url,
        lambda db: db.entries.undelete(key, modified_by=by, comment=comment),
        as_json=as_json,
    )


def restore(
    key: options.Key,
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="3, or 2.3 for version 3 of incarnation 2.")
    ],
    url: options.Url = "",
    by: options.By = None,
    comment: options.Comment = None,
    if_revision: options.IfRevision = None,
    as_json: options.AsJson = False,
) -> int:
    """Write the value and tags of an earlier version of KEY as a new version."""
    wanted = options.version_of(version, "VERSION")
    assert wanted is not None
    return _changed(
        url,
        lambda db: db.entries.restore(
            key, wanted, modified_by=by, comment=comment, if_revision=if_revision
        ),
        as_json=as_json,
    )


def purge(
    key: options.Key,
    url: options.Url = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it: nothing brings it back.")] = False,
    by: options.By = None,
    comment: options.Comment = None,
    as_json: options.AsJson = False,
) -> int:
    """Remove KEY with its whole past, for good. `delete` keeps the past."""
    if not yes:
        raise BadUsage(
            f"purge removes {key!r} and every version it ever had, and nothing brings them back. "
            "Add --yes to do it, or use `holdfast delete`"
        )

    async def work() -> Trimmed:
        async with opening.for_writing(url, create=False) as db:
            return await db.retention.purge(key, modified_by=by, comment=comment)

    gone = opening.run(work())
    if as_json:
        shown.document({"key": str(StoreKey.of(key)), "versions": gone.versions})
    else:
        shown.line(f"{StoreKey.of(key)}  purged with {gone.versions} past versions")
    return exits.OK


def rename(
    key: options.Key,
    new_key: Annotated[str, typer.Argument(metavar="NEW_KEY", help="A key without a past.")],
    url: options.Url = "",
    by: options.By = None,
    comment: options.Comment = None,
    if_revision: options.IfRevision = None,
    as_json: options.AsJson = False,
) -> int:
    """Move KEY to NEW_KEY; its history, tags and expiry follow."""
    return _changed(
        url,
        lambda db: db.entries.rename(
            key, new_key, modified_by=by, comment=comment, if_revision=if_revision
        ),
        as_json=as_json,
    )


def touch(
    key: options.Key,
    url: options.Url = "",
    ttl: Annotated[
        str | None, typer.Option("--ttl", metavar="TIME", help="Expires after 90, 15m, 2h, 7d.")
    ] = None,
    no_ttl: Annotated[bool, typer.Option("--no-ttl", help="Does not expire any more.")] = False,
    by: options.By = None,
    comment: options.Comment = None,
    if_revision: options.IfRevision = None,
    if_version: options.IfVersion = None,
    as_json: options.AsJson = False,
) -> int:
    """Write a new version of KEY with the same value, to renew its expiry or its author."""
    if no_ttl and ttl is not None:
        raise BadUsage("--ttl and --no-ttl exclude each other; give one, or neither to keep it")
    seconds = options.seconds_of(ttl, "--ttl")
    required = options.version_of(if_version, "--if-version")
    lifetime: Any = None if no_ttl else KEEP if seconds is None else seconds

    async def work(db: Database) -> Entry[Any]:
        entry = await db.entries.touch(
            key, ttl=lifetime, modified_by=by, comment=comment, if_revision=if_revision,
            if_version=required,
        )  # fmt: skip
        return _present(key, entry)

    return _changed(url, work, as_json=as_json)


def tag(
    key: options.Key,
    tags: Annotated[
        list[str] | None, typer.Argument(metavar="[TAG]...", help="To add; none: show them.")
    ] = None,
    url: options.Url = "",
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", metavar="TAG", help="To take away; repeat for more."),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="First take all away.")] = False,
    by: options.By = None,
    comment: options.Comment = None,
    as_json: options.AsJson = False,
) -> int:
    """Add tags to KEY, take some away, or show those it has. `keys --tag` finds by tag."""

    async def change(transaction: Transaction) -> list[str]:
        entry = _present(key, await transaction.entries.get(key))
        before = entry.metadata.tags
        kept = [one for one in ([] if clear else before) if one not in (remove or ())]
        after = [*kept, *(one for one in dict.fromkeys(tags or ()) if one not in kept)]
        if set(after) == set(before):
            return before
        touched = await transaction.entries.touch(key, tags=after, modified_by=by, comment=comment)
        return _present(key, touched).metadata.tags

    async def work() -> list[str]:
        if not (tags or remove or clear):
            async with opening.for_reading(url) as db:
                return _present(key, await db.entries.get(key)).metadata.tags
        async with opening.for_writing(url, create=False) as db:
            return await db.transact(change)

    found = sorted(opening.run(work()))
    if as_json:
        shown.document({"key": key, "tags": found})
    else:
        shown.line(f"{key}  {shown.text_of(found)}")
    return exits.OK


def _changed(url: str, work: Callable[[Database], Awaitable[Entry[Any]]], *, as_json: bool) -> int:
    """Carry out a change in a database that exists, and tell of the entry it made."""

    async def run() -> Entry[Any]:
        async with opening.for_writing(url, create=False) as db:
            return await work(db)

    shown.written(opening.run(run()), as_json=as_json)
    return exits.OK


def _present(key: str, entry: Entry[Any] | None) -> Entry[Any]:
    if entry is None:
        raise KeyNotFound(
            f"there is no entry {key!r}; `holdfast keys` lists those there are", key=key
        )
    return entry
