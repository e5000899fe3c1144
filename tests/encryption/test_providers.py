"""Key files, keys in the environment, a key service: what they hold and what they refuse."""

from __future__ import annotations

import errno
import json
import os
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

import holdfast.sync
from holdfast.contract.errors import ConfigInvalid, DecryptionFailed, StorageFull, StoreExists
from holdfast.encryption import (
    CallableKeys,
    Encryption,
    EnvironmentKeys,
    FileKeys,
    KeyProvider,
    Wrapped,
)
from holdfast.layers.encrypt import key_file
from holdfast.layers.encrypt.cipher import Cipher

KEY = b64encode(b"k" * 32).decode()


def test_a_key_file_makes_the_keys_that_are_wanted_and_keeps_them(tmp_path: Path) -> None:
    keys = FileKeys.create(tmp_path / "keys")
    assert (tmp_path / "keys").stat().st_mode & 0o077 == 0
    wrapped = keys.wrap("acme", b"d" * 32, b"context")
    again = FileKeys(tmp_path / "keys")
    assert again.unwrap("acme", wrapped, b"context") == b"d" * 32
    for name, context in (("acme", b"other"), ("globex", b"context")):
        with pytest.raises(DecryptionFailed):
            again.unwrap(name, wrapped, context)
    again.renew("acme")
    assert again.wrap("acme", b"d" * 32, b"").version == "2"
    assert again.unwrap("acme", wrapped, b"context") == b"d" * 32
    again.destroy("acme")
    again.destroy("acme")
    with pytest.raises(DecryptionFailed, match="'acme' in version 1 was wanted") as told:
        keys.unwrap("acme", wrapped, b"context")
    assert told.value.versions == ["1"]
    with pytest.raises(StoreExists, match="never written over"):
        FileKeys.create(tmp_path / "keys")


def test_what_a_killed_process_left_goes_with_the_key_that_it_holds(tmp_path: Path) -> None:
    keys = FileKeys.create(tmp_path / "keys")
    keys.renew("acme")
    keys.renew("globex")
    left = tmp_path / "keys.partial"
    left.write_bytes((tmp_path / "keys").read_bytes())
    _, key = keys.newest("acme")
    keys.destroy("acme")
    assert keys.version("globex", "1") is not None
    for path in tmp_path.iterdir():
        assert b64encode(key) not in path.read_bytes()
    # Nor are keys written into what somebody else put in the place of the new file.
    left.symlink_to(tmp_path / "elsewhere")
    keys.renew("globex")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("number", "raised"), [(errno.ENOSPC, StorageFull), (errno.EROFS, ConfigInvalid)]
)
def test_a_key_file_that_cannot_be_written_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, raised: type[Exception]
) -> None:
    keys = FileKeys.create(tmp_path / "keys")
    keys.renew("database")
    before = keys.newest("database")

    def refuse(_handle: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(raised, match="key file"):
            keys.renew("database")
    assert keys.newest("database") == before
    assert not list(tmp_path.glob("*.partial"))
    with pytest.raises(ConfigInvalid, match="a directory that is there"):
        FileKeys.create(tmp_path / "none" / "keys")


@pytest.mark.platform("modes of files, which Windows has not")
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    keys = FileKeys.create(tmp_path / "keys")
    (tmp_path / "keys").chmod(0o640)
    with pytest.raises(ConfigInvalid, match="chmod 600"):
        keys.newest("database")


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", '{"keys": []}', '{"keys": {"a": []}}', '{"keys": {"a": {"x": ""}}}',
        '{"keys": {"a": {"1": 7}}}', '{"keys": {"a": {"1": "c2hvcnQ="}}}',
        '{"keys": {"a": {"1": "no base64!"}}}',
    ],
)  # fmt: skip
def test_a_file_of_something_else_is_refused_and_not_shown(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigInvalid) as told:
        FileKeys(path).newest("a")
    assert "c2hvcnQ" not in str(told.value)
    assert path.read_text() == content


