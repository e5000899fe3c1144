"""Commands on collections: what is found, how, and the indexes that help."""

import json

import pytest

import holdfast.sync
from tests.cli.conftest import Cli

CITIES = [
    {"name": "Tokyo", "country": "JP", "population": 8_336_599, "tags": ["capital"]},
    {"name": "Yokohama", "country": "JP", "population": 3_574_443, "tags": []},
    {"name": "Kyoto", "country": "JP", "population": 1_459_640, "tags": ["old"]},
    {"name": "Nara", "country": "JP", "population": 367_353, "tags": ["old"]},
    {"name": "Oslo", "country": "NO", "population": 580_000, "tags": ["capital"]},
]


@pytest.fixture
def cities(url: str) -> str:
    with holdfast.sync.open(url) as db:
        db.collection("cities").set_many({one["name"].lower(): one for one in CITIES})  # type: ignore[attr-defined]
        db.collection("notes").set("a", {"text": "red fox"})
    return url


def test_collections_are_listed_with_their_indexes(cli: Cli, cities: str) -> None:
    assert cli("index", "create", "cities", "by_population", "population").code == 0
    found = cli("collections", "--json")
    assert found.lines == [
        {"name": "cities", "documents": 5, "indexes": ["by_population"]},
        {"name": "notes", "documents": 1, "indexes": []},
    ]
    assert "by_population" in cli("collections").out


def test_documents_are_found_by_a_condition(cli: Cli, cities: str) -> None:
    condition = 'population > 1000000 and country == "JP"'
    found = cli("find", "cities", condition, "--order", "-population", "--json")
    assert [one["key"] for one in found.lines] == ["tokyo", "yokohama", "kyoto"]
    found = cli("find", "cities", condition, "--order", "population", "-n", "1", "-s", "name")
    assert found.out == 'kyoto  {"name":"Kyoto"}\n'
    assert cli("find", "cities", condition, "--count").out == "3\n"
    assert cli("find", "cities", condition, "--count", "--json").document == {"count": 3}
    assert len(cli("find", "cities", "--json").lines) == 5
    assert cli("find", "cities", 'country == "XX"').code == 1


def test_a_plan_is_shown_before_and_after_an_index(cli: Cli, cities: str) -> None:
    asked = ("find", "cities", "population > 1000000", "--order", "-population", "--explain")
    before = cli(*asked)
    assert "collection_scan" in before.out
    assert "warning: the whole collection" in before.err
    assert cli("index", "create", "cities", "big", "population", "--json").document["entries"] == 5
    after = cli(*asked)
    assert "index_scan" in after.out
    assert "big" in after.out
    assert after.err == ""
    told = cli(*asked, "--json").document
    assert told["examined"]["documents"] == told["returned"] == 3
    # Without it, because it was asked so.
    assert "collection_scan" in cli(*asked, "--hint", "").out


def test_indexes_are_made_listed_and_dropped(cli: Cli, cities: str) -> None:
    made = cli("index", "create", "cities", "names", "--unique", "--", "-name")
    assert made.out == "names  ready  5 rows\n"
    [listed] = cli("index", "list", "cities", "--json").lines
    assert (listed["fields"], listed["unique"], listed["state"]) == (["-name"], True, "ready")
    assert "names" in cli("index", "list", "cities").out
    refused = cli("index", "create", "cities", "countries", "country", "--unique")
    assert refused.code == 3
    assert "DUPLICATE_KEY" in refused.err
    assert cli("index", "drop", "cities", "names").out == "names  dropped\n"
    again = cli("index", "drop", "cities", "names")
    assert again.code == 1
    assert "INDEX_NOT_FOUND" in again.err


def test_full_text_is_searched(cli: Cli, cities: str) -> None:
    assert cli("index", "create", "notes", "words", "text", "--kind", "text").code == 0
    [found] = cli("find", "notes", "--search", "fox", "--json").lines
    assert found["key"] == "a"
    assert found["score"] > 0
    assert cli("find", "notes", "--search", "wolf").code == 1


def test_pipelines_are_run(cli: Cli, cities: str) -> None:
    match = {"field": "country", "operator": "eq", "value": "JP"}
    found = cli("aggregate", "cities", json.dumps([{"match": match}, {"count": "n"}]))
    assert found.lines == [{"n": 4}]
    assert cli("aggregate", "cities", "[{").code == 2


def test_what_is_wrong_is_said(cli: Cli, cities: str) -> None:
    for arguments, code, words in (
        (("find", "towns"), 1, "STORE_NOT_FOUND"),
        (("find", "cities", "population >"), 2, "INVALID_QUERY"),
        (("find", "cities", "--count", "--explain"), 2, "exclude"),
        (("find", "cities", "--hint", "none"), 1, "INDEX_NOT_FOUND"),
        (("aggregate", "cities", '[{"explode": 1}]'), 2, "INVALID_QUERY"),
        (("index", "create", "cities", "v", "name", "--kind", "vector"), 2, "dimensions"),
    ):
        result = cli(*arguments)
        assert result.code == code, (arguments, result)
        assert words in result.err
