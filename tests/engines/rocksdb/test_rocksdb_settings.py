"""Every setting of the engines on merge trees does what it says, as driver or disk tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import ConfigInvalid
from holdfast.engines.lsm.engine import LsmEngine
from holdfast.engines.rocksdb import RocksdbConfig
from holdfast.engines.rocksdb.driver import RocksdbDriver
from holdfast.runtime.system import drive
from tests.engines.lsm.lsm_database import contents, every_engine, make, opened, put, tables

TEXT = b"the same words again and again "


def _fill(engine: LsmEngine, rows: int = 400, size: int = 2000) -> None:
    value = (TEXT * (size // len(TEXT) + 1))[:size]
    for start in range(0, rows, 50):
        drive(engine.commit(Batch([Put(b"%06d" % n, value) for n in range(start, start + 50)])))


def _size(path: Path, suffix: str = "") -> int:
    return sum(file.stat().st_size for file in tables(path) if file.suffix.endswith(suffix))


def _database(engine: LsmEngine) -> Any:
    driver = engine._opened_now.driver
    assert isinstance(driver, RocksdbDriver)
    return driver._database


@every_engine
def test_compression(tmp_path: Path, name: str) -> None:
    sizes = {}
    names = ("none", "snappy") if name == "leveldb" else ("none", "snappy", "lz4", "zstd")
    for compression in names:
        with opened(name, tmp_path / compression, compression=compression) as engine:
            _fill(engine)
            drive(engine.compact())
            sizes[compression] = _size(tmp_path / compression)
    assert sizes.pop("none") > 5 * max(sizes.values())


@every_engine
def test_write_buffer(tmp_path: Path, name: str) -> None:
    with (
        opened(name, tmp_path / "small", write_buffer=64 * 1024) as small,
        opened(name, tmp_path / "large", write_buffer=16 * 2**20) as large,
    ):
        for engine in (small, large):
            _fill(engine)
        assert tables(tmp_path / "large") == []
        assert tables(tmp_path / "small") != []


def test_cache_size(tmp_path: Path) -> None:
    with opened("rocksdb", tmp_path / "app", cache_size=3 * 2**20) as engine:
        assert _database(engine).property_int_value("rocksdb.block-cache-capacity") == 3 * 2**20
    with opened("rocksdb", tmp_path / "app", cache_size=0) as engine:
        _fill(engine)
        assert len(contents(engine)) == 400


@every_engine
def test_bloom_bits(tmp_path: Path, name: str) -> None:
    sizes = []
    for bits in (0, 20):
        path = tmp_path / str(bits)
        with opened(name, path, bloom_bits=bits, compression="none") as engine:
            _fill(engine, rows=5000, size=1)
            drive(engine.compact())
        sizes.append(_size(path))
    assert sizes[1] - sizes[0] > 5000 * 20 / 8 * 0.8, "the filters stand in the tables"


@pytest.mark.row("E-081", "trap 34")
def test_separate_values_whose_collection_frees_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with opened("rocksdb", path, separate_values=1000, compression="none") as engine:
        put(engine, b"small", b"s" * 999)
        for _ in range(3):  # One flush more, and it would begin to merge them.
            _fill(engine, rows=200, size=20_000)
            _database(engine).flush()
        full = _size(path, ".blob")
        assert full > 3 * 200 * 20_000, "every version of the values stands in files of values"
        assert _size(path, ".sst") < 200_000, "and only their places in the tables"
        before = contents(engine)
        freed = drive(engine.compact())
        left = _size(path, ".blob")
        assert freed > 0
        assert left < full / 2, f"{left} of {full} bytes of values are left, and a third lives"
        assert contents(engine) == before
    with opened("rocksdb", path) as engine:
        assert contents(engine) == before, "a database keeps the values that it separated"


def test_ballast_and_locks_stand_beside_the_drivers_files(tmp_path: Path) -> None:
    with opened("rocksdb", tmp_path / "app", ballast=123_456):
        assert (tmp_path / "app" / "ballast").stat().st_size == 123_456
        names = {path.name for path in (tmp_path / "app").iterdir()}
        assert names == {"rocksdb", "lock", "ballast"}


@pytest.mark.parametrize("engine", ["rocksdb", "leveldb"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cache_size", -1),
        ("write_buffer", 1000),
        ("bloom_bits", -1),
        ("lock_timeout", -1.0),
        ("ballast", -1),
        ("snapshot_age_max", 0.0),
        ("compression", "gzip"),
        ("durability", "server"),
    ],
)
def test_settings_that_cannot_be_are_refused(engine: str, name: str, value: Any) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        make(engine, Path("app"), **{name: value})
    assert refused.value.parameter == name


def test_a_negative_size_of_separate_values_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="separate_values is zero or more"):
        RocksdbConfig(path=Path("app"), separate_values=-1)


def test_urls_spell_the_settings() -> None:
    url = "rocksdb:///app?cache_size=1GiB&compression=zstd&separate_values=4KiB&bloom_bits=12"
    config = RocksdbConfig.from_url(url)
    assert (config.cache_size, config.compression) == (2**30, "zstd")
    assert (config.separate_values, config.bloom_bits) == (4096, 12)
    assert RocksdbConfig.from_url(config.url) == config
    with pytest.raises(ConfigInvalid, match="did you mean 'bloom_bits'"):
        RocksdbConfig.from_url("rocksdb:///app?blom_bits=12")
