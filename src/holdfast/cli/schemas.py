"""The commands `schema ...`: registered schemas, and which namespaces require them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from holdfast.cli import exits, opening, options, shown
from holdfast.cli.exits import BadUsage
from holdfast.codecs import typed_json
from holdfast.contract.errors import SchemaNotFound
from holdfast.database.handle import Database
from holdfast.store.versions.entry import Entry

#: The longest schema that is read, in bytes.
SCHEMA_BYTES_MAX = 16 * 1024 * 1024
#: How many digits of a digest tables show; they are enough to name it.
DIGITS_SHOWN = 12

app = typer.Typer(help="Registered schemas, and which namespaces require them.")

Digest = Annotated[
    str, typer.Argument(metavar="DIGEST", help="Of a registered schema, or its first digits.")
]
Namespace = Annotated[
    str, typer.Argument(metavar="NAMESPACE", help='As in keys, users/active; "" is everywhere.')
]


def list_(url: options.Url = "", as_json: options.AsJson = False) -> int:
    """List the registered schemas with the namespaces that require them."""

    async def work() -> list[tuple[Entry[Any], list[str]]]:
        async with opening.for_reading(url) as db:
            required = await db.schemas.required()
            return [
                (one, [space for space, digest in required.items() if digest == one.key.name])
                async for one in db.schemas.items()
            ]

    found = opening.run(work())
    if as_json:
        for one, spaces in found:
            shown.document({"schema_hash": one.key.name, "namespaces": spaces})
    elif found:
        rows = [
            [
                one.key.name[:DIGITS_SHOWN],
                ", ".join(space or "(everywhere)" for space in spaces),
                one.metadata.modified_by or "",
                one.metadata.comment or "",
                shown.value_in_line(one.value),
            ]
            for one, spaces in found
        ]
        columns = ["schema", "required by", "by", "comment", "what it asks for"]
        shown.table(None, columns, rows, fold="comment what it asks for")
    else:
        shown.note("no schema is registered; `holdfast schema register FILE` registers one")
    return exits.OK


def show(digest: Digest, url: options.Url = "", as_json: options.AsJson = False) -> int:
    """Print a schema; with --json together with its metadata."""

    async def work() -> Entry[Any]:
        async with opening.for_reading(url) as db:
            return await _the_one(db, digest)

    entry = opening.run(work())
    if as_json:
        shown.document(shown.entry_document(entry))
    else:
        print(typed_json.dumps(entry.value))
    return exits.OK


def register(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A JSON Schema; - is stdin.")],
    url: options.Url = "",
    by: options.By = None,
    comment: options.Comment = None,
    as_json: options.AsJson = False,
) -> int:
    """Register a JSON Schema and print its digest. The same schema twice is one."""
    if file == "-":
        text = sys.stdin.buffer.read(SCHEMA_BYTES_MAX + 1)
    else:
        with Path(file).open("rb") as stream:
            text = stream.read(SCHEMA_BYTES_MAX + 1)
    if len(text) > SCHEMA_BYTES_MAX:
        raise BadUsage(f"a schema has at most {SCHEMA_BYTES_MAX} bytes; found more")
    form = typed_json.parse(text)

    async def work() -> str:
        async with opening.for_writing(url) as db:
            return await db.schemas.register(form, modified_by=by, comment=comment)

    digest = opening.run(work())
    if as_json:
        shown.document({"schema_hash": digest})
    else:
        shown.line(digest)
    return exits.OK


def require(
    namespace: Namespace,
    digest: Digest,
    url: options.Url = "",
    by: options.By = None,
    as_json: options.AsJson = False,
) -> int:
    """Require that what is written into NAMESPACE, and below it, fits a schema."""

    async def work() -> str:
        async with opening.for_writing(url, create=False) as db:
            wanted = (await _the_one(db, digest)).key.name
            await db.schemas.require(namespace, wanted, modified_by=by)
            return wanted

    wanted = opening.run(work())
    if as_json:
        shown.document({"namespace": namespace, "schema_hash": wanted})
    else:
        shown.line(f"{namespace or '(everywhere)'}  requires {wanted[:DIGITS_SHOWN]}")
    return exits.OK


def waive(
    namespace: Namespace,
    url: options.Url = "",
    by: options.By = None,
    as_json: options.AsJson = False,
) -> int:
    """Require nothing of NAMESPACE any more; what one above it requires holds on."""

    async def work() -> None:
        async with opening.for_writing(url, create=False) as db:
            await db.schemas.waive(namespace, modified_by=by)

    opening.run(work())
    if as_json:
        shown.document({"namespace": namespace, "schema_hash": None})
    else:
        shown.line(f"{namespace or '(everywhere)'}  requires nothing of its own")
    return exits.OK


COMMANDS = ((list_, "list"), (show, "show"), (register, "register"), (require, "require"),
            (waive, "waive"))  # fmt: skip


async def _the_one(db: Database, digits: str) -> Entry[Any]:
    """The only schema whose digest begins so."""
    if not digits:
        raise BadUsage("a schema is named by its digest or its first digits; found none")
    found = [one async for one in db.schemas.items() if one.key.name.startswith(digits)]
    if not found:
        raise SchemaNotFound(
            f"no schema begins with {digits!r}; `holdfast schema list` lists those there are",
            schema_hash=digits,
        )
    if len(found) > 1:
        raise BadUsage(f"{len(found)} schemas begin with {digits!r}; give more digits")
    return found[0]