def test_a_file_that_is_not_there_or_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DecryptionFailed, match=r"No such file.*`holdfast encryption new`"):
        FileKeys(tmp_path / "keys").newest("database")
    assert list(tmp_path.iterdir()) == []
    keys = FileKeys.create(tmp_path / "keys")
    keys.renew("database")
    monkeypatch.setattr(key_file, "FILE_BYTES_MAX", 10)
    with pytest.raises(ConfigInvalid, match="something else"):
        keys.newest("database")
    monkeypatch.setattr(key_file, "FILE_BYTES_MAX", 10_000)
    monkeypatch.setattr(key_file, "VERSIONS_MAX", 1)
    with pytest.raises(ConfigInvalid, match="at most 1 versions"):
        keys.renew("database")


@pytest.mark.parametrize(
    "text", ["", "short", "c2hvcnQ=", f"{KEY},c2hvcnQ=", ",".join([KEY] * 1001)]
)
def test_a_variable_without_keys_is_refused_and_not_shown(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_KEYS", text)
    with pytest.raises((ConfigInvalid, DecryptionFailed), match="APP_KEYS") as told:
        EnvironmentKeys("APP_KEYS").newest("database")
    assert "c2hvcnQ" not in str(told.value)
    assert KEY not in str(told.value)


def test_names_in_the_environment_have_keys_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_KEYS", KEY)
    keys = EnvironmentKeys("APP_KEYS")
    one, other = keys.newest("database")[1], keys.newest("acme")[1]
    assert one != other
    assert len(one) == len(other) == 32
    assert keys.version("acme", "1") == other
    assert keys.version("acme", "2") is None


@pytest.mark.parametrize("found", [b"k" * 32, ("1", b"short"), ("1", "k" * 32), (1, b"k" * 32)])
def test_a_function_that_gives_something_else_is_refused(found: Any) -> None:
    with pytest.raises(ConfigInvalid, match="gives \\(version, 32 bytes\\)") as told:
        CallableKeys(lambda _name, _version: found).newest("database")
    assert "kkkk" not in str(told.value)


class KeyService(KeyProvider):
    """A key management service in this process: master keys never leave it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.masters: dict[str, list[bytes]] = {}

    def wrap(self, name: str, data_key: bytes, context: bytes) -> Wrapped:
        self.calls.append("wrap")
        versions = self.masters.setdefault(name, [os.urandom(32)])
        return Wrapped(str(len(versions)), Cipher(versions[-1]).seal(data_key, context))

    def unwrap(self, name: str, wrapped: Wrapped, context: bytes) -> bytes:
        self.calls.append("unwrap")
        return Cipher(self.masters[name][int(wrapped.version) - 1]).open(wrapped.blob, context)

    def destroy(self, name: str) -> None:
        self.masters.pop(name, None)


@pytest.mark.row("E-129")
def test_a_key_service_is_asked_once_for_each_key(tmp_path: Path) -> None:
    service = KeyService()
    url, encryption = f"lmdb:///{tmp_path}/app", Encryption(service, names={"stores/*": "{name}"})
    with holdfast.sync.open(url, encryption=encryption) as db:
        for name in ("one", "two"):
            store = db.stores.create(name)
            for number in range(10):
                store.set(b"%d" % number, b"v")
    service.calls.clear()
    with holdfast.sync.open(url, encryption=encryption) as db:
        assert service.calls == ["unwrap"], "the database's own; others when they are wanted"
        for _ in range(3):
            assert db.stores.get("one").get(b"1") == b"v"
        assert service.calls == ["unwrap"] * 2
        db.data_keys.destroy("one")
        assert db.stores.get("two").get(b"1") == b"v"
    del service.masters["database"]
    with pytest.raises(DecryptionFailed, match="KeyService failed with a KeyError"):
        holdfast.sync.open(url, encryption=encryption)


def test_a_key_file_is_json_that_other_programs_can_write(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(json.dumps({"keys": {"database": {"1": KEY}}}))
    path.chmod(0o600)
    with holdfast.sync.open(f"lmdb:///{tmp_path}/app?encryption=file:{path}") as db:
        db.entries.set("a:b", 1)
        assert [one.master for one in db.data_keys.list()] == ["1"]
