"""Rows of engines: found by name, chosen by configuration alone, and true to one contract."""

import inspect
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import holdfast
from holdfast.contract.engine import Engine
from holdfast.contract.errors import ConfigInvalid
from holdfast.engines.memory import MemoryConfig
from holdfast.store.registry import engine_class
from holdfast.testing import EngineContract
from tests.engines import toy
from tests.store.scene import ENGINES, Scene
from tests.tidy import repository

SOURCE = repository.ROOT / "src"
REGISTERED = repository.project()["project"]["entry-points"]["holdfast.engines"]
TOY_CONFIG = """

from dataclasses import dataclass
from typing import ClassVar

from holdfast.contract.config import EngineConfig


@dataclass(frozen=True, kw_only=True)
class ToyConfig(EngineConfig):
    scheme: ClassVar[str] = "toy"


ToyEngine.config_type = ToyConfig
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages as an installer leaves it, with somebody's engine in it."""
    site = tmp_path / "site"
    distribution = site / "toy_engine-1.0.dist-info"
    distribution.mkdir(parents=True)
    (site / "toy_engine.py").write_text(Path(toy.__file__).read_text() + TOY_CONFIG)
    (distribution / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: toy-engine\nVersion: 1.0\n"
    )
    (distribution / "entry_points.txt").write_text(
        "[holdfast.engines]\ntoy = toy_engine:ToyEngine\n"
    )
    (distribution / "RECORD").write_text("toy_engine.py,,\n")
    return site


def run(code: str, *arguments: str, site: Path | None = None, cwd: Path | None = None) -> str:
    """What the code prints, run by a fresh process."""
    paths = [str(SOURCE), *([str(site)] if site else [])]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


USING_TOY = """
import asyncio, json
import holdfast
from holdfast.contract.errors import StoreError
from holdfast.store.registry import engine_names

async def main():
    told = {"names": engine_names()}
    async with holdfast.open("toy://") as db:
        await db.entries.set("a", {"n": 1})
        told["value"] = (await db.entries.require("a")).value
        told["snapshots"] = db.capabilities.snapshots
        try:
            await db.snapshot()
        except StoreError as error:
            told["snapshot"] = [error.code, str(error)]
        told["untouched"] = (await db.entries.require("a")).value
        await db.transact(lambda tx: tx.entries.set("a", 2))
        told["after"] = (await db.entries.require("a")).value
        told["how"] = (await db.explain())["abilities"]["transactions"]["source"]
    try:
        await holdfast.open("toy://", emulation=False).open()
    except StoreError as error:
        told["refused"] = [error.code, str(error)]
    print(json.dumps(told))

asyncio.run(main())
"""


@pytest.mark.row("E-084", "E-022", "E-003")
def test_an_installed_engine_is_listed_and_opened_and_says_what_it_lacks(site: Path) -> None:
    told = json.loads(run(USING_TOY, site=site))
    assert told["names"] == sorted([*REGISTERED, "toy"])
    assert told["value"] == told["untouched"] == {"n": 1}
    assert told["snapshots"] is False
    for what, said in (("snapshot", "snapshots"), ("refused", "emulation=False")):
        code, message = told[what]
        assert code == "NOT_SUPPORTED"
        assert said in message
    # What it lacks for a transaction is supplied above it, and said.
    assert (told["after"], told["how"]) == (2, "emulated")
    listed = run("from holdfast.cli import main; main()", "engines", "--json", site=site)
    assert "toy" in {engine["engine"] for engine in json.loads(listed)}
    # Without it there is no such engine.
    assert "toy" not in json.loads(
        run("import json; from holdfast.store.registry import *; print(json.dumps(engine_names()))")
    )


