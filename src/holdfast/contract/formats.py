"""In which format a database is stored, and which formats an upgrade brought it to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Formats:
    """What an upgrade found of one part of a database, and did.

    Attributes:
        found: the format that the part was of.
        newest: the format that this version of Holdfast writes there.
        steps: the formats that the part was brought to, or would be, one after the other; empty
            where nothing is to be done.
    """

    found: int
    newest: int
    steps: tuple[int, ...] = ()


def steps_to(found: int, newest: int) -> tuple[int, ...]:
    """The formats that lead from one to another, without the first."""
    return tuple(range(found + 1, newest + 1))
