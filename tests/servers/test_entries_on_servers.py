"""All tests of entries and of transactions on real servers: the very tests, in the long run.

`tests/engines/redis` and `tests/engines/postgres` run their core each time.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from tests.engines.postgres.scene import postgres_config
from tests.engines.redis.scene import redis_config
from tests.engines.servers.views import taken_from
from tests.servers.shared import Address
from tests.store.scene import Scene

pytestmark = pytest.mark.torture

MODULES = (
    "tests.records.test_bad_input",
    "tests.records.test_bulk",
    "tests.records.test_check",
    "tests.records.test_conditions",
    "tests.records.test_entries",
    "tests.records.test_history",
    "tests.records.test_parts",
    "tests.records.test_past",
    "tests.records.test_payloads",
    "tests.records.test_purging",
    "tests.records.test_scope",
    "tests.records.test_services",
    "tests.records.test_shown",
    "tests.records.test_time_to_live",
    "tests.records.test_typed",
    "tests.records.test_values",
    "tests.records.schemas.test_ingress",
    "tests.records.schemas.test_migrating",
    "tests.records.schemas.test_refusing",
    "tests.records.schemas.test_registering",
    "tests.database.test_extended_values",
    "tests.database.test_isolation",
    "tests.database.test_savepoints",
    "tests.database.test_scope",
    "tests.database.test_serializers",
    "tests.database.test_transaction_modes",
    "tests.database.test_transactions",
    "tests.store.test_random_operations",
)

_numbers = count(1)


@pytest.fixture(params=["redis", "postgres"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    """A fresh database on each server."""
    address: Address = request.getfixturevalue(f"{request.param}_address")
    make = {"redis": redis_config, "postgres": postgres_config}[request.param]
    made = Scene("memory", tmp_path)
    made.engine = request.param
    made.url = make(f"{tmp_path}-{next(_numbers)}", port=address["port"]).url_with_secrets
    return made


kept_scene = scene

globals().update({name: test for module in MODULES for name, test in taken_from(module).items()})
