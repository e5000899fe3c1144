"""Signatures and docstrings as Markdown, for `tools/make_reference.py`."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from types import FunctionType
from typing import Any

WRITTEN_BY = "<!-- Written by `make reference`; change the docstrings, not this page. -->"

#: A signature longer than this has one parameter on each line.
SIGNATURE_CHARACTERS_MAX = 88

_SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields)( \([^)]*\))?:")
_TITLES = {"Args": "Arguments", "Attributes": "Attributes"}
_ITEM = re.compile(r"(?P<names>[\w., *]+?): (?P<text>.+)")


def signature(name: str, function: Callable[..., Any], *, bound: bool = False) -> str:
    """A function as one calls it; `bound` leaves the first parameter out."""
    try:
        found = inspect.signature(function)
    except (TypeError, ValueError):
        return f"{name}(...)"
    parameters = list(found.parameters.values())[1 if bound else 0 :]
    inner = inspect.unwrap(function)
    known = vars(sys.modules[inner.__module__])
    parts = list(_parameters(parameters, known))
    arrow = "" if found.return_annotation is found.empty else _type(found.return_annotation)
    result = f" -> {arrow}" if arrow else ""
    prefix = "async " if inspect.iscoroutinefunction(function) else ""
    line = f"{prefix}{name}({', '.join(parts)}){result}"
    if len(line) <= SIGNATURE_CHARACTERS_MAX:
        return line
    body = "".join(f"    {part},\n" for part in parts)
    return f"{prefix}{name}(\n{body}){result}"


def _parameters(parameters: Iterable[inspect.Parameter], known: Mapping[str, Any]) -> Iterable[str]:
    named_only = False
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and not named_only:
            named_only = True
            yield "*"
        stars = "*" * (one.kind is one.VAR_POSITIONAL) + "**" * (one.kind is one.VAR_KEYWORD)
        named_only = named_only or stars == "*"
        text = stars + one.name
        if one.annotation is not one.empty:
            text += f": {_type(one.annotation)}"
        if one.default is not one.empty:
            text += f"{' = ' if ':' in text else '='}{default(one.default, known)}"
        yield text


def _type(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    if annotation is None:
        return "None"
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z_])", "", inspect.formatannotation(annotation))


def default(value: Any, known: Mapping[str, Any] | None = None) -> str:
    """A default as one would write it; an object is called what its module calls it."""
    text = repr(value)
    if text.startswith("<") and not isinstance(value, type | FunctionType | Enum):
        return next((name for name, one in (known or {}).items() if one is value), "...")
    if isinstance(value, Enum):
        return str(value.name) if type(value).__name__.startswith("_") else f"{value}"
    if isinstance(value, type | FunctionType):
        return value.__qualname__
    return text


def summary(doc: str | None) -> str:
    """The first sentence or line of a docstring, fit for the cell of a table."""
    first = (doc or "").strip().partition("\n")[0]
    return first.replace("|", r"\|")


def markdown(doc: str | None, *, without_summary: bool = False) -> str:
    """A docstring with its sections as lists; everything else is Markdown as it stands."""
    lines = inspect.cleandoc(doc or "").split("\n")
    if without_summary:
        lines = lines[1:]
    out: list[str] = []
    place = 0
    while place < len(lines):
        heading = _SECTION.fullmatch(lines[place])
        place += 1
        if heading is None:
            out.append(lines[place - 1])
            continue
        title = _TITLES.get(heading[1], heading[1]) + (heading[2] or "")
        begin = place
        while place < len(lines) and (not lines[place] or lines[place].startswith("    ")):
            place += 1
        out += ["", f"**{title}**", "", *_items(lines[begin:place]), ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip()


def _items(lines: list[str]) -> list[str]:
    """The items of a section; what is indented deeper belongs to the item before."""
    items: list[str] = []
    for line in lines:
        text = line.strip()
        if not text:
            continue
        if items and line.startswith(" " * 8):
            items[-1] += f" {text}"
        else:
            items.append(text)
    return [f"- {_item(text)}" for text in items]


def _item(text: str) -> str:
    match = _ITEM.fullmatch(text)
    if match is None:
        return text
    names = ", ".join(f"`{name.strip()}`" for name in match["names"].split(","))
    return f"{names}: {match['text']}"


def code(text: str) -> str:
    return f"```py\n{text}\n```"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)
