"""`ShadowStore`: an old and a new store side by side, compared at every call."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Literal, Protocol, TypeVar

from msgspec import Struct

from holdfast.contract.errors import InvalidInput, KeyNotFound
from holdfast.contract.record import MISSING, Missing
from holdfast.stores.content import Pair

_log = logging.getLogger("holdfast")

T = TypeVar("T")
Side = Literal["old", "new"]

#: How many differences are kept in memory; all are counted.
KEPT_MAX: Final = 1_000


class KeysAndValues(Protocol):
    """What a store needs to run beside another one."""

    async def get(self, key: bytes, default: Any) -> Any:
        """The value under a key, or the default."""
        ...

    async def set(self, key: bytes, value: bytes) -> int:
        """Put a value under a key."""
        ...

    async def delete(self, key: bytes) -> bool:
        """Remove a value; whether there was one."""
        ...

    def iterate_range(
        self, start: bytes | None = None, end: bytes | None = None, ascending: bool = True
    ) -> AsyncIterator[Pair]:
        """The pairs with `start <= key < end`."""
        ...


class Difference(Struct, frozen=True):
    """Two stores that should agree did not.

    Attributes:
        verb: what was asked: `get`, `delete`, `iterate`, or `set` when the other one failed.
        key: which.
        old, new: what each answered; None for absent, or the name of an error.
    """

    verb: str
    key: bytes
    old: Any
    new: Any


class ShadowStore:
    """Writes into both, reads from both, compares, and answers with what the primary says.

    An error of the one that is not primary is a difference, and never reaches the caller.

    Args:
        old, new: the stores.
        primary: whose answers count, `old` or `new`; can be set at any time: that is the cut over.
        told: called with each difference.
    """

    def __init__(
        self,
        old: KeysAndValues,
        new: KeysAndValues,
        *,
        primary: Side = "old",
        told: Callable[[Difference], object] | None = None,
    ) -> None:
        self._sides: dict[Side, KeysAndValues] = {"old": old, "new": new}
        self._primary: Side = "old"
        self.primary = primary
        self._told = told
        #: How many calls were compared, and how many of them differed.
        self.compared = 0
        self.differed = 0
        #: The last differences.
        self.differences: deque[Difference] = deque(maxlen=KEPT_MAX)

    @property
    def primary(self) -> Side:
        """Whose answers count."""
        return self._primary

    @primary.setter
    def primary(self, side: Side) -> None:
        if side not in ("old", "new"):
            raise InvalidInput(f"primary is 'old' or 'new'; found {side!r}")
        self._primary = side

    async def get(self, key: bytes, default: T | Missing = MISSING) -> bytes | T:
        """The value that the primary has; see `Store.get`."""
        answers = await self._both(lambda store: store.get(key, None))
        self._compare("get", key, answers)
        value = self._answer(answers)
        if value is not None:
            return bytes(value)
        if not isinstance(default, Missing):
            return default
        raise KeyNotFound(f"there is no value under the key of {len(key)} bytes", key=key)

    async def has(self, key: bytes) -> bool:
        """Whether the primary has a value under the key."""
        return await self.get(key, None) is not None

    async def set(self, key: bytes, value: bytes) -> int:
        """Put a value under a key in both; what the primary answers."""
        answers = await self._both(lambda store: store.set(key, value))
        self._compare("set", key, {side: _failure(found) for side, found in answers.items()})
        answer: int = self._answer(answers)
        return answer

    async def delete(self, key: bytes) -> bool:
        """Remove a value from both; whether the primary had one."""
        answers = await self._both(lambda store: store.delete(key))
        self._compare("delete", key, answers)
        return bool(self._answer(answers))

    async def iterate_range(
        self, start: bytes | None = None, end: bytes | None = None, ascending: bool = True
    ) -> AsyncIterator[Pair]:
        """The pairs of the primary; keys and values of the other are compared on the way."""
        walks = {
            side: store.iterate_range(start, end, ascending) for side, store in self._sides.items()
        }
        other_side: Side = "new" if self._primary == "old" else "old"
        mine, other = walks[self._primary], walks[other_side]
        theirs = await _next(other)
        async for pair in mine:
            while (
                theirs is not None and (theirs[0] < pair[0]) is ascending and (theirs[0] != pair[0])
            ):
                self._compare("iterate", theirs[0], {self._primary: None, other_side: theirs[1]})
                theirs = await _next(other)
            found = theirs[1] if theirs is not None and theirs[0] == pair[0] else None
            self._compare("iterate", pair[0], {self._primary: pair[1], other_side: found})
            if found is not None:
                theirs = await _next(other)
            yield pair
        while theirs is not None:
            self._compare("iterate", theirs[0], {self._primary: None, other_side: theirs[1]})
            theirs = await _next(other)

    # --- Inside -----------------------------------------------------------------------------

    async def _both(self, ask: Callable[[KeysAndValues], Any]) -> dict[Side, Any]:
        answers: dict[Side, Any] = {}
        # The primary first: where it refuses, nothing is written into the other.
        answers[self._primary] = await ask(self._sides[self._primary])
        other: Side = "new" if self._primary == "old" else "old"
        try:
            answers[other] = await ask(self._sides[other])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a difference
            answers[other] = error
        return answers

    def _answer(self, answers: dict[Side, Any]) -> Any:
        return answers[self._primary]

    def _compare(self, verb: str, key: bytes, answers: dict[Side, Any]) -> None:
        self.compared += 1
        old, new = (_shown(answers[side]) for side in ("old", "new"))
        if old == new:
            return
        self.differed += 1
        difference = Difference(verb, key, old, new)
        self.differences.append(difference)
        # Neither key nor values: they may be anything.
        _log.warning("an old and a new store differ at a %s (%d so far)", verb, self.differed)
        if self._told is not None:
            self._told(difference)


async def _next(walk: AsyncIterator[Pair]) -> Pair | None:
    return await anext(walk, None)


def _failure(found: Any) -> Any:
    """Revisions of two stores are never the same; only whether one failed counts."""
    return found if isinstance(found, Exception) else None


def _shown(found: Any) -> Any:
    return type(found).__name__ if isinstance(found, Exception) else found
