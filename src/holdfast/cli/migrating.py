"""The command `migrate`: what another library wrote into a store, entries or a collection."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli import exits, opening, options, shown
from holdfast.cli.collection_files import import_collection
from holdfast.cli.exits import BadUsage
from holdfast.cli.progress import progress
from holdfast.codecs.text import parse_namespace

if TYPE_CHECKING:
    from holdfast.stores.migration.importing import Source

#: The kinds of sources, spelled out because their importers load much that other commands need not.
KINDS = (
    "dbm", "shelve", "diskcache", "sqlitedict", "tinydb", "redis", "leveldb", "mongodb", "zodb",
)  # fmt: skip
#: Files of rows, which become documents, with how `import` calls their form.
ROWS = {"jsonl": "lines", "csv": "csv", "parquet": "parquet"}
#: How many rows one commit writes.
COMMIT_ROWS = 500


class Into(StrEnum):
    """Where the items go."""

    AUTO = "auto"
    STORE = "store"
    ENTRIES = "entries"
    COLLECTION = "collection"


def migrate(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="A file or folder, or the URL of a Redis server.")
    ],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of the store, namespace or collection.")
    ],
    url: options.Url = "",
    kind: Annotated[
        str,
        typer.Option("--from", metavar="KIND", help=f"{', '.join([*KINDS, *ROWS])}; else guessed."),
    ] = "",
    into: Annotated[
        Into, typer.Option("--into", help="auto: bytes into a store, plain values into entries.")
    ] = Into.AUTO,
    table: Annotated[
        str, typer.Option("--table", metavar="TABLE", help="Only that table or collection of OLD.")
    ] = "",
    match: Annotated[
        str, typer.Option("--match", metavar="PATTERN", help="Of Redis: only such keys.")
    ] = "",
    text: Annotated[bool, typer.Option("--text", help="Of Redis: strings are text.")] = False,
    unpickle: Annotated[
        bool,
        typer.Option(
            "--unpickle", help="Load pickles, which runs their code: only if you trust it."
        ),
    ] = False,
    key_field: Annotated[
        str | None,
        typer.Option("--key-field", metavar="NAME", help="Of rows: this field is the key."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Read both sides again, and compare.")
    ] = True,
    as_json: options.AsJson = False,
) -> int:
    """Copy what another library wrote; done again, it completes.

    It reads dbm files and shelves, diskcache, sqlitedict, TinyDB, Redis, LevelDB, dumps of MongoDB,
    ZODB, and rows of JSON Lines, CSV and Parquet, which become documents. OLD is never written.
    """
    rows = _rows_of(old, kind)
    if rows is not None:
        if into not in (Into.AUTO, Into.COLLECTION) or table or match or text or unpickle:
            raise BadUsage("rows become documents of a collection; of the options, --key-field")
        return import_collection(
            name, url, old, rows, COMMIT_ROWS, key_field, None, "migrated", as_json=as_json
        )
    if key_field is not None:
        raise BadUsage("--key-field is of rows; other sources have keys. Leave it out")
    opening.config_of(url)
    from holdfast.stores.migration.importing import open_source

    with open_source(
        old, kind or None, table=table, match=match, unpickle=unpickle, text=text
    ) as source:
        found = opening.run(_copy(source, name, url, into, verify=verify))
    if as_json:
        shown.document(found)
        return exits.OK
    what = "pairs" if "pairs" in found else "items"
    shown.line(f"{found[what]:,} {what}, of which {found['written']:,} were not there yet")
    if found.get("digest"):
        shown.line(f"both sides have the digest {found['digest']}")
    elif found.get("verified"):
        shown.line("both sides were compared, and are equal")
    return exits.OK


async def _copy(source: Source, name: str, url: str, into: Into, *, verify: bool) -> dict[str, Any]:
    """Copy the items of a source; what is told of it."""
    from holdfast.stores.migration.importing import import_documents, import_entries, import_pairs

    if into is Into.AUTO:
        into = Into.STORE if source.raw else Into.ENTRIES
    namespace = parse_namespace(name) if into is Into.ENTRIES else ()
    async with opening.for_writing(url) as db:
        with progress("migrate", None) as done:
            if into is Into.STORE:
                store = await db.stores.open(name)
                pairs = await import_pairs(source, store, verify=verify, progress=done)
                return {
                    "kind": source.kind, "into": into.value, "pairs": pairs.pairs,
                    "written": pairs.written, "digest": pairs.digest or None,
                }  # fmt: skip
            if into is Into.ENTRIES:
                items = await import_entries(
                    source, db.entries, namespace, verify=verify, progress=done
                )
            else:
                items = await import_documents(
                    source, db.collection(name), verify=verify, progress=done
                )
    return {
        "kind": source.kind, "into": into.value, "items": items.items, "written": items.written,
        "verified": items.verified,
    }  # fmt: skip


def _rows_of(old: str, kind: str) -> str | None:
    """How `import` calls the form of a file of rows; None: it is something else."""
    if kind:
        return ROWS.get(kind)
    endings = {".jsonl": "lines", ".ndjson": "lines", ".csv": "csv", ".tsv": "csv",
               ".parquet": "parquet"}  # fmt: skip
    return endings.get(Path(old).suffix.lower())
