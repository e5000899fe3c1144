"""The versions of a key: who wrote each, why, and what it changed.

A table where there is room for one, otherwise a block for each version that begins with what it
changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import Any

from holdfast.cli import shown
from holdfast.cli.differences import difference, whole
from holdfast.codecs.text import StoreKey
from holdfast.store.versions.entry import Entry, PastVersion

#: How much of a whole value a cell shows, in characters.
VALUE_CHARACTERS_MAX = 60
#: A table needs that many characters beside each other; below, blocks are easier to read.
TABLE_WIDTH_MIN = 110
#: How far the text of a block stands in.
INDENT = 4

_COLUMNS = ("version", "revision", "written", "by", "comment", "what", "then")


def past_table(key: str, versions: list[Entry[Any]], *, reverse: bool) -> None:
    """Print the versions, in the order given; `reverse` says that it is newest first."""
    ordered = versions[::-1] if reverse else versions
    before: list[Entry[Any] | None] = [None, *ordered[:-1]]
    pairs = list(zip(ordered, before, strict=True))
    if reverse:
        pairs.reverse()
    if shown.width() < TABLE_WIDTH_MIN:
        shown.line(str(StoreKey.of(key)))
        for pair in pairs:
            for line in _block(*pair, shown.width()):
                print(line)
        return
    shown.table(
        str(StoreKey.of(key)), _COLUMNS, (_row(*pair) for pair in pairs),
        right="version revision", fold="comment what then",
    )  # fmt: skip


def _row(entry: Entry[Any], before: Entry[Any] | None) -> list[Any]:
    metadata = entry.metadata
    return [
        _version(entry), str(metadata.revision), metadata.updated_at, metadata.modified_by or "",
        metadata.comment or "", shown.shortened(_what(entry, before, VALUE_CHARACTERS_MAX)),
        _then(entry),
    ]  # fmt: skip


def _block(entry: Entry[Any], before: Entry[Any] | None, width: int) -> Iterator[str]:
    """The lines of a version: what it changed, then when, who and why, then its end."""
    metadata = entry.metadata
    indent = " " * INDENT
    yield ""
    yield from wrap(
        f"{_version(entry)}  {_what(entry, before, None)}", max(width, 2 * INDENT),
        subsequent_indent=indent, drop_whitespace=True, break_on_hyphens=False,
    )  # fmt: skip
    told = [shown.when(metadata.updated_at), f"revision {metadata.revision}"]
    if metadata.modified_by is not None:
        told.append(f"by {metadata.modified_by}")
    if metadata.comment:
        told.append(f"({metadata.comment})")
    ended = _then(entry)
    lines = ["  ".join(told)] + ([ended] if ended not in ("overwritten", "current") else [])
    for text in lines:
        yield from wrap(
            shown.safe(text), max(width, 2 * INDENT), initial_indent=indent,
            subsequent_indent=indent, break_on_hyphens=False,
        )  # fmt: skip


def _version(entry: Entry[Any]) -> str:
    metadata = entry.metadata
    life = f"{metadata.incarnation}." if metadata.incarnation > 1 else ""
    return f"{life}{metadata.version}"


def _what(entry: Entry[Any], before: Entry[Any] | None, characters_max: int | None) -> str:
    """The value; of a mapping that replaced a mapping, what became different."""
    if not entry.has_value:
        return "(no longer kept)"
    value = entry.value
    follows = before is not None and before.metadata.version == entry.metadata.version - 1
    if not (follows and before is not None and before.has_value and isinstance(value, dict)):
        return whole(value, characters_max)
    old = before.value
    return difference(old, value) if isinstance(old, dict) else whole(value, characters_max)


def _then(entry: Entry[Any]) -> str:
    """What became of a version."""
    if not isinstance(entry, PastVersion):
        return "current"
    if entry.end_at is None:
        return "overwritten"
    if entry.end_cause == "expired":
        return "expired"
    by = f" by {entry.end_modified_by}" if entry.end_modified_by is not None else ""
    why = f": {entry.end_comment}" if entry.end_comment else ""
    return f"deleted {shown.when(entry.end_at)}{by}{why}"
