"""Where nobody knows the revision of a commit beforehand: engines that read, decide, check."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import holdfast.sync
from holdfast.contract.batch import Append, Batch, CheckKey, Delete, DeleteRange, Put
from holdfast.contract.capability import Capabilities
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict, DecryptionFailed
from holdfast.contract.record import Range
from holdfast.encryption import Encryption
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.layers.encrypt.layer import EncryptLayer
from holdfast.layers.encrypt.rows import KEY, LOG
from holdfast.runtime.system import drive, system_components
from tests.encryption.keys import SeededKeys

ENCRYPTION = Encryption(SeededKeys())


class Guessing(MemoryEngine):
    """An engine that only knows how to commit, as those behind a network do."""

    transact = Engine.transact
    transact_now = None  # type: ignore[assignment]

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, transacts_once=False)


@pytest.fixture
def layer() -> Any:
    layer = ENCRYPTION(Guessing(MemoryConfig(), system_components()))
    drive(layer.open())
    yield layer
    drive(layer.close())


def stored(layer: EncryptLayer, key: bytes) -> bytes:
    [record] = drive(layer.inner.read([key]))
    assert record is not None
    return record.value


@pytest.mark.row("E-129")
def test_rows_are_bound_to_their_keys_and_those_of_a_log_to_the_log(layer: EncryptLayer) -> None:
    first = drive(layer.commit(Batch([Put(b"Ka", b"one"), Put(b"Kb", b"two"), Append(b"F", b"c")])))
    page = drive(layer.scan(Range()))
    assert [record.value for _, record in page.rows] == [b"c", b"one", b"two"]
    [log] = [key for key, _ in page.rows if key.startswith(b"F")]
    assert stored(layer, b"Ka")[0] == KEY
    assert stored(layer, log)[0] == LOG
    moved = [Put(b"Kb", stored(layer, b"Ka")), Put(b"Kc", stored(layer, log))]
    drive(layer.inner.commit(Batch(moved)))
    for key in (b"Kb", b"Kc"):
        with pytest.raises(DecryptionFailed):
            drive(layer.read([key]))
    before = drive(layer.commit(Batch([Put(b"Ka", b"new")], previous=True))).previous
    assert before is not None
    assert before[b"Ka"] is not None
    assert before[b"Ka"] == (b"one", first.revision)
    with pytest.raises(Conflict):
        drive(layer.commit(Batch([CheckKey(b"Ka", first.revision), Delete(b"Ka")])))
    drive(layer.commit(Batch([DeleteRange(Range(b"A", b"Z"))])))
    assert drive(layer.scan(Range())).rows == []
    drive(layer.commit(Batch([Put(b"Ka", b"after")])))
    assert [key for key, _ in drive(layer.scan(Range())).rows] == [b"Ka"], "the ring is there still"


@pytest.mark.row("E-129")
def test_a_whole_database_works_on_such_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.engines.memory.MemoryEngine", Guessing)
    with holdfast.sync.open(
        "memory://", encryption=Encryption(SeededKeys(), names={"stores/acme": "acme"})
    ) as db:
        for number in range(20):
            db.entries.set("a:b", number, tags=["t"])
        db.stores.create("acme").set(b"k", b"v")
        with db.transaction() as tx:
            tx.entries.set("a:c", tx.entries.require("a:b").value)
        assert [one.value for one in db.entries.history("a:b")] == list(range(19))
        assert db.data_keys.rotate(rewrite=False).version == 2
        db.entries.set("a:b", "after")
        assert db.entries.require("a:c").value == 19
        assert db.stores.get("acme").get(b"k") == b"v"
        assert db.check() == []
        assert not db.capabilities.transacts_once
