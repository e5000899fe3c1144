"""Each engine beside its raw driver, and beside the same rows written by hand.

    python -m benchmarks --only engines --out docs/benchmarks-engines.md

It wants a Redis and a PostgreSQL server, which it starts itself.
"""

from __future__ import annotations

from benchmarks.plan import Bench
from benchmarks.report import Section
from benchmarks.workloads import engines_file, engines_local, engines_servers

NAME = "engines"
#: What it needs besides our own drivers.
PEER_MODULES = ("diskcache",)


def run(bench: Bench) -> list[Section]:
    return [engines_local.run(bench), engines_file.run(bench), engines_servers.run(bench)]
