"""Parts of a walk: how many items, between which keys, and behind which one it begins.

`after` names a place in the order by what stands there, so that whatever comes and goes meanwhile
shifts nothing. It is a key, or the cursor that a walk of the same kind gave: a text that no key
can be, because it has a slash and no colon.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn, TypeVar

import msgspec

from holdfast.codecs.digest import digest_bytes
from holdfast.codecs.keys import pack, unpack
from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import DeserializationFailed, InvalidInput, InvalidKey
from holdfast.contract.record import Range

T = TypeVar("T")

#: How the text of a cursor begins.
CURSOR = "cursor/"
#: The longest cursor, in characters.
CURSOR_CHARACTERS_MAX = 65_536

_FORM = 1
_FINGERPRINT_BYTES = 12
#: What the place of a past version can hold.
_INCARNATION_MAX, _VERSION_MAX = (1 << 32) - 1, (1 << 64) - 1


class Part(msgspec.Struct, frozen=True):
    """Which part of what matches a walk is to give.

    Attributes:
        reverse: from the last to the first.
        limit: at most so many items; None: all.
        after: begins behind it: a key, for a history a version, or a cursor; None: at the start.
        gt, gte, lt, lte: keys that the items lie above, from, below, up to.
    """

    reverse: bool = False
    limit: int | None = None
    after: Any = None
    gt: StoreKey | str | None = None
    gte: StoreKey | str | None = None
    lt: StoreKey | str | None = None
    lte: StoreKey | str | None = None

    def __post_init__(self) -> None:
        limit = self.limit
        if limit is not None and (
            not isinstance(limit, int) or isinstance(limit, bool) or limit < 1
        ):
            raise InvalidInput(f"limit is a number of items from 1; found {limit!r}")
        if self.gt is not None and self.gte is not None:
            raise InvalidInput("give gt or gte, not both")
        if self.lt is not None and self.lte is not None:
            raise InvalidInput("give lt or lte, not both")

    def within(
        self, whole: Range, place_of: Callable[[StoreKey], Range], after: StoreKey | None
    ) -> Range:
        """The rows of this part.

        Args:
            whole: those of all parts.
            place_of: the rows that hold a key: itself alone.
            after: the key that the walk begins behind.
        """
        starts: list[bytes | None] = [whole.start]
        ends: list[bytes | None] = [whole.end]
        if self.gte is not None:
            starts.append(place_of(StoreKey.of(self.gte)).start)
        if self.gt is not None:
            starts.append(place_of(StoreKey.of(self.gt)).end)
        if self.lt is not None:
            ends.append(place_of(StoreKey.of(self.lt)).start)
        if self.lte is not None:
            ends.append(place_of(StoreKey.of(self.lte)).end)
        if after is not None:
            place = place_of(after)
            if self.reverse:
                ends.append(place.start)
            else:
                starts.append(place.end)
        start = max((one for one in starts if one is not None), default=None)
        end = min((one for one in ends if one is not None), default=None)
        return replace(whole, start=start, end=end, reverse=self.reverse)


class Walked(NamedTuple):
    """What a cursor belongs to.

    Attributes:
        kind: `entries`, `tag` or `history`.
        of: what was walked: a pattern, a tag with a pattern, a key.
        reverse: in which direction.
    """

    kind: str
    of: tuple[str, ...]
    reverse: bool

    @classmethod
    def entries(cls, pattern: Pattern, reverse: bool) -> Walked:
        """The entries or keys of a pattern."""
        return cls("entries", (pattern.kind, pattern.text), reverse)

    @classmethod
    def tag(cls, tag: str, pattern: Pattern, reverse: bool) -> Walked:
        """The entries of a tag."""
        return cls("tag", (tag, pattern.kind, pattern.text), reverse)

    @classmethod
    def history(cls, key: str, reverse: bool) -> Walked:
        """The past versions of a key."""
        return cls("history", (key,), reverse)

    def cursor(self, *place: str | int) -> str:
        """The text that leads on behind a place."""
        packed = pack((_FORM, self.kind, self._fingerprint(), *place))
        return CURSOR + urlsafe_b64encode(packed).rstrip(b"=").decode()

    def after(self, cursor: str) -> tuple[Any, ...]:
        """The place that a cursor leads on behind.

        Raises:
            InvalidInput: it is none, or that of another walk.
        """
        if len(cursor) > CURSOR_CHARACTERS_MAX:
            _refuse("a longer text")
        try:
            padded = cursor[len(CURSOR) :].encode("ascii")
            form, kind, bound, *place = unpack(
                urlsafe_b64decode(padded + b"=" * (-len(padded) % 4))
            )
        except (ValueError, binascii.Error, DeserializationFailed, InvalidKey):
            _refuse("a text that is none")
        if form != _FORM or not isinstance(kind, str):
            _refuse("one of another Holdfast")
        if kind != self.kind:
            _refuse(f"the cursor of {_named(kind)}, where {_named(self.kind)} was asked for")
        if bound != self._fingerprint():
            _refuse(
                f"the cursor of {_named(kind)} with another "
                f"{'key' if kind == 'history' else 'pattern, tag'} or direction"
            )
        return tuple(place)

    def key_after(self, after: StoreKey | str | None) -> StoreKey | None:
        """The key that `after`, a key or a cursor, names."""
        if after is None:
            return None
        if not is_cursor(after):
            return StoreKey.of(after)
        [text] = self.after(after)
        return StoreKey.parse(text)

    def version_after(self, after: Any) -> tuple[int, int] | None:
        """The place of the version that `after`, (incarnation, version) or a cursor, names."""
        match after:
            case None:
                return None
            case (int() as incarnation, int() as version) if isinstance(after, tuple):
                if 0 <= incarnation <= _INCARNATION_MAX and 0 <= version <= _VERSION_MAX:
                    return incarnation, version
            case str() if is_cursor(after):
                incarnation, version = self.after(after)
                return incarnation, version
        raise InvalidInput(
            "after, in a history, is (incarnation, version) of a version, or the cursor of such a "
            f"walk; found {after!r}"
        )

    def _fingerprint(self) -> bytes:
        said = "\0".join((self.kind, "reverse" if self.reverse else "", *self.of))
        return digest_bytes(said.encode()).raw[:_FINGERPRINT_BYTES]


def is_cursor(after: object) -> bool:
    """Whether it is the text of a cursor, which no key can have."""
    return isinstance(after, str) and after.startswith(CURSOR) and ":" not in after


def _named(kind: str) -> str:
    names = {"entries": "a walk of entries", "tag": "a walk by tag", "history": "a history"}
    return names.get(kind, "another walk")


def _refuse(found: str) -> NoReturn:
    raise InvalidInput(
        f"after wanted a key, or the cursor of this very walk; found {found}. Pass what `cursor` "
        "of the walk before gave, with the same arguments, or leave it out to begin at the start"
    )
