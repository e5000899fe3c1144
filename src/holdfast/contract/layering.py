"""What layers have in common: calls that all go through one place, and settings that are values.

class Traced(CallLayer):
    async def through(self, verb, call):
        print(verb)
        return await call()

@dataclass(frozen=True, kw_only=True)
class Trace(LayerSettings):          # `?layers=trace:every=2` in a URL
    layer: ClassVar[str] = "trace"
    every: int = 1

    def __call__(self, engine):
        return Traced(engine)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, ClassVar, Literal, Self, TypeVar, get_type_hints

from holdfast.contract.batch import Answer, Batch, Decide, Receipt
from holdfast.contract.config import check_setting, read_setting
from holdfast.contract.engine import Engine, Layer, NotNow, Peeked, Snapshot
from holdfast.contract.errors import ConfigInvalid
from holdfast.contract.record import Page, Range, Record

T = TypeVar("T")

Verb = Literal[
    "open", "close", "head", "read", "scan", "commit", "transact", "snapshot", "wait", "compact",
    "check", "load",
]  # fmt: skip
#: Verbs that change nothing: they may be asked again whatever went wrong.
READS: frozenset[Verb] = frozenset(("head", "read", "scan", "snapshot", "wait", "check"))
#: Verbs that write what their caller decided.
WRITES: frozenset[Verb] = frozenset(("commit", "transact", "load"))


class CallLayer(Layer):
    """A layer that looks at calls, not at what they carry: each goes through one method.

    What the engine answers without a coroutine stays: it goes through `now`.
    """

    @abstractmethod
    async def through(self, verb: Verb, call: Callable[[], Awaitable[T]]) -> T:
        """One call of a verb; `call()` makes it, and makes it again when called again."""

    def now(self, verb: Verb, call: Callable[[], T | NotNow]) -> T | NotNow:
        """The same without a coroutine, for `read`, `scan` and `transact`. Default: the call."""
        return call()

    async def open(self) -> None:
        await self.through("open", self.inner.open)

    async def close(self) -> None:
        await self.through("close", self.inner.close)

    async def head(self) -> int:
        return await self.through("head", self.inner.head)

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        return await self.through("read", lambda: self.inner.read(keys, at=at))

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        return await self.through("scan", lambda: self.inner.scan(range, at=at))

    async def commit(self, batch: Batch) -> Receipt:
        return await self.through("commit", lambda: self.inner.commit(batch))

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        return await self.through(
            "transact", lambda: self.inner.transact(keys, decide, previous=previous)
        )

    async def snapshot(self) -> Snapshot:
        return await self.through("snapshot", self.inner.snapshot)

    async def wait(self, after_revision: int) -> int:
        return await self.through("wait", lambda: self.inner.wait(after_revision))

    async def compact(self) -> int:
        return await self.through("compact", self.inner.compact)

    async def check(self) -> list[str]:
        return await self.through("check", self.inner.check)

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], *, next_revision: int | None = None
    ) -> None:
        await self.through("load", lambda: self.inner.load(rows, next_revision=next_revision))

    def peek(self, key: bytes) -> Peeked:
        """See `Engine.peek`."""
        inner = self.inner.peek
        assert inner is not None
        return self.now("read", lambda: inner(key))

    def peek_page(self, range: Range) -> Page | NotNow:
        """See `Engine.peek_page`."""
        inner = self.inner.peek_page
        assert inner is not None
        return self.now("scan", lambda: inner(range))

    def transact_now(self, keys: Sequence[bytes], decide: Decide) -> Receipt | NotNow:
        """See `Engine.transact_now`."""
        inner = self.inner.transact_now
        assert inner is not None
        return self.now("transact", lambda: inner(keys, decide))


class Watched:
    """A function of `transact` that remembers what became of it.

    Attributes:
        ran: whether it was called.
        failure: what it raised when it was last called: its caller's own, whatever it says.
    """

    def __init__(self, decide: Decide) -> None:
        self._decide = decide
        self.ran = False
        self.failure: BaseException | None = None

    def __call__(self, records: list[Record | None], revision: int) -> Answer:
        self.ran = True
        self.failure = None
        try:
            return self._decide(records, revision)
        except BaseException as error:
            self.failure = error
            raise


@dataclass(frozen=True, kw_only=True)
class LayerSettings(ABC):
    """How a layer is to be: a value that makes the layer of an engine.

    Equal settings make equal layers, so handles that give equal ones share a database. Subclasses
    are frozen dataclasses whose fields have the types that `EngineConfig` knows.
    """

    layer: ClassVar[str]

    def __post_init__(self) -> None:
        for name, kind in self._kinds().items():
            check_setting(f"the layer {self.layer}", name, kind, getattr(self, name))

    @abstractmethod
    def __call__(self, engine: Engine) -> Layer:
        """The layer, on that engine."""

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The settings that a URL spells after the layer's name: `attempts=5:pause_s=50ms`.

        Raises:
            ConfigInvalid: a setting is unknown, given twice or cannot be read.
        """
        kinds = cls._kinds()
        settings: dict[str, Any] = {}
        for part in text.split(":") if text else ():
            name, _, value = part.partition("=")
            if name not in kinds or name in settings:
                left = sorted(kinds.keys() - settings.keys())
                meant = get_close_matches(name, left, 1)
                raise ConfigInvalid(
                    f"the layer {cls.layer} takes {', '.join(left) or 'no settings'}, as in "
                    f"{cls.layer}:setting=value; found {name!r}"
                    + "".join(f"; did you mean {one!r}?" for one in meant),
                    parameter=name,
                )
            settings[name] = read_setting(f"the layer {cls.layer}", name, kinds[name], value)
        return cls(**settings)

    @classmethod
    def _kinds(cls) -> dict[str, Any]:
        hints = get_type_hints(cls, include_extras=True)
        return {part.name: hints[part.name] for part in fields(cls)}

    def _within(self, name: str, least: float, most: float) -> None:
        """Refuse a number that is out of its bounds."""
        found = getattr(self, name)
        if not least <= found <= most:
            raise ConfigInvalid(
                f"the layer {self.layer}: {name} is from {least} to {most}; found {found}",
                parameter=name,
            )
