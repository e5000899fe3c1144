"""What is measured can be measured, and batches are worth their while."""

import asyncio
import re
import time

import pytest

from tests.state import figures
from tests.state.conftest import RedisServer, opened, run
from tests.state.test_batch_scan import calls


@pytest.mark.row("D-140", "D-118")
def test_the_table_has_its_rows(
    redis: RedisServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "TASKS", (1, 16))
    monkeypatch.setattr(figures, "ROUNDS", 1)
    asyncio.run(figures.main(redis, 0.02))
    asyncio.run(figures.embedded("memory://", 0.02))
    asyncio.run(figures.in_process(0.02))
    out = capsys.readouterr().out
    for operation in ("get", "set", "publish", "increment", "batch of 10", "append"):
        for tasks in (1, 16):
            for who in ("holdfast", "embedded"):
                row = re.search(rf"\n\| {operation} \| {tasks} \| {who} \| ([\d,]+) \| ", out)
                assert row, out
                assert int(row[1].replace(",", "")) > 0
    assert "kv.get on the mock adapter" in out


@pytest.mark.row("D-097")
def test_one_batch_instead_of_ten_gets(own_redis: RedisServer, service: str) -> None:
    async def main() -> None:
        async with opened(own_redis, service) as store:
            keys = [f"k{n}" for n in range(10)]
            await store.batch.set(dict.fromkeys(keys, 1))
            spent = {"gets": 0.0, "batch": 0.0}
            for _ in range(50):
                began = time.perf_counter()
                for key in keys:
                    await store.kv.get(key)
                between = time.perf_counter()
                await store.batch.get(keys)
                spent["gets"] += between - began
                spent["batch"] += time.perf_counter() - between
            assert await calls(store, "get") == 500
            assert await calls(store, "mget") == 50
            assert spent["gets"] > 2 * spent["batch"], spent

    run(main())
