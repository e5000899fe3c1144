"""Globs as a server reads them."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\\(.)|(\*+)|(\?)|\[(\^?)((?:\\.|[^\]])*)\]|(.)", re.DOTALL)


def compiled(glob: str) -> re.Pattern[str]:
    """A regular expression for a glob with `*`, `?`, `[ab]`, `[^ab]` and backslashes."""
    parts = []
    for escaped, many, one, negated, members, plain in _TOKEN.findall(glob):
        if many:
            parts.append(".*")
        elif one:
            parts.append(".")
        elif members or negated:
            inside = re.sub(r"\\(.)", r"\1", members)
            ranged = re.sub(r"([\\\]\[^])", r"\\\1", inside)
            parts.append(f"[{negated}{ranged}]")
        else:
            parts.append(re.escape(escaped or plain))
    return re.compile("".join(parts), re.DOTALL)


def literal_prefix(glob: str) -> str:
    """What every text that matches begins with."""
    found = []
    for escaped, many, one, negated, members, plain in _TOKEN.findall(glob):
        if many or one or members or negated:
            break
        found.append(escaped or plain)
    return "".join(found)
