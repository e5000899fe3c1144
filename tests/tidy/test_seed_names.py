"""The page of seed names: what it says exists can be imported, what does not names its floor."""

import importlib
import re
from typing import Any

import pytest

from tests.tidy import repository

PAGE = (repository.ROOT / "docs/seed-names.md").read_text()
ROWS = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
PLACES = [where for _, _, where in ROWS if where not in ("where", "---")]
IMPORTED = [where.strip("`") for where in PLACES if where.startswith("`")]
# What is still to be built, by its floor.
FLOORS = {
    "2": {"engines"},
    "3": {"stores", "saved versions"},
    "5": {"documents", "state"},
    "6": {"entities", "replication", "bridge"},
    "7": {"system"},
    "8": {"server"},
}
PLANNED = [where for where in PLACES if not where.startswith("`")]


def found(dotted: str) -> Any:
    """What a dotted name means: the longest module of it, then attributes."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in repository.modules():
            thing: Any = importlib.import_module(name)
            for part in parts[length:]:
                thing = attribute(thing, part)
            return thing
    raise AssertionError(f"{dotted} begins with no module of ours")


def attribute(thing: Any, name: str) -> Any:
    # The fields of some classes exist on their objects only.
    if name in getattr(thing, "__struct_fields__", ()):
        return name
    return getattr(thing, name)


@pytest.mark.parametrize("dotted", IMPORTED)
def test_what_is_said_to_exist_does(dotted: str) -> None:
    found(dotted)


def test_what_does_not_exist_yet_names_its_floor() -> None:
    assert PLANNED, "nothing is planned any more: this test can go"
    for where in PLANNED:
        match = re.match(r"floor (\d), ([a-z ]+)", where)
        assert match, f"{where!r} is neither a name of ours nor a floor"
        assert match[2].strip() in FLOORS[match[1]], where


def test_every_seed_has_its_table() -> None:
    assert re.findall(r"^## Seed (\d{3})", PAGE, re.MULTILINE) == [
        "000",
        "001",
        "002",
        "003",
        "004",
    ]
    assert len(IMPORTED) > 60


def test_a_name_that_is_gone_is_noticed() -> None:
    for dotted in ("holdfast.Nothing", "holdfast.KeyValueStore.nothing", "nothing.at.all"):
        with pytest.raises((AttributeError, AssertionError)):
            found(dotted)
