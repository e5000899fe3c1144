"""info, check, compact, bench, doctor, engines."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import holdfast.sync
from holdfast.cli import doctor
from holdfast.contract.batch import Batch, Delete, Put
from holdfast.contract.record import Range
from holdfast.database.handle import Database
from tests.cli.conftest import Cli


def test_info_tells_what_stands_below(cli: Cli, url: str) -> None:
    cli("set", "a", "1")
    engine = url.partition(":")[0]
    document = cli("info", "--json").document
    assert document["entries"] == 1
    assert document["capabilities"]["engine"] == engine
    assert document["capabilities"]["writable"] is True
    assert document["cursor"].endswith(f".{document['revision']}")
    assert document["url"] == url
    shown = cli("info").out
    for part in (engine, "entries", "KeyValueStore on", "snapshots", "feed begins at"):
        assert part in shown


def test_check_of_a_sound_database(cli: Cli, url: str) -> None:
    for number in range(3):
        cli("set", "a", str(number))
    cli("set", "b", '{"$bytes": "AAEC"}')
    done = cli("check", "--json")
    assert done.code == 0
    assert done.document == {
        "ok": True, "entries": 2, "engine_checked": True, "faults": [],
    }  # fmt: skip
    assert cli("check").out == "all is well: 2 entries\n"


async def damage(url: str, key: str, old: bytes, new: bytes) -> None:
    """Write other bytes in place of a value, below everything that would notice."""
    async with holdfast.open(url) as db:
        engine = inner(db)
        parts = db._open_parts()
        data_key = parts.storage._rows.data_key(key)
        [record] = await engine.read([data_key])
        assert record is not None
        assert record.value.count(old) == 1
        await engine.commit(Batch([Put(data_key, record.value.replace(old, new))]))


def inner(db: Database) -> Any:
    return db._open_engine()


def test_check_finds_a_value_that_is_not_what_was_written(cli: Cli, url: str) -> None:
    cli("set", "good", '"steady"')
    cli("set", "bad", '"honest"')
    cli("set", "torn", '"unread"')
    asyncio.run(damage(url, "bad", b"honest", b"forged"))
    asyncio.run(damage(url, "torn", b"\xa6unread", b"\xdfunread"))
    done = cli("check", "--json")
    assert done.code == 1
    faults = done.document["faults"]
    assert any("'bad' version 1 does not match its digest" in fault for fault in faults)
    assert any("'torn' version 1 does not match its digest" in fault for fault in faults)
    shown = cli("check")
    assert shown.code == 1
    assert shown.out.count("\nwrong: ") + 1 == len(faults)
    assert "forged" not in shown.out
    # The past of a key is looked at too.
    cli("set", "bad", '"repaired"')
    assert any(
        "'bad' past version 1" in fault for fault in cli("check", "--json").document["faults"]
    )


def test_check_finds_a_big_value_that_lost_a_part(cli: Cli, url: str) -> None:
    cli("set", "big", "-", "--text", stdin="x" * 600_000)
    cli("set", "small", "1")
    assert cli("check").code == 0

    async def lose_a_chunk() -> None:
        async with holdfast.open(url) as db:
            blobs = db._open_parts().storage._rows.blobs
            page = await inner(db).scan(Range.prefix(blobs))
            await inner(db).commit(Batch([Delete(page.rows[1][0])]))

    asyncio.run(lose_a_chunk())
    document = cli("check", "--json").document
    assert (document["ok"], document["entries"]) == (False, 2)
    assert any("'big' version 1 are missing" in fault for fault in document["faults"])


def test_compact_says_what_it_did(cli: Cli, url: str) -> None:
    cli("set", "a", "1")
    done = cli("compact", "--json")
    assert done.code == 0
    assert done.document["changes"] == 0
    assert done.document["bytes_after"] > 0
    assert "on disk" in cli("compact").out
    assert cli("get", "a").out == "1\n"


def test_bench_measures_and_leaves_nothing_behind(cli: Cli, url: str, tmp_path: Path) -> None:
    cli("set", "a", "1")
    before = sorted(tmp_path.iterdir())
    document = cli("bench", "--seconds", "0.05", "--json").document
    assert document["engine"] == url.partition(":")[0]
    assert [measure["name"] for measure in document["measures"]] == [
        "set, one by one", "commit of 10 writes", "set, 64 tasks at once", "get with its value",
        "scan of entries",
    ]  # fmt: skip
    assert all(measure["per_second"] > 0 for measure in document["measures"])
    assert sorted(tmp_path.iterdir()) == before
    assert cli("keys").out == "a\n"
    assert "microseconds" in cli("bench", "--seconds", "0.05", "--engine", "memory").out
    assert cli("bench", "--engine", "oracle").code == 2


def test_doctor_looks_at_installation_and_database(cli: Cli, url: str) -> None:
    missing = cli("doctor", "--json")
    assert missing.code == 1
    assert [finding["serious"] for finding in missing.document["findings"]].count(True) == 1
    cli("set", "a", "1")
    done = cli("doctor", "--json")
    assert done.code == 0
    assert done.document["database"]["entries"] == 1
    assert done.document["versions"]["holdfast"] == holdfast.__version__
    assert {part["name"] for part in done.document["parts"]} >= {"lmdb", "typer", "jsonschema-rs"}
    relaxed = cli("doctor", "--url", f"{url}?durability=relaxed")
    assert "better: durability=relaxed" in relaxed.out


def test_doctor_says_what_is_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_URL", raising=False)
    monkeypatch.setitem(doctor.EXTRAS, "compression", (("no-such-package", "nothing"),))
    done = cli("doctor")
    assert done.code == 0
    assert "better: the extra compression is not complete (no-such-package missing)" in done.out
    assert 'pip install "holdfast-db[compression]"' in done.out
    monkeypatch.setitem(doctor.EXTRAS, "core", (("no-such-package", "nothing"),))
    assert cli("doctor").code == 1


def test_engines_lists_every_engine_with_what_it_can_do(cli: Cli) -> None:
    engines = {one["engine"]: one for one in cli("engines", "--json").document}
    assert {"lmdb", "memory", "sqlite"} <= engines.keys()
    assert all(one["available"] for one in engines.values())
    assert engines["memory"]["capabilities"]["persistent"] is False
    shown = cli("engines").out
    for part in ("lmdb:///path", "memory://", "sqlite:///path", "serializable"):
        assert part in shown


def test_an_engine_without_its_driver_is_listed_with_the_remedy(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.store.registry._OURS", {"lmdb": "no_such_driver:Engine"})
    engines = {one["engine"]: one for one in cli("engines", "--json").document}
    assert engines["lmdb"]["available"] is False
    assert "pip install" in engines["lmdb"]["problem"]
    assert "not available" in cli("engines").out


def test_check_tells_how_many_documents_it_looked_at(cli: Cli, url: str) -> None:
    with holdfast.sync.open(url) as db:
        db.collection("cities").set_many({"kyoto": {"n": 1}, "paris": {"n": 2}})
    assert cli("check").out == "all is well: 0 entries, 2 documents\n"


def test_check_tells_of_a_collection_whose_indexes_cannot_be_read(cli: Cli, url: str) -> None:
    """The error of the collection itself says: run `holdfast check`."""

    async def damage_catalogue() -> None:
        async with holdfast.open(url) as db:
            cities = db.collection("cities")
            await cities.set("kyoto", {"n": 1})
            storage = await cities._find()
            assert storage is not None
            await db._open_engine().commit(Batch([Put(storage.catalogue_key, b"\xc1")]))

    asyncio.run(damage_catalogue())
    done = cli("check")
    assert done.code == 1
    assert "what indexes a collection has cannot be read" in done.out
