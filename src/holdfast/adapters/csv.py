"""Collections as CSV files, and CSV files into collections: typed, and sniffed where not told.

await to_csv(cities, "cities.csv", F.population > 1_000_000)
await from_csv(cities, "other.csv", key="code")
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from typing import IO, Any, Final, NamedTuple, cast

from holdfast.adapters import cells, dialects
from holdfast.adapters.columns import Missing, Place, checked_missing
from holdfast.adapters.files import offload, opened, output, stepped
from holdfast.adapters.handles import either
from holdfast.adapters.incoming import Nulls, check_key, check_nulls
from holdfast.adapters.rows import COMMIT_ROWS, Rows, Writer
from holdfast.contract.errors import InvalidInput, InvalidKey, StoreError
from holdfast.documents.collection import Collection
from holdfast.documents.plain import kind_of

#: How many bytes of what cannot be read twice are kept in memory; the rest in a file.
SPOOLED_BYTES: Final = 16 * 1024 * 1024
_COPY_BYTES: Final = 1024 * 1024


@either
async def to_csv(
    collection: Collection[Any],
    target: str | PathLike[str] | IO[str],
    query: Any = None,
    *,
    key: str | None = "key",
    columns: Sequence[str] | None = None,
    delimiter: str = ",",
    null: str = "",
    missing: Missing = "keep",
    hint: str | None = None,
) -> int:
    """Write the documents that a query finds as CSV in UTF-8; how many, all of one moment.

    Lists, mappings and bytes are JSON in their cells. They are read twice, first for the columns,
    unless these are named.

    Args:
        collection: with one of `holdfast.sync` nothing is awaited.
        target: the path of a file, which is there when all of it was written; or a stream of text.
        query: a condition such as `F.age >= 18`, its text or JSON form, or a whole `Query`; None:
            every document.
        key: the name of the column with the keys; None: there is none.
        columns: the fields wanted; others are left out.
        delimiter: between the cells.
        null: the text of null.
        missing: `keep` refuses a field that is null in some documents and missing in others, which
            look the same in CSV; `null` makes missing fields null.
        hint: the index to use.

    Raises:
        InvalidValue: a value has no text that is read as itself; the message names the column.
        InvalidInput: a document has a field of the name that the keys were to have.
        InvalidQuery, PatternInvalid: the query is malformed.
        OSError: the file cannot be written.
    """
    dialects.delimiter_of("", delimiter)
    dialects.checked_text("null", null)
    if key is not None:
        dialects.checked_text("key", key)
    checked_missing(missing)
    wanted = None if columns is None else dialects.checked_names("columns", columns)
    documents = Rows(collection, query, hint)
    count = 0
    async with documents as rows, output(collection, target) as stream:
        names = wanted if wanted is not None else await _names(rows, missing)
        if key is not None and key in names:
            raise InvalidInput(
                f"the column {key!r} is that of the keys; found a field of that name. Name "
                "another with key=, or None for no column of keys"
            )
        writer = csv.writer(_Lines(stream), delimiter=delimiter, lineterminator="\r\n")
        writer.writerow([*([] if key is None else [key]), *names])
        async for found, document, _ in rows.walk():
            head = [] if key is None else [found]
            writer.writerow(
                head + [cells.written(document.get(name), name, null) for name in names]
            )
            count += 1
    return count


class _Lines:
    """Takes rows that end in CR LF and writes them with LF.

    The writer of the standard library puts quotes around what its line ending has, and every reader
    takes a CR without quotes for the end of a row.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, row: str) -> None:
        """One row."""
        self._stream.write(row.removesuffix("\r\n") + "\n")


async def _names(rows: Rows, missing: Missing) -> list[str]:
    """The fields of all documents, in the order they are first seen."""
    names: dict[str, list[int]] = {}
    count = 0
    async for _, document, _ in rows.walk():
        count += 1
        for name, value in document.items():
            seen = names.get(name)
            if seen is None:
                Place.check_room(len(names), "")
                seen = names[name] = [0, 0]
            seen[0] += 1
            seen[1] += value is None
    for name, (present, nulls) in names.items():
        if missing == "keep" and nulls and present < count:
            raise Place.both(name, "CSV")
    return list(names)


@either
async def from_csv(
    collection: Collection[Any],
    source: str | PathLike[str] | IO[bytes],
    *,
    key: str | None = "key",
    types: Mapping[str, str] | None = None,
    header: bool | Sequence[str] | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    null: str = "",
    nulls: Nulls = "null",
    commit_rows: int = COMMIT_ROWS,
    modified_by: str | int | None = None,
    comment: str | None = None,
) -> int:
    """Write the rows of CSV as documents; how many.

    It is read twice: first to see what all cells of a column are; see `holdfast.adapters.cells`. A
    column is of text if the type of the collection says so, or `types`. Rows are written some at a
    time, each time as one commit: what was committed before a bad row stays.

    Args:
        collection: with one of `holdfast.sync` nothing is awaited.
        source: the path of a file, or a stream of bytes.
        key: the column of the keys, which is no field of the documents; None: keys are made.
        types: of columns: `int`, `float`, `bool`, `datetime`, `json` or `str`.
        header: whether the first row has the names, or the names; None: if it has that of the key,
            or looks like it.
        delimiter: between the cells; None: the one of comma, semicolon, tab and bar that fits.
        encoding: None: as a mark at the beginning says, or UTF-8.
        null: the text of null.
        nulls: what a null becomes: `null`, or `missing`.
        commit_rows: how many rows one commit takes at most.
        modified_by, comment: who and why.

    Raises:
        InvalidInput: it is no such CSV; the message names the line.
        InvalidValue, InvalidKey, SchemaValidationFailed: a row cannot be a document.
        OSError: the file cannot be read.
    """
    check_nulls(nulls)
    dialects.checked_text("null", null)
    if not isinstance(types, Mapping | None):
        raise InvalidInput(
            f"types is a mapping of columns to types; found a {type(types).__name__}"
        )
    writer = Writer(collection, commit_rows, modified_by=modified_by, comment=comment)
    async with opened(collection, source) as stream, writer:
        bytes_ = await offload(collection, lambda: _twice(stream))
        try:
            start = bytes_.tell()
            sample = await offload(collection, lambda: bytes_.read(dialects.SAMPLE_BYTES))
            form = _Form.of(sample, start, header, delimiter, encoding, key)
            _check_types(types or {}, form.names)
            given = cells.declared(kind_of(collection)) | dict(types or {})
            seen = await offload(collection, lambda: _types(bytes_, form, given, key, null))
            readers = [cells.reader_of(type) for type in seen]
            place = _place(form.names, key)
            async for line, row in stepped(collection, form.rows(bytes_)):
                await _write(writer, form.names, readers, line, row, place, null, nulls)
        finally:
            if bytes_ is not stream:
                bytes_.close()
    return writer.written


