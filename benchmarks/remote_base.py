"""What the base of remote engines costs: its verbs over a transport that answers at once.

    python -m benchmarks.remote_base

Each figure is the median of several runs, in microseconds a call: the transport alone, one task,
64 tasks at once (which share round trips), and a thread without a loop.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from holdfast.contract.batch import Answer, Batch, Draft, Put, Receipt
from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.record import Page, Range, Record
from holdfast.engines.remote import RemoteConfig, RemoteEngine, Transport
from holdfast.engines.remote.transport import Outcome, Welcome
from holdfast.runtime.system import drive, system_components

CALLS = 2000
RUNS = 7
TASKS = 64

_RECORD = Record(b"value", 1)


@dataclass(frozen=True, kw_only=True)
class NullConfig(RemoteConfig):
    scheme: ClassVar[str] = "null"


class NullTransport(Transport):
    """Answers at once, and stores nothing."""

    async def connect(self) -> Welcome:
        return Welcome("null", 1)

    async def close(self) -> None:
        pass

    async def read(self, keys: Sequence[bytes]) -> tuple[list[Record | None], int]:
        return [_RECORD] * len(keys), 1

    async def scan(self, range: Range, rows_max: int, bytes_max: int) -> Page:
        return Page([(b"key", _RECORD)], None, 1)

    async def commit_many(
        self, batches: Sequence[Batch], heads: Sequence[int | None], since: int
    ) -> list[Outcome]:
        return [Receipt(1)] * len(batches)


class NullEngine(RemoteEngine):
    config_type = NullConfig
    capabilities = Capabilities(engine="null", io=Io.REMOTE)

    def transport(self) -> Transport:
        return NullTransport()


_BATCH = Batch([Put(b"key", b"value")])


def decide(records: list[Record | None], revision: int) -> Answer:
    del records, revision
    draft = Draft()
    draft.rows[b"key"] = b"value"
    return draft


async def several(call: Callable[[], Awaitable[object]], calls: int) -> None:
    for _ in range(calls):
        await call()


def microseconds(run: Callable[[], None], calls: int) -> float:
    taken = []
    for _ in range(RUNS):
        began = time.perf_counter()
        run()
        taken.append((time.perf_counter() - began) / calls * 1e6)
    return statistics.median(taken)


def main() -> int:
    engine = NullEngine(NullConfig(), system_components())
    transport = NullTransport()
    verbs: dict[str, tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[object]]]] = {
        "read": (lambda: transport.read([b"key"]), lambda: engine.read([b"key"])),
        "scan": (lambda: transport.scan(Range(), 1, 1), lambda: engine.scan(Range())),
        "commit": (
            lambda: transport.commit_many([_BATCH], [None], 0),
            lambda: engine.commit(_BATCH),
        ),
        "transact": (
            lambda: transport.commit_many([_BATCH], [None], 0),
            lambda: engine.transact([b"key"], decide),
        ),
    }  # fmt: skip
    with asyncio.Runner() as runner:
        runner.run(engine.open())
        try:
            print(
                "| microseconds a call | transport alone | one task | 64 tasks | without a loop |"
            )
            print("|---|---|---|---|---|")
            for name, (alone, verb) in verbs.items():
                figures = [
                    microseconds(lambda call=alone: runner.run(several(call, CALLS)), CALLS),  # type: ignore[misc]
                    microseconds(lambda call=verb: runner.run(several(call, CALLS)), CALLS),  # type: ignore[misc]
                    microseconds(
                        lambda call=verb: runner.run(crowd(call)),  # type: ignore[misc]
                        CALLS // TASKS * TASKS,
                    ),
                    microseconds(lambda call=verb: drive(several(call, CALLS // 4)), CALLS // 4),  # type: ignore[misc]
                ]
                print(f"| {name} | " + " | ".join(f"{figure:.1f}" for figure in figures) + " |")
        finally:
            runner.run(engine.close())
    return 0


async def crowd(call: Callable[[], Awaitable[object]]) -> None:
    await asyncio.gather(*(several(call, CALLS // TASKS) for _ in range(TASKS)))


if __name__ == "__main__":
    sys.exit(main())