@pytest.mark.row("E-003")
def test_an_engine_without_the_optional_verbs_passes_the_type_checker(
    site: Path, tmp_path: Path
) -> None:
    (tmp_path / "user.py").write_text(
        "from holdfast.contract.engine import Engine\n"
        "from holdfast.contract.runtime import Components\n"
        "from toy_engine import ToyConfig, ToyEngine\n"
        "def make(components: Components) -> Engine:\n"
        "    return ToyEngine(ToyConfig(), components)\n"
    )
    # A verb that is not optional is missed.
    (tmp_path / "half.py").write_text(
        "from toy_engine import ToyConfig\n"
        "from holdfast.contract.engine import Engine\n"
        "from holdfast.contract.runtime import Components\n"
        "class Half(Engine):\n"
        "    pass\n"
        "def make(components: Components) -> Engine:\n"
        "    return Half(ToyConfig(), components)\n"
    )
    # Drivers without types are an exception of this repository, not of every user.
    lenient = ["--disable-error-code", "import-untyped", "--no-warn-unused-ignores"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), *lenient,
         "user.py", "half.py"],
        env=os.environ | {"MYPYPATH": os.pathsep.join((str(SOURCE), str(site)))},
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 1, done.stdout + done.stderr
    assert errors[0].startswith("half.py:7: error: Cannot instantiate abstract class")


@pytest.mark.row("E-022")
async def test_every_engine_of_ours_begins_transactions(scene: Scene) -> None:
    async with scene.open() as db:
        assert db.capabilities.isolation != "none"
        tx = await db.transaction().begin()
        assert tx.state == "active"
        await tx.rollback()


SCRIPT = """
import asyncio, sys, tomllib
import holdfast

async def main():
    with open(sys.argv[1], "rb") as file:
        settings = tomllib.load(file)
    async with holdfast.open(settings["database"]) as db:
        entry = await db.entries.modify("runs", lambda runs: (runs or 0) + 1)
        print(db.capabilities.engine, db.capabilities.durability, entry.value)

asyncio.run(main())
"""