class _Form(NamedTuple):
    """How a file is written, and its columns."""

    start: int
    encoding: str
    delimiter: str
    skips: bool
    names: list[str]

    @classmethod
    def of(
        cls,
        sample: bytes,
        start: int,
        header: bool | Sequence[str] | None,
        delimiter: str | None,
        encoding: str | None,
        key: str | None,
    ) -> _Form:
        found = dialects.encoding_of(sample, encoding)
        text = dialects.decoded(sample, found).removeprefix("\ufeff")
        between = dialects.delimiter_of(text, delimiter)
        rows = dialects.rows_of(text, between)
        if header is None or isinstance(header, bool):
            skips = dialects.has_names(text, between, header, key)
            width = len(rows[0]) if rows else 0
            names = rows[0] if rows and skips else [f"column{at + 1}" for at in range(width)]
        else:
            skips, names = False, dialects.checked_names("header", header)
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise InvalidInput(
                f"columns have names of their own; found {min(twice)!r} twice. Name them with "
                "header=[...]"
            )
        Place.check_room(len(names) - 1, "")
        return cls(start, found, between, skips, names)

    def rows(self, stream: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
        """The rows with the lines that they begin after. Raises InvalidInput."""
        stream.seek(self.start)
        wrapper = io.TextIOWrapper(cast("io.BytesIO", stream), self.encoding, newline="")
        reader = csv.reader(wrapper, delimiter=self.delimiter, strict=True)
        skips, width = self.skips, len(self.names)
        try:
            for row in reader:
                if not row:
                    continue
                if skips:
                    skips = False
                    continue
                if len(row) != width:
                    raise InvalidInput(
                        f"line {reader.line_num}: a row of {width} cells was wanted; found "
                        f"{len(row)}. Correct it, or say how it is divided with delimiter="
                    )
                yield reader.line_num, row
        except UnicodeError as error:
            raise dialects.not_text(self.encoding) from error
        except csv.Error as error:
            raise InvalidInput(
                f"line {reader.line_num}: CSV was wanted; found something else ({error})"
            ) from error
        finally:
            wrapper.detach()


def _twice(stream: IO[bytes]) -> IO[bytes]:
    """The stream, if it can be read again, or a copy."""
    if stream.seekable():
        return stream
    copy = tempfile.SpooledTemporaryFile(max_size=SPOOLED_BYTES)  # noqa: SIM115 - closed by the caller
    try:
        while part := stream.read(_COPY_BYTES):
            copy.write(part)
        copy.seek(0)
    except BaseException:
        copy.close()
        raise
    return copy


def _types(
    stream: IO[bytes], form: _Form, given: Mapping[str, str], key: str | None, null: str
) -> list[str]:
    """The types of the columns: as given, or what all of their cells are."""
    wanted = [given.get(name) if name != key else "str" for name in form.names]
    columns = [cells.Column() if type is None else None for type in wanted]
    for _, row in form.rows(stream):
        for column, cell in zip(columns, row, strict=True):
            if column is not None and cell != null:
                column.see(cell)
    return [
        type if type is not None else column.type if column is not None else "str"
        for type, column in zip(wanted, columns, strict=True)
    ]


def _check_types(types: Mapping[str, str], names: Sequence[str]) -> None:
    unknown = [name for name in types if name not in names]
    if unknown:
        raise InvalidInput(
            f"types names columns of the file; found {unknown[0]!r}, which is none of its "
            f"{len(names)} columns"
        )


def _place(names: Sequence[str], key: str | None) -> int | None:
    check_key(names, key)
    return None if key is None else names.index(key)


async def _write(
    writer: Writer, names: Sequence[str], readers: Sequence[Any], line: int, row: Sequence[str],
    place: int | None, null: str, nulls: Nulls,
) -> None:  # fmt: skip
    document = {}
    try:
        for at, (name, read, cell) in enumerate(zip(names, readers, row, strict=True)):
            if at == place:
                continue
            if cell != null:
                try:
                    document[name] = read(cell)
                except StoreError as error:
                    error.message = f"column {name!r}: {error.message}"
                    raise
            elif nulls == "null":
                document[name] = None
        found = None if place is None else row[place]
        if found == "":
            raise InvalidKey("the key of a document has at least one character; found an empty one")
        await writer.add(found, document, sum(map(len, row)))
    except StoreError as error:
        if "row" not in error.details:
            error.message = f"line {line}: {error.message}"
        raise
