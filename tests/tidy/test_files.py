"""Files: none too long, none unused, none that names a machine."""

import re

from holdfast.layers.stack import OURS
from tests.tidy import repository

LINES_MAX = 450

# Modules that nothing in the package imports because people and tools import them.
DOORS = {
    "holdfast": "the public package",
    "holdfast.testing": "the contract suite, for authors of engines",
    "holdfast.testing.__main__": "the other process of a promise",
    "holdfast.sync": "the sync twins, for callers without a loop",
    "holdfast.database.storages": "storages by configuration, and their adapters",
    "holdfast.__main__": "python -m holdfast",
    "holdfast.stores.capabilities": "probes of what a store can do, for callers",
    "holdfast.stores.proofs": "for whoever checks a proof and has no database",
    "holdfast.backups.version_directories": "saved versions as files, for whoever publishes them",
}

# Cores that no view uses yet: each works alone, has its tests, and waits for what is named.
READY: dict[str, str] = {}

# In two pieces, so that this file does not find itself.
MACHINE_PATH = re.compile(r"(?<![\w.$}>~*-])/" + r"(?:work|root|tmp|home/\w+|Users/\w+)/")


def test_no_source_file_is_too_long() -> None:
    lines = {
        str(path.relative_to(repository.ROOT)): len(path.read_text().splitlines())
        for path in repository.modules().values()
    }
    long = {name: count for name, count in lines.items() if count > LINES_MAX}
    assert not long, f"split these: {long}"


def test_every_module_is_used() -> None:
    project = repository.project()["project"]
    entry_points = list(project["scripts"].values())
    entry_points += [
        point for group in project["entry-points"].values() for point in group.values()
    ]
    used = DOORS.keys() | {point.partition(":")[0] for point in entry_points}
    for path in repository.modules().values():
        used |= repository.imported_by(path)
    # An adapter is imported by people, by its name; what has a test of its own is one.
    adapters = (repository.ROOT / "tests/adapters").glob("test_*.py")
    used |= {f"holdfast.adapters.{path.stem.removeprefix('test_')}" for path in adapters}
    # Layers are named in addresses, and loaded by that name.
    used |= {place.partition(":")[0] for place in OURS.values()}
    # A package is used when something inside it is.
    used |= {name[:dot] for name in used for dot in range(len(name)) if name[dot] == "."}
    unused = repository.modules().keys() - used
    nowhere = unused - READY.keys()
    assert not nowhere, f"nothing imports these; delete them or use them: {sorted(nowhere)}"
    stale = READY.keys() - unused
    assert not stale, f"used by now, remove from READY: {sorted(stale)}"


def test_every_core_that_waits_has_a_test() -> None:
    tested = set[str]()
    for path in (repository.ROOT / "tests").rglob("*.py"):
        tested |= repository.imported_by(path)
    bare = [name for name in READY if name not in tested]
    assert not bare, f"neither used nor tested: {bare}"


def test_no_tracked_file_names_a_machine() -> None:
    found = []
    for path in repository.tracked_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:  # not a text
            continue
        found += [
            f"{path.relative_to(repository.ROOT)}:{number}: {line.strip()}"
            for number, line in enumerate(text.splitlines(), 1)
            if MACHINE_PATH.search(line)
        ]
    assert not found, "paths of one machine:\n" + "\n".join(found)


def test_machine_paths_are_recognised() -> None:
    for folder in ("work", "root", "tmp", "home/ada", "Users/ada"):
        assert MACHINE_PATH.search(f'open("/{folder}/app.db")')
        for before in ("https://example.org", "a", "$HOME"):
            assert not MACHINE_PATH.search(f"{before}/{folder}/app.db")
    assert not MACHINE_PATH.search("lmdb:///app")
