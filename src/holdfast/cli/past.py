"""The table of a key's versions: who wrote each, why, and what it changed."""

from __future__ import annotations

from typing import Any

from holdfast.cli import shown
from holdfast.codecs.text import StoreKey
from holdfast.store.versions.entry import Entry, PastVersion

#: How much of a whole value a cell shows, in characters.
VALUE_CHARACTERS_MAX = 60

_COLUMNS = ("version", "revision", "written", "by", "comment", "what", "then")


def past_table(key: str, versions: list[Entry[Any]], *, reverse: bool) -> None:
    """Print the versions, in the order given; `reverse` says that it is newest first."""
    ordered = versions[::-1] if reverse else versions
    before: list[Entry[Any] | None] = [None, *ordered[:-1]]
    rows = [_row(one, earlier) for one, earlier in zip(ordered, before, strict=True)]
    shown.table(
        str(StoreKey.of(key)), _COLUMNS, rows[::-1] if reverse else rows,
        right="version revision", fold="comment what then",
    )  # fmt: skip


def _row(entry: Entry[Any], before: Entry[Any] | None) -> list[Any]:
    metadata = entry.metadata
    version = str(metadata.version)
    if metadata.incarnation > 1:
        version = f"{metadata.incarnation}.{version}"
    return [
        version, str(metadata.revision), metadata.updated_at, metadata.modified_by or "",
        metadata.comment or "", _what(entry, before), _then(entry),
    ]  # fmt: skip


def _what(entry: Entry[Any], before: Entry[Any] | None) -> str:
    """The value; of a mapping that replaced a mapping, what became different."""
    if not entry.has_value:
        return "(no longer kept)"
    value = entry.value
    follows = before is not None and before.metadata.version == entry.metadata.version - 1
    if not (follows and before is not None and before.has_value and isinstance(value, dict)):
        return shown.value_in_line(value, VALUE_CHARACTERS_MAX)
    old = before.value
    if not isinstance(old, dict):
        return shown.value_in_line(value, VALUE_CHARACTERS_MAX)
    parts = [f"without {name}" for name in old if name not in value]
    for name, part in value.items():
        if name not in old:
            parts.append(f"{name}: {shown.value_in_line(part)}")
        elif not _equal(part, old[name]):
            parts.append(f"{name}: {shown.value_in_line(old[name])} → {shown.value_in_line(part)}")
    return shown.shortened("; ".join(parts)) or "the same value"


def _equal(one: Any, other: Any) -> bool:
    # 1, 1.0 and True are equal in Python and three values here.
    return type(one) is type(other) and bool(one == other)


def _then(entry: Entry[Any]) -> str:
    """What became of a version."""
    if not isinstance(entry, PastVersion):
        return "current"
    if entry.end_at is None:
        return "overwritten"
    if entry.end_cause == "expired":
        return "expired"
    by = f" by {entry.end_actor}" if entry.end_actor is not None else ""
    why = f": {entry.end_comment}" if entry.end_comment else ""
    return f"deleted {shown.when(entry.end_at)}{by}{why}"
