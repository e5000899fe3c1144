"""What the server does for a read: the index of keys is walked, and no more of it than is asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.contract.batch import Batch, Put
from holdfast.engines.postgres.transport import PostgresTransport
from tests.engines.postgres.scene import opened, postgres_config, run, told

ROWS = 20_000


def test_a_page_reads_as_many_rows_as_it_has(tmp_path: Path) -> None:
    """On a table without statistics, and on one with."""

    async def test() -> None:
        config = postgres_config(tmp_path)
        async with opened(config) as engine:
            for start in range(0, ROWS, 10_000):
                numbers = range(start, start + 10_000)
                await engine.commit(Batch([Put(b"k%05d" % number, b"v") for number in numbers]))
            [site] = engine._sites.values()
            transport = await site.line.connected()
            assert isinstance(transport, PostgresTransport)
            for _ in range(2):
                for reverse in (False, True):
                    for bounds in ((), (b"k",), (b"k", b"l")):
                        statement = transport._say.scan(
                            start_open=not bounds, end_open=len(bounds) < 2, reverse=reverse
                        )
                        assert await rows_read(transport, statement, [*bounds, 10, 1 << 20]) <= 11
                keys = [b"k%05d" % number for number in range(0, ROWS, 1_000)]
                assert await rows_read(transport, transport._say.read, [keys]) <= len(keys) + 1
                await told(config.port, f"ANALYZE {config.schema}.record")

    run(test)


async def rows_read(transport: PostgresTransport, statement: str, arguments: Sequence[Any]) -> int:
    """How many rows the statement takes out of tables."""
    async with transport._connections.reading() as connection:
        cursor = await connection.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}".replace("%b", "%s"), arguments
        )
        [(found,)] = await cursor.fetchall()
    plan = found if isinstance(found, list) else json.loads(found)
    return _taken(plan[0]["Plan"])


def _taken(node: dict[str, Any]) -> int:
    own = node["Actual Rows"] * node["Actual Loops"] if "Relation Name" in node else 0
    return int(own) + sum(_taken(part) for part in node.get("Plans", ()))
