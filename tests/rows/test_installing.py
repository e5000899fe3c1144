"""What is installed decides what can be opened, and advice names what really helps."""

import os
import subprocess
import sys

import pytest

from tests.tidy.repository import SOURCE

BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Blocker())
"""


def run_without(module: str, code: str) -> str:
    """What the code prints in a process where the module cannot be imported."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(name=module) + code],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
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
