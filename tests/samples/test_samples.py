"""Databases that were written once: this version reads every byte of them, and goes on writing.

What is expected is spelled out here and never computed by the code that wrote the samples.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.batch import Batch, Put
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Unsupported
from holdfast.contract.formats import Formats
from holdfast.contract.record import Range
from holdfast.contract.runtime import Components, ManualClock
from holdfast.database.handle import Database
from holdfast.runtime.drive import drive
from holdfast.runtime.system import system_components
from holdfast.store import layout
from holdfast.store.registry import engine_class, read_config
from holdfast.store.versions.past_rows import past_parts
from holdfast.store.versions.policy import Policy

HERE = Path(__file__).parent
BEGIN = datetime(2026, 11, 27, 12, tzinfo=UTC)
#: What was written: the names of the archives, and where the database lies inside.
SAMPLES = {"format-2-lmdb": "lmdb:///{}/sample", "format-2-sqlite": "sqlite:///{}/sample.sqlite"}
LINEAGES = {"format-2-lmdb": 3, "format-2-sqlite": 2}
LONG_KEY = "long:" + "k" * 600
TOKYO = {
    "population": 9_733_276,
    "names": ["Tokyo", "東京"],
    "area": 2194.07,
    "coast": True,
    "mayor": None,
    "seal": b"\x00\xff",
}
BIG = bytes(range(256)) * 1200
VALUES = {
    "accounts:ada": 70,
    "accounts:grace": 81,
    "cities/is:reykjavik": 139_875,
    "cities/is:selfoss": "second life",
    "cities/jp:tokyo": TOKYO,
    "cities/no:oslo": "Christiania",
    "contracts:one": 2,
    "files:big": BIG[::-1],
    LONG_KEY: "a key longer than LMDB's",
    "metrics:one": 2,
    "people:ada": {"name": "Ada"},
    "recent:one": 2,
    "scratch:one": 2,
    "sessions:ada": "open",
    "texts:long": {"text": "holdfast " * 200},
}
#: Of each key with a past: (incarnation, version), value or None where it is not kept, end.
HISTORY: dict[str, list[tuple[tuple[int, int], Any, str]]] = {
    "cities/is:reykjavik": [((1, 1), 118_918, "set")],
    "cities/is:akureyri": [((1, 1), 19_000, "delete")],
    "cities/is:selfoss": [((1, 1), "first life", "delete")],
    "cities/no:oslo": [
        ((1, 1), "Christiania", "set"),
        ((1, 2), "Christiania", "set"),
        ((1, 3), "Oslo", "set"),
    ],
    "sessions:swept": [((1, 1), "ran out and was swept", "expired")],
    "files:big": [((1, 1), BIG, "set")],
    "contracts:one": [((1, 1), 0, "set"), ((1, 2), 1, "set")],
    "metrics:one": [((1, 1), None, "set"), ((1, 2), None, "set")],
    "recent:one": [((1, 2), 1, "set")],
    "scratch:one": [],
    "rewritten:one": [((1, 1), None, "set"), ((1, 2), None, "delete")],
    "accounts:grace": [((1, 1), 80, "set")],
}
LEDGER = {
    b"\xff\x00": b"a key that is no text",
    b"balance": b"101",
    b"ticket": b"admits one",
    b"transfers": b"1",
}
#: Rows by where they stand; keyspace 1 has the entries, 2 the store. `docs/format.md` draws them.
ROWS = {
    "F": 52, "K1B": 4, "K1D": 18, "K1G": 3, "K1H": 16, "K1T": 2, "K2D": 5, "S": 9, "X": 4,
}  # fmt: skip


def unpacked(name: str, folder: Path) -> str:
    """The URL of a fresh copy of a sample."""
    with zipfile.ZipFile(HERE / f"{name}.zip") as packed:
        packed.extractall(folder)
    return SAMPLES[name].format(folder)


def components(seconds: float) -> Components:
    """The clock so many seconds after the sample was begun."""
    system = system_components()
    clock = ManualClock(round((BEGIN + timedelta(seconds=seconds)).timestamp() * 1000))
    return Components(system.host, clock, system.ids)


def opened(url: str, seconds: float = 10) -> Database:
    return holdfast.open(url, components=components(seconds), housekeeping=False)


@pytest.fixture(params=SAMPLES)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def url(name: str, tmp_path: Path) -> str:
    return unpacked(name, tmp_path)


@pytest.fixture(params=["read_only", "read_write"])
def sample(request: pytest.FixtureRequest, url: str) -> Iterator[Database]:
    """The sample, open for reading alone and for writing."""
    database = opened(url + ("?read_only=true" if request.param == "read_only" else ""))
    drive(database.open())
    yield database
    drive(database.close())


async def everything(sample: Database) -> dict[str, Any]:
    return {str(entry.key): entry.value async for entry in sample.entries.items("#")}


async def told(sample: Database) -> list[holdfast.Change]:
    """All changes, up to the last one that was written."""
    found = []
    async with sample.watch("#", view="*", since=0) as changes:
        async for change in changes:
            found.append(change)
            if str(change.key) == "texts:long":
                break
    return found


def test_samples_are_small() -> None:
    archives = sorted(HERE.glob("*.zip"))
    assert [one.stem for one in archives] == sorted(SAMPLES)
    assert all(one.stat().st_size < 300_000 for one in archives)


def test_every_value_is_there(sample: Database, name: str) -> None:
    assert drive(everything(sample)) == VALUES
    assert sample.cursor == f"{LINEAGES[name]:032x}.66"


def test_metadata(sample: Database) -> None:
    city = drive(sample.entries.require("cities/is:reykjavik"))
    facts = city.metadata
    assert (facts.incarnation, facts.version, facts.revision) == (1, 2, 9)
    assert (facts.modified_by, facts.comment, facts.tags) == ("ada", None, ["capital"])
    assert facts.created_at == BEGIN
    assert facts.updated_at == BEGIN + timedelta(seconds=1)
    assert facts.expires_at is None
    # MessagePack of 139875: ce 00 02 22 63.
    assert facts.data_hash == hashlib.sha256(bytes.fromhex("ce00022263")).hexdigest()
    assert drive(sample.entries.require("cities/jp:tokyo")).metadata.modified_by == 7
    session = drive(sample.entries.require("sessions:ada"))
    assert session.metadata.expires_at == BEGIN + timedelta(seconds=3602)


def test_history(sample: Database) -> None:
    async def past(key: str) -> list[tuple[tuple[int, int], Any, str]]:
        return [
            (
                (one.metadata.incarnation, one.metadata.version),
                one.value if one.has_value else None,
                one.end_cause,
            )
            async for one in sample.entries.history(key)
        ]

    assert {key: drive(past(key)) for key in HISTORY} == HISTORY


def test_how_a_life_ended(sample: Database) -> None:
    async def last(key: str) -> holdfast.PastVersion[Any]:
        return [one async for one in sample.entries.history(key)][-1]

    deleted = drive(last("cities/is:akureyri"))
    assert (deleted.end_modified_by, deleted.end_comment) == ("grace", "wrong country")
    assert deleted.end_at == BEGIN + timedelta(seconds=2)
    rewritten = drive(last("rewritten:one"))
    assert (rewritten.end_modified_by, rewritten.end_comment) == ("ada", "over")


def test_tags(sample: Database) -> None:
    async def tagged(tag: str) -> list[str]:
        return [str(one.key) async for one in sample.entries.find_by_tag(tag)]

    assert drive(tagged("capital")) == ["cities/is:reykjavik", "cities/no:oslo"]
    assert drive(tagged("coast")) == []


def test_the_past_at_a_revision(sample: Database) -> None:
    then = drive(sample.entries.get("cities/is:reykjavik", at=8))
    assert then is not None
    assert then.value == 118_918


def test_what_has_run_out_is_absent(url: str) -> None:
    early = opened(url, seconds=4)
    drive(early.open())
    assert drive(early.entries.has("sessions:unswept"))
    drive(early.close())
    late = opened(url, seconds=4000)
    drive(late.open())
    assert not drive(late.entries.has("sessions:ada"))
    assert not drive(drive(late.stores.get("ledger")).has(b"ticket"))
    assert drive(late.sweep()) == 4
    assert drive(late.check()) == []
    drive(late.close())


def test_the_store(sample: Database) -> None:
    async def rows() -> dict[bytes, bytes]:
        assert await sample.stores.list() == ["ledger"]
        return {key: value async for key, value in (await sample.stores.get("ledger")).iterate()}

    assert drive(rows()) == LEDGER


def test_the_feed(sample: Database) -> None:
    changes = drive(told(sample))
    places = [(one.revision, one.index) for one in changes]
    assert places == sorted(places)
    assert Counter((one.view, one.op, one.cause) for one in changes) == {
        ("entries", "set", "write"): 33,
        ("entries", "set", "renamed"): 1,
        ("entries", "set", "restored"): 1,
        ("entries", "delete", "write"): 3,
        ("entries", "delete", "renamed"): 1,
        ("entries", "delete", "expired"): 1,
        ("stores", "set", "write"): 8,
        ("stores", "delete", "write"): 1,
        ("stores", "drop", "write"): 1,
    }
    by_place = {(one.revision, one.index): one for one in changes}
    [drop] = [one for one in changes if one.op == "drop"]
    assert (drop.keyspace, drop.key) == ("dropped", None)
    first = by_place[8, 0]
    assert (str(first.key), first.modified_by, first.comment) == (
        "cities/is:reykjavik", "geonames", "census",
    )  # fmt: skip
    assert first.before is None
    assert first.after.value == 118_918
    second = by_place[9, 0]
    assert (second.before.value, second.after.value) == (118_918, 139_875)
    assert second.at == BEGIN + timedelta(seconds=1)


def test_the_changes_of_a_transaction(sample: Database) -> None:
    changes = [one for one in drive(told(sample)) if one.transaction_id]
    assert [(str(one.key), one.view, one.op) for one in changes] == [
        ("accounts:ada", "entries", "set"),
        ("accounts:grace", "entries", "set"),
        ("accounts:grace", "entries", "set"),
        ("b'transfers'", "stores", "set"),
    ]
    assert len({one.transaction_id for one in changes}) == 1
    assert len({one.revision for one in changes}) == 1
    # The second change of the key replaced what the first one made in this very commit.
    assert (changes[2].before.value, changes[2].after.value) == (80, 81)


def test_retention_and_schemas(sample: Database) -> None:
    kept = drive(sample.retention.kept())
    assert {one.namespace: one.policy for one in kept} == {
        "contracts": Policy("forever"),
        "metrics": Policy("none"),
        "recent": Policy("feed", 1, "feed"),
        "rewritten": Policy("none"),
        "scratch": Policy("feed", 0),
    }
    required = drive(sample.schemas.required())
    assert required.keys() == {"people"}
    person = drive(sample.entries.require("people:ada"))
    assert person.metadata.schema_hash == required["people"]


def test_the_log_of_operations(sample: Database) -> None:
    async def logged() -> list[tuple[str, Any]]:
        return [(one.operation, one.keys) async for one in sample.log.query()]

    assert drive(logged()) == [("set", ("texts:long",)), ("get", ("texts:long",))]


def test_nothing_is_wrong(sample: Database) -> None:
    assert drive(sample.check()) == []


@pytest.mark.parametrize("dry_run", [True, False])
def test_an_upgrade_finds_nothing_to_do(url: str, name: str, dry_run: bool) -> None:
    before = raw_rows(url)
    seen: list[Any] = []
    done = holdfast.sync.upgrade(url, dry_run=dry_run, progress=lambda *step: seen.append(step))
    # LMDB's second format says that a feature is used, and this one uses none.
    assert done.engine.found == done.engine.newest == (1 if "lmdb" in name else 2)
    assert done.rows == Formats(2, 2)
    assert (done.changes, seen) == (False, [])
    assert raw_rows(url) == before
    with holdfast.sync.open(url, components=components(10), housekeeping=False) as db:
        assert {str(entry.key): entry.value for entry in db.entries.items("#")} == VALUES


def test_rows_of_a_format_that_was_given_up_are_refused_with_a_way(url: str) -> None:
    """Format 1 of the rows was never released: there is no step from it."""
    config = read_config(url)
    engine = engine_class(config.scheme)(config, system_components())
    drive(engine.open())
    drive(engine.commit(Batch([Put(layout.SYSTEM_FORMAT, (1).to_bytes(2, "big"))])))
    drive(engine.close())
    before = raw_rows(url)
    with pytest.raises(Unsupported, match="holdfast export"):
        holdfast.sync.upgrade(url)
    assert raw_rows(url) == before


def test_it_goes_on_where_it_stood(url: str) -> None:
    async def write() -> None:
        async with opened(url) as db:
            city = await db.entries.set("cities/is:reykjavik", 140_000, if_revision=9)
            assert (city.metadata.version, city.revision) == (3, 67)
            back = await db.entries.undelete("cities/is:akureyri")
            assert (back.value, back.metadata.incarnation) == (19_000, 2)
            await (await db.stores.get("ledger")).set(b"balance", b"102")
            # Numbers are never given out twice: 3 was that of the store that is gone.
            await (await db.stores.create("third")).set(b"any", b"thing")
            assert await db.check() == []
            await db.compact()
        async with opened(url) as db:
            assert (await db.entries.require("cities/is:reykjavik")).value == 140_000
            assert await db.check() == []

    drive(write())
    keyspaces = {layout.keyspace_of(key) for key in raw_rows(url) if where(key)[0] == "K"}
    assert keyspaces == {1, 2, 4}


def test_rows_stand_where_the_format_says(url: str) -> None:
    assert Counter(where(key) for key in raw_rows(url)) == ROWS


def test_a_row_that_a_compaction_wrote_anew(url: str) -> None:
    rewritten = [
        past_parts(record)
        for key, record in raw_rows(url).items()
        if where(key) == "K1H" and record.value[0] & 0x80
    ]
    assert len(rewritten) == 2
    assert all(part.revision < 2**63 for part in rewritten)
    assert sorted(bool(part.end) for part in rewritten) == [False, True]


def raw_rows(url: str) -> dict[bytes, Any]:
    """Every row, as the engine has it."""

    async def read(engine: Engine) -> dict[bytes, Any]:
        await engine.open()
        found: dict[bytes, Any] = {}
        rest: Range | None = Range()
        while rest is not None:
            page = await engine.scan(rest)
            found.update(page.rows)
            rest = page.resume
        await engine.close()
        return found

    config = read_config(url + "?read_only=true")
    return drive(read(engine_class(config.scheme)(config, system_components())))


def where(key: bytes) -> str:
    """The region of a row: `K2D`, or the first letter of the others."""
    if key[:1] != layout.KEYSPACE:
        return key[:1].decode()
    return f"K{int.from_bytes(key[1:5], 'big')}{key[5:6].decode()}"
