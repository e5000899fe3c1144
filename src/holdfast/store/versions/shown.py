"""How entries show themselves to people: one bounded line, and a table in notebooks."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from itertools import islice
from typing import Any

#: How much of a value is shown, in characters; and how many parts of it are looked at.
VALUE_CHARACTERS_MAX = 120
PARTS_MAX = 32
#: How deep lists and mappings are shown.
DEPTH_MAX = 6


def brief(value: Any, characters_max: int = VALUE_CHARACTERS_MAX) -> str:
    """The beginning of a value as Python writes it; never more is looked at than is shown."""
    text = _brief(value, characters_max + 1, DEPTH_MAX)
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"


def html_table(rows: Iterable[tuple[str, Any]]) -> str:
    """A table of names and facts, as notebooks show it."""
    cells = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(fact)}</td></tr>"
        for name, fact in rows
        if fact
    )
    return f"<table>{cells}</table>"


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
