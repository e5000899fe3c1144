"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from holdfast.cli import completing, moments
from holdfast.cli.exits import BadUsage
from holdfast.codecs.pattern import Pattern
from holdfast.contract.runtime import SystemClock

Url = Annotated[
    str,
    typer.Option(
        "--url", "-u", envvar="HOLDFAST_URL", metavar="URL",
        help="The database, such as lmdb:///app (relative) or sqlite:////var/app.db (absolute).",
    ),
]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Repair = Annotated[
    bool,
    typer.Option(
        "--repair",
        help="First mend files that cannot be opened: keep what is sound, set the rest aside.",
    ),
]
Key = Annotated[
    str,
    typer.Argument(
        metavar="KEY",
        help="namespace/sub:name, or a name in the root.",
        autocompletion=completing.complete_key,
    ),
]


class Kind(StrEnum):
    """Kinds of pattern."""

    MQTT = "mqtt"
    GLOB = "glob"
    REGEX = "regex"


Patterns = Annotated[
    str,
    typer.Argument(
        metavar="[PATTERN]",
        help="Which keys: # all, users/# below users, users:+ directly in it.",
        autocompletion=completing.complete_key,
    ),
]
PatternKind = Annotated[Kind, typer.Option("--kind", help="How the pattern is read.")]
OfCollection = Annotated[
    str | None,
    typer.Option("--collection", metavar="NAME", help="Documents of it in place of entries."),
]
By = Annotated[
    str | None, typer.Option("--modified-by", metavar="WHO", help="Who makes the change.")
]
Comment = Annotated[str | None, typer.Option("--comment", metavar="TEXT", help="Why.")]
IfRevision = Annotated[
    int | None,
    typer.Option("--if-revision", metavar="N", help="Only if the entry is of this revision."),
]
IfVersion = Annotated[
    str | None,
    typer.Option("--if-version", metavar="N|I.N", help="Only if it is of this version."),
]
IfHash = Annotated[
    str | None,
    typer.Option("--if-hash", metavar="HEX", help="Only if its value has this digest."),
]

#: The longest duration: what an entry may live.
SECONDS_MAX = 1000 * 365 * 86400

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?", re.ASCII)
_DURATION_UNITS = {"ms": 0.001, None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_VERSION = re.compile(r"(?:(\d+)\.)?(\d+)", re.ASCII)


def pattern_of(text: str, kind: Kind) -> Pattern:
    """The compiled pattern. Raises PatternInvalid."""
    return Pattern(text, kind.value)


def seconds_of(text: str | None, option: str) -> float | None:
    """`90`, `15m`, `2h` or `7d` in seconds."""
    if text is None:
        return None
    match = _DURATION.fullmatch(text)
    if match is None:
        raise BadUsage(
            f"{option} reads a duration such as 90, 500ms, 15m, 2h or 7d; found {text!r}"
        )
    seconds = float(match[1]) * _DURATION_UNITS[match[2]]
    if seconds > SECONDS_MAX:
        raise BadUsage(f"{option} is at most {SECONDS_MAX} seconds, a thousand years; found more")
    return seconds


def version_of(text: str | None, option: str) -> int | tuple[int, int] | None:
    """`3`, or `2.3` for version 3 of incarnation 2."""
    if text is None:
        return None
    match = _VERSION.fullmatch(text)
    if match is None:
        raise BadUsage(
            f"{option} reads a version such as 3, or 2.3 for incarnation 2; found {text!r}"
        )
    return int(match[2]) if match[1] is None else (int(match[1]), int(match[2]))


def moment_of(text: str | None, option: str) -> int | datetime | None:
    """A revision, or an instant; see `holdfast.cli.moments`."""
    if text is None:
        return None
    try:
        return moments.moment(text, SystemClock())
    except ValueError:
        raise BadUsage(f"{option} reads {moments.WANTED}; found {text!r}") from None
