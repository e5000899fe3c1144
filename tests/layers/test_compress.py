"""Values are stored compressed and read as they were, whoever wrote them and with what."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import holdfast
import holdfast.sync
from holdfast.contract.batch import Append, Batch, Delete, Draft, Need, Put, Receipt
from holdfast.contract.engine import Engine
from holdfast.contract.errors import ConfigInvalid, IntegrityFailed, InvalidValue, ValueTooLarge
from holdfast.contract.record import Range, Record
from holdfast.encryption import Encryption
from holdfast.engines.lmdb import LmdbConfig, LmdbEngine
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.layers.compress import HEAD_BYTES, LEGIBLE, MARK, Compress, CompressLayer
from holdfast.runtime.system import drive, system_components
from holdfast.store import layout
from holdfast.store.encrypted import encryption_of
from tests.encryption.keys import SeededKeys

LONG = b"holdfast " * 1000
FORMATS = ("zstd", "lz4", "snappy", "gzip")


@pytest.fixture
def engine() -> Engine:
    inner = MemoryEngine(MemoryConfig(), system_components())
    drive(inner.open())
    return inner


def stored(engine: Engine, key: bytes) -> bytes:
    (record,) = drive(engine.read([key]))
    assert record is not None
    return record.value


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_long_is_stored_shorter_and_read_as_it_was(engine: Engine, name: str) -> None:
    layer = Compress.from_text(f"compression={name}")(engine)
    receipt = drive(layer.commit(Batch([Put(b"k", LONG), Append(b"log", LONG)])))
    assert stored(engine, b"k").startswith(MARK)
    assert len(stored(engine, b"k")) < len(LONG) // 10
    assert drive(layer.read([b"k", b"x"])) == [Record(LONG, receipt.revision), None]
    page = drive(layer.scan(Range()))
    assert [record.value for _, record in page.rows] == [LONG, LONG]
    assert layer.peek is not None
    assert layer.peek(b"k") == (LONG, receipt.revision)
    assert layer.peek_page is not None
    assert layer.peek_page(Range()) == page


@pytest.mark.parametrize("value", [b"", b"short", b"x" * 512, os.urandom(4000)])
def test_what_is_short_or_gets_no_shorter_stays_as_it_is(engine: Engine, value: bytes) -> None:
    layer = CompressLayer(engine)
    drive(layer.commit(Batch([Put(b"k", value)])))
    assert stored(engine, b"k") == value


@given(st.binary(max_size=8), st.integers(0, 700))
def test_any_value_comes_back_also_one_that_begins_with_the_mark(tail: bytes, more: int) -> None:
    engine = MemoryEngine(MemoryConfig(), system_components())
    drive(engine.open())
    layer = CompressLayer(engine, Compress(above=128))
    for value in (MARK[: len(tail)] + tail, MARK + tail + b"z" * more, tail * 90):
        drive(layer.commit(Batch([Put(b"k", value)])))
        assert drive(layer.read([b"k"]))[0] == Record(value, drive(layer.head()))
    drive(engine.close())


def test_a_function_sees_values_and_its_answer_is_compressed(engine: Engine) -> None:
    layer = CompressLayer(engine)
    drive(layer.commit(Batch([Put(b"a", LONG), Put(b"b", LONG + b"b")])))
    seen = []

    def decide(records: list[Record | None], _revision: int) -> Draft | Need:
        seen.append([record and record.value for record in records])
        if len(records) == 1:
            return Need([b"b", b"x"])
        draft = Draft()
        draft.rows = {b"a": None, b"b": LONG + b"c"}
        draft.appends = [(b"log", LONG)]
        return draft

    receipt = drive(layer.transact([b"a"], decide, previous=True))
    assert seen == [[LONG], [LONG, LONG + b"b", None]]
    assert receipt.previous == {b"a": Record(LONG, 1), b"b": Record(LONG + b"b", 1)}
    assert stored(engine, b"b").startswith(MARK)
    assert layer.transact_now is not None
    told = layer.transact_now([b"b"], lambda *_: Batch([Put(b"b", LONG)], previous=True))
    assert isinstance(told, Receipt)
    assert told.previous == {b"b": Record(LONG + b"c", receipt.revision)}


def test_it_loads_rows_and_reads_what_was_written_before_it(engine: Engine) -> None:
    layer = CompressLayer(engine)
    drive(layer.load([(b"a", Record(LONG, 7)), (b"gone", None)], next_revision=9))
    assert stored(engine, b"a").startswith(MARK)
    assert drive(layer.read([b"a"])) == [Record(LONG, 7)]
    drive(engine.commit(Batch([Put(b"plain", LONG)])))
    assert drive(layer.read([b"plain"])) == [Record(LONG, 9)]
    # Another setting writes otherwise and reads everything; `none` only reads.
    other = CompressLayer(engine, Compress(compression="none"))
    drive(other.commit(Batch([Put(b"now", LONG)])))
    assert stored(engine, b"now") == LONG
    assert drive(other.read([b"a"])) == [Record(LONG, 7)]


def test_a_page_holds_no_more_than_pages_hold(engine: Engine) -> None:
    layer = CompressLayer(engine)
    most = layer.capabilities.page_bytes_max
    big = bytes(most // 3)
    drive(layer.commit(Batch([Put(b"%d" % n, big) for n in range(8)])))
    assert len(drive(engine.scan(Range())).rows) == 8
    for reverse in (False, True):
        keys: list[bytes] = []
        rest: Range | None = Range(reverse=reverse)
        while rest is not None:
            page = drive(layer.scan(rest))
            assert 0 < sum(len(record.value) for _, record in page.rows) <= most
            keys += [key for key, _ in page.rows]
            rest = page.resume
        assert keys == sorted((b"%d" % n for n in range(8)), reverse=reverse)


@pytest.mark.parametrize("damage", [
    lambda packed: packed[:-1], lambda packed: packed[:HEAD_BYTES], lambda packed: packed[:3],
    lambda packed: packed[:3] + b"\x0e" + packed[4:],
    lambda packed: packed[:20] + bytes((packed[20] ^ 1,)) + packed[21:],
    lambda packed: packed + b"more",
])  # fmt: skip
@pytest.mark.parametrize("name", ["zstd", "lz4", "gzip"])
def test_what_is_damaged_is_told_by_its_key(engine: Engine, name: str, damage: object) -> None:
    layer = Compress.from_text(f"compression={name}")(engine)
    drive(layer.commit(Batch([Put(b"k", LONG)])))
    damaged = damage(stored(engine, b"k"))  # type: ignore[operator]
    drive(engine.commit(Batch([Put(b"k", damaged)])))
    for look in (lambda: drive(layer.read([b"k"])), lambda: drive(layer.scan(Range()))):
        with pytest.raises(IntegrityFailed, match="compressed value") as failure:
            look()
        assert failure.value.details["key"] == b"k"
        assert "holdfast holdfast" not in str(failure.value)
    drive(layer.commit(Batch([Delete(b"k")])))


def test_a_frame_that_promises_more_than_a_value_has_is_not_unpacked(engine: Engine) -> None:
    import zstandard

    layer = CompressLayer(engine)
    bomb = zstandard.ZstdCompressor().compress(bytes(engine.capabilities.value_bytes_max + 1))
    drive(engine.commit(Batch([Put(b"k", MARK + b"\x04" + bomb)])))
    with pytest.raises(IntegrityFailed):
        drive(layer.read([b"k"]))


def test_what_is_no_value_or_too_big_is_refused_before_it_is_compressed(engine: Engine) -> None:
    layer = CompressLayer(engine)
    most = layer.capabilities.value_bytes_max
    assert most == engine.capabilities.value_bytes_max - HEAD_BYTES
    with pytest.raises(ValueTooLarge):
        drive(layer.commit(Batch([Put(b"k", bytes(most + 1))])))
    with pytest.raises(InvalidValue):
        drive(layer.commit(Batch([Put(b"k", "text")])))  # type: ignore[arg-type]
    assert drive(engine.head()) == 0


@pytest.mark.row("E-051")
def test_what_lies_on_the_disk_is_really_smaller(tmp_path: Path) -> None:
    sizes = []
    for name in ("none", "zstd"):
        engine = LmdbEngine(LmdbConfig(path=tmp_path / name), system_components())
        layer = Compress.from_text(f"compression={name}")(engine)
        drive(layer.open())
        drive(layer.commit(Batch([Put(b"k", bytes(10**6))])))
        drive(layer.close())
        paths = [path for path in tmp_path.glob(f"{name}*/**/*") if path.is_file()]
        paths += [path for path in tmp_path.glob(f"{name}*") if path.is_file()]
        sizes.append(sum(path.stat().st_blocks * 512 for path in paths))
    assert sizes[0] - sizes[1] > 900_000


async def _written(url: str) -> None:
    async with holdfast.open(url) as db:
        await db.entries.set("a", {"text": "holdfast " * 1000})
        stack = (await db.explain())["stack"]
        assert stack[1:] == ["CompressLayer", "RetryLayer", "LmdbEngine"], stack


def test_an_address_names_it_and_its_settings(tmp_path: Path) -> None:
    import asyncio

    url = f"lmdb:///{tmp_path / 'app'}"
    layered = f"{url}?layers=compress:compression=lz4:above=1KiB,retry&durability=relaxed"
    asyncio.run(_written(layered))

    async def read() -> None:
        async with holdfast.open(layered) as db:
            assert (await db.entries.require("a")).value == {"text": "holdfast " * 1000}
            assert await db.check() == []

    asyncio.run(read())
    for wrong, said in {
        "compress:level=3": "takes above, compression",
        "compress:abov=3": "did you mean 'above'",
        "compress:above=1": "above is from 128",
        "compress:compression=lz5": "one of none, gzip, lz4, snappy, zstd; found 'lz5'",
        "compress:above=1KiB:above=1KiB": "found 'above'",
        "read_only:x=1": "takes no settings; found 'x'",
        "compres": "did you mean 'compress'",
    }.items():
        with pytest.raises(ConfigInvalid, match=said):
            asyncio.run(_written(f"{url}?layers={wrong}"))


def rows_by_key(folder: Path, layers: str) -> Counter[tuple[bytes, int]]:
    """How many rows of each region are under which data key, in a database of two tenants."""
    encryption = Encryption(SeededKeys(), names={"stores/acme": "acme"})
    url = f"lmdb:///{folder / 'app'}?durability=relaxed{layers}"
    with holdfast.sync.open(url, encryption=encryption) as db:
        for name in ("acme", "globex"):
            store = db.stores.create(name)
            for number in range(5):
                key = b"%d " % number + b"k" * 900  # So long that its change would be compressed.
                store.set(key, LONG)
                assert store.get(key) == LONG
        db.entries.set("a", LONG.decode(), comment=LONG.decode()[:900])
        layer = encryption_of(db._inner._open_engine())
        assert layer is not None
        rows = drive(layer.inner.scan(Range())).rows
        return Counter((key[:1], layer.rows.number_of(key, stored)) for key, (stored, _) in rows)


def test_each_row_is_encrypted_under_the_key_it_would_be_under_without_the_layer(
    tmp_path: Path,
) -> None:
    assert LEGIBLE == layout.FEED + layout.SYSTEM
    plain, compressed = tmp_path / "plain", tmp_path / "compressed"
    plain.mkdir()
    compressed.mkdir()
    found = rows_by_key(compressed, "&layers=compress:above=128")
    assert found == rows_by_key(plain, "")
    assert len({number for region, number in found if region == layout.FEED}) == 2
