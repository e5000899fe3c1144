"""Without the other side's package an adapter says what to install, and nothing else needs it."""

import re
import subprocess
import sys

import pytest

from tests.tidy import repository

PROGRAM = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
import holdfast.sync
from holdfast.contract.errors import DriverMissing
with holdfast.sync.open("memory://") as db:
    collection = db.collection("all")
    collection.set("a", {{"x": 1}})
    try:
        {statement}
    except DriverMissing as error:
        print(error.message)
"""


@pytest.mark.parametrize(
    ("absent", "statement", "package"),
    [
        (
            "pyarrow",
            "from holdfast.adapters.arrow import to_arrow; to_arrow(collection)",
            "pyarrow",
        ),
        (
            "pyarrow",
            "from holdfast.adapters.parquet import from_parquet; from_parquet(collection, 'x')",
            "pyarrow",
        ),
        (
            "pandas",
            "from holdfast.adapters.frames import to_pandas; to_pandas(collection)",
            "pandas",
        ),
        (
            "polars",
            "from holdfast.adapters.frames import to_polars; to_polars(collection)",
            "polars",
        ),
        ("langchain_core", "import holdfast.adapters.langchain", "langchain-core"),
        ("langgraph", "import holdfast.adapters.langgraph_store", "langgraph-checkpoint"),
        ("langgraph", "import holdfast.adapters.langgraph_checkpoints", "langgraph-checkpoint"),
    ],
)
def test_the_package_is_named(absent: str, statement: str, package: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(absent={absent}, statement=statement)],
        capture_output=True,
        text=True,
        env=repository.unmeasured() | {"PYTHONPATH": str(repository.SOURCE)},
        check=False,
    )
    assert f"module {absent} " in done.stdout, done.stderr
    assert re.search(rf"pip install .*'{package}>=", done.stdout), done.stderr


def test_csv_json_lines_and_sessions_need_no_package() -> None:
    absent = {"pyarrow", "pandas", "polars", "langchain_core", "langgraph", "agents", "numpy"}
    statement = (
        "import io; from holdfast.adapters.csv import to_csv; "
        "from holdfast.adapters.json_lines import to_json_lines; "
        "import holdfast.adapters.sessions; "
        "out = io.StringIO(); to_csv(collection, out); to_json_lines(collection, out); "
        "print(out.getvalue().splitlines())"
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(absent=absent, statement=statement)],
        capture_output=True,
        text=True,
        env=repository.unmeasured() | {"PYTHONPATH": str(repository.SOURCE)},
        check=False,
    )
    assert done.stdout.strip() == str(["key,x", "a,1", '{"key":"a","value":{"x":1}}']), done.stderr
