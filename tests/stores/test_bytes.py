"""The bytes API beyond get and set: walks, parts, batches, transactions, mounts, capabilities."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.contract.engine import Layer, Snapshot
from holdfast.contract.errors import (
    ConfigInvalid,
    Conflict,
    InvalidInput,
    InvalidKey,
    KeyNotFound,
    ReadOnly,
    StoreClosed,
    StoreExists,
    StoreNotFound,
    TransactionAborted,
    TransactionClosed,
    Unsupported,
)
from holdfast.contract.record import Page, Range, Record
from holdfast.store.versions.chunks import CHUNK_BYTES
from holdfast.stores.capabilities import (
    RangeQueryable,
    Transactional,
    Versioned,
    supports_range_queries,
    supports_transactions,
    supports_versioning,
)
from tests.store.scene import Scene, listed, rows_of
from tests.tidy import repository

KINDS = ("plain", "iavl")


class Counting(Layer):
    """Counts what is read: rows of scans, and bytes of values."""

    rows = 0
    read_bytes = 0

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        found = await super().read(keys, at=at)
        Counting.read_bytes += sum(len(one.value) for one in found if one is not None)
        return found

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        page = await super().scan(range, at=at)
        Counting.rows += len(page.rows)
        return page


# --- Reading -------------------------------------------------------------------------------


@pytest.mark.row("E-008")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_missing_key_is_an_error_with_a_code(scene: Scene, kind: str) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s", kind)
        with pytest.raises(KeyNotFound) as raised:
            await store.get(b"k")
        assert raised.value.code == "KEY_NOT_FOUND"
        await store.set(b"k", b"")
        found = await store.get(b"k")
        assert type(found) is bytes
        assert found == b""


@pytest.mark.row("E-014")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_visit_ends_when_the_callback_says_so(scene: Scene, kind: str) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s", kind)
        await store.set_many({b"%d" % n: b"v" for n in range(9)})
        seen: list[bytes] = []

        def stop_at_third(key: bytes, _value: bytes) -> bool:
            seen.append(key)
            return len(seen) < 3

        assert await store.visit(stop_at_third) == 3
        assert seen == [b"0", b"1", b"2"]
        seen.clear()
        # Without a result it goes on to the end.
        assert await store.visit(lambda key, _value: seen.append(key), b"2", b"5", False) == 3
        assert seen == [b"4", b"3", b"2"]


@pytest.mark.row("E-016")
@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_callback_gets_cannot_be_changed(scene: Scene, kind: str) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s", kind)
        await store.set(b"k", b"v" * 100)
        value: bytes
        for key, value in await listed(store.iterate()):
            assert type(key) is bytes
            assert type(value) is bytes
            with pytest.raises(TypeError):
                value[0] = 1  # type: ignore[index]


@pytest.mark.parametrize("kind", KINDS)
async def test_ranges_prefixes_and_counts(scene: Scene, kind: str) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s", kind)
        keys = [b"a", b"a\0", b"ab", b"b", b"b1", b"b\xff", b"\xff", b"\xff\xff"]
        for half in (keys[::2], keys[1::2]):
            await store.set_many([(key, b"v" + key) for key in half])
            if kind == "iavl":
                await store.save_version()
        await store.set(b"b1", b"v2")
        await store.set(b"gone", b"x")
        await store.delete(b"gone")
        ordered = sorted(keys)
        for start in (None, b"a", b"ab", b"b\0", b"zz"):
            for end in (None, b"a", b"b1", b"\xff"):
                inside = [
                    key
                    for key in ordered
                    if (start is None or key >= start) and (end is None or key < end)
                ]
                for ascending in (True, False):
                    wanted = inside if ascending else inside[::-1]
                    found = await listed(store.iterate_range(start, end, ascending))
                    assert [key for key, _ in found] == wanted
                    some = await listed(store.iterate_range(start, end, ascending, limit=2))
                    assert [key for key, _ in some] == wanted[:2]
                assert await store.count(start, end) == len(inside)
        for prefix in (b"a", b"b", b"\xff", b"\xff\xff", b"nope", b""):
            wanted = [key for key in ordered if key.startswith(prefix)]
            assert [key for key, _ in await listed(store.prefix(prefix))] == wanted
            assert await store.count(prefix=prefix) == len(wanted)
        with pytest.raises(InvalidInput):
            await store.count(b"a", prefix=b"a")
        with pytest.raises(InvalidKey):
            await listed(store.prefix("a"))  # type: ignore[arg-type]


async def test_a_walk_reads_no_more_rows_than_asked_for(kept_scene: Scene) -> None:
    async with kept_scene.open(layers=(Counting,)) as db:
        store = await db.stores.create("s")
        await store.set_many({b"%04d" % n: b"v" for n in range(3000)})
        for limit in (1, 10, 0):
            Counting.rows = 0
            assert len(await listed(store.iterate_range(b"1000", limit=limit))) == limit
            assert Counting.rows == limit


@pytest.mark.row("E-013")
async def test_a_part_of_a_big_value_costs_the_chunks_it_touches(kept_scene: Scene) -> None:
    big = bytes(range(256)) * (CHUNK_BYTES // 256 * 8) + b"end"
    async with kept_scene.open(layers=(Counting,)) as db:
        for number, config in enumerate(({}, {"compression": "gzip"}, {"format": "json"})):
            store = await db.stores.create(f"s{number}", config=config)
            await store.set(b"big", big)
            assert await store.get(b"big") == big
            assert await store.length(b"big") == len(big)
            for offset, length in (
                (0, 10), (CHUNK_BYTES - 5, 10), (3 * CHUNK_BYTES, CHUNK_BYTES), (len(big) - 3, 10),
                (len(big), 5), (5, 0), (len(big) - 7, None), (0, None),
            ):  # fmt: skip
                wanted = big[offset:] if length is None else big[offset : offset + length]
                assert await store.get_range(b"big", offset, length) == wanted
            Counting.read_bytes = 0
            await store.get_range(b"big", 3 * CHUNK_BYTES + 7, 10)
            assert Counting.read_bytes < CHUNK_BYTES * 2
            Counting.read_bytes = 0
            assert await store.has(b"big")
            assert Counting.read_bytes < 200
            # What replaces it, or removes it, takes the chunks along.
            rows = len(await rows_of(db))
            await store.set(b"big", big[::-1])
            assert await store.get(b"big") == big[::-1]
            assert len(await rows_of(db)) - rows < 3, "one row of the feed more, and no chunk"
            await store.set(b"big", b"small")
            assert len(await rows_of(db)) < rows
            assert await store.get_range(b"big", 1, 2) == b"ma"
            for wrong in ((-1, 1), (0, -1), ("0", 1), (0, True)):
                with pytest.raises(InvalidInput):
                    await store.get_range(b"big", *wrong)
            with pytest.raises(KeyNotFound):
                await store.get_range(b"nope", 0, 1)


# --- Batches and transactions ----------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_a_batch_happens_at_once(scene: Scene, kind: str) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s", kind)
        await store.set(b"old", b"1")
        before = await db.head()
        async with store.batch(comment="all") as batch:
            batch.set(b"a", b"1").set(b"b", b"2").delete(b"old").set(b"a", b"3")
            assert not await store.has(b"a")
        assert await db.head() == before + 1
        assert dict(await listed(store.iterate())) == {b"a": b"3", b"b": b"2"}
        with pytest.raises(TransactionClosed):
            batch.set(b"c", b"1")
        with pytest.raises(InvalidKey):
            async with store.batch() as batch:
                batch.set(b"c", b"1").delete(b"")
        assert not await store.has(b"c")
        assert await store.delete_many([b"a", b"a", b"nope", b"b"]) == 2
        assert await store.set_many({}) == 0
        assert await store.count() == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_transaction_is_a_store(scene: Scene, kind: str) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s", kind)
        await store.set(b"a", b"1")
        async with store.transaction() as tx:
            assert tx.active
            assert tx.name == store.name
            assert tx.path == store.path
            await tx.set(b"b", b"2")
            assert await tx.delete(b"a")
            async with tx.transaction() as inner:
                await inner.set(b"c", b"3")
                async with inner.transaction() as inmost:
                    await inmost.set(b"d", b"4")
                    await inmost.rollback()
                assert not inmost.active
                assert not await inner.has(b"d")
            with pytest.raises(InvalidKey):  # noqa: PT012 - the block is what rolls back
                async with tx.transaction() as inner:
                    await inner.set(b"b", b"lost")
                    await inner.set(b"", b"")
            assert dict(await listed(tx.iterate())) == {b"b": b"2", b"c": b"3"}
            assert dict(await listed(store.iterate())) == {b"a": b"1"}
            assert await tx.count() == 2
        assert not tx.active
        assert tx.state == "committed"
        assert tx.revision == await db.head()
        assert dict(await listed(store.iterate())) == {b"b": b"2", b"c": b"3"}
        for call in (tx.get(b"b"), tx.set(b"b", b"1"), tx.commit(), tx.rollback()):
            with pytest.raises(TransactionClosed):
                await call
        new = store.transaction()
        with pytest.raises(TransactionClosed):
            await new.get(b"b")
        await new.begin()
        with pytest.raises(TransactionClosed):
            await new.begin()
        await new.close()
        await new.close()
        async with store.transaction(read_only=True) as reading:
            assert await reading.get(b"b") == b"2"
            with pytest.raises(ReadOnly):
                await reading.set(b"b", b"3")
        with pytest.raises(InvalidInput):
            store.transaction("wrong")


@pytest.mark.parametrize("kind", KINDS)
async def test_the_second_committer_loses(scene: Scene, kind: str) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s", kind)
        await store.set(b"n", b"1")
        one, two = await store.transaction().begin(), await store.transaction().begin()
        for tx in (one, two):
            await tx.set(b"n", await tx.get(b"n") + b"+")
        await one.commit()
        with pytest.raises(Conflict):
            await two.commit()
        assert await store.get(b"n") == b"1+"
        # Write skew is seen by serializable, and not by repeatable_read.
        for level, conflict in (("serializable", True), ("repeatable_read", False)):
            await store.set_many({b"x": b"1", b"y": b"1"})
            one = await store.transaction(level).begin()
            two = await store.transaction(level).begin()
            for tx, key in ((one, b"x"), (two, b"y")):
                assert await tx.get(b"x") == await tx.get(b"y") == b"1"
                await tx.set(key, b"0")
            await one.commit()
            if conflict:
                with pytest.raises(Conflict):
                    await two.commit()
            else:
                await two.commit()


async def test_a_transaction_has_only_so_much_time(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s")
        tx = await store.transaction(timeout=5).begin()
        await tx.set(b"k", b"v")
        scene.clock.advance(4.9)
        assert await tx.has(b"k")
        scene.clock.advance(0.2)
        with pytest.raises(TransactionAborted) as raised:
            await tx.commit()
        assert raised.value.code == "TRANSACTION_ABORTED"
        assert not tx.active
        assert not await store.has(b"k")


# --- Mounts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_one_store_under_a_prefix_of_another(scene: Scene, kind: str) -> None:
    async with scene.open() as db:
        base, images = await db.stores.create("base", kind), await db.stores.create("images")
        await base.set_many({b"a": b"1", b"img/hidden": b"x", b"z": b"2"})
        await images.set_many({b"1": b"one", b"2": b"two"})
        view = base.mount(b"img/", images)
        assert await listed(view.iterate()) == [
            (b"a", b"1"), (b"img/1", b"one"), (b"img/2", b"two"), (b"z", b"2"),
        ]  # fmt: skip
        assert [key for key, _ in await listed(view.iterate(False))] == [
            b"z", b"img/2", b"img/1", b"a",
        ]  # fmt: skip
        assert await view.get(b"img/1") == b"one"
        assert not await view.has(b"img/hidden")
        assert await view.count() == 4
        assert await view.count(prefix=b"img/") == 2
        assert [k for k, _ in await listed(view.iterate_range(b"img/2", limit=2))] == [
            b"img/2", b"z",
        ]  # fmt: skip
        before = await db.head()
        async with view.batch() as batch:
            batch.set(b"b", b"3").set(b"img/3", b"three").delete(b"img/1")
        assert await db.head() == before + 1, "one commit into both"
        assert await images.get(b"3") == b"three"
        assert not await images.has(b"1")
        assert await base.get(b"b") == b"3"
        both = view.mount(b"x/", base.under(b"img/"))
        assert await both.get(b"x/hidden") == b"x"
        for wrong in (b"", b"img/deeper", b"i", "img"):
            with pytest.raises(InvalidInput):
                view.mount(wrong, images)  # type: ignore[arg-type]
        with pytest.raises(InvalidKey):
            await view.get(b"img/")
        # Versions of a store that is mounted do not disturb the view.
        await images.save_version()
        await view.set(b"img/4", b"four")
        assert await images.get(b"4") == b"four"
        async with holdfast.open(
            "memory://?name=elsewhere", components=scene.components, housekeeping=False
        ) as other:
            with pytest.raises(Unsupported):
                base.mount(b"o/", await other.stores.create("o"))


async def test_a_part_of_a_store_is_a_store(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s")
        await store.set_many({b"a": b"0", b"u/1": b"1", b"u/2": b"2", b"v": b"3"})
        part = store.under(b"u/")
        assert await listed(part.iterate()) == [(b"1", b"1"), (b"2", b"2")]
        assert await part.get(b"1") == b"1"
        await part.set(b"3", b"three")
        assert await store.get(b"u/3") == b"three"
        assert await part.delete(b"1")
        assert await part.count() == 2
        with pytest.raises(InvalidKey):
            await part.set(b"k" * 3999, b"")
        await store.close()
        with pytest.raises(StoreClosed):
            await part.get(b"3")


# --- Capabilities and configuration ----------------------------------------------------------


@pytest.mark.row("E-021")
@pytest.mark.row("E-038")
@pytest.mark.row("E-050")
@pytest.mark.parametrize("kind", KINDS)
async def test_the_probes_tell_what_works(scene: Scene, kind: str) -> None:
    """Each probe is true exactly where what it speaks of succeeds, and NOT_SUPPORTED elsewhere."""
    async with scene.open() as db:
        store = await db.stores.create("s", kind)
        await store.set(b"k", b"v")
        async with db.transaction() as tx, await db.snapshot() as snapshot:
            seen: list[Any] = [
                store,
                await tx.stores.get("s"),
                await snapshot.stores.get("s"),
                store.under(b"k"),
            ]
            for one in seen:
                assert supports_range_queries(one)
                assert isinstance(one, RangeQueryable)
                await listed(one.iterate_range())
                assert supports_transactions(one) == await _works(one, "transaction")
                assert supports_versioning(one) == await _works(one, "save_version")
            assert [supports_transactions(one) for one in seen] == [True, False, False, False]
            assert [supports_versioning(one) for one in seen] == [True, False, False, False]
        assert isinstance(store, Transactional)
        assert isinstance(store, Versioned)
        assert not supports_range_queries(object())
        capabilities = db.capabilities
        assert capabilities.persistent == (scene.engine != "memory")


async def _works(store: Any, verb: str) -> bool:
    method = getattr(store, verb, None)
    if method is None:
        return False
    try:
        if verb == "transaction":
            await (await method().begin()).close()
        else:
            await method()
    except Unsupported:
        return False
    return True


@pytest.mark.row("E-143")
@pytest.mark.row("E-099")
async def test_a_store_remembers_its_configuration(kept_scene: Scene) -> None:
    value = b"the same again and again " * 400
    async with kept_scene.open() as db:
        await (await db.stores.create("off")).set(b"k", value)
        packed = await db.stores.create(
            "on", config={"compression": "zstd", "max_versions": 3, "format": "msgpack"}
        )
        await packed.set(b"k", value)
        for number in range(5):
            await packed.set(b"n", b"%d" % number)
            await packed.save_version()
        assert await packed.list_versions() == [3, 4, 5]
    async with kept_scene.open() as db:
        packed = await db.stores.get("on")
        assert packed.config.compression == "zstd"
        assert packed.config.max_versions == 3
        assert await packed.get(b"k") == value
        rows = {}
        for name in ("off", "on"):
            store = await db.stores.get(name)
            prefix = store._content._data  # type: ignore[attr-defined]
            [(_, record)] = await rows_of(db, Range.prefix(prefix + b"k"))
            rows[name] = record.value
        assert len(rows["on"]) < len(rows["off"]) // 10
        with pytest.raises(StoreExists):
            await db.stores.open("on", config={"compression": "gzip"})
        assert await db.stores.open("on") is packed


@pytest.mark.row("E-102")
async def test_formats_are_selected(kept_scene: Scene) -> None:
    """Two stores, two forms of storage, one API; what the rows look like is what was asked for."""
    values = (b"plain text", b"", b"\xff\x00", '{"a": "ü"}'.encode())
    async with kept_scene.open() as db:
        for form in ("json", "msgpack", "raw"):
            store = await db.stores.create(form, config={"format": form})
            for number, value in enumerate(values):
                await store.set(b"%d" % number, value)
                assert await store.get(b"%d" % number) == value
            prefix = store._content._data  # type: ignore[attr-defined]
            stored = [record.value for _, record in await rows_of(db, Range.prefix(prefix))]
            if form == "json":
                assert stored[0].endswith(b'"plain text"')
                assert stored[2].endswith(b'{"base64":"/wA="}')
            elif form == "msgpack":
                assert stored[0].endswith(b"\xc4\x0aplain text")
            else:
                assert stored[0] == b"\x81\0plain text"


@pytest.mark.parametrize(
    "config",
    [
        {"kind": "nope"}, {"format": "xml"}, {"compression": "rar"}, {"max_versions": -1},
        {"initial_version": 0}, {"initial_version": 5}, {"compresion": "zstd"}, 5,
        {"max_versions": True},
    ],
    ids=str,
)  # fmt: skip
async def test_a_configuration_that_cannot_be_is_refused(scene: Scene, config: Any) -> None:
    async with scene.open() as db:
        head = await db.head()
        with pytest.raises(ConfigInvalid) as raised:
            await db.stores.create("s", config=config)
        if config == {"compresion": "zstd"}:
            assert "compression" in str(raised.value), "the near one is named"
        assert await db.head() == head


@pytest.mark.row("E-018")
async def test_values_with_a_name_and_a_path(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        store = await db.stores.create("s")
        assert store.name == "s"
        assert store.path is not None
        assert Path(store.path).exists()  # noqa: ASYNC240 - nobody waits here
        assert await db.stores.get("s") is store
        await store.close()
        await store.close()
        for call in (store.get(b"k"), store.set(b"k", b""), store.count(), store.save_version()):
            with pytest.raises(StoreClosed):
                await call
        again = await db.stores.get("s")
        assert again is not store
        await again.set(b"k", b"v")
        await db.stores.delete("s")
        with pytest.raises(StoreNotFound):
            await again.get(b"k")


@pytest.mark.row("E-048")
async def test_of_many_that_create_one_name_one_wins(scene: Scene) -> None:
    async with scene.open() as db:
        tries = await asyncio.gather(
            *(db.stores.create("s") for _ in range(32)), return_exceptions=True
        )
        assert sum(isinstance(one, StoreExists) for one in tries) == 31
        assert await db.stores.list() == ["s"]


CREATE = """
    import sys
    import holdfast.sync
    with holdfast.sync.open(sys.argv[1]) as db:
        sys.stdin.readline()
        try:
            db.stores.create("s", config={"compression": "zstd"})
        except holdfast.StoreExists:
            print("exists")
        else:
            print("made")
"""


@pytest.mark.row("E-048")
@pytest.mark.parametrize("engine", ["lmdb", "sqlite"])  # which let several processes write
async def test_of_two_processes_that_create_one_store_one_wins(tmp_path: Path, engine: str) -> None:
    scene = Scene(engine, tmp_path)
    async with scene.open() as db:
        said = created_by_two(scene.url)
        assert sorted(said) == ["exists", "made"]
        assert await db.stores.list() == ["s"]
        assert (await db.stores.get("s")).config.compression == "zstd"


def created_by_two(url: str) -> list[str]:
    """What two processes said that created one store at the same time."""
    command = [sys.executable, "-c", textwrap.dedent(CREATE), url]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = {"PYTHONPATH": str(repository.SOURCE)}
    both = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
    try:
        for one in both:
            assert one.stdin is not None
            one.stdin.write("now\n")
            one.stdin.flush()
        return [one.communicate(timeout=120)[0].strip() for one in both]
    finally:
        for one in both:
            one.kill()
            one.wait()
