"""The commands `index ...`: make, list and drop the indexes of a collection."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer

from holdfast.cli import exits, opening, options, shown
from holdfast.cli.documents import Name
from holdfast.documents.results import IndexFacts

app = typer.Typer(help="The indexes of collections.")

IndexName = Annotated[str, typer.Argument(metavar="INDEX", help="Its name.")]


class Kind(StrEnum):
    """What an index can do."""

    BTREE = "btree"
    HASH = "hash"
    TEXT = "text"
    GEO = "geo"
    VECTOR = "vector"


def create(
    collection: Name,
    index: IndexName,
    fields: Annotated[
        list[str],
        typer.Argument(metavar="FIELD...", help="-FIELD descends (put -- before)."),
    ],
    url: options.Url = "",
    kind: Annotated[Kind, typer.Option("--kind", help="What it can do.")] = Kind.BTREE,
    unique: Annotated[bool, typer.Option("--unique", help="No two with the same value.")] = False,
    sparse: Annotated[bool, typer.Option("--sparse", help="Only documents that have it.")] = False,
    language: Annotated[
        str | None, typer.Option("--language", help="Of a text index: its stems and stop words.")
    ] = None,
    dimensions: Annotated[
        int | None, typer.Option("--dimensions", min=1, help="Of a vector index.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="Of a vector index: cosine, dot or l2.")
    ] = None,
    as_json: options.AsJson = False,
) -> int:
    """Make INDEX over fields of COLLECTION, and take in every document."""

    async def work() -> IndexFacts:
        async with opening.for_writing(url, create=False) as db:
            documents = db.collection(collection)
            await documents.create_index(
                index, fields, kind=kind.value, unique=unique, sparse=sparse, language=language,
                dimensions=dimensions, metric=metric,
            )  # fmt: skip
            return next(one for one in await documents.list_indexes() if one.name == index)

    made = opening.run(work())
    if as_json:
        shown.document(msgspec.to_builtins(made))
    else:
        shown.line(f"{made.name}  {made.state}  {made.entries:,} rows")
    return exits.OK


def show(collection: Name, url: options.Url = "", as_json: options.AsJson = False) -> int:
    """List the indexes of COLLECTION with how they fare."""

    async def work() -> list[IndexFacts]:
        async with opening.for_reading(url) as db:
            return await db.collection(collection).list_indexes()

    found = opening.run(work())
    if as_json:
        for one in found:
            shown.document(msgspec.to_builtins(one))
        return exits.OK
    if not found:
        shown.note("no indexes")
        return exits.OK
    rows: list[list[Any]] = [
        [one.name, one.kind, shown.text_of(one.fields), one.state, shown.text_of(one.entries),
         shown.size_of(one.size), one.failure or "-"]
        for one in found
    ]  # fmt: skip
    shown.table(
        None, ["index", "kind", "fields", "state", "rows", "size", "failure"], rows, right="rows"
    )
    return exits.OK


def drop(
    collection: Name, index: IndexName, url: options.Url = "", as_json: options.AsJson = False
) -> int:
    """Remove INDEX of COLLECTION."""

    async def work() -> None:
        async with opening.for_writing(url, create=False) as db:
            await db.collection(collection).drop_index(index)

    opening.run(work())
    if as_json:
        shown.document({"name": index, "state": "dropped"})
    else:
        shown.line(f"{index}  dropped")
    return exits.OK


COMMANDS = ((create, "create"), (show, "list"), (drop, "drop"))
