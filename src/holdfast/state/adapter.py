"""`StateAdapter`: what the state view asks of whatever keeps the state.

Keys and values are opaque here; times are whole milliseconds; the keeper's own clock decides what
has expired. Every verb happens at once or not at all. An adapter says no with the errors of the
catalogue: `OutcomeUnknown` when it cannot tell whether a write happened, `ConnectionLost` and
`ConnectionFailed` when it did not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from holdfast.contract.engine import Engine, NotNow
from holdfast.contract.errors import Unsupported
from holdfast.state.bounds import Bound

Condition = Literal["always", "absent", "present"]


class BatchWrite(NamedTuple):
    """One write of a batch; `ttl_ms` 0: does not expire."""

    key: str
    value: bytes
    ttl_ms: int = 0


class Delivered(NamedTuple):
    """A message of a stream as stored; `data` None: it was trimmed away meanwhile."""

    id: str
    data: bytes | None
    deliveries: int = 1


class Pending(NamedTuple):
    """A message that a consumer was given and has not acknowledged."""

    id: str
    consumer: str
    idle_ms: int
    deliveries: int


class Verdict(NamedTuple):
    """What a limiter says.

    Attributes:
        allowed: whether the cost fitted; nothing was counted otherwise.
        remaining: what still fits now.
        retry_after_ms: when this cost may fit, 0 when it did; -1: never, it is above the limit.
    """

    allowed: bool
    remaining: int
    retry_after_ms: int


class FilterShape(NamedTuple):
    """What a Bloom filter is made for, and of; see `holdfast.state.filters`.

    Attributes:
        capacity: how many items it may hold.
        error_rate: the share of strangers it takes for members then.
        blocks: how many blocks of bits it has.
        hashes: how many bits an item has.
    """

    capacity: int
    error_rate: float
    blocks: int
    hashes: int


class ScanPage(NamedTuple):
    """One step of a scan: go on with `cursor` until it is "0"."""

    cursor: str
    keys: list[str]


#: Called for each message of a channel, on the caller's loop; it is quick and never raises.
Deliver = Callable[[str, bytes], None]
#: Called when messages may have been missed, because the way to the keeper was interrupted.
Gap = Callable[[], None]
#: Ends a subscription; calling it twice does nothing.
Unsubscribe = Callable[[], Awaitable[None]]


class Moment(Protocol):
    """A transaction or a snapshot of a database."""

    @property
    def engine(self) -> Engine: ...


@runtime_checkable
class KeepsState(Protocol):
    """What an adapter is made of where one is wanted: an open database."""

    def state_adapter(self) -> StateAdapter: ...


class StateAdapter(ABC):
    """Keeps state. See the module for what holds for all verbs."""

    #: What telemetry and errors call it.
    name: str
    #: Whether it works on an event loop alone; others wait as their caller does.
    needs_loop: bool = False

    @property
    def client(self) -> Any:
        """The driver below, for what the view does not offer."""
        return None

    def of(self, area: str) -> StateAdapter:
        """The adapter as one area uses it: a keeper may tell of some areas more than of others."""
        return self

    def on(self, moment: Moment) -> StateAdapter:
        """The adapter as one transaction or snapshot of its database sees it.

        Raises:
            Unsupported: it keeps its state somewhere else.
        """
        raise Unsupported(
            f"the adapter {self.name} takes part in no transactions; build the store with "
            "with_adapter(db) for that"
        )

    def bounded(self, bounds: Mapping[str, Bound], name: str) -> StateAdapter:
        """The adapter with areas that hold only so much; `name` is what no other service has.

        Raises:
            Unsupported: it cannot.
        """
        raise Unsupported(
            f"the adapter {self.name} bounds no areas. Build the store with with_adapter(db), or "
            "set maxmemory and a policy on the server"
        )

    @abstractmethod
    async def close(self) -> None:
        """End subscriptions and connections; calls after it raise StoreClosed."""

    # --- Values -----------------------------------------------------------------------------

    #: `get` without a coroutine, or NOT_NOW where it has to be awaited; None on adapters that
    #: always wait.
    get_now: Callable[[str], bytes | NotNow | None] | None = None

    @abstractmethod
    def get(self, key: str) -> Awaitable[bytes | None]: ...

    @abstractmethod
    async def set(
        self,
        key: str,
        value: bytes,
        *,
        ttl_ms: int = 0,
        keep_ttl: bool = False,
        condition: Condition = "always",
    ) -> bool:
        """Whether it was written; `ttl_ms` 0 clears the time-to-live unless it is kept."""

    @abstractmethod
    async def set_fenced(
        self, key: str, value: bytes, claim: str, holder: bytes, *, ttl_ms: int, keep_ttl: bool
    ) -> bytes | Literal[True] | None:
        """Write if the claim stands at `holder`: True, else what stands there."""

    @abstractmethod
    async def delete(self, keys: Sequence[str]) -> int:
        """How many there were."""

    @abstractmethod
    async def has(self, key: str) -> bool: ...

    @abstractmethod
    async def expire(self, key: str, ttl_ms: int) -> bool:
        """Let it expire so long from now; False and nothing done when it is not there."""

    @abstractmethod
    async def remaining_ms(self, key: str) -> int | None:
        """Time left; 0: does not expire, None: not there."""

    @abstractmethod
    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]: ...

    @abstractmethod
    async def set_many(self, writes: Sequence[BatchWrite]) -> None:
        """All of them, in one round trip."""

    # --- Counters ---------------------------------------------------------------------------

    @abstractmethod
    def add(self, key: str, by: int) -> Awaitable[int]:
        """The sum; a key that is not there counts as 0, a time-to-live stays.

        Raises:
            InvalidValue: what is there is no counter, or the sum has no 64 bits.
        """

    @abstractmethod
    async def add_within(
        self,
        key: str,
        by: int,
        *,
        ttl_ms: int,
        ttl_always: bool,
        minimum: int | None,
        maximum: int | None,
    ) -> int | None:
        """The sum, or None and nothing done when it would leave the limits.

        `ttl_ms` is given to a counter that this makes, or each time with `ttl_always`; 0: none.
        """

    # --- Claims -----------------------------------------------------------------------------

    @abstractmethod
    async def claim(
        self, key: str, fence: str, before: bytes, after: bytes, ttl_ms: int
    ) -> int | None:
        """Take the key if it is free: draw the next token of `fence`, store before+token+after."""

    @abstractmethod
    async def delete_if(self, key: str, value: bytes) -> bool:
        """Delete it if this very value stands there."""

    @abstractmethod
    async def expire_if(self, key: str, value: bytes, ttl_ms: int) -> bool:
        """Let it expire so long from now if this very value stands there."""

    # --- Channels ---------------------------------------------------------------------------

    @abstractmethod
    def publish(self, channel: str, data: bytes) -> Awaitable[int]:
        """How many heard of it, as far as the keeper knows."""

    @abstractmethod
    async def subscribe(
        self, channel: str, deliver: Deliver, gap: Gap, *, wildcard: bool = False
    ) -> Unsubscribe:
        """Hear what is published from when this returns. With `wildcard` the channel is a glob."""

    # --- Streams ----------------------------------------------------------------------------

    @abstractmethod
    def append(
        self, stream: str, data: bytes, *, length_max: int = 0, approximate: bool = False
    ) -> Awaitable[str]:
        """The id, `milliseconds-sequence`, above all earlier ones; 0: the stream is not trimmed."""

    @abstractmethod
    async def ensure_group(self, stream: str, group: str, start: str) -> bool:
        """Make group and stream; False when the group was there. `start`: an id, "0" or "$"."""

    @abstractmethod
    async def read_group(
        self, stream: str, group: str, consumer: str, *, count: int, block_ms: int = 0
    ) -> list[Delivered]:
        """New messages, each to one consumer of the group; waits for the first up to `block_ms`.

        Raises:
            KeyNotFound: there is no such group.
        """

    @abstractmethod
    async def acknowledge(self, stream: str, group: str, ids: Sequence[str]) -> int:
        """How many of them were pending."""

    @abstractmethod
    async def pending(self, stream: str, group: str, *, count: int) -> list[Pending]:
        """The oldest messages that are not acknowledged."""

    @abstractmethod
    async def reclaim(
        self, stream: str, group: str, consumer: str, *, idle_ms: int, count: int
    ) -> list[Delivered]:
        """Take over messages that nobody worked on for so long, and count their delivery.

        Those that were trimmed away are acknowledged and not returned.
        """

    @abstractmethod
    async def read_after(
        self, stream: str, after: str, *, count: int, block_ms: int = 0
    ) -> list[Delivered]:
        """Messages behind an id, outside any group; "$": what comes from now on."""

    @abstractmethod
    async def read_last(self, stream: str, count: int) -> list[Delivered]:
        """The newest messages, oldest first."""

    @abstractmethod
    async def length(self, stream: str) -> int: ...

    @abstractmethod
    async def move(self, stream: str, group: str, id: str, to: str, data: bytes) -> str:
        """Append `data` to another stream and acknowledge the message here."""

    @abstractmethod
    async def append_once(
        self,
        stream: str,
        once: str,
        data: bytes,
        *,
        ttl_ms: int,
        length_max: int = 0,
        approximate: bool = False,
    ) -> tuple[str, bool]:
        """`append`, and True; but if `once` stands there the id it holds, and False.

        `once` then holds the new id for `ttl_ms`.
        """

    @abstractmethod
    async def postpone(self, later: str, id: bytes, data: bytes, delay_ms: int) -> None:
        """Keep a message under `later` until it is due; `id`: 16 bytes that no other one has."""

    @abstractmethod
    async def release_due(self, stream: str, later: str, count: int) -> tuple[int, int | None]:
        """Append what is due, as it was due; how many, and in how many ms the next one is."""

    # --- Limits and members -----------------------------------------------------------------

    @abstractmethod
    async def limit_fixed(self, key: str, limit: int, window_ms: int, cost: int) -> Verdict:
        """Count in windows that begin with the first cost and end `window_ms` later."""

    @abstractmethod
    async def limit_sliding(self, key: str, limit: int, window_ms: int, cost: int) -> Verdict:
        """Count what was allowed in the last `window_ms`."""

    @abstractmethod
    async def limit_bucket(self, key: str, capacity: int, refill_ms: float, cost: int) -> Verdict:
        """A bucket that gains one token each `refill_ms` up to its capacity."""

    @abstractmethod
    async def join(
        self, key: str, member: str, ttl_ms: int, *, members_max: int = 0, renew: bool = False
    ) -> bool:
        """Be a member for so long. False: it is full; with `renew`: it was none any more."""

    @abstractmethod
    async def leave(self, key: str, member: str) -> bool: ...

    @abstractmethod
    async def members(self, key: str) -> list[tuple[str, int]]:
        """Who is a member, and for how many milliseconds more, in the order they end."""

    # --- Filters ----------------------------------------------------------------------------

    @abstractmethod
    async def filter_create(self, key: str, shape: FilterShape, ttl_ms: int) -> FilterShape | None:
        """Make an empty filter: None; but if one is there its shape, and nothing done."""

    @abstractmethod
    async def filter_add(self, key: str, digests: Sequence[bytes]) -> list[bool] | None:
        """Add items: for each whether some bit of it was not set before this call.

        None, and nothing done, when the filter would then hold more than its capacity.

        Raises:
            KeyNotFound: there is no filter.
        """

    @abstractmethod
    async def filter_has(self, key: str, digests: Sequence[bytes]) -> list[bool]:
        """For each item whether all of its bits are set. Raises KeyNotFound likewise."""

    @abstractmethod
    async def filter_head(self, key: str) -> tuple[FilterShape, int] | None:
        """Its shape, and how many items it holds."""

    # --- Looking around ---------------------------------------------------------------------

    @abstractmethod
    async def scan(self, pattern: str, cursor: str, count: int) -> ScanPage:
        """Keys that match a glob: each that is there throughout at least once, others maybe."""


#: The verbs of an adapter, for whoever stands around one.
VERBS: tuple[str, ...] = tuple(sorted(StateAdapter.__abstractmethods__ - {"close"}))