@pytest.mark.row("E-085")
def test_a_file_of_settings_alone_chooses_the_engine(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text('database = "lmdb:///one"\n')
    (tmp_path / "two.toml").write_text('database = "sqlite:///two.db?durability=relaxed"\n')
    for count in (1, 2):
        assert run(SCRIPT, "one.toml", cwd=tmp_path) == f"lmdb full {count}\n"
        assert run(SCRIPT, "two.toml", cwd=tmp_path) == f"sqlite relaxed {count}\n"
    assert (tmp_path / "one" / "data.mdb").is_file()
    assert (tmp_path / "two.db").is_file()


@pytest.mark.row("I-005", "K-005")
def test_every_registered_engine_runs_the_whole_contract() -> None:
    assert set(ENGINES) < set(REGISTERED)
    promises = {name for name in dir(EngineContract) if name.startswith("test_")}
    assert len(promises) > 50
    for name in REGISTERED:
        suites = [
            suite
            for _, suite in inspect.getmembers(import_module(f"tests.engines.test_contract_{name}"))
            if inspect.isclass(suite)
            and issubclass(suite, EngineContract)
            and suite is not EngineContract
        ]
        assert suites, f"no contract suite of {name}"
        for suite in suites:
            assert suite.engine_type is engine_class(name)
            # None is left out or replaced: what an engine cannot do is proven by the promise.
            assert not promises & vars(suite).keys()
            assert all(getattr(suite, one) is getattr(EngineContract, one) for one in promises)


@pytest.mark.row("E-095")
async def test_a_memory_database_is_found_again_by_its_name() -> None:
    async with holdfast.open("memory://?name=found") as one:
        made = await one.entries.set("a", 1)
        async with holdfast.open("memory://?name=found") as other:
            assert await other.entries.require("a") == made
            await other.entries.set("a", 2)
        async with holdfast.open(MemoryConfig(name="found")) as third:
            assert (await third.entries.require("a")).value == 2
        for stranger in ("memory://?name=other", "memory://"):
            async with holdfast.open(stranger) as db:
                assert await db.entries.get("a") is None
    with pytest.raises(ConfigInvalid, match="size"):
        holdfast.open("memory://?size=1")


@pytest.mark.row("E-004")
def test_engines_are_given_everything_and_stand_on_few_bases() -> None:
    for name in ENGINES:
        kind = engine_class(name)
        names = list(inspect.signature(kind).parameters)
        assert names == ["config", "components"]
        bases = [one for one in kind.__mro__ if one.__module__.startswith("holdfast")]
        # The engine, what those on files share, what embedded ones share, the contract.
        assert len(bases) <= 4, f"{name}: {bases}"
        assert bases[-1] is Engine


GLOBALS = """
import importlib, json, pkgutil, sys, threading
import holdfast
from holdfast.contract.engine import Engine, Snapshot
from holdfast.contract.runtime import Components, ManualClock, Runtime, SystemClock, SystemIds
from holdfast.database.handle import Database
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.runtime.system import SystemHost
from holdfast.store.instances import SharedDatabase

for module in pkgutil.walk_packages(holdfast.__path__, "holdfast."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
LIVE = (
    Components, Database, Engine, KeyValueStoreInterface, ManualClock, Runtime, SharedDatabase,
    Snapshot, SystemClock, SystemHost, SystemIds,
)
found = [
    f"{name}.{attribute}"
    for name, module in list(sys.modules.items())
    if name.partition(".")[0] == "holdfast"
    for attribute, value in vars(module).items()
    if isinstance(value, LIVE)
]
print(json.dumps([found, [thread.name for thread in threading.enumerate()]]))
"""


@pytest.mark.row("E-004")
def test_importing_everything_makes_no_instance_and_starts_nothing() -> None:
    found, threads = json.loads(run(GLOBALS))
    assert found == []
    assert threads == ["MainThread"]


BARE = """
import sys
from importlib.abc import MetaPathFinder

CORE = set(sys.argv[2].split(","))

class OnlyCore(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in CORE:
            return None
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, OnlyCore())

import holdfast, holdfast.sync
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded - sys.stdlib_module_names - CORE - {"__main__"} - BEFORE, loaded
with holdfast.sync.open(sys.argv[1]) as db:
    db.entries.set("a", {"n": 1}, ttl=60, tags=["t"])
    with db.transaction() as tx:
        tx.entries.modify("a", lambda value: value | {"n": 2})
    assert db.entries.require("a").value == {"n": 2}
    assert len(list(db.entries.history("a"))) == 1
print("done")
"""


@pytest.mark.row("D-066")
@pytest.mark.parametrize("engine", ENGINES)
def test_the_core_works_where_only_its_own_dependencies_are_installed(
    engine: str, tmp_path: Path
) -> None:
    project = repository.project()["project"]
    core = {entry.partition(">")[0] for entry in project["dependencies"]}
    assert core == {"lmdb", "msgspec", "orjson", "sortedcontainers"}
    extras = project["optional-dependencies"]
    assert {"redis", "schema", "protobuf", "compression", "telemetry"} <= extras.keys()
    url = "memory://" if engine == "memory" else f"{engine}:///{tmp_path / 'app'}"
    code = "import sys; BEFORE = {name.partition('.')[0] for name in sys.modules}\n" + BARE
    assert run(code, url, ",".join({*core, "holdfast"})) == "done\n"


@pytest.mark.row("I-120")
@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("sqlite:///app.db?durabilty=full", "durability"),
        ("lmdb:///app?mapsize=1GiB", "map_size"),
        ("memory://?nam=x", "name"),
        ("lmdb:///app?readonly=true", "read_only"),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_one_that_was_meant(url: str, meant: str) -> None:
    with pytest.raises(ConfigInvalid, match=f"did you mean {meant!r}") as caught:
        holdfast.open(url)
    assert caught.value.code == "CONFIG_INVALID"
    # What resembles none is refused without a guess.
    with pytest.raises(ConfigInvalid) as strange:
        holdfast.open("memory://?zzzzzz=1")
    assert "did you mean" not in str(strange.value)
