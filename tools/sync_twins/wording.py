"""How a handle's docstrings and signatures read on its twin."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

from tools.sync_twins.lookup import NAMES

WORDS = (
    (r"\basync (with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\b([Aa])n asynchronous (?=[aeiou])", r"\1n "),
    (r"\b([Aa])n asynchronous ", r"\1 "),
    (r"\basynchronous ", ""),
    (r"\bholdfast\.open\b", "holdfast.sync.open"),
)

CALLBACK = re.compile(r"Callable\[\[([\w\[\]]+)\], Awaitable\[(\w+)\]\]")


def spoken(docstring: str | None, rewrites: dict[str, str], used: set[str]) -> str:
    """A docstring as it reads on the twin."""
    text = docstring or ""
    for old, new in rewrites.items():
        if old in text:
            used.add(old)
            text = text.replace(old, new)
    for pattern, words in WORDS:
        text = re.sub(pattern, words, text)
    return text


def quoted(text: str) -> str:
    if not text:
        return ""
    # A summary alone stays on its line; longer ones end on a line of their own.
    return f'"""{text}"""' if "\n" not in text else f'"""{text}\n"""'


def typed(annotation: str) -> str:
    """An annotation of an async handle as the twin has it."""
    text = CALLBACK.sub(r"Callable[[\1], \2]", annotation)
    text = re.sub(r"\bAsyncIterator\b", "Iterator", text)
    return re.sub(r"\b\w+\b", lambda word: NAMES.get(word[0], word[0]), text)


def signature(method: Callable[..., Any]) -> str:
    """The parenthesis and the arrow of the twin's method."""
    found = inspect.signature(method)
    parameters = []
    for one in found.parameters.values():
        if isinstance(one.annotation, str):
            one = one.replace(annotation=_Plain(typed(one.annotation)))  # noqa: PLW2901
        if isinstance(one.default, type) and one.default is not one.empty:
            one = one.replace(default=_Plain(one.default.__qualname__))  # noqa: PLW2901
        parameters.append(one)
    result = _Plain(typed(found.return_annotation))
    return str(found.replace(parameters=parameters, return_annotation=result))


class _Plain:
    """An annotation that prints as its text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def arguments(method: Callable[..., Any], replaced: dict[str, str]) -> str:
    """The arguments that hand every parameter on."""
    parts = []
    for name, one in inspect.signature(method).parameters.items():
        if name == "self":
            continue
        given = replaced.get(name, name)
        stars = "*" * (one.kind is one.VAR_POSITIONAL) + "**" * (one.kind is one.VAR_KEYWORD)
        parts.append(f"{name}={given}" if one.kind is one.KEYWORD_ONLY else stars + given)
    return ", ".join(parts)


def called(name: str) -> str:
    """A method's name on the twin."""
    return {
        "__aenter__": "__enter__",
        "__aexit__": "__exit__",
        "__aiter__": "__iter__",
        "__anext__": "__next__",
        "aclose": "close",
    }.get(name, name)


def defined(name: str, signature_text: str, doc: str, body: str) -> str:
    inside = "\n".join(part for part in (quoted(doc), body) if part)
    return f"def {name}{signature_text}:\n{textwrap.indent(inside, '    ')}\n"
