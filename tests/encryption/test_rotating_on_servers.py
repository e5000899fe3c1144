"""Keys are rotated on real servers: every row is written anew, under the revision it had."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import holdfast.sync
from holdfast.contract.batch import Batch, CheckKey, Decide, Put, Rewrite
from holdfast.contract.record import Range, Record
from holdfast.encryption import Encryption
from holdfast.layers.encrypt import walk
from holdfast.runtime.system import drive, system_components
from holdfast.store.encrypted import encryption_of
from holdfast.store.registry import engine_class, read_config
from tests.encryption.keys import SeededKeys
from tests.servers.shared import Address

ENCRYPTION = Encryption(SeededKeys(), names={"stores/acme": "acme"})


@pytest.fixture(params=["redis", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """A database of its own on a real server."""
    address: Address = request.getfixturevalue(f"{request.param}_address")
    if request.param == "redis":
        return f"redis://127.0.0.1:{address['port']}/0?prefix={request.node.name}"
    name = request.node.name.translate({ord("["): "_", ord("]"): ""})
    return f"postgres://postgres@127.0.0.1:{address['port']}/postgres?schema={name[-60:]}"


@pytest.mark.row("E-129")
def test_every_row_is_written_anew_while_others_write(url: str) -> None:
    with holdfast.sync.open(url, encryption=ENCRYPTION) as db:
        assert db.capabilities.rewrites is False, "the layer's own"
        for number in range(40):
            db.entries.set(f"a:{number}", number)
            db.entries.set(f"a:{number}", -number)
        db.stores.create("acme").set(b"k", b"theirs")
        before = {key: db.entries.require(key) for key in ("a:0", "a:39")}
        cursor = db.cursor
        stop = threading.Event()
        wrote = [0]

        def write() -> None:
            with holdfast.sync.open(url, encryption=ENCRYPTION) as other:
                while not stop.is_set() and wrote[0] < 1_000:
                    other.entries.set(f"b:{wrote[0] % 10}", wrote[0])
                    wrote[0] += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            done = db.data_keys.rotate()
        finally:
            stop.set()
            writer.join()
        assert (done.version, done.resumed) == (2, False)
        assert done.changed >= 160, "values, past versions, changes"
        assert under(db) == {2, 3}, "that of acme, and the new one"
        for key, entry in before.items():
            found = db.entries.require(key)
            assert (found.value, found.revision) == (entry.value, entry.revision)
        db.entries.set("a:0", "after", if_revision=before["a:0"].revision)
        assert [one.value for one in db.entries.history("a:39")] == [39]
        with db.watch("a:#", since=cursor) as changes:
            assert next(iter(changes)).after.value == "after"
        if wrote[0]:
            last = wrote[0] - 1
            assert db.entries.require(f"b:{last % 10}").value == last
        assert db.data_keys.rotate("acme").version == 2
        assert db.data_keys.forget() == [1]
        assert db.stores.get("acme").get(b"k") == b"theirs"
        assert db.check() == []


@pytest.mark.row("E-129")
def test_a_walk_that_was_broken_off_goes_on(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "STEP_ROWS", 16)
    monkeypatch.setattr(walk, "NOTED_ROWS", 32)

    def stop(looked_at: int, _changed: int) -> None:
        if looked_at >= 64:
            raise KeyboardInterrupt

    with holdfast.sync.open(url, encryption=ENCRYPTION) as db:
        for number in range(60):
            db.entries.set(f"a:{number}", number)
        with pytest.raises(KeyboardInterrupt):
            db.data_keys.rotate(progress=stop)
        assert under(db) == {1, 2}
    with holdfast.sync.open(url, encryption=ENCRYPTION) as db:
        assert db.data_keys.rotate().resumed
        assert under(db) == {2}
        assert db.data_keys.forget() == [1]
        assert {one.value for one in db.entries.items("#")} == set(range(60))
        assert db.check() == []


def test_a_rewrite_in_a_group_is_seen_by_those_decided_after_it(url: str) -> None:
    """Transactions that travel together are each decided on what the earlier ones leave."""

    async def work() -> None:
        config = read_config(url)
        engine = engine_class(config.scheme)(config, system_components())
        await engine.open()
        try:
            first = (await engine.commit(Batch([Put(b"k", b"a")]))).revision

            def rewriting(letter: bytes) -> Decide:
                def decide(records: list[Record | None], _revision: int) -> Batch:
                    [standing] = records
                    assert standing is not None
                    return Batch([CheckKey(b"k", first), Rewrite(b"k", standing.value + letter)])

                return decide

            parts = [b"b", b"c", b"d", b"e"]
            await asyncio.gather(*(engine.transact([b"k"], rewriting(one)) for one in parts))
            [record] = await engine.read([b"k"])
            assert record is not None
            assert (record.revision, sorted(record.value)) == (first, sorted(b"abcde"))
            assert await engine.head() > first
        finally:
            await engine.close()

    asyncio.run(work())


def under(db: Any) -> set[int]:
    """The numbers of the data keys that rows are under."""
    layer = encryption_of(db._inner._open_engine())
    assert layer is not None
    found: set[int] = set()

    async def scan() -> None:
        rest: Range | None = Range()
        while rest is not None:
            page = await layer.inner.scan(rest)
            found.update(layer.rows.number_of(key, record.value) for key, record in page.rows)
            rest = page.resume

    drive(scan())
    return found - {0}
