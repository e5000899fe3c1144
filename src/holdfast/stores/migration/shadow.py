"""`ShadowStore`: an old and a new store side by side, compared at every call."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
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
        answers, answer = await self._both(lambda store: store.get(key, None))
        self._compare("get", key, answers)
        if answer is not None:
            return bytes(answer)
        if not isinstance(default, Missing):
            return default
        raise KeyNotFound(f"there is no value under the key of {len(key)} bytes", key=key)

    async def has(self, key: bytes) -> bool:
        """Whether the primary has a value under the key."""
        return await self.get(key, None) is not None

    async def set(self, key: bytes, value: bytes) -> int:
        """Put a value under a key in both; what the primary answers."""
        answers, answer = await self._both(lambda store: store.set(key, value))
        self._compare("set", key, {side: _failure(found) for side, found in answers.items()})
        revision: int = answer
        return revision

    async def delete(self, key: bytes) -> bool:
        """Remove a value from both; whether the primary had one."""
        answers, answer = await self._both(lambda store: store.delete(key))
        self._compare("delete", key, answers)
        return bool(answer)

    async def iterate_range(
        self, start: bytes | None = None, end: bytes | None = None, ascending: bool = True
    ) -> AsyncIterator[Pair]:
        """The pairs of the primary; keys and values of the other are compared on the way."""
        primary, other = self._turn()
        mine = self._sides[primary].iterate_range(start, end, ascending)
        theirs = _Beside(self._sides[other], start, end, ascending)

        def compare(key: bytes, ours: bytes | None, found: Any) -> None:
            self._compare("iterate", key, {primary: ours, other: found})

        try:
            async for key, value in mine:
                async for earlier, found in theirs.before(key):
                    compare(earlier, None, found)
                if theirs.failure is None:
                    compare(key, value, await theirs.at(key))
                yield key, value
            async for later, found in theirs.before(None):
                compare(later, None, found)
        finally:
            for walk in (mine, theirs.walk):
                if isinstance(walk, AsyncGenerator):
                    await walk.aclose()
            if theirs.failure is not None:
                compare(start or b"", None, theirs.failure)

    # --- Inside -----------------------------------------------------------------------------

    async def _both(self, ask: Callable[[KeysAndValues], Any]) -> tuple[dict[Side, Any], Any]:
        """What each answers, and what the caller gets."""
        # The flag may be set meanwhile: this call goes on as it began.
        primary, other = self._turn()
        # The primary first: where it refuses, nothing is written into the other.
        answer = await ask(self._sides[primary])
        answers: dict[Side, Any] = {primary: answer}
        try:
            answers[other] = await ask(self._sides[other])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a difference
            answers[other] = error
        return answers, answer

    def _turn(self) -> tuple[Side, Side]:
        """Who is the primary now, and who is not."""
        return ("old", "new") if self._primary == "old" else ("new", "old")

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
        if self._told is None:
            return
        try:
            self._told(difference)
        except Exception as error:  # noqa: BLE001 - both stores have done what was asked by now
            _log.error("whoever is told of differences failed with a %s", type(error).__name__)


class _Beside:
    """The walk of the store that is not primary, in step with the other one.

    Attributes:
        walk: None where the store did not begin one.
        failure: what ended it too early.
    """

    def __init__(
        self, store: KeysAndValues, start: bytes | None, end: bytes | None, ascending: bool
    ) -> None:
        self._ascending = ascending
        self._pair: Pair | None = None
        self._began = False
        self.walk: AsyncIterator[Pair] | None = None
        self.failure: Exception | None = None
        try:
            self.walk = store.iterate_range(start, end, ascending)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a difference
            self.failure = error

    async def before(self, key: bytes | None) -> AsyncIterator[Pair]:
        """What is left of it before a key; None: all."""
        if not self._began:
            self._began = True
            await self._step()
        while (pair := self._pair) is not None and (
            key is None or (pair[0] != key and (pair[0] < key) is self._ascending)
        ):
            yield pair
            await self._step()

    async def at(self, key: bytes) -> bytes | None:
        """The value under the key that it has come to; None: there is none."""
        pair = self._pair
        if pair is None or pair[0] != key:
            return None
        await self._step()
        return pair[1]

    async def _step(self) -> None:
        try:
            self._pair = None if self.walk is None else await anext(self.walk, None)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a difference
            self._pair, self.failure = None, error


def _failure(found: Any) -> Any:
    """Revisions of two stores are never the same; only whether one failed counts."""
    return found if isinstance(found, Exception) else None


def _shown(found: Any) -> Any:
    return type(found).__name__ if isinstance(found, Exception) else found
