"""Rows that do not open stop no rotation: it goes on, names them, and a second one looks again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import holdfast.sync
from holdfast.contract.errors import DecryptionFailed, InvalidInput
from holdfast.encryption import Encryption
from holdfast.layers.encrypt import walk
from holdfast.store import layout
from tests.cli.conftest import Cli, cli
from tests.encryption.keys import SeededKeys
from tests.encryption.test_refusals import overwrite, put, rows_of
from tests.encryption.test_rotation import numbers_of

__all__ = ["cli"]

ENCRYPTION = Encryption(SeededKeys(), names={"stores/acme": "acme"})


def opened(folder: Path, encryption: Encryption = ENCRYPTION) -> Any:
    return holdfast.sync.open(f"sqlite:///{folder}/app.db", encryption=encryption)


@pytest.fixture
def damaged(tmp_path: Path) -> dict[bytes, bytes]:
    """A database with forty entries, of which two rows were changed; what these were."""
    with opened(tmp_path) as db:
        for number in range(40):
            db.entries.set(f"a:{number:02}", number)
        db.stores.create("acme").set(b"k", b"theirs")
    prefix = layout.region(1, layout.DATA)
    keys = sorted(key for key in rows_of(tmp_path, prefix) if key.startswith(prefix))
    before = {}
    for key in (keys[11], keys[30]):
        stored = before[key] = rows_of(tmp_path, key)[key].value
        overwrite(tmp_path, one=put(key, stored[:-1] + bytes([stored[-1] ^ 1])))
    return before


def mend(folder: Path, before: dict[bytes, bytes]) -> None:
    for key, stored in before.items():
        overwrite(folder, one=put(key, stored))


@pytest.mark.row("E-129")
def test_damaged_rows_are_left_named_and_looked_at_again(
    tmp_path: Path, damaged: dict[bytes, bytes]
) -> None:
    with opened(tmp_path) as db:
        with pytest.raises(DecryptionFailed, match="2 rows do not open") as told:
            db.data_keys.rotate()
        assert (told.value.rows, told.value.count) == (tuple(sorted(damaged)), 2)
        assert told.value.name == "database"
        assert numbers_of(db)[1] == 2, "all others are under the new key"
        assert db.entries.require("a:05").value == 5
        with pytest.raises(InvalidInput, match="which of them do not open"):
            db.data_keys.forget()
        # Another key is rotated meanwhile, and the damage is named again by whoever asks again.
        assert [one.in_rotation for one in db.data_keys.list()] == [False, True, False]
        seen: list[tuple[int, int]] = []
        with pytest.raises(DecryptionFailed, match="2 rows do not open"):
            db.data_keys.rotate(progress=lambda *so_far: seen.append(so_far))
        assert {changed for _, changed in seen} == {seen[0][1]}, "what is done is not done again"
        assert max(one.version for one in db.data_keys.list()) == 2
    mend(tmp_path, damaged)
    with opened(tmp_path) as db:
        done = db.data_keys.rotate()
        assert (done.version, done.resumed) == (2, True)
        assert [db.entries.require(f"a:{number}").value for number in (11, 30)] == [11, 30]
        assert db.data_keys.forget() == [1]
        assert db.check() == []
        assert db.data_keys.rotate().version == 3


@pytest.mark.row("E-129")
def test_what_was_left_stops_neither_other_keys_nor_the_next_version(
    tmp_path: Path, damaged: dict[bytes, bytes]
) -> None:
    with opened(tmp_path) as db:
        with pytest.raises(DecryptionFailed):
            db.data_keys.rotate()
        assert db.data_keys.rotate("acme", rewrite=False).version == 2
        with pytest.raises(DecryptionFailed):
            db.data_keys.rotate()
        done = db.data_keys.rotate(rewrite=False)
        assert (done.version, done.resumed) == (3, False)
        db.entries.set("a:00", "new")
        with pytest.raises(DecryptionFailed, match="2 rows do not open"):
            db.data_keys.rotate()
        assert set(numbers_of(db)) == {1, 2, 6}, "the damaged two, that of acme, the newest"
        assert db.data_keys.rotate("acme").version == 3
        assert db.entries.require("a:00").value == "new"


@pytest.mark.row("E-129")
def test_rows_under_a_lost_version_are_left_and_a_killed_walk_forgets_none(
    tmp_path: Path, damaged: dict[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "STEP_ROWS", 4)
    monkeypatch.setattr(walk, "NOTED_ROWS", 8)
    monkeypatch.setattr(walk, "NAMED_ROWS_MAX", 1)

    def stop(looked_at: int, _changed: int) -> None:
        if looked_at > 60:
            raise KeyboardInterrupt

    with opened(tmp_path) as db:
        with pytest.raises(KeyboardInterrupt):
            db.data_keys.rotate(progress=stop)
        # The walk had passed the first of them when it was killed, and noted so.
        with pytest.raises(DecryptionFailed) as told:
            db.data_keys.rotate()
        assert (told.value.rows, told.value.count) == ((min(damaged),), 2)
        with opened(tmp_path) as other:
            other.data_keys.rotate("acme", rewrite=False)
    keys = LostVersion()
    with opened(tmp_path, Encryption(keys, names={"stores/acme": "acme"})) as db:
        keys.lost_version = "1"
        store = db.stores.get("acme")
        with pytest.raises(DecryptionFailed, match="2 rows do not open") as told:
            db.data_keys.rotate("acme")
        assert "the service does not have it" in str(told.value.__cause__)
        keys.lost_version = ""
        assert db.data_keys.rotate("acme").resumed
        assert store.get(b"k") == b"theirs"


class LostVersion(SeededKeys):
    """Keys whose service does not unwrap one version of the data keys of `acme` at a time."""

    lost_version = ""

    def unwrap(self, name: str, wrapped: Any, context: bytes) -> bytes:
        if name == "acme" and context[4:] == int(self.lost_version or 0).to_bytes(4, "big"):
            raise DecryptionFailed("the service does not have it")
        return super().unwrap(name, wrapped, context)


@pytest.mark.row("E-129")
def test_the_command_names_what_it_had_to_leave(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "app.keys"
    url = f"sqlite:///{tmp_path}/app.db"
    assert cli("encryption", "new", str(keys)).code == 0
    monkeypatch.setenv("HOLDFAST_ENCRYPTION", f"file:{keys}")
    assert cli("set", "a:b", "1", "--url", url).code == 0
    prefix = layout.region(1, layout.DATA)
    [(key, record)] = rows_of(tmp_path, prefix).items()
    overwrite(tmp_path, one=put(key, record.value[:-1] + bytes([record.value[-1] ^ 1])))
    told = cli("encryption", "rotate", "--url", url)
    assert told.code == 4
    assert "1 row does not open" in told.err
    assert f"0x{key.hex()}" in told.err
