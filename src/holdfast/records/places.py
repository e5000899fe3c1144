"""Keys, patterns and entries below literal segments, as seen from there and from the root."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.codecs.typed import Typed
from holdfast.contract.errors import SchemaValidationFailed
from holdfast.store.change import Change
from holdfast.store.versions.entry import Entry

Kept = TypeVar("Kept", bound=Entry[Any])


class Places:
    """Keys, patterns and entries below some segments, as seen from there and from the root.

    Args:
        segments: literal, whatever characters they hold.
        typed: what values are as seen from there; None: plain ones.
    """

    def __init__(self, segments: Iterable[str], typed: Typed[Any] | None = None) -> None:
        self.segments = tuple(segments)
        self.typed = typed if typed is not None and not typed.plain else None
        # A key of its own, and not within: what lies below begins behind it.
        self.top = StoreKey.of_segments(self.segments) if self.segments else None
        self._depth = len(self.segments)
        self._plain = self.typed is None and not self.segments

    def out(self, key: StoreKey | str) -> StoreKey:
        """A key as it is called from the root. Raises InvalidKey."""
        inside = StoreKey.of(key)
        return StoreKey.of_segments((*self.segments, *inside.segments)) if self.top else inside

    def into(self, key: StoreKey) -> StoreKey:
        """A key below the segments as it is called from there."""
        return StoreKey.of_stored(key.segments[self._depth :]) if self.top else key

    def holds(self, key: Any) -> bool:
        """Whether a key, as it is called from the root, lies below the segments."""
        if not isinstance(key, StoreKey):
            return False
        depth = self._depth
        return len(key.segments) > depth and key.segments[:depth] == self.segments

    def pattern(self, pattern: Pattern | str) -> tuple[Pattern, Pattern | None]:
        """A pattern as seen from the root; and another one that keys, as seen from here, pass.

        A glob or a regex says nothing of segments, so everything is asked for and then looked at.
        """
        given = Pattern.of(pattern)
        top = self.top
        if top is None:
            return given, None
        if given.kind != "mqtt":
            return Pattern(_below(top, "#")), given
        return Pattern(_below(top, given.text)), None

    def change(self, change: Change) -> Change | None:
        """A change as it is seen from here; None: it is not within."""
        if not self.holds(change.key):
            return None
        return msgspec.structs.replace(
            change,
            key=self.into(change.key),
            before=None if change.before is None else self.seen(change.before),
            after=None if change.after is None else self.seen(change.after),
        )

    def called(self, entry: Kept) -> Kept:
        """An entry under the key that it has here."""
        if not self.segments:
            return entry
        return msgspec.structs.replace(entry, _key=self.into(entry.key))

    def seen(self, entry: Kept) -> Kept:
        """An entry as it is seen from here."""
        if self._plain:
            return entry
        inside = self.called(entry)
        typed = self.typed
        if typed is None or not entry.has_value:
            return inside
        try:
            value = typed.from_plain(entry.fresh().value)
        except SchemaValidationFailed as error:
            error.within(key=str(inside.key))
            raise
        return msgspec.structs.replace(inside, _value=value)

    def outside(self, entry: Entry[Any]) -> Any:
        """An entry under the key that it has from the root, for cursors alone."""
        return msgspec.structs.replace(entry, _key=self.out(entry.key))


def _below(top: StoreKey, text: str) -> str:
    """The text of an mqtt pattern below a key."""
    # Of a key directly below: what stands before the colon is then escaped as it has to be.
    base = Pattern.exactly(StoreKey("x", top.segments)).text.rpartition(":")[0]
    head, colon, name = text.partition(":")
    if colon:
        return f"{base}/{head}:{name}" if head else f"{base}:{name}"
    return f"{base}/{text}" if "/" in text else f"{base}:{text}"
