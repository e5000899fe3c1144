"""What became different between two values, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from holdfast.cli import shown

#: Deeper than this a part is shown as a whole.
DEPTH_MAX = 4


def difference(old: Any, new: Any, characters_max: int | None = None) -> str:
    """The parts of a mapping that changed; of anything else, the old value and the new one.

    Args:
        old, new: the values.
        characters_max: how much of each value is shown; None: all of it.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        return "; ".join(_parts("", old, new, characters_max, DEPTH_MAX)) or "the same value"
    if equal(old, new):
        return "the same value"
    return _arrow(old, new, characters_max)


def whole(value: Any, characters_max: int | None = None) -> str:
    """A value in one line."""
    return shown.value_in_line(value, characters_max)


def equal(one: Any, other: Any) -> bool:
    """Whether two values are one: 1, 1.0 and True are equal in Python and three values here."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def _parts(
    path: str, old: dict[str, Any], new: dict[str, Any], characters_max: int | None, depth: int
) -> Iterator[str]:
    for name in old:
        if name not in new:
            yield f"without {path}{shown.safe(name)}"
    for name, part in new.items():
        place = f"{path}{shown.safe(name)}"
        if name not in old:
            yield f"{place}: {whole(part, characters_max)}"
            continue
        before = old[name]
        if equal(before, part):
            continue
        # Two mappings with something in common are told apart by their parts.
        if isinstance(before, dict) and isinstance(part, dict) and before and part and depth > 1:
            yield from _parts(f"{place}.", before, part, characters_max, depth - 1)
        else:
            yield f"{place}: {_arrow(before, part, characters_max)}"


def _arrow(old: Any, new: Any, characters_max: int | None) -> str:
    return f"{whole(old, characters_max)} → {whole(new, characters_max)}"
