"""Refusals of checks, in the words that all engines with a server use."""

from __future__ import annotations

from holdfast.contract.batch import CheckKey, CheckRange
from holdfast.contract.errors import Conflict


def key_conflict(check: CheckKey, found: int | None) -> Conflict:
    """The refusal of a check of a key that `found` wrote last; None: it is absent."""
    return Conflict(
        f"the key was expected {_standing(check.revision)} and is {_standing(found)}; "
        "read it again and decide anew",
        key=check.key,
        condition="revision",
        expected=check.revision,
        found=found,
    )


def range_conflict(check: CheckRange, count: int | None, newer: int | None) -> Conflict:
    """The refusal of a check of a range: so many keys were found, or a newer revision."""
    found = f"{count} keys" if newer is None else f"a key at revision {newer}"
    return Conflict(
        f"the range was expected with {check.count} keys as of revision {check.at_revision}; "
        f"found {found}. Read it again and decide anew",
        range=check.range,
        condition="range",
        expected=check.count,
        found=found,
    )


def _standing(revision: int | None) -> str:
    return "absent" if revision is None else f"at revision {revision}"
