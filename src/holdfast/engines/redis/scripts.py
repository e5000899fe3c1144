"""The scripts that run on the server: one for each kind of step that has to be one moment."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the name that the server knows it by.

    Attributes:
        source: in Lua.
        digest: SHA-1 of the source, in hex, as EVALSHA wants it.
    """

    source: str
    digest: str


@cache
def script(name: str) -> Script:
    """The script in the file `<name>.lua` beside this module."""
    source = files(__package__).joinpath(f"{name}.lua").read_text()
    return Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


#: All of them; a server is told them when a connection is made.
NAMES = ("commit", "read", "scan", "welcome", "load")
