"""Events for browsers: what is published on a channel as a stream of server-sent events."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.contract.errors import SerializationFailed, TimedOut
from holdfast.contract.runtime import Completion
from holdfast.state.checks import Duration, duration_ms
from holdfast.state.events.message import Message
from holdfast.state.shared import Shared

if TYPE_CHECKING:
    from holdfast.state.store import ScopedStore

#: A line that begins with a colon is a comment: browsers pass it over, and so do proxies that would
#: end a connection on which nothing comes.
_HEARTBEAT = b":\n\n"

_json = msgspec.json.Encoder(enc_hook=str).encode


async def server_sent_events(
    store: ScopedStore,
    channel: str,
    *,
    heartbeat: Duration = 15,
    data: Callable[[Message[Any]], Any] | None = None,
) -> AsyncGenerator[bytes, None]:
    """What is published on a channel, as the body of a `text/event-stream` response.

        return StreamingResponse(
            server_sent_events(store, "order:*"), media_type="text/event-stream"
        )

    Each message is an event of the name of its channel, with its data as JSON. A comment comes
    first, when the subscription stands, and again when nothing came for as long as `heartbeat`. To
    a client that is too slow, or whose keeper was away meanwhile, `event: missed` says so: it has
    to load anew what it shows. Closing the iterator ends the subscription, and
    `store.events.unsubscribe` ends both, within a heartbeat.

    Args:
        store: in whose scope is listened.
        channel: as `store.events.subscribe` takes it, with `*` for any run of characters.
        heartbeat: how long nothing may come.
        data: what is sent of a message; its data unless given.

    Raises:
        InvalidName, InvalidValue: an argument cannot be.
    """
    pause_s = duration_ms("heartbeat", heartbeat) / 1000
    host = store._scene.components.host  # noqa: SLF001 - one floor, and no business of users
    runtime = host.runtime()
    # A message waits here until it is asked for; those behind it wait in the subscription, which
    # counts what it has to drop.
    line: deque[tuple[bytes, Shared[None]]] = deque()
    came: Completion[None] | None = None
    over = False

    async def hand_over(message: Message[Any]) -> None:
        if over:
            return
        taken: Shared[None] = Shared(host)
        line.append((_frame(message, data), taken))
        if came is not None:
            came.settle()
        await taken.wait()

    subscription = await store.events.subscribe(channel, hand_over)
    missed = (0, 0)
    try:
        yield _HEARTBEAT
        while True:
            if not line:
                came = runtime.completion()
                with contextlib.suppress(TimedOut):
                    await came.wait(pause_s)
                came = None
            now = subscription.dropped, subscription.gaps
            if now != missed:
                missed = now
                yield _event("missed", {"dropped": now[0], "gaps": now[1]})
            elif subscription.closed:
                return  # Somebody unsubscribed from the channel.
            elif line:
                yield line[0][0]
                # Only then: a reader that goes while it sends this one leaves nobody waiting.
                line.popleft()[1].settle()
            else:
                yield _HEARTBEAT
    finally:
        over = True
        for _, taken in line:
            taken.settle()
        await subscription()


def _frame(message: Message[Any], data: Callable[[Message[Any]], Any] | None) -> bytes:
    # Other programs can write the envelope: a line break in its type would begin another field.
    if not message.type.isprintable():
        raise SerializationFailed(
            f"the type of a message is one line of text; found {message.type[:60]!r}"
        )
    return _event(message.type, message.data if data is None else data(message))


def _event(name: str, content: Any) -> bytes:
    try:
        encoded = _json(content)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise SerializationFailed(
            f"data that JSON can write was wanted; found a {type(content).__name__}. Give `data`"
        ) from error
    return b"event: " + name.encode() + b"\ndata: " + encoded + b"\n\n"
