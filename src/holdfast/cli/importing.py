"""The command import: rows of JSON into entries, batch by batch.

Each batch is one commit: all of its rows or none. What came before a bad row stays written, and
running the same import again with `--if-changed` goes on without making versions of equal values.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from holdfast.cli import exits, opening, options, settings, shown
from holdfast.cli.collection_files import import_collection
from holdfast.cli.exits import BadUsage
from holdfast.cli.exporting import SCHEMAS
from holdfast.cli.progress import progress
from holdfast.cli.rows import Form, Row, Shape, blame, read_rows
from holdfast.codecs.digest import digest
from holdfast.contract.errors import InvalidInput, StoreError
from holdfast.contract.runtime import SystemClock
from holdfast.database.handle import Database
from holdfast.database.transaction import Transaction
from holdfast.store.instants import milliseconds
from holdfast.store.versions.entry import Entry

#: A batch ends before it holds more than that, whatever `--batch` says.
BATCH_BYTES_MAX = 16 * 1024 * 1024
#: The most rows of one batch; what one commit takes is far above.
BATCH_ROWS_MAX = 5_000


class Tally:
    """What an import did."""

    def __init__(self) -> None:
        self.written = 0
        self.unchanged = 0
        self.expired = 0
        self.schemas = 0
        self.settings = 0
        self.batches = 0
        #: The last line that is safely written, with all before it.
        self.line = 0

    def document(self) -> dict[str, int]:
        return dict(vars(self))


def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON lines or JSON; - is stdin.")],
    url: options.Url = "",
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", metavar="NS", help="Keys are names in this namespace: a/b."),
    ] = None,
    key_field: Annotated[
        str | None,
        typer.Option("--key-field", metavar="NAME", help="Rows are values; this field is the key."),
    ] = None,
    form: Annotated[
        Form,
        typer.Option("--format", help="lines, json, or by the name; of a collection csv, parquet."),
    ] = Form.AUTO,
    batch: Annotated[
        int,
        typer.Option("--batch", min=1, max=BATCH_ROWS_MAX, metavar="N", help="Rows per commit."),
    ] = 500,
    if_changed: Annotated[
        bool, typer.Option("--if-changed", help="Write only values that differ: safe to repeat.")
    ] = False,
    by: options.By = None,
    comment: options.Comment = None,
    with_settings: Annotated[
        bool,
        typer.Option(
            "--settings/--no-settings",
            help="Take over what an export of everything says of schemas and retention.",
        ),
    ] = True,
    collection: options.OfCollection = None,
    as_json: options.AsJson = False,
) -> int:
    """Read rows {"key": ..., "value": ..., "metadata": ...} into entries.

    It reads what `export` writes: author, comment, tags and expiry are taken over, versions are
    counted anew, a digest is verified. A JSON object of names and values works too, and with
    --key-field an array or lines of plain objects. With --collection the rows become documents of
    that, and may be CSV or Parquet too.
    """
    if collection is not None:
        if namespace is not None or if_changed:
            raise BadUsage("--namespace and --if-changed are of entries; leave out --collection")
        return import_collection(
            collection, url, file, form.value, batch, key_field, by, comment, as_json=as_json
        )
    shape = Shape.of(namespace, key_field)
    tally = Tally()

    async def work(stream: BinaryIO, size: int | None) -> None:
        async with opening.for_writing(url) as db:
            with progress("import", size, sizes=True) as done:
                found: dict[str, settings.Setting] = {}
                rows = settings.split(read_rows(stream, form.settled(file), shape), found)
                for group, position in _batches(rows, batch):
                    await _write(db, group, tally, by, comment, if_changed=if_changed)
                    done(position)
                # After all entries, which may be older than what is required now.
                for setting in found.values() if with_settings else ():
                    try:
                        tally.settings += await settings.apply(db, setting, by)
                    except StoreError as error:
                        raise blame(error, setting.line) from error
                    tally.line = max(tally.line, setting.line)

    with _source(file) as stream:
        size = None
        if file != "-":
            size = stream.seek(0, 2)
            stream.seek(0)
        try:
            opening.run(work(stream, size))
        except StoreError as error:
            where = f"everything up to line {tally.line} is written" if tally.line else (
                "nothing is written"
            )  # fmt: skip
            error.message = f"{error.message}. Of this import {where}"
            error.details = error.details | {"written": tally.written, "line_written": tally.line}
            raise
    if as_json:
        shown.document(tally.document())
    else:
        unchanged = f", {tally.unchanged:,} unchanged" if if_changed else ""
        expired = f", {tally.expired:,} expired and left out" if tally.expired else ""
        schemas = f", {tally.schemas:,} schemas registered" if tally.schemas else ""
        taken = f", {tally.settings:,} settings taken over" if tally.settings else ""
        others = f"{unchanged}{expired}{schemas}{taken}"
        shown.line(f"{tally.written:,} written{others}, in {tally.batches:,} commits")
    return exits.OK


@contextmanager
def _source(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    with Path(file).open("rb") as stream:
        yield stream


def _batches(rows: Iterator[Row], size: int) -> Iterator[tuple[list[Row], int]]:
    """Rows in groups for one commit each, with how far into the file each group reaches."""
    group: list[Row] = []
    weight = 0
    for row in rows:
        if group and (len(group) >= size or weight + row.weight > BATCH_BYTES_MAX):
            yield group, group[-1].position
            group, weight = [], 0
        group.append(row)
        weight += row.weight
    if group:
        yield group, group[-1].position


async def _write(
    db: Database,
    rows: list[Row],
    tally: Tally,
    by: str | None,
    comment: str | None,
    *,
    if_changed: bool,
) -> None:
    """One batch, as one commit."""
    written = unchanged = expired = 0
    clock = SystemClock()
    await _adopt_schemas(db, rows, tally)
    if not rows:
        return

    async def work(transaction: Transaction) -> None:
        nonlocal written, unchanged, expired
        written = unchanged = expired = 0
        for row in rows:
            if row.expires_at is not None and milliseconds(row.expires_at) <= clock.now_ms():
                expired += 1
                continue
            try:
                before = await transaction.entries.get(row.key) if if_changed else None
                if before is not None and _stands_there(row, before):
                    unchanged += 1
                    continue
                after = await transaction.entries.set(
                    row.key, row.value,
                    modified_by=by if by is not None else row.modified_by,
                    comment=comment if comment is not None else row.comment,
                    tags=row.tags, expires_at=row.expires_at, schema_hash=row.schema_hash,
                    if_changed=if_changed,
                )  # fmt: skip
            except StoreError as error:
                raise row.blame(error) from error
            if row.data_hash is not None and after.metadata.data_hash != row.data_hash:
                raise row.blame(
                    InvalidInput(
                        f"the value of {str(row.key)!r} has not the digest that stands beside "
                        "it: the row is damaged, or was edited. Correct it, or remove the "
                        "data_hash to import the value as it is"
                    )
                )
            if before is not None and before.metadata.version == after.metadata.version:
                unchanged += 1
            else:
                written += 1

    await db.transact(work, isolation="snapshot")
    tally.written += written
    tally.unchanged += unchanged
    tally.expired += expired
    tally.batches += 1
    tally.line = rows[-1].line


async def _adopt_schemas(db: Database, rows: list[Row], tally: Tally) -> None:
    """Take the schemas out of the rows: they are registered, and the same twice is one."""
    for row in [row for row in rows if SCHEMAS.matches(row.key)]:
        rows.remove(row)
        try:
            await db.schemas.adopt(row.value, modified_by=row.modified_by, comment=row.comment)
        except StoreError as error:
            raise row.blame(error) from error
        tally.schemas += 1
        tally.line = row.line


def _stands_there(row: Row, entry: Entry[Any]) -> bool:
    """Whether the value of a row is the entry's, which then need not fit what is required now."""
    there = entry.metadata.data_hash
    return row.data_hash in (None, there) and digest(row.value).hex == there
