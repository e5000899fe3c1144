"""State beside the other views of one database: one feed, one lock, one schema, one collector."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import holdfast
from holdfast.contract.errors import ErrorCode, SchemaValidationFailed, StoreError
from holdfast.contract.record import Range
from holdfast.state import Events, OpenTelemetry, StoreBuilder, build_store
from tests.state.conftest import run
from tests.state.embedded.conftest import Open
from tests.state.operations import MARKER
from tests.tidy import repository


def test_one_write_is_seen_from_everywhere(here: Open) -> None:
    """A value of state is in the feed, in a scan of the bytes, and found by its scope's scan."""

    async def main() -> None:
        async with here() as (db, store):
            begin = await db.head()
            scoped = store.scope("org", 1)
            await scoped.kv.set("plan", "pro")
            await db.entries.set("plan", "pro")
            async with db.watch("#", view="*", since=begin) as changes:
                first, second = await anext(changes), await anext(changes)
            key = "holdfast:state:api:org:1:kv:plan"
            assert (first.view, first.key, second.view) == ("state", key, "entries")
            assert (await scoped.dev.scan("*")).keys == ["plan"]
            page = await db._open_engine().scan(Range.prefix(b""))
            assert sum(key.encode() in stored for stored, _ in page.rows) >= 1

    run(main())


HOLDER = """
import asyncio, sys
import holdfast
from holdfast.state import build_store

async def main():
    async with holdfast.open(sys.argv[1]) as db, build_store(db, "api") as store:
        lease = await store.claim.acquire("users", ttl=0.5)
        async with db.lock("users", ttl=1):
            await store.kv.set("by", "the first", fence=lease)
            print(lease.token, flush=True)
            await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_lease_guards_a_lock_of_another_process(tmp_path: Path) -> None:
    url = f"lmdb:///{tmp_path}/db"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, url], cwd=repository.ROOT, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    try:
        token = int(holder.stdout.readline())
        os.kill(holder.pid, signal.SIGKILL)

        async def main() -> None:
            async with (
                holdfast.open(url) as db,
                build_store(db, "api") as store,
                store.claim.lease("users", ttl=5, wait=20) as lease,
                db.lock("users", timeout=20),
            ):
                assert lease.token is not None
                assert lease.token > token
                assert await store.kv.get("by") == "the first"
                await store.kv.set("by", "the second", fence=lease)
                await db.entries.set("users:1", "locked and leased")

        run(main())
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


class Placed(msgspec.Struct):
    id: str
    amount: float


def test_one_schema_judges_entries_and_events(here: Open) -> None:
    async def main() -> None:
        async with here() as (db, _):
            digest = await db.schemas.register(Placed)
            await db.schemas.require("orders", digest)
            registry = Events.create("order").event("placed", Placed).build()
            leaf: Any = registry.find("order:placed")
            assert leaf.shape.schema.digest == digest
            store = build_store(db, "shop", events=[registry])
            for value in ({"id": "1", "amount": 5.0}, Placed("1", 5.0)):
                await store.events.publish("order:placed", value)
            await db.entries.set("orders:1", {"id": "1", "amount": 5.0})
            wrong = {"id": "1", "amount": "five"}
            found = []
            for work in (
                lambda: db.entries.set("orders:2", wrong),
                lambda: store.events.publish("order:placed", wrong),
            ):
                with pytest.raises(SchemaValidationFailed) as caught:
                    await work()
                found.append([place for place, _ in caught.value.details["violations"]])
            assert found[0] == found[1]

    run(main())


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What the one collector of this process gets."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def test_one_collector_sees_entries_and_state(spans: InMemorySpanExporter, tmp_path: Path) -> None:
    async def main() -> None:
        async with holdfast.open(f"lmdb:///{tmp_path}/db", logged=True) as db:
            builder = StoreBuilder.create().with_adapter(db).with_service("api")
            store = builder.with_telemetry(OpenTelemetry()).build()
            await db.entries.set(f"{MARKER}:1", MARKER)
            await store.kv.set(MARKER, MARKER)
            for work in (
                lambda: db.entries.set("a", object()),
                lambda: store.kv.set("a", object()),
            ):
                with pytest.raises(StoreError):
                    await work()

    run(main())
    seen = spans.get_finished_spans()
    assert {str((span.attributes or {})["db.operation.name"]) for span in seen} >= {
        "set", "kv.set",
    }  # fmt: skip
    for span in seen:
        attributes = dict(span.attributes or {})
        assert attributes["db.system.name"] == "holdfast"
        assert span.kind is trace.SpanKind.CLIENT
        assert MARKER not in repr((span.name, attributes, span.status.description, span.events))
    failed = [dict(span.attributes or {}) for span in seen if not span.status.is_ok]
    # One enumeration has the codes of both.
    codes = {ErrorCode(str(one["error.type"])) for one in failed if "error.type" in one}
    assert codes == {ErrorCode.SERIALIZATION_FAILED}
    assert len(failed) >= 2
