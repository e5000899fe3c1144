"""What telemetry tells: hit rate, time spent, failures; never a key or a value."""

import asyncio
import time
from collections import Counter, defaultdict

from where import keeper, service

from holdfast.state import StoreBuilder
from holdfast.state.telemetry import TelemetryEvent


class Metrics:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.began: dict[str, float] = {}
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    def emit(self, event: TelemetryEvent) -> None:
        name, _, phase = event.name.removeprefix("holdfast.state.").rpartition(".")
        self.counts[f"{name}.{phase}"] += 1
        if phase == "started":
            self.began[name] = time.perf_counter()
        elif name in self.began:
            self.seconds[name].append(time.perf_counter() - self.began.pop(name))
        if event.attributes.get("ctx.kv.found"):
            self.counts["hits"] += 1


async def main() -> None:
    metrics = Metrics()
    builder = StoreBuilder.create().with_service(service("metrics")).with_telemetry(metrics)
    async with keeper() as adapter, builder.with_adapter(adapter).build() as store:
        await store.kv.set("a", 1)
        for key in ("a", "b", "a", "c"):
            await store.kv.get(key)
        gets = metrics.counts["kv.get.success"]
        mean = sum(metrics.seconds["kv.get"]) / gets * 1e6
        print(f"hit rate {metrics.counts['hits'] / gets:.0%}, {mean:.0f} µs a get")
        assert (metrics.counts["hits"], gets, metrics.counts["kv.get.error"]) == (2, 4, 0)


asyncio.run(main())
