"""Batches are worth their while: counted in commands, whatever the machine's mood."""

import pytest

from tests.state.conftest import RedisServer, opened, run
from tests.state.test_batch_scan import calls


@pytest.mark.row("D-097")
def test_one_batch_instead_of_ten_gets(own_redis: RedisServer, service: str) -> None:
    async def main() -> None:
        async with opened(own_redis, service) as store:
            keys = [f"k{n}" for n in range(10)]
            await store.batch.set(dict.fromkeys(keys, 1))
            for _ in range(50):
                found = [await store.kv.get(key) for key in keys]
                assert await store.batch.get(keys) == found
            assert await calls(store, "get") == 500
            assert await calls(store, "mget") == 50

    run(main())
