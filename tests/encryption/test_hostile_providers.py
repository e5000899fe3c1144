"""Providers of keys that give what they should not: nothing is stored that cannot be read again."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.errors import ConfigInvalid, DecryptionFailed, DriverMissing, StoreError
from holdfast.encryption import Encryption, EnvironmentKeys, KeyProvider, Wrapped
from holdfast.layers.encrypt.cipher import Cipher
from holdfast.layers.encrypt.ring import Ring
from holdfast.store.encrypted import encryption_of
from holdfast.store.encryption.settings import missing
from tests.encryption.keys import SeededKeys
from tests.store.scene import until


class Service(KeyProvider):
    """A key service whose answers a test changes."""

    def __init__(self) -> None:
        self.master = Cipher(os.urandom(32))
        self.wraps: Callable[[Wrapped], Any] = lambda found: found
        self.unwraps: Callable[[bytes], Any] = lambda found: found

    def wrap(self, name: str, data_key: bytes, context: bytes) -> Any:
        return self.wraps(Wrapped("1", self.master.seal(data_key, context)))

    def unwrap(self, name: str, wrapped: Wrapped, context: bytes) -> Any:
        return self.unwraps(self.master.open(wrapped.blob, context))


BAD_WRAPS: dict[str, Callable[[Wrapped], Any]] = {
    "nothing": lambda _: None,
    "a number as version": lambda found: Wrapped(1, found.blob),  # type: ignore[arg-type]
    "a text": lambda found: Wrapped("1", found.blob.hex()),  # type: ignore[arg-type]
    "half a letter": lambda found: Wrapped("\ud800", found.blob),
    "no bytes": lambda _: Wrapped("1", b""),
    "too many bytes": lambda _: Wrapped("1", bytes(65_537)),
    "too long a version": lambda found: Wrapped("1" * 3_000, found.blob),
    "three": lambda found: ("1", found.blob, 3),
    "another key": lambda found: Wrapped("1", found.blob[:-1] + b"?"),
}
BAD_UNWRAPS: dict[str, Callable[[bytes], Any]] = {
    "nothing": lambda _: None,
    "short": lambda found: found[:31],
    "a text": lambda found: found.hex()[:32],
    "another": lambda _: bytes(32),
}


@pytest.mark.row("E-129")
@pytest.mark.parametrize("which", BAD_WRAPS)
def test_what_cannot_be_unwrapped_again_is_never_stored(which: str, tmp_path: Path) -> None:
    service = Service()
    url = f"lmdb:///{tmp_path}/app"
    encryption = Encryption(service, names={"stores/*": "{name}"})
    service.wraps = BAD_WRAPS[which]
    with pytest.raises(StoreError):
        holdfast.sync.open(url, encryption=encryption)
    service.wraps = lambda found: found
    with holdfast.sync.open(url, encryption=encryption) as db:
        db.entries.set("a:b", 1)
        keys = db.data_keys.list()
        service.wraps = BAD_WRAPS[which]
        for call in (
            db.data_keys.rotate,
            db.data_keys.wrap_anew,
            lambda: db.stores.create("acme").set(b"k", b"v"),
        ):
            with pytest.raises(StoreError) as told:
                call()
            assert type(told.value) in (ConfigInvalid, DecryptionFailed)
        service.wraps = lambda found: found
        assert db.data_keys.list() == keys
    with holdfast.sync.open(url, encryption=encryption) as db:
        assert db.entries.require("a:b").value == 1
        db.stores.get("acme").set(b"k", b"v")
        assert db.data_keys.rotate().version == 2
        assert db.check() == []


@pytest.mark.parametrize("which", BAD_UNWRAPS)
def test_what_is_no_key_is_told_without_being_shown(which: str, tmp_path: Path) -> None:
    service = Service()
    url = f"lmdb:///{tmp_path}/app"
    with holdfast.sync.open(url, encryption=Encryption(service)) as db:
        db.entries.set("a:b", 1)
    service.unwraps = BAD_UNWRAPS[which]
    with pytest.raises((ConfigInvalid, DecryptionFailed)) as told:
        holdfast.sync.open(url, encryption=Encryption(service))
    assert b"\\x" not in str(told.value).encode()
    service.unwraps = lambda found: found
    with holdfast.sync.open(url, encryption=Encryption(service)) as db:
        assert db.entries.require("a:b").value == 1


def test_a_provider_that_hangs_holds_up_nobody_else(tmp_path: Path) -> None:
    asyncio.run(_hangs_while_others_go_on(tmp_path))


async def _hangs_while_others_go_on(tmp_path: Path) -> None:
    service, go_on, asked = Service(), threading.Event(), threading.Event()

    def hangs(found: bytes) -> bytes:
        asked.set()
        go_on.wait(20)
        return found

    encryption = Encryption(service, names={"stores/*": "{name}"})
    async with holdfast.open(f"lmdb:///{tmp_path}/app", encryption=encryption) as db:
        await db.entries.set("a:b", 1)
        store = await db.stores.create("acme")
        service.unwraps = hangs
        writing = asyncio.ensure_future(store.set(b"k", b"v"))
        try:
            await until(asked.is_set)
            await db.entries.set("a:b", 2)
            assert (await db.entries.require("a:b")).value == 2
            other = holdfast.open(f"lmdb:///{tmp_path}/other", encryption=Encryption(SeededKeys()))
            async with other as another:
                await another.entries.set("a:b", 1)
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
        finally:
            go_on.set()
        service.unwraps = lambda found: found
        assert await store.get(b"k", None) is None
        await store.set(b"k", b"v")
        assert await db.check() == []


def test_an_open_that_was_cancelled_in_a_provider_can_be_asked_for_again(tmp_path: Path) -> None:
    asyncio.run(_cancelled_while_it_opens(tmp_path))


async def _cancelled_while_it_opens(tmp_path: Path) -> None:
    service, go_on, asked = Service(), threading.Event(), threading.Event()

    def hangs(found: bytes) -> bytes:
        asked.set()
        go_on.wait(20)
        return found

    url, encryption = f"lmdb:///{tmp_path}/app", Encryption(service)
    async with holdfast.open(url, encryption=encryption) as db:
        await db.entries.set("a:b", 1)
    service.unwraps = hangs
    opening = asyncio.ensure_future(holdfast.open(url, encryption=encryption).open())
    try:
        await until(asked.is_set)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        service.unwraps = lambda found: found
        async with holdfast.open(url, encryption=encryption) as db:
            assert (await db.entries.require("a:b")).value == 1
    finally:
        go_on.set()


@pytest.mark.parametrize("given", ["file:app.keys", None, b"k" * 32, EnvironmentKeys])
def test_what_keeps_no_keys_is_refused_at_once(given: Any) -> None:
    with pytest.raises(ConfigInvalid, match="takes a KeyProvider") as told:
        Encryption(given)
    assert "kkk" not in str(told.value)


def test_a_text_in_place_of_fields_is_not_every_field() -> None:
    """`people.*` is made of texts, one of which is `*`."""
    given: Any
    for given in ("people.*", None, (5,)):
        with pytest.raises(ConfigInvalid, match="plain_indexes is a tuple"):
            Encryption(SeededKeys(), plain_indexes=given)
    for given in ([("a/b", "c")], {"stores/a": 5}, {5: "a"}, {"stores/a": ""}):
        with pytest.raises(ConfigInvalid, match="names of keys"):
            Encryption(SeededKeys(), names=given)


def test_only_a_missing_cipher_is_told_as_one() -> None:
    told = missing(ModuleNotFoundError("no", name="cryptography.hazmat"))
    assert isinstance(told, DriverMissing)
    for name in ("boto3", "holdfast.layers.encrypt.ring", None):
        with pytest.raises(ImportError) as raised:
            missing(ImportError("broken", name=name))
        assert not isinstance(raised.value, DriverMissing)


def test_an_older_ring_never_takes_the_place_of_a_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread has read the ring when another goes on with a later one."""
    url = f"lmdb:///{tmp_path}/app"
    with holdfast.sync.open(url, encryption=Encryption(SeededKeys())) as db:
        db.entries.set("a:b", 1)
        layer = encryption_of(db._inner._open_engine())
        assert layer is not None
        keeper, rows = layer.keeper, layer.rows
        old, old_revision = rows.ring, keeper.revision
        assert old_revision is not None
        use, late = rows.use, threading.Event()
        threads: list[threading.Thread] = []

        def goes_on() -> None:
            keeper._go_on(old, old_revision)
            late.set()

        def used(ring: Ring) -> None:
            use(ring)
            if ring.generation > old.generation and not threads:
                threads.append(threading.Thread(target=goes_on))
                threads[0].start()
                late.wait(0.2)

        monkeypatch.setattr(rows, "use", used)
        db.data_keys.rotate(rewrite=False)
        threads[0].join()
        assert rows.ring.active["database"].version == 2
        assert keeper.revision is not None
        assert keeper.revision > old_revision
