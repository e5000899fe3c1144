"""Capabilities: what an engine says of itself is well formed and true."""

from __future__ import annotations

import asyncio
from dataclasses import FrozenInstanceError, fields
from typing import Any, get_args

import pytest

from holdfast.contract.capability import Capabilities, Durability, Io, Isolation
from holdfast.contract.engine import Engine
from holdfast.contract.record import Range
from holdfast.runtime.system import drive
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, contents, increment, put, revision_of, walk

#: What stands above builds keys of names and rows of its own, so less would be of no use.
KEY_BYTES_LEAST = 1024


class Abilities(Section):
    @promise("trap 50")
    async def test_capabilities_are_a_frozen_value_of_the_right_types(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        claims = engine.capabilities
        assert isinstance(claims, Capabilities)
        assert claims.engine == type(engine.config).scheme, "the engine at the bottom of the stack"
        assert isinstance(claims.io, Io)
        assert isinstance(claims.isolation, Isolation)
        assert claims.durability in get_args(Durability)
        with pytest.raises(FrozenInstanceError):
            claims.snapshots = not claims.snapshots  # type: ignore[misc]
        for field in fields(claims):
            value: Any = getattr(claims, field.name)
            if field.type == "bool":
                assert type(value) is bool, field.name
            elif field.type == "int":
                assert type(value) is int, field.name
                assert value > 0, field.name
        assert claims.key_bytes_max >= KEY_BYTES_LEAST
        assert claims.snapshot_age_max_s is None or claims.snapshot_age_max_s > 0
        assert engine.capabilities == claims, "what an engine can does not change while it is open"

    @promise("trap 50")
    async def test_every_closed_and_open_engine_claims_the_same(self, subject: Subject) -> None:
        before = subject.make().capabilities
        opened = await subject.open()
        assert opened.capabilities == before
        await subject.close(opened)
        assert opened.capabilities == before

    @promise("trap 50")
    async def test_an_engine_waits_the_way_it_says(self, subject: Subject) -> None:
        # Whatever it waits for, who has no loop can drive it.
        engine = subject.make()
        try:
            self._drive_through(engine)
        finally:
            drive(engine.close())

    @promise("trap 50", tasks=True)
    async def test_an_engine_that_waits_for_a_server_lets_its_loop_turn_meanwhile(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        revision = await put(engine, (b"k", b"1"))
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        turning = asyncio.create_task(turn())
        await asyncio.sleep(0)
        began = turns
        assert await revision_of(engine, b"k") == revision
        turned = turns - began
        turning.cancel()
        if engine.capabilities.io is Io.REMOTE:
            assert turned, "says it waits for a server, and never does"
        else:
            assert not turned, "says it reads where it is asked, and waits"

    def _drive_through(self, engine: Engine) -> None:
        drive(engine.open())
        drive(put(engine, (b"k", b"1")))
        drive(engine.transact([b"k"], increment(b"k")))
        rows = drive(walk(engine, Range(limit=1)))
        assert [(key, record.value) for key, record in rows] == [(b"k", b"2")]
        if engine.capabilities.snapshots:
            with drive(engine.snapshot()) as snapshot:
                assert drive(contents(engine, at=snapshot)) == {b"k": b"2"}

    @promise("trap 50")
    async def test_an_engine_names_its_configuration(self, subject: Subject) -> None:
        engine = await subject.open()
        kind = type(engine.config)
        assert kind.scheme
        assert kind.from_url(engine.config.url_with_secrets) == engine.config
