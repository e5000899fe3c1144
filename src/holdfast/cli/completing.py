"""Completion of keys in a shell: level by level, from the database that the command would open."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, redirect_stdout
from typing import Any

from holdfast.codecs.pattern import Pattern

#: How many keys are read for one completion, and how many are offered.
KEYS_READ_MAX = 20_000
OFFERED_MAX = 100

_INSTRUCTION = "_HOLDFAST_COMPLETE"
# What a shell would not take as it stands.
_UNSAFE = re.compile(r"[\s'\"`$&|;<>(){}\[\]*?!\\~#]")


def prepare(environment: MutableMapping[str, str]) -> str:
    """Put words together again that bash has split at colons, which keys and URLs have.

    What is returned stands before the part of the word that bash completes: answers go without it.
    """
    if environment.get(_INSTRUCTION) != "complete_bash":
        return ""
    try:
        current = int(environment["COMP_CWORD"])
    except (KeyError, ValueError):
        return ""
    text = environment.get("COMP_WORDS", "")
    words = text.split("\n") if "\n" in text else text.split()
    whole: list[str] = []
    open_end = False
    for word in words[: current + 1]:
        if whole and (word == ":" or open_end):
            whole[-1] += word
        else:
            whole.append(word)
        open_end = word == ":"
    # An empty word behind the last blank: a new one begins.
    whole += [""] * (current + 1 > len(words))
    was_split = len(whole) < current + 1
    environment["COMP_WORDS"] = "\n".join(whole)
    environment["COMP_CWORD"] = str(len(whole) - 1)
    return whole[-1][: whole[-1].rfind(":") + 1] if was_split else ""


@contextmanager
def without(before: str) -> Iterator[None]:
    """Print the lines of an answer without what stands before the part that is completed."""
    answer = io.StringIO()
    try:
        with redirect_stdout(answer):
            yield
    finally:
        for line in answer.getvalue().splitlines():
            print(line.removeprefix(before))


def complete_key(ctx: Any, incomplete: str) -> list[str]:
    """The keys, or the namespaces, that begin so. Nothing where the database cannot be read."""
    from holdfast.cli import opening

    url = ctx.params.get("url") or os.environ.get("HOLDFAST_URL", "")

    async def work() -> list[str]:
        async with opening.for_reading(url) as db:
            begun = incomplete
            while True:
                found = await offered(db, begun)
                # A namespace alone would get a blank behind it: what is in it is offered too.
                if len(found) != 1 or found[0] == begun or found[0][-1] not in "/:":
                    return found
                begun = found[0]

    try:
        return opening.run(work())
    except Exception:  # noqa: BLE001 - a shell in the middle of a line is no place for errors
        return []


async def offered(db: Any, begun: str) -> list[str]:
    """What stands at the next level behind the text: namespaces up to their separator, or keys."""
    namespace, colon, _ = begun.partition(":")
    above = namespace if colon else namespace.rpartition("/")[0]
    pattern = f"{above}:+" if colon and above else f"{above}/#" if above else "#"
    found: dict[str, None] = {}
    read = 0
    async for key in db.entries.keys(Pattern.mqtt(pattern)):
        text = str(key)
        read += 1
        if text.startswith(begun):
            end = re.search("[/:]", text[len(begun) :]) if not colon else None
            answer = text if end is None else text[: len(begun) + end.end()]
            if not _UNSAFE.search(answer):
                found[answer] = None
        if read == KEYS_READ_MAX or len(found) == OFFERED_MAX:
            break
    return list(found)
