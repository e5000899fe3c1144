"""`holdfast migrate` with every kind of source: into a store, entries or a collection."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.cli.migrating import KINDS
from holdfast.stores.migration import importing
from tests.cli.conftest import Cli, cli, url
from tests.stores.migration import legacy

__all__ = ["cli", "url"]

pytestmark = pytest.mark.row("E-114")


def test_the_help_names_every_kind(cli: Cli, url: str) -> None:
    assert KINDS == importing.KINDS


def test_a_source_goes_where_it_suits(cli: Cli, url: str, tmp_path: Path) -> None:
    legacy.tiny(tmp_path / "t.json", _default=[{"name": "ada"}, {"name": "bob"}])
    done = cli("migrate", str(tmp_path / "t.json"), "old/tiny", "--json").document
    assert done == {
        "kind": "tinydb", "into": "entries", "items": 2, "written": 2, "verified": True,
    }  # fmt: skip
    assert cli("get", "old/tiny:1", "--json").code == 0
    again = cli("migrate", str(tmp_path / "t.json"), "old/tiny")
    assert again.out.startswith("2 items, of which 0 were not there yet")
    done = cli(
        "migrate", str(tmp_path / "t.json"), "people", "--into", "collection", "--json"
    ).document
    assert (done["into"], done["written"]) == ("collection", 2)
    legacy.level(tmp_path / "level", {b"a": b"1"})
    done = cli("migrate", str(tmp_path / "level"), "level", "--json").document
    assert (done["kind"], done["into"], done["pairs"]) == ("leveldb", "store", 1)
    (tmp_path / "rows.csv").write_text("id,n\na,1\nb,2\n")
    done = cli(
        "migrate", str(tmp_path / "rows.csv"), "rows", "--key-field", "id", "--json"
    ).document
    assert done == {"written": 2}


def test_pickles_want_a_word(cli: Cli, url: str, tmp_path: Path) -> None:
    legacy.cache(tmp_path / "cache")
    refused = cli("migrate", str(tmp_path / "cache"), "cache", "--json")
    assert refused.code == 2
    assert "--unpickle" in refused.err
    done = cli("migrate", str(tmp_path / "cache"), "cache", "--unpickle", "--json").document
    assert done["written"] == len(legacy.VALUES)
    legacy.shelf(tmp_path / "shelf")
    done = cli("migrate", str(tmp_path / "shelf"), "shelf", "--json").document
    assert (done["kind"], done["into"]) == ("shelve", "store")


def test_bad_usage_says_what_to_do(cli: Cli, url: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,n\na,1\n")
    legacy.tiny(tmp_path / "t.json", _default=[{"name": "ada"}])
    for arguments in (
        ["rows.csv", "rows", "--into", "store"],
        ["t.json", "tiny", "--key-field", "id"],
        ["t.json", "tiny", "--from", "nope"],
        ["t.json", "tiny", "--into", "store"],
        ["t.json", "tiny", "--unpickle"],
        ["nope", "tiny"],
    ):
        assert cli("migrate", str(tmp_path / arguments[0]), *arguments[1:]).code == 2, arguments
