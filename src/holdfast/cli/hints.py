"""What somebody may have meant whose pattern matches nothing."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli import shown
from holdfast.cli.options import Kind
from holdfast.codecs.pattern import Pattern
from holdfast.contract.errors import PatternInvalid
from holdfast.database.handle import Database

#: How many keys are looked at to find one that differs in upper and lower case alone.
KEYS_LOOKED_AT_MAX = 10_000


async def hint(db: Database, pattern: Pattern) -> None:
    """Say on stderr that nothing matches, and which pattern would match something."""
    if not await _any(db, Pattern.of("#")):
        shown.note("the database holds no entries")
        return
    meant = ""
    for text, kind in _candidates(pattern):
        if await _any(db, kind, text):
            option = "" if kind is Kind.MQTT else f" --kind {kind.value}"
            meant = f"; did you mean {text!r}{option}?"
            break
    else:
        other = await _of_another_case(db, pattern)
        if other is not None:
            meant = f"; did you mean {other!r}?"
    shown.note(f"no key matches {pattern.text!r}{meant}")


async def hint_if_none(db: Database, pattern: Pattern) -> None:
    """The same, only when no key matches."""
    if not await _any(db, pattern):
        await hint(db, pattern)


def _candidates(pattern: Pattern) -> Iterator[tuple[str, Kind]]:
    text = pattern.text
    if pattern.kind != "mqtt":
        yield text, Kind.MQTT
        return
    if "*" in text or "?" in text:
        yield text.replace("*", "+"), Kind.MQTT
        yield text.rstrip("*").rstrip("/:") + "/#", Kind.MQTT
        yield text, Kind.GLOB
    base = text.rstrip("/:#+").rstrip("/:")
    if base:
        yield f"{base}/#", Kind.MQTT
        # `cities/IS/341`, where the name stands behind a colon.
        head, _, name = base.rpartition("/")
        if head:
            yield f"{head}:{name}", Kind.MQTT
        yield f"{base}*", Kind.GLOB
        yield f"*{base}*", Kind.GLOB


async def _any(db: Database, pattern: Pattern | Kind, text: str = "") -> bool:
    if isinstance(pattern, Kind):
        try:
            pattern = Pattern(text, pattern.value)
        except PatternInvalid:
            return False
    async for _ in db.entries.keys(pattern):
        return True
    return False


async def _of_another_case(db: Database, pattern: Pattern) -> str | None:
    """The pattern as it would match, when only upper and lower case stand between."""
    if pattern.kind != "mqtt":
        return None
    wanted = pattern.text.rstrip("/:#+").casefold()
    looked_at = 0
    async for key in db.entries.keys():
        found = str(key)[: len(wanted)]
        if wanted and found.casefold() == wanted:
            return found + pattern.text[len(wanted) :]
        looked_at += 1
        if looked_at == KEYS_LOOKED_AT_MAX:
            break
    return None
