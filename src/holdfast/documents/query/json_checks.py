"""Checks that all readers of JSON share: what is refused names its place and the way out."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NoReturn

from holdfast.contract.errors import InvalidQuery


def object_with(value: Any, names: tuple[str, ...], path: str) -> Mapping[str, Any]:
    """The value, an object with only these names. Raises InvalidQuery."""
    if not isinstance(value, Mapping):
        refuse(path, f"an object with {', '.join(names)}", value, "Name the numbers")
    only(value, names, path)
    return value


def only(form: Mapping[str, Any], names: tuple[str, ...], path: str, *also: str) -> None:
    """Raise InvalidQuery for a name that is none of these; `also` are named in the message."""
    for name in form:
        if name not in names:
            refuse_unknown(name, (*names, *also), path, f"only {', '.join((*names, *also))}")


def refuse_unknown(found: Any, known: tuple[str, ...], path: str, wanted: str) -> NoReturn:
    """Raise InvalidQuery for a name that is not known, with the one that comes close."""
    if not isinstance(found, str):
        refuse(path, wanted, found, f"Use one of {', '.join(known)}")
    close = get_close_matches(found.lstrip("$"), known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(known)}"
    raise InvalidQuery(f"{path} wanted {wanted}; found {found[:80]!r}; {hint}", path=path)


def refuse(path: str, wanted: str, found: Any, advice: str) -> NoReturn:
    """Raise InvalidQuery for something of the wrong type."""
    shown = "nothing" if found is None else f"a {type(found).__name__}"
    raise InvalidQuery(f"{path} wanted {wanted}; found {shown}. {advice}", path=path)
