"""Commands on collections of documents: collections, find, aggregate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
import typer

from holdfast.cli import exits, opening, options, shown
from holdfast.cli.exits import BadUsage
from holdfast.codecs import typed_json
from holdfast.contract.errors import StoreNotFound
from holdfast.database.handle import Database
from holdfast.documents.collection import Collection
from holdfast.documents.query.expression import parse_expression
from holdfast.documents.results import QueryResult

#: How many documents a table shows unless told otherwise.
FOUND_MAX = 20

Name = Annotated[str, typer.Argument(metavar="COLLECTION", help="Its name.")]


def collections(url: options.Url = "", as_json: options.AsJson = False) -> int:
    """List the collections with their documents and indexes."""

    async def work() -> list[dict[str, Any]]:
        async with opening.for_reading(url) as db:
            found = []
            for name in await names_of(db):
                collection = db.collection(name)
                indexes = [one.name for one in await collection.list_indexes()]
                found.append(
                    {"name": name, "documents": await collection.count(), "indexes": indexes}
                )
            return found

    found = opening.run(work())
    if as_json:
        for one in found:
            shown.document(one)
        return exits.OK
    if not found:
        shown.note("no collections")
        return exits.OK
    rows = [
        [one["name"], shown.text_of(one["documents"]), shown.text_of(one["indexes"])]
        for one in found
    ]
    shown.table(None, ["collection", "documents", "indexes"], rows, right="documents")
    return exits.OK


def find(
    collection: Name,
    condition: Annotated[
        str,
        typer.Argument(
            metavar="[CONDITION]", help="Such as 'population > 1000 and name == \"x\"'."
        ),
    ] = "",
    url: options.Url = "",
    order: Annotated[
        list[str] | None,
        typer.Option("--order", "-o", metavar="FIELD", help="Order by; -FIELD descends; repeat."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=0, metavar="N", help="At most N.")
    ] = None,
    offset: Annotated[int, typer.Option("--offset", min=0, metavar="N", help="Skip N.")] = 0,
    select: Annotated[
        list[str] | None,
        typer.Option("--select", "-s", metavar="FIELD", help="Only these fields; repeat."),
    ] = None,
    search: Annotated[
        str | None, typer.Option("--search", metavar="WORDS", help="Full text, best first.")
    ] = None,
    count: Annotated[bool, typer.Option("--count", help="Print how many there are.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show how it is answered, and what that takes.")
    ] = False,
    hint: Annotated[
        str | None, typer.Option("--hint", metavar="INDEX", help='Use it; "" is none.')
    ] = None,
    as_json: options.AsJson = False,
) -> int:
    """Print the documents of COLLECTION that meet CONDITION, one a line."""
    if count + explain + (search is not None) > 1:
        raise BadUsage("--count, --explain and --search exclude each other; give one")
    asked = [condition] if condition else []
    for one in asked:
        parse_expression(one)  # Before a database is opened.

    async def work() -> int:
        async with opening.for_reading(url) as db:
            wanted = await existing(db, collection)
            if count:
                found = await wanted.count(*asked, limit=limit, offset=offset, hint=hint)
                shown.document({"count": found}) if as_json else shown.line(str(found))
                return exits.OK
            if explain:
                told = await wanted.explain(
                    *asked, order_by=order or (), limit=limit, offset=offset, hint=hint
                )
                shown.document(told) if as_json else show_plan(told)
                return exits.OK
            if search is not None:
                results = await wanted.search(
                    search, *asked, limit=FOUND_MAX if limit is None else limit, select=select
                )
                for one in results:
                    show_result(one, as_json=as_json)
                return exits.OK if results else exits.ABSENT
            met = 0
            async for one in wanted.query(
                *asked, order_by=order or (), limit=limit, offset=offset, select=select, hint=hint
            ):
                show_result(one, as_json=as_json)
                met += 1
            return exits.OK if met else exits.ABSENT

    return opening.run(work())


def aggregate(
    collection: Name,
    pipeline: Annotated[
        str,
        typer.Argument(metavar="PIPELINE", help='JSON: [{"match": ...}, {"group": ...}, ...].'),
    ],
    url: options.Url = "",
    as_json: options.AsJson = False,  # noqa: ARG001 - it is JSON in any case
) -> int:
    """Print what a PIPELINE makes of the documents of COLLECTION, as JSON, one a line."""
    try:
        stages = orjson.loads(pipeline)
    except ValueError as error:
        raise BadUsage(
            f"a pipeline is JSON, a list of stages; found other text: {error}"
        ) from error

    async def work() -> None:
        async with opening.for_reading(url) as db:
            made: AsyncIterator[Any] = (await existing(db, collection)).aggregate(stages)
            async for one in made:
                shown.document(typed_json.to_json(one))

    opening.run(work())
    return exits.OK


def show_result(found: QueryResult[Any], *, as_json: bool) -> None:
    """Print a document on a line."""
    value = typed_json.to_json(found.value)
    if as_json:
        score = {} if found.score is None else {"score": found.score}
        shown.document({"key": found.key, "value": value, **score})
        return
    shown.stream_line(f"{shown.safe(found.key)}  {shown.value_in_line(found.value, None)}")


def show_plan(told: dict[str, Any]) -> None:
    """Print how a query was answered, as a tree."""
    examined = told["examined"]
    shown.facts(
        [
            ("results", told["returned"]),
            ("index rows looked at", examined["keys"]),
            ("documents looked at", examined["documents"]),
            ("milliseconds", f"{1000 * told['seconds']:.3f}"),
        ]
    )
    for text in plan_lines(told["plan"]):
        shown.line(text)
    for one in told["rejected"]:
        shown.line(f"not taken: index {one['index']} ({one['kind']})")
    for one in told["warnings"]:
        shown.note(f"warning: {one}")


def plan_lines(stage: dict[str, Any], depth: int = 0) -> list[str]:
    """The stages of a plan, each below the one that takes from it."""
    inner = [stage[name] for name in ("input",) if name in stage] + list(stage.get("inputs", ()))
    facts = " ".join(
        f"{name}={typed_json.dumps(value)}"
        for name, value in stage.items()
        if name not in ("stage", "input", "inputs") and value not in (None, {}, [], False)
    )
    lines = [f"{'  ' * depth}{'└ ' if depth else ''}{stage['stage']} {facts}".rstrip()]
    for one in inner:
        lines += plan_lines(one, depth + 1)
    return lines


async def names_of(db: Database) -> list[str]:
    """The names of all collections, in order."""
    return await db._require_collections().names()  # noqa: SLF001 - of this package


async def existing(db: Database, name: str) -> Collection[Any]:
    """A collection that has to be there."""
    if name not in await names_of(db):
        raise StoreNotFound(
            f"a collection was wanted; there is no {name[:120]!r}. `holdfast collections` lists "
            "those that there are"
        )
    return db.collection(name)
