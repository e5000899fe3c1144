"""schema and retention: what a database requires and what past it keeps, from the shell."""

import json
from pathlib import Path

import pytest

import holdfast.sync
from tests.cli.conftest import Cli

FORM = {"type": "object", "required": ["name"]}


@pytest.fixture
def digest(cli: Cli, url: str, tmp_path: Path) -> str:
    """A registered schema."""
    file = tmp_path / "city.json"
    file.write_text(json.dumps(FORM))
    cli("set", "cities:old", "1")
    done = cli(
        "schema", "register", str(file), "--modified-by", "ada", "--comment", "what a city is"
    )
    assert done.code == 0, done.err
    return done.out.strip()


def test_a_schema_is_registered_shown_and_required(cli: Cli, url: str, digest: str) -> None:
    assert len(digest) == 64
    assert json.loads(cli("schema", "show", digest).out) == FORM
    assert cli("schema", "show", digest[:8], "--json").document["metadata"]["modified_by"] == "ada"
    assert cli("schema", "register", "-", "--json", stdin=json.dumps(FORM)).document == {
        "schema_hash": digest
    }
    assert cli("schema", "require", "cities", digest[:12]).code == 0
    listed = cli("schema", "list").out
    assert digest[:12] in listed
    assert "cities" in listed
    [line] = cli("schema", "list", "--json").lines
    assert (line["schema_hash"], line["namespaces"]) == (digest, ["cities"])
    refused = cli("set", "cities:new", "{}", "--json")
    assert refused.error["code"] == "SCHEMA_VALIDATION_FAILED"
    assert cli("set", "cities:new", '{"name": "Ulm"}').code == 0
    assert cli("schema", "waive", "cities").code == 0
    assert cli("set", "cities:new", "{}").code == 0
    assert cli("schema", "list", "--json").lines[0]["namespaces"] == []


def test_what_a_schema_command_cannot_do_is_said(cli: Cli, url: str, digest: str) -> None:
    assert cli("schema", "show", "0000").code == 1
    assert cli("schema", "require", "cities", "0000").code == 1
    assert cli("schema", "require", "a:b", digest).code == 2
    assert cli("schema", "register", "-", stdin='{"type": "nothing"}').code == 2
    assert cli("schema", "register", "-", stdin="no JSON").code == 2
    assert cli("schema", "register", "no such file").code == 4
    assert cli("schema", "show", "").code == 2
    other = cli("schema", "register", "-", stdin='{"type": "array"}').out.strip()
    shared = next((n for n in range(64) if digest[n] != other[n]), 64)
    if shared:
        both = cli("schema", "show", digest[:shared])
        assert both.code == 2
        assert "2 schemas" in both.err


def test_retention_is_shown_and_changed(cli: Cli, url: str) -> None:
    cli("set", "a", "1")
    shown = cli("retention", "show").out
    assert "7 days" in shown
    assert "1,000,000" in shown
    assert cli("retention", "keep", "cities", "--values", "forever").code == 0
    assert cli("retention", "keep", "sessions", "--versions", "0").code == 0
    assert cli("retention", "feed", "--age", "2h", "--changes", "500").code == 0
    document = cli("retention", "show", "--json").document
    everywhere = {"gone": "expired", "view": "entries", "keyspace": "entries"}
    assert document == {
        "age_s": 7200.0,
        "changes_max": 500,
        "namespaces": [
            {"namespace": "cities", "values": "forever", "versions": None} | everywhere,
            {"namespace": "sessions", "values": "feed", "versions": 0} | everywhere,
        ],
    }
    assert cli("retention", "keep", "cities", "--gone", "feed").code == 0
    [cities, _] = cli("retention", "show", "--json").document["namespaces"]
    assert (cities["values"], cities["gone"]) == ("feed", "feed")
    shown = cli("retention", "show").out
    for part in ("2 hours", "500", "cities", "sessions"):
        assert part in shown
    # What is not said stays as it is.
    assert cli("retention", "feed", "--age", "3h").code == 0
    assert cli("retention", "show", "--json").document["changes_max"] == 500
    with holdfast.sync.open(url) as db:
        assert db.retention.refresh().feed_age_s == 10_800.0


@pytest.mark.parametrize(
    "arguments",
    [
        ["keep", "cities", "--values", "some"], ["keep", "cities", "--versions", "-1"],
        ["keep", "a:b", "--versions", "1"], ["feed", "--age", "soon"], ["feed", "--changes", "-5"],
        ["feed"], ["keep", "cities"],
    ],
)  # fmt: skip
def test_retention_that_cannot_be_is_refused(cli: Cli, url: str, arguments: list[str]) -> None:
    cli("set", "a", "1")
    done = cli("retention", *arguments)
    assert done.code == 2
    assert "unexpected" not in done.err
    assert cli("retention", "show", "--json").document["namespaces"] == []
