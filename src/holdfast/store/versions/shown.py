"""How entries show themselves to people: one bounded line, and a table in notebooks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")

#: How much of a value is shown, in characters; and how many parts of it are looked at.
VALUE_CHARACTERS_MAX = 120
PARTS_MAX = 32
#: How many items a table shows, and what it says of each.
ROWS_MAX = 100
COLUMNS = ("key", "value", "version", "updated_at", "modified_by")
#: What metadata calls itself in public, in this order.
FACTS = (
    "version", "incarnation", "revision", "created_at", "updated_at", "expires_at", "modified_by",
    "comment", "tags", "data_hash", "schema_hash",
)  # fmt: skip
#: How deep lists and mappings are shown.
DEPTH_MAX = 6


def brief(value: Any, characters_max: int = VALUE_CHARACTERS_MAX) -> str:
    """The beginning of a value as Python writes it; never more is looked at than is shown."""
    text = _brief(value, characters_max + 1, DEPTH_MAX)
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"


class Listed(list[T]):
    """A list that a notebook shows as a table: entries by their key, value and metadata."""

    def _repr_html_(self) -> str:
        heads = "".join(f"<th>{name}</th>" for name in COLUMNS)
        rows = "".join(_html_row(item) for item in self[:ROWS_MAX])
        more = len(self) - ROWS_MAX
        below = f"<p>and {more:,} more</p>" if more > 0 else ""
        return f"<table><tr>{heads}</tr>{rows}</table>{below}" if self else "(nothing)"


def cell(fact: object) -> str:
    """A fact as a cell of a table; empty where there is none."""
    if fact is None or fact == []:
        return ""
    if isinstance(fact, list):
        return ", ".join(fact)
    return fact.isoformat(" ", "seconds") if isinstance(fact, datetime) else str(fact)


def html_table(rows: Iterable[tuple[str, Any]]) -> str:
    """A table of names and facts, as notebooks show it."""
    from html import escape  # Loads every name of HTML: not for programs without notebooks.

    cells = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(fact)}</td></tr>"
        for name, fact in rows
        if fact
    )
    return f"<table>{cells}</table>"


def _html_row(item: Any) -> str:
    from html import escape

    facts = [str(item)] if isinstance(item, str) else item.row()
    return "<tr>" + "".join(f"<td>{escape(fact)}</td>" for fact in facts) + "</tr>"


def _brief(value: Any, left: int, depth: int) -> str:
    kind = type(value)
    if kind is str or kind is bytes:
        return repr(value) if len(value) <= left else repr(value[:left])
    if kind is dict or kind is list:
        opening, closing = "{}" if kind is dict else "[]"
        if not value:
            return opening + closing
        if depth == 0:
            return f"{opening}…{closing}"
        return opening + _parts(value, left, depth) + closing
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - the value of a user, whose class may do anything
        return f"<{kind.__qualname__}>"


def _parts(value: Any, left: int, depth: int) -> str:
    shown = ""
    count = 0
    for part in islice(value, PARTS_MAX):
        text = ", " if count else ""
        if type(value) is dict:
            text += f"{_brief(part, left, 0)}: {_brief(value[part], left, depth - 1)}"
        else:
            text += _brief(part, left, depth - 1)
        shown += text
        count += 1
        left -= len(text)
        if left <= 0:
            break
    return shown if count == len(value) else f"{shown}, …"
