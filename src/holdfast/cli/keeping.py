"""The commands `retention ...`: how much of the past is kept."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from holdfast.cli import exits, opening, options, settings, shown
from holdfast.cli.exits import BadUsage

app = typer.Typer(help="How much of the past is kept.")


class Values(StrEnum):
    """How long the values of past versions are kept."""

    FEED = "feed"
    FOREVER = "forever"
    NONE = "none"


class Gone(StrEnum):
    """Which keys without a value lose their past once the feed no longer tells of their end."""

    EXPIRED = "expired"
    FEED = "feed"
    FOREVER = "forever"


def show(url: options.Url = "", as_json: options.AsJson = False) -> int:
    """Show how far the past reaches back, and what namespaces say otherwise."""

    async def work() -> dict[str, Any]:
        async with opening.for_reading(url) as db:
            return await settings.retained(db)

    found = opening.run(work())
    if as_json:
        shown.document(found)
        return exits.OK
    shown.facts(
        [
            ("the feed reaches back", shown.duration_of(found["age_s"])),
            ("at most, in changes", found["changes_max"]),
        ]
    )
    rows = [
        [one["namespace"] or "(everywhere)", one["values"],
         "all" if one["versions"] is None else str(one["versions"]), one["gone"]]
        for one in found["namespaces"]
    ]  # fmt: skip
    if rows:
        shown.table(
            None, ["namespace", "values of past versions", "versions", "past of the gone"], rows
        )
    return exits.OK


def keep(
    namespace: Annotated[
        str, typer.Argument(metavar="NAMESPACE", help='As in keys, users/active; "" is all.')
    ],
    url: options.Url = "",
    values: Annotated[
        Values | None,
        typer.Option("--values", help="As long as the feed reaches back, forever, or none."),
    ] = None,
    versions: Annotated[
        int | None,
        typer.Option("--versions", min=0, metavar="N", help="How many past versions of a key."),
    ] = None,
    gone: Annotated[
        Gone | None,
        typer.Option("--gone", help="Which keys without a value lose their past with the feed."),
    ] = None,
    as_json: options.AsJson = False,
) -> int:
    """Say what is kept of the past of NAMESPACE and those below it; left out: as by default."""
    if values is None and versions is None and gone is None:
        raise BadUsage(
            "say what is kept: --values feed, forever or none, --versions N, or --gone. "
            "`--values feed` alone is what holds where nothing is said"
        )
    kept: Any = Values.FEED.value if values is None else values.value
    lost: Any = Gone.EXPIRED.value if gone is None else gone.value

    async def work() -> dict[str, Any]:
        async with opening.for_writing(url, create=False) as db:
            await db.retention.keep(namespace, values=kept, versions=versions, gone=lost)
            return await settings.retained(db)

    return _said(opening.run(work()), as_json=as_json)


def feed(
    url: options.Url = "",
    age: Annotated[
        str | None, typer.Option("--age", metavar="TIME", help="How far back: 2h, 7d.")
    ] = None,
    changes: Annotated[
        int | None, typer.Option("--changes", min=0, metavar="N", help="At most N changes.")
    ] = None,
    as_json: options.AsJson = False,
) -> int:
    """Say how far the feed, and with it the values of past versions, reach back."""
    if age is None and changes is None:
        raise BadUsage("say how far: --age TIME, --changes N, or both")
    age_s = options.seconds_of(age, "--age")

    async def work() -> dict[str, Any]:
        async with opening.for_writing(url, create=False) as db:
            before = await settings.retained(db)
            await db.retention.keep_feed(
                age_s=before["age_s"] if age_s is None else age_s,
                changes_max=before["changes_max"] if changes is None else changes,
            )
            return await settings.retained(db)

    return _said(opening.run(work()), as_json=as_json)


COMMANDS = ((show, "show"), (keep, "keep"), (feed, "feed"))


def _said(found: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        shown.document(found)
    else:
        shown.line("noted; `holdfast compact` gives up what is no longer kept")
    return exits.OK
