"""Prove the contract on Redis and PostgreSQL, then measure it.

python -m benchmarks.contract_probe            proofs and figures
python -m benchmarks.contract_probe proofs     proofs only
python -m benchmarks.contract_probe figures    figures only
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from redis.crc import key_slot

from benchmarks.contract_probe import figures, trials
from benchmarks.contract_probe.redis_probe import RedisProbe
from benchmarks.contract_probe.servers import postgres_server, redis_server


async def prove() -> None:
    with redis_server(appendfsync="always") as server:
        sites = trials.redis_sites(server)
        for site in sites:
            print(f"  {site.label}: {await trials.prove(site)} checks passed")
        site = sites[0]
        async with site.engine() as engine:
            assert isinstance(engine, RedisProbe)
            assert len({key_slot(key) for key in engine.keys}) == 1
        await trials.catch_broken_engines(site, trials.REDIS_BREAKAGES)
        await trials.refuse_when_full(site)
        print(f"  {site.label}: full memory refused whole, deletes go on")
        await trials.outlive_the_caller(sites[-1])
        for site in (sites[0], sites[-1]):
            print(f"  {site.label}: {await trials.survive_crashes(site)} commits over crashes")
    with postgres_server() as server:
        sites = trials.postgres_sites(server)
        for site in sites:
            print(f"  {site.label}: {await trials.prove(site)} checks passed")
        site = sites[0]
        await trials.catch_broken_engines(site, trials.POSTGRES_BREAKAGES)
        await trials.outlive_the_caller(sites[-1])
        for site in (sites[0], sites[-1]):
            print(f"  {site.label}: {await trials.survive_crashes(site)} commits over crashes")


def main(arguments: list[str]) -> int:
    # A polite end unwinds the stack, and with it the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # The driver reports each connection that a crash takes; here that is the point.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    if not set(arguments) <= {"proofs", "figures"}:
        print(__doc__)
        return 2
    if "figures" not in arguments or "proofs" in arguments:
        print("Proofs")
        asyncio.run(prove())
    if "proofs" not in arguments or "figures" in arguments:
        asyncio.run(figures.measure())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
