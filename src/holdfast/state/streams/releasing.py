"""Adding to a stream what has waited until now."""

from __future__ import annotations

from holdfast.state.areas.area import Scene
from holdfast.state.checks import whole
from holdfast.state.limits import READ_COUNT_MAX
from holdfast.state.telemetry import operation

_RELEASE = operation("stream.release", "streams", {}, {"ctx.stream.count": int})

#: Messages that one step adds, unless told.
RELEASE_COUNT = 100


async def release_due(scene: Scene, stream: str, count: int = RELEASE_COUNT) -> float | None:
    """See `Streams.release_due`."""
    whole("count", count, 1, READ_COUNT_MAX)
    stream_key = scene.keys.area("streams")(stream)
    later_key = scene.keys.area("later")(stream)
    _, left_ms = await scene.observer.run(
        _RELEASE,
        stream,
        scene.adapter.of("streams").release_due(stream_key, later_key, count),
        success=lambda found: {"ctx.stream.count": found[0]},
    )
    return None if left_ms is None else left_ms / 1000
