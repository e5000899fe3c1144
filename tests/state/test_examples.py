"""The examples of state: each runs to its end on a server and in one process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.state.conftest import RedisServer
from tests.state.workers import run_in_processes, runs_example
from tests.tidy import repository

FOLDER = repository.ROOT / "examples" / "state"
EXAMPLES = sorted(FOLDER.glob("[0-9]*.py"))
LINES_MAX = 60
#: What an example shows of the rows.
ROWS = {
    "01_sessions": ["D-127", "D-009"], "02_pricing_cache": ["D-081"], "03_flash_sale": ["D-082"],
    "04_rate_limit": ["D-083"], "05_notifications": ["D-084", "D-009"],
    "06_cron_leader": ["D-085", "D-009"], "07_job_result": ["D-086"], "08_chat": ["D-087", "D-009"],
    "09_heartbeats": ["D-088"], "10_presence": ["D-089"], "11_experiment": ["D-090"],
    "12_document_lock": ["D-091"], "13_fleet": ["D-092"], "14_enrolment": ["D-093"],
    "15_frequency_cap": ["D-094"], "16_cache_invalidation": ["D-095"], "17_payments": ["D-096"],
    "18_metrics": ["D-007"],
}  # fmt: skip


def test_they_are_numbered_and_short() -> None:
    assert [path.stem for path in EXAMPLES] == list(ROWS)
    assert [int(path.name[:2]) for path in EXAMPLES] == list(range(1, len(EXAMPLES) + 1))
    for path in EXAMPLES:
        assert re.match(r"\d\d_[a-z_]+\.py$", path.name)
        assert len(path.read_text().splitlines()) <= LINES_MAX, path.name


@pytest.mark.parametrize("adapter", ["redis", "lmdb", "mock"])
@pytest.mark.parametrize(
    "path",
    [pytest.param(one, marks=pytest.mark.row(*ROWS[one.stem]), id=one.stem) for one in EXAMPLES],
)
def test_each_runs_to_its_end(redis: RedisServer, tmp_path: Path, path: Path, adapter: str) -> None:
    url = {"redis": redis.url, "lmdb": "lmdb:///state", "mock": None}[adapter]
    [(printed, failure)] = run_in_processes(runs_example, 1, str(path), str(tmp_path), url)
    assert failure == "", printed + failure
    assert printed


@pytest.mark.row("D-079")
def test_the_quick_start(redis: RedisServer, service: str) -> None:
    script = (
        "import asyncio, os\n"
        "from holdfast.state import RedisAdapter, StoreBuilder\n"
        "adapter = RedisAdapter.from_url(os.environ['REDIS_URL'])\n"
        "store = (StoreBuilder.create().with_adapter(adapter)\n"
        f"    .with_service('{service}').add_scope('organization', required=True)\n"
        "    .add_scope('workspace').with_prefix('igniter:store').build())\n"
        "async def main():\n"
        "    await store.scope('organization', 'org_123').kv.set('settings:theme', 'dark')\n"
        f"    key = 'igniter:store:{service}:organization:org_123:kv:settings:theme'\n"
        "    print(await store._scene.adapter.client.send(('GET', key)))\n"
        "    await store.close()\n"
        "asyncio.run(main())\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**os.environ, "PYTHONPATH": str(repository.SOURCE), "REDIS_URL": redis.url},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout.strip() == "b'\"dark\"'"


@pytest.mark.row("D-120")
def test_what_a_failover_loses(tmp_path: Path) -> None:
    """The primary is killed under load: nothing that was promised is lost."""
    result = subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / "failover.py")],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(repository.SOURCE)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    found = re.search(
        r"promised (\d+) writes.*, lost of them: 0\n.*\nno answer for (\d+\.\d) s", result.stdout
    )
    assert found, result.stdout
    assert int(found[1]) > 10
    assert 0 < float(found[2]) < 40
