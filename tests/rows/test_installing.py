"""What is installed decides what can be opened, and advice names what really helps."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy import repository
from tests.tidy.repository import SOURCE

# As if it were not installed: importing it fails, and looking for it finds nothing.
BLOCKED = "import sys; sys.modules[{name!r}] = None\n"


def run_without(module: str, code: str) -> str:
    """What the code prints in a process where the module cannot be imported."""
    # Measuring coverage writes to SQLite, and would miss it first.
    unmeasured = {name: text for name, text in os.environ.items() if "COVERAGE_" not in name}
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(name=module) + code],
        env=unmeasured | {"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("module", "url", "advice", "extra"),
    [
        ("lmdb", "lmdb:///app", 'pip install "holdfast-db[lmdb]"', "lmdb"),
        # Of the standard library: no distribution of ours could bring it.
        ("_sqlite3", "sqlite:///app.db", "a Python that was built with it", "None"),
    ],
)
def test_a_missing_driver_says_what_brings_it(
    module: str, url: str, advice: str, extra: str
) -> None:
    code = f"""
import holdfast
from holdfast.contract.errors import DriverMissing
try:
    holdfast.open({url!r})
except DriverMissing as error:
    print(error, error.details.get("extra"), sep="|", end="")
"""
    said = run_without(module, code)
    assert advice in said
    assert said.endswith(f"|{extra}")


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{folder}/app.db"])
def test_memory_and_sqlite_need_no_lmdb(url: str, tmp_path: Path) -> None:
    address = url.format(folder=tmp_path)
    said = run_without(
        "lmdb",
        f"""
import asyncio
import holdfast, holdfast.sync, holdfast.testing
with holdfast.sync.open({address!r}) as db:
    db.entries.set("a", 1)
    with db.transaction() as transaction:
        transaction.entries.set("a", 2)
    print(db.entries.require("a").value, len(list(db.entries.history("a"))))
async def work():
    async with holdfast.open({address!r}) as db:
        return await db.entries.has("a")
print(asyncio.run(work()))
""",
    )
    assert said.split() == ["2", "1", str(url.startswith("sqlite"))]


def test_the_command_line_needs_no_lmdb(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/app.db"
    said = run_without(
        "lmdb",
        f"""
from holdfast.cli import main
assert main(["set", "a", "1", "--url", {address!r}]) == 0
assert main(["get", "a", "--url", {address!r}]) == 0
assert main(["engines", "--json"]) == 0
assert main(["doctor", "--url", {address!r}]) in (0, 1)
""",
    )
    assert "1\n" in said
    assert "holdfast-db[lmdb]" in said


def test_nothing_but_its_engine_loads_a_driver() -> None:
    code = "import sys, holdfast, holdfast.sync; print({'lmdb', 'sqlite3'} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=repository.unmeasured() | {"PYTHONPATH": str(SOURCE)},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout == "set()\n"
