r"""Paths: where in a document something stands.

`address.city` is the name `city` inside the name `address`. A name that holds a dot or a backslash
is written with a backslash before it (`a\.b`), or the path is given as the list of its parts
(`["a.b"]`). The empty path is the value itself: the whole document, or, inside an `elem_match`, the
element.

What a path finds, part by part: in an object, the value of that name. In an array, a number finds
the element of that index (from 0); besides, each element that is an object is searched for the
part. Arrays in arrays are not searched. So a path can find several values, or none:

    document                       path     finds
    {"a": {"b": 1}}                a.b      1
    {"a": [{"b": 1}, {"b": 2}]}    a.b      1 and 2
    {"a": [{"b": 1}, {}, 5]}       a.b      1 and, for the second element, missing
    {"a": [5, 6]}                  a.b      nothing at all
    {"a": [5, 6]}                  a.1      6
    {"a": [5, 6]}                  a.7      missing
    {"a": 5}                       a.b      missing
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from holdfast.contract.errors import InvalidQuery
from holdfast.documents.query.values import MISSING

#: The parts of a path.
Path = tuple[str, ...]

PATH_PARTS_MAX = 200
"""How many parts a path has at most: documents nest no deeper."""

_TO_ESCAPE = re.compile(r"[.\\]")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def path_of(spelling: Any, where: str = "field") -> Path:
    """The path that a text or a list of parts spells. `where` says where it stands, for errors.

    Raises:
        InvalidQuery: it is neither, a part of a text is empty, or there are too many parts.
    """
    if isinstance(spelling, str):
        parts = _parse(spelling, where)
    elif isinstance(spelling, (list, tuple)) and all(isinstance(part, str) for part in spelling):
        parts = tuple(map(str.__str__, spelling))
    else:
        raise InvalidQuery(
            f"{where} wanted a path such as 'address.city', or a list of its parts; found a "
            f"{type(spelling).__name__}. Write the names that lead to the value",
            path=where,
        )
    return checked(parts, where)


def checked(parts: Path, where: str = "field") -> Path:
    """The path itself, unless it is too long or not Unicode."""
    if len(parts) > PATH_PARTS_MAX:
        raise InvalidQuery(
            f"{where} wanted a path of at most {PATH_PARTS_MAX} parts, for documents are no "
            f"deeper; found {len(parts)}. Shorten it",
            path=where,
        )
    try:
        "".join(parts).encode()
    except UnicodeEncodeError as error:
        raise InvalidQuery(
            f"{where} wanted Unicode text; found a lone surrogate. Decode its source with the "
            "right codec",
            path=where,
        ) from error
    return parts


def _parse(text: str, where: str) -> Path:
    parts = [""]
    characters = iter(text)
    for character in characters:
        if character == ".":
            parts.append("")
        elif character == "\\":
            parts[-1] += next(characters, "\\")
        else:
            parts[-1] += character
    if "" in parts:
        raise InvalidQuery(
            f"{where} wanted names between the dots; found an empty one in {text[:80]!r}. Write a "
            r"dot that belongs to a name as '\.'; give a name that is empty in a list of parts",
            path=where,
        )
    return tuple(parts)


def path_text(parts: Sequence[str]) -> str:
    """The path as text, for people; `path_form` is exact for empty names too."""
    if len(parts) == 1 and parts[0].isidentifier():
        return parts[0]  # As most are: nothing in it has to be escaped.
    return ".".join(_TO_ESCAPE.sub(r"\\\g<0>", part) for part in parts)


def path_form(parts: Path) -> str | list[str]:
    """The path as JSON: what `path_of` reads back."""
    return list(parts) if not parts or "" in parts else path_text(parts)


def index_of(part: str) -> int | None:
    """The index that a part is when it meets an array, or None."""
    return int(part) if _INDEX.fullmatch(part) else None


def values_at(value: Any, parts: Path, at: int = 0) -> Iterator[Any]:
    """All that a path finds, MISSING among it, in the order of the document."""
    while at < len(parts):
        if isinstance(value, dict):
            value = value.get(parts[at], MISSING)
        elif isinstance(value, list):
            yield from _inside_array(value, parts, at)
            return
        else:
            value = MISSING
            break
        at += 1
    yield value


def _inside_array(array: list[Any], parts: Path, at: int) -> Iterator[Any]:
    part = parts[at]
    index = index_of(part)
    if index is None:
        for element in array:
            if isinstance(element, dict):
                yield from values_at(element, parts, at)
        return
    found = index < len(array)
    if found:
        yield from values_at(array[index], parts, at + 1)
    # An object may have a number for a name; those that have none of that name do not count.
    for element in array:
        if isinstance(element, dict) and part in element:
            found = True
            yield from values_at(element, parts, at)
    if not found:
        yield MISSING
