"""Appended rows in a table of their own behave as every other row."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from holdfast.contract.batch import (
    Append,
    Batch,
    CheckRange,
    Delete,
    DeleteRange,
    Operation,
    Put,
    append_key,
)
from holdfast.contract.engine import Engine
from holdfast.contract.record import Range, Record
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.engines.sqlite.appended import ID_END, REVISION_END, AppendedKeys, appended_id
from holdfast.runtime.system import drive, system_components
from tests.engines.sqlite_database import get, make, opened, put, sql

PREFIX = b"log"
KEYS = AppendedKeys(PREFIX)


def key_of(chance: random.Random) -> bytes:
    """A key in or around the keys of appended rows."""
    revision = chance.choice([0, 1, 2, 3, 5, 8, 13, 21, 40, REVISION_END - 1, REVISION_END, 2**63])
    index = chance.choice([0, 1, 2, 2**17 - 1, 2**17, 2**32 - 1])
    prefix = chance.choice([PREFIX, PREFIX, PREFIX, b"lof", b"log0", b"loh", b"l"])
    whole = append_key(prefix, revision, index)
    cut = chance.choice([0, 0, 0, 0, 1, 4, 5, 9, 12])
    return (whole[: len(whole) - cut] + chance.choice([b"", b"", b"", b"\0", b"x"])) or b"k"


def range_of(chance: random.Random, reverse: bool | None = None) -> Range:
    def side() -> bytes | None:
        return chance.choice([None, PREFIX, b"loh", key_of(chance), key_of(chance)])

    if reverse is None:
        reverse = chance.random() < 0.5
    return Range(side(), side(), reverse, chance.choice([None, 1, 2, 7]))


def batch_of(chance: random.Random) -> Batch:
    """Writes of every kind; several may meet the same key."""
    operations: list[Operation] = []
    for number in range(chance.randint(1, 4)):
        value = b"%d" % number
        makers: list[Callable[[], Operation]] = [
            lambda value=value: Append(PREFIX, value),  # type: ignore[misc]
            lambda value=value: Append(PREFIX, value),  # type: ignore[misc]
            lambda value=value: Append(b"other", value),  # type: ignore[misc]
            lambda value=value: Put(key_of(chance), value),  # type: ignore[misc]
            lambda: Delete(key_of(chance)),
        ]
        operations.append(chance.choice(makers)())
    if chance.random() < 0.15:
        operations.insert(
            chance.randint(0, len(operations)), DeleteRange(range_of(chance, reverse=False))
        )
    return Batch(operations)


def walked(engine: Engine, range: Range) -> list[tuple[bytes, Record]]:
    rows = []
    rest: Range | None = range
    while rest is not None:
        page = drive(engine.scan(rest))
        assert page.revision == drive(engine.head())
        rows += page.rows
        rest = page.resume
    return rows


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_written_reads_as_on_an_engine_with_one_table(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    path = tmp_path / "app.sqlite"
    model = MemoryEngine(MemoryConfig(), system_components())
    drive(model.open())
    engine = make(path)
    drive(engine.open())
    for step in range(150):
        batch = batch_of(chance)
        assert drive(engine.commit(batch)) == drive(model.commit(batch))
        assert drive(engine.head()) == drive(model.head())
        if step % 5 == 0:
            keys = [key_of(chance) for _ in range(8)]
            assert drive(engine.read(keys)) == drive(model.read(keys))
            assert [engine.peek(key) for key in keys] == drive(model.read(keys))
            range_ = range_of(chance)
            assert walked(engine, range_) == walked(model, range_)
            assert engine.peek_page(range_) == drive(model.scan(range_))
        if step % 40 == 39:
            assert drive(engine.check()) == []
            drive(engine.close())
            engine = make(path)
            drive(engine.open())
            assert drive(engine.head()) == drive(model.head()), "the head outlives the handle"
    assert walked(engine, Range()) == walked(model, Range())
    assert walked(engine, Range(reverse=True)) == walked(model, Range(reverse=True))
    drive(engine.close())
    drive(model.close())


@pytest.mark.parametrize("seed", range(4))
def test_loaded_rows_lie_where_written_ones_would(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    model = MemoryEngine(MemoryConfig(), system_components())
    drive(model.open())
    for _ in range(60):
        drive(model.commit(batch_of(chance)))
    rows = walked(model, Range())
    chance.shuffle(rows)
    with opened(tmp_path / "app.sqlite") as engine:
        for start in range(0, len(rows), 7):
            drive(engine.load(rows[start : start + 7]))
        drive(engine.load(rows[:3], next_revision=drive(model.head()) + 1))
        assert walked(engine, Range()) == walked(model, Range())
        assert drive(engine.head()) == drive(model.head())
        assert drive(engine.check()) == []
    drive(model.close())


@pytest.mark.parametrize("seed", range(20))
def test_the_numbers_of_a_range_are_those_of_its_keys(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(300):
        key, range_ = key_of(chance), range_of(chance, reverse=False)
        id = KEYS.id(key)
        if id is None:
            continue
        assert KEYS.key(id) == key
        assert 0 <= id < ID_END
        first, end = KEYS.ids(range_)
        assert (first <= id < end) == (key in range_)


def test_a_key_has_a_number_only_if_it_comes_back_from_it() -> None:
    assert appended_id(append_key(b"", 1, 0)) is None
    assert appended_id(append_key(PREFIX, REVISION_END, 0)) is None
    assert appended_id(append_key(PREFIX, 1, 2**17)) is None
    assert KEYS.id(append_key(b"lob", 1, 0)) is None
    assert KEYS.id(append_key(b"llog", 1, 0)) is None


def test_a_commit_that_appends_writes_neither_meta_nor_the_index_of_keys(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    with opened(path) as engine:
        for number in range(5):
            drive(engine.commit(Batch([Append(PREFIX, b"%d" % number)])))
        assert sql(path, "SELECT head, prefix, strays FROM meta") == [(0, PREFIX, 0)]
        assert sql(path, "SELECT count(*) FROM rows") == [(0,)]
        assert sql(path, "SELECT id >> 17, value FROM appended LIMIT 2") == [(1, b"0"), (2, b"1")]
        assert drive(engine.head()) == 5
        put(engine, b"key")
        assert sql(path, "SELECT head FROM meta") == [(6,)]


def test_the_head_stays_when_the_newest_appended_rows_go(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    everything = DeleteRange(Range.prefix(PREFIX))
    with opened(path) as engine:
        drive(engine.commit(Batch([Append(PREFIX, b"1")])))
        drive(engine.commit(Batch([Append(PREFIX, b"2"), everything])))
        assert drive(engine.head()) == 2
        assert walked(engine, Range()) == []
    with opened(path) as engine:
        assert drive(engine.head()) == 2
        assert drive(engine.commit(Batch([Append(PREFIX, b"3")]))).revision == 3


def test_a_snapshot_shows_the_appended_rows_of_its_moment(tmp_path: Path) -> None:
    with opened(tmp_path / "app.sqlite") as engine:
        before = drive(engine.snapshot())
        drive(engine.commit(Batch([Append(PREFIX, b"1")])))
        with drive(engine.snapshot()) as snapshot:
            drive(engine.commit(Batch([Append(PREFIX, b"2")])))
            first, second = append_key(PREFIX, 1, 0), append_key(PREFIX, 2, 0)
            assert drive(engine.read([first, second], at=snapshot)) == [Record(b"1", 1), None]
            page = drive(engine.scan(Range(), at=snapshot))
            assert page == ([(first, Record(b"1", 1))], None, 1)
        assert drive(engine.scan(Range(), at=before)) == ([], None, 0)
        before.close()


@pytest.mark.parametrize("known", [True, False], ids=["prefix known", "first append"])
def test_an_append_takes_the_place_of_a_stray(tmp_path: Path, known: bool) -> None:
    with opened(tmp_path / "app.sqlite") as engine:
        if known:
            drive(engine.commit(Batch([Append(PREFIX, b"first")])))
        stray = append_key(PREFIX, drive(engine.head()) + 2, 0)
        put(engine, stray, b"stray")
        assert get(engine, stray) == b"stray"
        drive(engine.commit(Batch([Append(PREFIX, b"appended")])))
        assert get(engine, stray) == b"appended"
        assert [key for key, _ in walked(engine, Range())].count(stray) == 1
        assert drive(engine.check()) == []
        put(engine, stray, b"put")
        assert get(engine, stray) == b"put"
        drive(engine.commit(Batch([Delete(stray)])))
        assert get(engine, stray) is None
        assert drive(engine.check()) == []


def test_a_stray_that_is_loaded_beside_the_first_appended_row_is_known(tmp_path: Path) -> None:
    stray, appended = append_key(PREFIX, 1, 0), append_key(PREFIX, 7, 0)
    with opened(tmp_path / "app.sqlite") as engine:
        drive(engine.load([(stray, Record(b"stray", 7)), (appended, Record(b"appended", 7))]))
        assert drive(engine.check()) == []
        drive(engine.load([(stray, Record(b"appended", 1))]))
        assert walked(engine, Range()) == [
            (stray, Record(b"appended", 1)),
            (appended, Record(b"appended", 7)),
        ]


def test_a_range_check_sees_appended_rows(tmp_path: Path) -> None:
    with opened(tmp_path / "app.sqlite") as engine:
        drive(engine.commit(Batch([Append(PREFIX, b"1"), Append(PREFIX, b"2")])))
        page = drive(engine.scan(Range.prefix(PREFIX)))
        check = CheckRange(Range.prefix(PREFIX), page.revision, 2)
        put(engine, b"key")
        drive(engine.commit(Batch([check, Append(PREFIX, b"3")])))
        assert len(walked(engine, Range.prefix(PREFIX))) == 3


def test_another_handle_learns_the_prefix_when_it_comes(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    with opened(path) as one, opened(path) as other, opened(path, read_only=True) as reader:
        assert walked(reader, Range()) == []
        drive(one.commit(Batch([Append(PREFIX, b"1")])))
        drive(other.commit(Batch([Append(PREFIX, b"2"), Append(b"other", b"")])))
        assert [value.value for _, value in walked(reader, Range.prefix(PREFIX))] == [b"1", b"2"]
        assert get(reader, append_key(PREFIX, 2, 0)) == b"2"
        assert get(other, append_key(b"other", 2, 1)) == b""


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("INSERT INTO appended VALUES (5, x'')", "outside"),
        ("UPDATE appended SET value = 'text'", "no bytes"),
        ("UPDATE meta SET prefix = NULL", "have no prefix"),
        (
            (
                "INSERT INTO rows (key, revision, value) "
                "VALUES (x'6c6f67000000000000000100000000', 1, x'')"
            ),
            "stands in two tables",
        ),
        (
            (
                "INSERT INTO rows (key, revision, value) "
                "VALUES (x'6c6f67000000000000000900000000', 1, x'')"
            ),
            "meta says that none does",
        ),
    ],
)
def test_the_check_finds_appended_rows_out_of_place(
    tmp_path: Path, damage: str, finding: str
) -> None:
    path = tmp_path / "app.sqlite"
    with opened(path) as engine:
        drive(engine.commit(Batch([Append(PREFIX, b"1")])))
        assert drive(engine.check()) == []
        with closing(engine._open_parts().readers._connect()) as connection:
            assert connection.execute("SELECT count(*) FROM appended").fetchone() == (1,)
        sql(path, damage)
        assert any(finding in line for line in drive(engine.check())), drive(engine.check())
