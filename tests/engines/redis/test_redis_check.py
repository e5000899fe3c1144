"""What `check` finds in keys that somebody else has changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.engines.redis import verify
from tests.engines.redis.scene import opened, redis_config, run, told

STAMP = (1).to_bytes(8, "big")
LATER = (99).to_bytes(8, "big")


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (("HDEL", "records", b"k1"), "of the order has no record"),
        (("ZREM", "order", b"k1"), "missing in the order"),
        (("HSET", "records", b"k1", b"short"), "has no revision"),
        (("HSET", "records", b"k1", LATER + b"value"), "newer than the head"),
        (("HSET", "records", b"new", STAMP + b"value"), "missing in the order"),
    ],
)
def test_damage_is_told_by_key(
    command: Sequence[str | bytes], complaint: str, tmp_path: Path
) -> None:
    async def test() -> None:
        config = redis_config(tmp_path)
        async with opened(config) as engine:
            await engine.commit(Batch([Put(b"k%d" % number, b"v") for number in range(5)]))
            assert await engine.check() == []
            verb, part, *rest = command
            assert isinstance(part, str)
            await told(config.port, verb, f"{{{config.prefix}}}:{part}", *rest)
            [wrong] = await engine.check()
            assert complaint in wrong
            key = rest[0]
            assert isinstance(key, bytes)
            assert key.hex() in wrong

    run(test)


def test_damage_without_end_is_not_told_without_end(tmp_path: Path) -> None:
    async def test() -> None:
        config = redis_config(tmp_path)
        async with opened(config) as engine:
            rows = [Put(b"k%d" % number, b"v") for number in range(1_200)]
            await engine.commit(Batch(rows))
            await told(config.port, "DEL", f"{{{config.prefix}}}:records")
            assert len(await engine.check()) == verify.FAULTS_MAX

    run(test)
