"""How results are shown: lines and tables for people, JSON documents and lines for programs.

Text of others (keys, comments, values) is shown with its control characters written out, so that
it can neither break a line nor command a terminal. JSON has them exactly.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from holdfast.codecs import typed_json
from holdfast.store.versions.entry import Entry, Metadata, PastVersion

if TYPE_CHECKING:
    from rich.console import Console

#: How wide tables are where there is no terminal to ask.
WIDTH_WITHOUT_TERMINAL = 160
#: How much of a value a line or a cell shows, in characters.
VALUE_CHARACTERS_MAX = 120

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def console(*, stderr: bool = False) -> Console:
    """Where tables go."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def table(
    title: str | None,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    right: str = "",
    fold: str | None = None,
) -> None:
    """Print a table.

    Args:
        title: above it.
        columns: names.
        rows: their cells.
        right: the columns that hold numbers, with spaces between their names.
        fold: the columns that break over lines where there is no room; None: all.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(
        title=None if title is None else safe(title),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in columns:
        justify: Any = "right" if name in right.split() else "left"
        stiff = fold is not None and name not in fold.split()
        shown.add_column(name, justify=justify, overflow="fold", no_wrap=stiff)
    for row in rows:
        shown.add_row(*(cell if isinstance(cell, Text) else Text(text_of(cell)) for cell in row))
    console().print(shown)


def facts(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print names and values, one per line, aligned."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, fact in pairs:
        grid.add_row(name, Text(text_of(fact)))
    console().print(grid)


def width() -> int:
    """How wide output may be, in characters."""
    return get_terminal_size().columns if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL


def line(text: str) -> None:
    """Print one line on stdout."""
    print(safe(text))


def stream_line(text: str) -> None:
    """Print one of many lines: cut at the edge of a terminal, whole everywhere else."""
    if sys.stdout.isatty():
        text = shortened(text, get_terminal_size().columns)
    print(text)


def note(text: str) -> None:
    """Print one line for people on stderr, where it does not mix with the output."""
    print(safe(text), file=sys.stderr, flush=True)


def document(content: Any) -> None:
    """Print one JSON document, or one line of a stream."""
    print(typed_json.text_of(content))


def written(entry: Entry[Any], *, as_json: bool) -> None:
    """Print which version of which entry was written."""
    metadata = entry.metadata
    if as_json:
        document({"key": str(entry.key), "metadata": metadata_document(metadata)})
        return
    life = f" of incarnation {metadata.incarnation}" if metadata.incarnation > 1 else ""
    line(f"{entry.key}  version {metadata.version}{life}  revision {entry.revision}")


def safe(text: str) -> str:
    """The text with control characters written out."""
    return _CONTROL.sub(_written_out, text)


def text_of(fact: Any) -> str:
    """A fact as a person reads it."""
    if fact is None:
        return "-"
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    if isinstance(fact, datetime):
        return when(fact)
    if isinstance(fact, int):
        return f"{fact:,}"
    if isinstance(fact, list | tuple):
        return ", ".join(map(text_of, fact)) or "-"
    return safe(str(fact))


def when(moment: datetime) -> str:
    """An instant in UTC, to the second."""
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")


def value_in_line(value: Any, characters_max: int | None = VALUE_CHARACTERS_MAX) -> str:
    """The beginning of a value, in one line; None: all of it."""
    text = typed_json.dumps(value)
    return safe(text if characters_max is None else shortened(text, characters_max))


def shortened(text: str, characters_max: int = VALUE_CHARACTERS_MAX) -> str:
    """The text, cut where it is longer than that."""
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"


def size_of(byte_count: int) -> str:
    """A number of bytes for people."""
    power = min((max(byte_count, 1).bit_length() - 1) // 10, len(_SIZES) - 1)
    size = f"{byte_count / 1024**power:.1f}" if power else f"{byte_count}"
    return f"{size} {_SIZES[power]}"


def duration_of(seconds: float) -> str:
    """A duration for people, in its largest whole unit."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            count = int(seconds // length)
            return f"{count:,} {unit}{'s' if count != 1 else ''}"
    return f"{seconds:,.10g} seconds"


# --- Entries as documents -------------------------------------------------------------------


def entry_document(entry: Entry[Any]) -> dict[str, Any]:
    """An entry for programs, and what `export` writes; `value` is left out when it is gone."""
    shown: dict[str, Any] = {"key": str(entry.key)}
    if entry.has_value:
        shown["value"] = typed_json.to_json(entry.value)
    shown["metadata"] = metadata_document(entry.metadata)
    return shown


def past_document(entry: Entry[Any]) -> dict[str, Any]:
    """A version for programs: an entry, and how it ended if it is past."""
    ended: dict[str, Any] | None = None
    if isinstance(entry, PastVersion):
        ended = {"cause": entry.end_cause}
        if entry.end_at is not None:
            ended |= {
                "at": entry.end_at.isoformat(),
                "modified_by": entry.end_modified_by,
                "comment": entry.end_comment,
            }
    return entry_document(entry) | {"ended": ended}


def metadata_document(metadata: Metadata) -> dict[str, Any]:
    """Metadata for programs; instants are ISO 8601."""
    expires_at = metadata.expires_at
    return {
        "version": metadata.version,
        "incarnation": metadata.incarnation,
        "revision": metadata.revision,
        "created_at": metadata.created_at.isoformat(),
        "updated_at": metadata.updated_at.isoformat(),
        "expires_at": None if expires_at is None else expires_at.isoformat(),
        "modified_by": metadata.modified_by,
        "comment": metadata.comment,
        "tags": metadata.tags,
        "data_hash": metadata.data_hash,
        "schema_hash": metadata.schema_hash,
    }


def metadata_facts(metadata: Metadata) -> list[tuple[str, Any]]:
    """Metadata for people."""
    return [
        ("version", f"{metadata.version} (incarnation {metadata.incarnation})"),
        ("revision", str(metadata.revision)),
        ("created", metadata.created_at),
        ("updated", metadata.updated_at),
        ("expires", metadata.expires_at),
        ("modified_by", metadata.modified_by),
        ("comment", metadata.comment),
        ("tags", metadata.tags),
        ("data_hash", metadata.data_hash),
    ]


def _written_out(match: re.Match[str]) -> str:
    # A surrogate is a byte of a file's name that is no Unicode.
    return match[0].encode("unicode_escape", "backslashreplace").decode()
