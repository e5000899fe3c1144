"""Proofs that an engine cannot do what it does not claim: the other side of each capability.

A flag that is False although the thing works is as wrong as one that is True by hope: code that
stands above would refuse, or build a detour, for nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

import pytest

from holdfast.contract.batch import Batch, Rewrite
from holdfast.contract.engine import Engine
from holdfast.contract.errors import InvalidValue, Unsupported
from holdfast.contract.record import Record
from holdfast.testing.subject import Subject, always, put, value_of
from holdfast.testing.worker import run_worker

Capability = Literal[
    "persistent",
    "shared",
    "snapshots",
    "transacts_once",
    "waits",
    "compacts",
    "checks",
    "loads",
    "rewrites",
]


async def _refuses(subject: Subject, verb: Callable[[Engine], Awaitable[object]]) -> None:
    engine = await subject.open()
    await put(engine, (b"here", b"before"))
    with pytest.raises(Unsupported) as refusal:
        await verb(engine)
    assert engine.capabilities.engine in str(refusal.value), "the refusal names the engine"
    assert await value_of(engine, b"here") == b"before"


async def lacks_snapshots(subject: Subject) -> None:
    await _refuses(subject, lambda engine: engine.snapshot())


async def lacks_waits(subject: Subject) -> None:
    await _refuses(subject, lambda engine: engine.wait(0))


async def lacks_compacts(subject: Subject) -> None:
    await _refuses(subject, lambda engine: engine.compact())


async def lacks_checks(subject: Subject) -> None:
    await _refuses(subject, lambda engine: engine.check())


async def lacks_loads(subject: Subject) -> None:
    await _refuses(subject, lambda engine: engine.load([(b"key", Record(b"value", 7))]))


async def lacks_rewrites(subject: Subject) -> None:
    engine = await subject.open()
    await put(engine, (b"here", b"before"))
    with pytest.raises(InvalidValue):
        await engine.commit(Batch([Rewrite(b"here", b"after")]))
    assert await value_of(engine, b"here") == b"before"


async def lacks_persistent(subject: Subject) -> None:
    """After closing nothing is left, and no old cursor can be mistaken for a new one."""
    engine = await subject.open()
    await put(engine, (b"key", b"value"))
    lineage = engine.lineage
    engine = await subject.reopen(engine)
    assert await value_of(engine, b"key") is None, "claims not to persist, and does"
    assert await engine.head() == 0
    assert engine.lineage != lineage, "revisions begin again, so the lineage must change"


async def lacks_shared(subject: Subject) -> None:
    """Another process is excluded, or has a database of its own."""
    engine = await subject.open()
    await put(engine, (b"key", b"value"))
    answer = run_worker(subject, "read", "key")
    assert answer.get("value") is None, "claims one process, and shares with another"
    assert answer.get("error") in {None, "STORE_LOCKED", "STORE_NOT_FOUND"}, answer
    assert await value_of(engine, b"key") == b"value"


async def lacks_transacts_once(subject: Subject) -> None:
    """Nothing to refuse: `transact` works everywhere, and running once by luck is no lie."""
    engine = await subject.open()
    receipt = await engine.transact([b"key"], always())
    assert receipt.revision == await engine.head()


LACKING: dict[Capability, Callable[[Subject], Awaitable[None]]] = {
    "persistent": lacks_persistent,
    "shared": lacks_shared,
    "snapshots": lacks_snapshots,
    "transacts_once": lacks_transacts_once,
    "waits": lacks_waits,
    "compacts": lacks_compacts,
    "checks": lacks_checks,
    "loads": lacks_loads,
    "rewrites": lacks_rewrites,
}
