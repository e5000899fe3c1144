"""The command export: entries as JSON lines, all of one moment."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from holdfast.cli import exits, files, opening, options, settings, shown
from holdfast.cli.collection_files import export_collection
from holdfast.cli.exits import BadUsage
from holdfast.cli.hints import hint
from holdfast.cli.progress import progress, shows_progress
from holdfast.cli.rows import Form
from holdfast.codecs import typed_json
from holdfast.codecs.pattern import Pattern
from holdfast.database.handle import Database

#: The progress moves after that many entries.
STEP_ENTRIES = 500
#: The registered schemas: names of 64 hexadecimal digits in a namespace of their own.
SCHEMAS = Pattern.regex("__schema:[0-9a-f]{64}")
EVERYTHING = Pattern.of("#")


def export(
    pattern: options.Patterns = "#",
    url: options.Url = "",
    kind: options.PatternKind = options.Kind.MQTT,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to; left out: stdout."),
    ] = None,
    collection: options.OfCollection = None,
    where: Annotated[
        str, typer.Option("--where", metavar="CONDITION", help="Only such documents of it.")
    ] = "",
    form: Annotated[
        Form, typer.Option("--format", help="Of a collection: lines, csv, parquet, or by the name.")
    ] = Form.AUTO,
    key_field: Annotated[
        str | None,
        typer.Option("--key-field", metavar="NAME", help="Of a collection: where the keys go."),
    ] = None,
    as_json: options.AsJson = False,
) -> int:
    """Write the entries that match as JSON lines, with metadata, as `import` reads them.

    All lines are of one moment; what has expired is absent. An export of everything begins with
    the registered schemas, and ends with what namespaces require and what past is kept. With --json
    and --output a JSON document of what was done goes to stdout. With --collection it writes the
    documents of that, as JSON lines, CSV or Parquet.
    """
    if collection is not None:
        if pattern != "#":
            raise BadUsage("a pattern is of keys of entries; with --collection give --where")
        return export_collection(
            collection, url, output, form.value, where, key_field, as_json=as_json
        )
    if where or key_field is not None or form not in (Form.AUTO, Form.LINES):
        raise BadUsage("--where, --key-field and --format are of collections; give --collection")
    wanted = options.pattern_of(pattern, kind)

    async def work(target: TextIO) -> tuple[int, int]:
        async with opening.for_reading(url) as db:
            # Before the snapshot, which then holds every schema that they name.
            last = await settings.exported(db) if wanted == EVERYTHING else []
            done = await _write_entries(db, target, wanted)
            _write(target, last)
            if not done[0] and not as_json and wanted != EVERYTHING:
                await hint(db, wanted)
            return done

    if output is None:
        opening.run(work(sys.stdout))
        return exits.OK
    with files.written(output) as target:
        written, revision = opening.run(work(target))
    if as_json:
        shown.document({"file": str(output), "entries": written, "revision": revision})
    else:
        shown.line(f"{written:,} entries of revision {revision} written to {output}")
    return exits.OK


async def _write_entries(db: Database, target: TextIO, wanted: Pattern) -> tuple[int, int]:
    """Write the entries of one moment; how many, and the revision of that moment."""
    written = 0
    async with await db.snapshot() as view:
        # Counting reads everything once more, so only for somebody who watches.
        # Lines that go to a terminal would tear the bar.
        bar = shows_progress() and not target.isatty()
        total = await view.entries.count(wanted) if bar else None
        with progress("export", total, visible=bar) as done:
            if wanted == EVERYTHING:
                # Schemas first, because the entries that name them are judged by them.
                async for entry in view.entries.items("__schema:+"):
                    if SCHEMAS.matches(entry.key):
                        _write(target, [shown.entry_document(entry)])
            async for entry in view.entries.items(wanted):
                _write(target, [shown.entry_document(entry)])
                written += 1
                if written % STEP_ENTRIES == 0:
                    done(written)
        return written, view.revision


def _write(target: TextIO, documents: Iterable[Any]) -> None:
    target.writelines(typed_json.text_of(one) + "\n" for one in documents)
