"""The documents of a collection into a file, and the rows of a file into a collection."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, TextIO

from holdfast.cli import exits, files, opening, shown
from holdfast.cli.documents import existing
from holdfast.cli.exits import BadUsage
from holdfast.documents.collection import Collection
from holdfast.documents.query.expression import parse_expression


class Table(StrEnum):
    """How a file of rows is written."""

    LINES = "lines"
    CSV = "csv"
    PARQUET = "parquet"


_ENDINGS = {".csv": Table.CSV, ".tsv": Table.CSV, ".parquet": Table.PARQUET}


def table_of(form: str, file: str) -> Table:
    """The form of a file: as given, or by its name: lines, unless it ends with another.

    Raises BadUsage for a form that rows of a collection do not have.
    """
    if form == "auto":
        return _ENDINGS.get(Path(file).suffix.lower(), Table.LINES)
    try:
        return Table(form)
    except ValueError:
        raise BadUsage(
            f"with --collection, --format reads auto, {', '.join(Table)}; found {form}"
        ) from None


def export_collection(
    name: str,
    url: str,
    output: Path | None,
    form: str,
    condition: str,
    key_field: str | None,
    *,
    as_json: bool,
) -> int:
    """Write the documents of a collection that meet a condition, all of one moment."""
    table = table_of(form, "" if output is None else str(output))
    if table is Table.PARQUET and output is None:
        raise BadUsage("a Parquet file goes to --output FILE; found none")
    if condition:
        parse_expression(condition)  # Before a database is opened.

    async def work(target: Path | TextIO) -> int:
        async with opening.for_reading(url) as db:
            collection = await existing(db, name)
            delimiter = "\t" if output is not None and output.suffix.lower() == ".tsv" else ","
            return await _written(
                collection, table, target, condition or None, key_field, delimiter
            )

    if output is None:
        opening.run(work(sys.stdout))
        return exits.OK
    if table is Table.PARQUET:
        written = opening.run(work(output))
    else:
        with files.written(output) as target:
            written = opening.run(work(target))
    if as_json:
        shown.document({"file": str(output), "documents": written})
    else:
        shown.line(f"{written:,} documents written to {output}")
    return exits.OK


async def _written(
    collection: Collection[Any],
    table: Table,
    target: Any,
    condition: str | None,
    key_field: str | None,
    delimiter: str,
) -> int:
    if table is Table.LINES:
        from holdfast.adapters.json_lines import to_json_lines

        return await to_json_lines(collection, target, condition, key_field=key_field)
    key = key_field or "key"
    if table is Table.CSV:
        from holdfast.adapters.csv import to_csv

        return await to_csv(collection, target, condition, key=key, delimiter=delimiter)
    from holdfast.adapters.parquet import to_parquet

    return await to_parquet(collection, target, condition, key=key)


def import_collection(
    name: str,
    url: str,
    file: str,
    form: str,
    batch: int,
    key_field: str | None,
    by: str | None,
    comment: str | None,
    *,
    as_json: bool,
) -> int:
    """Write the rows of a file as documents of a collection, a batch in each commit."""
    table = table_of(form, file)
    if table is Table.PARQUET and file == "-":
        raise BadUsage("a Parquet file is read from its path; found stdin")
    options: dict[str, Any] = {"commit_rows": batch, "modified_by": by, "comment": comment}

    async def work() -> int:
        async with opening.for_writing(url) as db:
            source: IO[bytes] | str = sys.stdin.buffer if file == "-" else file
            return await _read(db.collection(name), table, source, key_field, options)

    written = opening.run(work())
    if as_json:
        shown.document({"written": written})
    else:
        shown.line(f"{written:,} written")
    return exits.OK


async def _read(
    collection: Collection[Any],
    table: Table,
    source: Any,
    key_field: str | None,
    options: dict[str, Any],
) -> int:
    if table is Table.LINES:
        from holdfast.adapters.json_lines import from_json_lines

        return await from_json_lines(collection, source, key_field=key_field, **options)
    key = key_field or "key"
    if table is Table.CSV:
        from holdfast.adapters.csv import from_csv

        return await from_csv(collection, source, key=key, **options)
    from holdfast.adapters.parquet import from_parquet

    return await from_parquet(collection, source, key=key, **options)
