"""Prove the engine contract on real servers.

    python -m benchmarks.contract_probe [redis] [postgres]

Starts Redis and PostgreSQL of its own and ends them. The exit code is 0 only if every proof held.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from redis.crc import key_slot

from benchmarks.contract_probe import trials
from benchmarks.contract_probe.postgres_transport import PostgresProbe
from benchmarks.contract_probe.redis_transport import RedisProbe
from holdfast.runtime.system import system_components
from tests.servers.processes import postgres_server, redis_server


def prove_redis() -> None:
    with redis_server(appendfsync="always") as server:
        site = trials.Site(server, RedisProbe)
        print(f"  Redis: {trials.prove(site)} promises kept")
        transport = RedisProbe(site.config("any"), system_components()).transport()
        assert len({key_slot(key) for key in transport.keys}) == 1
        trials.catch_broken_engines(site, trials.REDIS_BREAKAGES)
        asyncio.run(trials.refuse_when_full(site))
        print("  Redis: full memory refused whole, deletes go on")
        print(f"  Redis: {asyncio.run(trials.survive_crashes(site))} commits over crashes")


def prove_postgres() -> None:
    with postgres_server() as server:
        site = trials.Site(server, PostgresProbe)
        print(f"  PostgreSQL: {trials.prove(site)} promises kept")
        trials.catch_broken_engines(site, trials.POSTGRES_BREAKAGES)
        print(f"  PostgreSQL: {asyncio.run(trials.survive_crashes(site))} commits over crashes")


def main(arguments: list[str]) -> int:
    # A polite end unwinds the stack, and with it the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # The driver reports each connection that a crash takes; here that is the point.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    proofs = {"redis": prove_redis, "postgres": prove_postgres}
    if not set(arguments) <= proofs.keys():
        print(__doc__)
        return 2
    for name in arguments or proofs:
        proofs[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
