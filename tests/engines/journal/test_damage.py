"""A journal that is damaged, cut, missing, old or another one: told, or nothing is wrong."""

from __future__ import annotations

import shutil
from itertools import product
from pathlib import Path
from random import Random

import pytest

from holdfast.contract.errors import IntegrityFailed
from holdfast.engines.lmdb import LmdbEngine, journal_scan
from holdfast.runtime.system import drive
from tests.engines.journal.journal_database import (
    crashed,
    fact_of,
    head_of,
    is_on,
    journaling,
    put_many,
    records_of,
)
from tests.engines.lmdb_database import get, opened, put

pytestmark = pytest.mark.row("K-022", "trap 16")


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A database as a kill leaves it: LMDB lacks five commits of two keys each."""
    with journaling(tmp_path / "app") as engine:
        put_many(engine, 0, 5)
        assert is_on(engine)
        copy = crashed(tmp_path / "app", tmp_path / "left")
    assert head_of(copy) == 0
    return copy


def test_what_a_kill_leaves_is_written_by_whoever_opens(left: Path) -> None:
    """With a journal, without one, and for reading only."""
    for number, settings in enumerate(({"journal": 64 * 1024}, {}, {"read_only": True})):
        copy = left.with_name(f"copy {number}")
        shutil.copytree(left, copy)
        with opened(copy, **settings) as engine:  # type: ignore[arg-type]
            assert drive(engine.head()) == 5
            assert get(engine, b"all") == b"4"
            assert drive(engine.check()) == []
        assert not fact_of(copy).unapplied
        assert head_of(copy) == 5


def test_every_flipped_bit_of_every_record_is_told_or_harmless(left: Path) -> None:
    """Only the last record, damaged, looks like one that was never finished."""
    journal, fact = left / "journal", fact_of(left)
    whole = journal_scan.unapplied(journal, fact, 0)
    assert whole.head == 5
    records = records_of(left, fact.generation)
    assert len(records) == 6
    content = bytearray(journal.read_bytes())
    chance = Random("flips")
    last, record = records[-1]
    outcomes = {"refused": 0, "without the last": 0}
    for place in range(records[0][0], last + record.size):
        bit = 1 << chance.randrange(8)
        content[place] ^= bit
        journal.write_bytes(content)
        try:
            found = journal_scan.unapplied(journal, fact, 0)
        except IntegrityFailed:
            outcomes["refused"] += 1
            assert place < last
        else:
            outcomes["without the last"] += 1
            assert place >= last
            assert found.head == 4
        content[place] ^= bit
    assert outcomes == {
        "refused": last - records[0][0], "without the last": record.size,
    }  # fmt: skip
    for place in range(4096):
        content[place] ^= 1
        journal.write_bytes(content)
        if place < 48:
            with pytest.raises(IntegrityFailed):
                journal_scan.unapplied(journal, fact, 0)
        elif place % 500 == 0:
            assert journal_scan.unapplied(journal, fact, 0) == whole
        content[place] ^= 1


def test_a_damaged_journal_is_refused_at_the_opening_and_nothing_is_touched(left: Path) -> None:
    journal = left / "journal"
    content = bytearray(journal.read_bytes())
    place, record = records_of(left, fact_of(left).generation)[2]
    content[place + record.size // 2] ^= 4
    journal.write_bytes(content)
    before = (left / "data.mdb").read_bytes()
    for settings in ({}, {"read_only": True}, {"journal": 64 * 1024}):
        with (
            pytest.raises(IntegrityFailed, match="acknowledged"),
            opened(left, **settings),
        ):
            pass
    assert head_of(left) == 0
    assert fact_of(left).unapplied
    assert journal.read_bytes() == content
    assert len(before) == (left / "data.mdb").stat().st_size
    content[place + record.size // 2] ^= 4
    journal.write_bytes(content)
    with opened(left) as engine:
        assert drive(engine.head()) == 5


def test_a_record_torn_at_every_byte_leaves_the_others(left: Path) -> None:
    """The medium took a part of it, and has zeros, older bytes or rubbish behind that."""
    journal, fact = left / "journal", fact_of(left)
    content = journal.read_bytes()
    last, record = records_of(left, fact.generation)[-1]
    chance = Random("torn")
    for cut in range(record.size):
        for rest in (bytes(record.size - cut), chance.randbytes(record.size - cut)):
            torn = content[: last + cut] + rest + content[last + record.size :]
            journal.write_bytes(torn)
            # All but the padding may be whole.
            assert journal_scan.unapplied(journal, fact, 0).head == (5 if torn == content else 4)


def test_the_second_half_is_damaged(tmp_path: Path) -> None:
    """A generation that follows the one which LMDB names."""
    with journaling(tmp_path / "app") as engine:
        put_many(engine, 0, 5)
        assert engine._journaled is not None
        engine._committer.exclusively(lambda: _roll_without_applying(engine))
        put_many(engine, 5, 8)
        left = crashed(tmp_path / "app", tmp_path / "left")
        _apply_again(engine)
    journal, fact = left / "journal", fact_of(left)
    assert journal_scan.unapplied(journal, fact, 0).head == 8
    content = bytearray(journal.read_bytes())
    first, second = (records_of(left, fact.generation + more) for more in (0, 1))
    assert (len(first), len(second)) == (6, 4)
    last = second[-1][0]
    for place, record in (*first, *second):
        for at in range(place, place + record.size, 7):
            content[at] ^= 1
            journal.write_bytes(content)
            if place == last:
                assert journal_scan.unapplied(journal, fact, 0).head == 7
            else:
                with pytest.raises(IntegrityFailed):
                    journal_scan.unapplied(journal, fact, 0)
            content[at] ^= 1


def _roll_without_applying(engine: LmdbEngine) -> None:
    assert engine._journaled is not None
    engine._journaled._ring = lambda: None  # type: ignore[method-assign]
    engine._journaled._apply = lambda older: None  # type: ignore[method-assign]
    engine._journaled._roll()


def _apply_again(engine: LmdbEngine) -> None:
    assert engine._journaled is not None
    del engine._journaled._ring, engine._journaled._apply


def test_every_mixture_of_database_and_journal(tmp_path: Path) -> None:
    """Of any file with any journal: what it should be, a new lineage, or a refusal."""
    app, moments = tmp_path / "app", {}
    lineages: dict[str, str] = {}

    def note(name: str, path: Path) -> None:
        moments[name] = crashed(path, tmp_path / name)

    with journaling(app) as engine:
        put_many(engine, 0, 5)
        note("young, killed", app)
        lineage = engine.lineage
    note("young, closed", app)
    with journaling(app) as engine:
        put_many(engine, 5, 9)
        note("old, killed", app)
        put_many(engine, 9, 12)
        note("old, killed later", app)
    note("old, closed", app)
    with journaling(app) as engine:
        put_many(engine, 12, 14)
        note("oldest, killed", app)
    with journaling(tmp_path / "other") as engine:
        put_many(engine, 0, 20)
        note("foreign, killed", tmp_path / "other")
        lineages["foreign, killed"] = engine.lineage
    note("foreign, closed", tmp_path / "other")
    lineages["foreign, closed"] = lineages["foreign, killed"]
    heads = dict(zip(moments, (5, 5, 9, 12, 12, 14, 20, 20), strict=True))
    outcomes: dict[str, int] = {}
    for data, journal in product(moments, [*moments, "none", "cut"]):
        mixed = tmp_path / "mixed"
        shutil.copytree(moments[data], mixed)
        (mixed / "journal").unlink()
        if journal == "cut":
            whole = (moments[data] / "journal").read_bytes()
            (mixed / "journal").write_bytes(whole[:4200])
        elif journal != "none":
            shutil.copy(moments[journal] / "journal", mixed / "journal")
        outcome = _open(mixed, heads[data], lineages.get(data, lineage))
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        expected = _expected(data, journal, fact_of(moments[data]).unapplied)
        assert outcome == expected, f"{data} with the journal of {journal}"
        shutil.rmtree(mixed)
    assert outcomes.pop("earlier commits") == 1
    assert set(outcomes) == {"as it was", "refused", "new lineage", "later commits"}


def _open(mixed: Path, head: int, lineage: str) -> str:
    try:
        with opened(mixed) as engine:
            assert drive(engine.check()) == []
            found = drive(engine.head())
            if engine.lineage != lineage:
                assert found == head
                return "new lineage"
            assert get(engine, b"all") == b"%d" % (found - 1), "a whole state of this history"
            if found == head:
                return "as it was"
            # Both files are what they were at another moment, of which this is no mixture.
            return "later commits" if found > head else "earlier commits"
    except IntegrityFailed:
        return "refused"


def _expected(data: str, journal: str, unapplied: bool) -> str:
    ages = ["young", "old", "oldest"]
    age, _ = data.split(", ")
    if journal in ("none", "cut"):
        return "refused" if unapplied else "as it was"
    journal_age, _ = journal.split(", ")
    if unapplied:
        if age != journal_age:
            return "refused"
        # The same generation: of a later moment it holds more, and of an earlier one less.
        if data == "old, killed" and journal in ("old, killed later", "old, closed"):
            return "later commits"
        if data == "old, killed later" and journal == "old, killed":
            return "earlier commits"
        return "as it was"
    if age == "foreign" or journal_age == "foreign":
        return "as it was"
    later = ages.index(journal_age) > ages.index(age)
    return "new lineage" if later else "as it was"


def test_a_revision_is_not_given_out_twice_in_one_lineage(tmp_path: Path) -> None:
    """An older copy of the file is put back beside a journal that went on."""
    with journaling(tmp_path / "app") as engine:
        put_many(engine, 0, 5)
    shutil.copy(tmp_path / "app" / "data.mdb", tmp_path / "backup")
    with journaling(tmp_path / "app") as engine:
        put_many(engine, 5, 9)
        lineage = engine.lineage
    shutil.copy(tmp_path / "backup", tmp_path / "app" / "data.mdb")
    with opened(tmp_path / "app") as engine:
        assert engine.lineage != lineage
        again = engine.lineage
        assert put(engine, b"6") == 6
    with journaling(tmp_path / "app") as engine:
        put_many(engine, 0, 3)
        assert is_on(engine)
    with opened(tmp_path / "app") as engine:
        assert engine.lineage == again, "told once"
        assert drive(engine.head()) == 9
