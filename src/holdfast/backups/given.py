"""What callers give: targets and files of backups, looked at before anything is written."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from holdfast.backups.places import is_url
from holdfast.codecs.text import several
from holdfast.contract.config import masked
from holdfast.contract.errors import ConfigInvalid, InvalidInput
from holdfast.store.registry import read_layers


def path_of(given: Any, what: str = "a backup file") -> Path:
    """The path of a file. Raises InvalidInput for what is none."""
    if not isinstance(given, str | os.PathLike):
        raise InvalidInput(f"{what} is given by its path; found a {type(given).__name__}")
    text = os.fspath(given)
    if not isinstance(text, str) or "\0" in text or not Path(text).name:
        raise InvalidInput(f"{what} is given by its path; found {text!r}, which names no file")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{what} is given by a path that this system can write; found a character at "
            f"{error.start} that it cannot. Give another name, or set a locale of UTF-8"
        ) from error
    return Path(text)


def place_of(given: Any) -> Path | str:
    """The path of a backup file, or its URL. Raises InvalidInput for what is neither."""
    if isinstance(given, str) and is_url(given):
        return given
    return path_of(given)


def places_of(given: Sequence[Path | str]) -> list[Path | str]:
    """The paths and URLs of several files. Raises InvalidInput; for a single text, too."""
    if isinstance(given, os.PathLike):
        raise InvalidInput("several backup files are wanted, in a list; found a single path")
    return [place_of(one) for one in several(given, "backup files", "full.backup")]


def stream_or_path(target: Any) -> Path | IO[bytes] | str:
    """Where a backup goes: the path of a file, a URL as a text, or a binary stream."""
    if isinstance(target, str | os.PathLike):
        return place_of(target)
    if not callable(getattr(target, "write", None)) or not callable(getattr(target, "flush", None)):
        raise InvalidInput(
            f"a backup goes to a path, a URL or a binary stream; found a {type(target).__name__}"
        )
    stream: IO[bytes] = target
    return stream


def require_moment(name: str, given: Any) -> None:
    """Raise InvalidInput unless it is a revision, an aware datetime or None."""
    if isinstance(given, datetime):
        if given.tzinfo is None:
            raise InvalidInput(f"{name} is a revision or an aware datetime; found a naive one")
    elif given is not None and type(given) is not int:
        raise InvalidInput(
            f"{name} is a revision or an aware datetime; found a {type(given).__name__}"
        )


def require_interval(given: object) -> None:
    """Raise InvalidInput unless it is a time that can be waited for."""
    number = given if isinstance(given, int | float) else 0.0
    if not 0 < number < math.inf:
        raise InvalidInput(f"interval is a time above zero, in seconds; found {given!r}")


def require_bare(address: object) -> None:
    """Raise ConfigInvalid where a new database is to be written through layers."""
    layers = read_layers(address) if isinstance(address, str) else ()
    if layers:
        raise ConfigInvalid(
            "a copy, a restored database and a standby are written through no layers; found "
            f"layers={','.join(layers)} in the address. Leave them out, and open it with them "
            "afterwards",
            parameter="layers",
        )


def in_the_clear(address: object, what: str) -> ConfigInvalid:
    """What to say where keys were named for what would hold no encrypted row."""
    shown = masked(address) if isinstance(address, str) else "the address"
    return ConfigInvalid(
        f"keys were named for {shown}, and {what} is not encrypted: its rows would stand there in "
        "the clear. Leave `encryption=` out, or HOLDFAST_ENCRYPTION unset; to encrypt them, copy "
        "the database: `holdfast copy FROM 'TO?encryption=file:PATH'`",
        parameter="encryption",
    )
