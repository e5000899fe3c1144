"""How a CSV file is written: its encoding, its delimiter, and whether it begins with names."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from holdfast.adapters.cells import Column
from holdfast.contract.errors import InvalidInput

#: How much of a file is looked at.
SAMPLE_BYTES: Final = 256 * 1024
#: Of two that divide the rows as well, the first.
DELIMITERS: Final = (",", ";", "\t", "|")

# UTF-32 first: its mark begins with that of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


def encoding_of(sample: bytes, given: str | None) -> str:
    """The encoding: as given, as the mark at the beginning says, or UTF-8. Raises InvalidInput."""
    if given is not None:
        try:
            found = codecs.lookup(checked_text("encoding", given))
            "a".encode(given)  # Refuses those that are not of text.
        except (LookupError, ValueError) as error:
            raise InvalidInput(f"an encoding such as cp1252 was wanted; found {given!r}") from error
        return "utf-8-sig" if found.name == "utf-8" else given
    return next((name for mark, name in _MARKS if sample.startswith(mark)), "utf-8")


def decoded(sample: bytes, encoding: str) -> str:
    """The text of the beginning of a file, which may end in the middle of a character."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeError as error:
        raise not_text(encoding) from error


def not_text(encoding: str) -> InvalidInput:
    """The error for bytes that are no text of the encoding."""
    return InvalidInput(
        f"text in {encoding} was wanted; found bytes that are none. Say what it is written in, "
        "such as encoding='cp1252'"
    )


def delimiter_of(sample: str, given: str | None) -> str:
    """The delimiter: as given, or the one that divides most rows into the same number of cells."""
    if given is not None:
        if not isinstance(given, str) or len(given) != 1 or given in '\r\n"\0':
            raise InvalidInput(f"a delimiter is one character; found {given!r}")
        checked_text("delimiter", given)
        return given
    best, found = (0.0, 0), DELIMITERS[0]
    for delimiter in DELIMITERS:
        rows = rows_of(sample, delimiter)
        widths = Counter(map(len, rows))
        if not widths:
            continue
        width, number = widths.most_common(1)[0]
        # As many rows as can be; of those, as many cells.
        score = (number / len(rows), width)
        if width > 1 and score > best:
            best, found = score, delimiter
    return found


def has_names(sample: str, delimiter: str, given: bool | None, key: str | None) -> bool:
    """Whether the first row names the columns: as given, or if its cells look like names.

    It does, whatever the others look like, if it has the name of the column of the keys.
    """
    if given is not None:
        return given
    rows = rows_of(sample, delimiter)
    if not rows or key in rows[0]:
        return True
    return all(map(_is_name, rows[0])) and len(set(rows[0])) == len(rows[0])


def rows_of(sample: str, delimiter: str) -> list[list[str]]:
    """The whole rows of a sample."""
    # At the ends of lines that CSV has; those of `splitlines` stand in cells.
    lines = list(io.StringIO(sample, newline=""))
    if len(lines) > 1 and len(sample) >= SAMPLE_BYTES // 4:
        lines.pop()  # Probably broken off.
    try:
        return [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except csv.Error:
        return []


def _is_name(cell: str) -> bool:
    if not cell.strip():
        return False
    column = Column()
    column.see(cell)
    return column.type == "str"


def checked_text(name: str, given: Any) -> str:
    """An argument that is text. Raises InvalidInput."""
    if not isinstance(given, str):
        raise InvalidInput(f"{name} is a str; found a {type(given).__name__}")
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{name} is Unicode text; found a lone surrogate") from error
    return str.__str__(given)


def checked_names(name: str, given: Any) -> list[str]:
    """An argument that names columns. Raises InvalidInput."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InvalidInput(
            f"{name} is a list of the names of columns; found a {type(given).__name__}"
        )
    names = [checked_text(name, one) for one in given]
    if len(set(names)) < len(names):
        raise InvalidInput(f"{name} has each column once; found one twice. Leave out the second")
    return names
