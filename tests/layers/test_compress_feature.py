"""A database that the layer `compress` was above says so, and is not read without it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.batch import Batch, Decide, Put, Receipt
from holdfast.contract.engine import Engine, Layer
from holdfast.contract.errors import ConfigInvalid, DecryptionFailed, FormatTooNew, IntegrityFailed
from holdfast.contract.record import Range, Record
from holdfast.encryption import Encryption
from holdfast.layers.compress import MARK, Compress, CompressLayer
from holdfast.layers.encrypt.layer import EncryptLayer
from holdfast.runtime.system import drive
from holdfast.store import layout
from holdfast.store.format import COMPRESS, ENCRYPTION, Format, read_format, write_format
from holdfast.store.versions.chunks import CHUNK_BYTES
from tests.cli.conftest import Cli, cli
from tests.encryption.keys import SeededKeys

__all__ = ["cli"]

LONG = "holdfast " * 1000
BIG = b"holdfast " * (CHUNK_BYTES // 4)
KEYS = Encryption(SeededKeys())
opened = holdfast.sync.open


class Bypass(Layer):
    """A process that opened the database before another one put the layer above it."""

    feature = COMPRESS
    passes_reads = True
    passes_writes = True


class Slower(Layer):
    """An engine on which another process is faster to make the database."""

    row = write_format(Format())

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        await self.inner.commit(Batch([Put(layout.SYSTEM_FORMAT, self.row)]))
        return await self.inner.transact(keys, decide, previous=previous)


def engine_below(db: Any) -> Engine:
    engine: Engine = db._inner._open_engine()
    while isinstance(engine, Layer):
        engine = engine.inner
    return engine


def stored(db: Any) -> dict[bytes, Record]:
    """The rows as they lie in the engine."""
    return dict(drive(engine_below(db).scan(Range())).rows)


def features(db: Any) -> list[str]:
    """What the database says of itself: told, and stored."""
    told: list[str] = db.explain()["format"]["features"]
    row = stored(db).get(layout.SYSTEM_FORMAT)
    assert row is not None
    assert list(read_format(row, "").features) == told
    return told


@pytest.fixture(
    params=["lmdb:///{}/app?durability=relaxed", "sqlite:///{}/app.db?durability=relaxed"]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.param).format(tmp_path)


def test_without_the_layer_it_is_refused_by_name_with_the_next_step(url: str) -> None:
    with opened(f"{url}&layers=compress") as db:
        assert features(db) == [COMPRESS]
        db.stores.create("s").set(b"k", BIG)
    for read_only in (False, True):
        with pytest.raises(
            ConfigInvalid, match=r"the layer compress .*`\?layers=compress`"
        ) as told:
            opened(url, read_only=read_only)
        assert told.value.parameter == "layers"
    # What the message says helps, whatever the layer's settings are now.
    for layers in ("compress", "metrics,compress:compression=none"):
        with opened(f"{url}&layers={layers}", read_only=True) as db:
            assert db.stores.get("s").get(b"k") == BIG


def test_a_database_gets_the_layer_later_and_says_so_before_anything_is_packed(url: str) -> None:
    with opened(url) as db:
        db.entries.set("a", LONG)
        assert features(db) == []
    with opened(url, layers=[Compress(above=128)]) as db:
        before = stored(db)
        assert features(db) == [COMPRESS]
        assert not any(record.value.startswith(MARK) for record in before.values())
        assert db.entries.require("a").value == LONG
        db.entries.set("b", LONG)
        assert any(record.value.startswith(MARK) for record in stored(db).values())
        head = db.head()
    with opened(url, layers=["compress"]) as db:
        assert db.head() == head, "it is noted once"
    with pytest.raises(ConfigInvalid):
        opened(url)


@pytest.mark.parametrize("layers", ["compress", "read_only,compress"])
def test_a_first_opening_for_reading_only_changes_nothing(url: str, layers: str) -> None:
    with opened(url) as db:
        db.entries.set("a", LONG)
        head = db.head()
    with opened(f"{url}&layers={layers}", read_only=layers == "compress") as db:
        assert db.entries.require("a").value == LONG
        assert features(db) == []
    with opened(url) as db:
        assert (db.head(), features(db)) == (head, [])


def test_who_opened_it_before_never_gets_packed_bytes(url: str) -> None:
    with opened(f"{url}&layers=compress") as db:
        store = db.stores.create("s")
        store.set(b"big", BIG)
        store.set(b"long", LONG.encode())
        db.entries.set("a", LONG)
    with opened(url, layers=[Bypass]) as db:
        store = db.stores.get("s")
        with pytest.raises(IntegrityFailed, match="with the layers that its other processes"):
            store.get(b"big")
        with pytest.raises(IntegrityFailed, match="with the layers that its other processes"):
            store.get_range(b"big", 5, 9)
        with pytest.raises(FormatTooNew):
            store.get(b"long")
        with pytest.raises(FormatTooNew):
            db.entries.require("a").value  # noqa: B018 - it is decoded when it is asked for


@pytest.mark.parametrize(
    ("faster", "refused"),
    [
        ((), None), ((COMPRESS,), ConfigInvalid), ((ENCRYPTION,), DecryptionFailed),
        (("later",), FormatTooNew),
    ],
)  # fmt: skip
def test_a_process_that_was_slower_to_make_it_reads_what_the_other_one_wrote(
    url: str, faster: tuple[str, ...], refused: type[Exception] | None
) -> None:
    class Lost(Slower):
        row = write_format(Format(features=faster))

    if refused is not None:
        with pytest.raises(refused):
            opened(url, layers=[Lost])
        return
    with opened(url, layers=[Lost]) as db:
        assert features(db) == []


def test_encrypted_too_it_wants_both_and_each_is_asked_for(url: str) -> None:
    with opened(f"{url}&layers=compress", encryption=KEYS) as db:
        assert features(db) == [COMPRESS, ENCRYPTION]
        db.entries.set("a", LONG)
    with pytest.raises(ConfigInvalid, match="layer compress"):
        opened(url, encryption=KEYS)
    with pytest.raises(DecryptionFailed):
        opened(f"{url}&layers=compress")
    assert (CompressLayer.feature, EncryptLayer.feature) == (COMPRESS, ENCRYPTION)


@pytest.mark.parametrize("had", [None, KEYS])
@pytest.mark.parametrize("gets", [None, Encryption(SeededKeys("other"))])
def test_a_copy_says_what_it_is_read_with(
    url: str, tmp_path: Path, had: Encryption | None, gets: Encryption | None
) -> None:
    target = f"lmdb:///{tmp_path}/copy"
    with opened(f"{url}&layers=compress", encryption=had) as db:
        db.stores.create("s").set(b"big", BIG)
        db.copy_to(target, encryption=gets)
    # Rows of an encrypted database are copied as they lie there, packed, unless its keys change.
    packed = had is not None and gets is None
    layers = ["compress"] if packed else []
    with opened(target, layers=layers, encryption=gets or had) as db:
        assert (COMPRESS in features(db)) == packed
        assert db.stores.get("s").get(b"big") == BIG
        assert db.check() == []


def test_a_backup_wants_the_layer_as_its_database_did(url: str, tmp_path: Path) -> None:
    with opened(f"{url}&layers=compress") as db:
        db.entries.set("a", LONG)
        db.backup(tmp_path / "one.backup")
    target = f"lmdb:///{tmp_path}/restored"
    holdfast.sync.restore([tmp_path / "one.backup"], target)
    with pytest.raises(ConfigInvalid, match="layer compress"):
        opened(target)
    with opened(f"{target}?layers=compress") as db:
        assert db.entries.require("a").value == LONG


def test_what_follows_it_reads_through_the_layers_of_its_address(url: str, tmp_path: Path) -> None:
    with opened(f"{url}&layers=compress") as db:
        db.entries.set("a", LONG)
    target = f"lmdb:///{tmp_path}/standby"
    with pytest.raises(ConfigInvalid, match="layer compress"):
        holdfast.sync.follow(url, target, once=True)
    holdfast.sync.follow(f"{url}&layers=compress", target, once=True)
    with opened(f"{target}?layers=compress", read_only=True) as db:
        assert db.entries.require("a").value == LONG


def test_commands_put_the_layers_of_an_address_above_it(cli: Cli, tmp_path: Path) -> None:
    url = f"lmdb:///{tmp_path}/app"
    assert cli("set", "a:b", f'"{LONG}"', "--url", f"{url}?layers=compress").code == 0
    assert cli("get", "a:b", "--url", f"{url}?layers=compress").out == f'"{LONG}"\n'
    refused = cli("get", "a:b", "--url", url)
    assert (refused.code, refused.out) == (2, "")
    assert "layers=compress" in refused.err
