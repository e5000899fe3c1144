"""Where the LMDB engine opens a database and where it refuses; what it leaves in the directory."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast.contract.config import EngineConfig
from holdfast.contract.errors import (
    ConfigInvalid,
    FormatTooNew,
    IntegrityFailed,
    NotADatabase,
    StoreClosed,
    StoreError,
    StoreLocked,
    StoreNotFound,
    Unsupported,
)
from holdfast.contract.record import Range
from holdfast.engines.embedded import network
from holdfast.engines.lmdb import LmdbConfig, byte_locks, header
from holdfast.runtime.system import drive
from tests import needs
from tests.engines.lmdb_database import (
    child,
    child_command,
    child_environment,
    driver,
    get,
    keys,
    make,
    opened,
    put,
)


def test_only_the_owner_may_read_what_is_made(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "app"
    before = os.umask(0o000)
    try:
        with opened(path) as engine:
            put(engine, b"key")
            found = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.iterdir()}
    finally:
        os.umask(before)
    assert found == dict.fromkeys(("data.mdb", "lock.mdb", "holdfast.lock", "ballast"), 0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_what_does_not_exist_is_made_only_when_that_was_meant(tmp_path: Path) -> None:
    refusing: list[dict[str, Any]] = [{"create": False}, {"read_only": True}]
    for settings in refusing:
        with pytest.raises(StoreNotFound, match="create"), opened(tmp_path / "app", **settings):
            pass
        assert not (tmp_path / "app").exists()
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "data.mdb").touch()  # A creation that was interrupted at once.
    with pytest.raises(StoreNotFound), opened(tmp_path / "app", create=False):
        pass
    with opened(tmp_path / "app") as engine:
        assert put(engine, b"key") == 1


def test_places_of_others_are_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a letter")
    with pytest.raises(NotADatabase, match="directory"), opened(file):
        pass
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "letter.txt").write_text("a letter")
    with pytest.raises(NotADatabase, match=r"letter\.txt"), opened(folder):
        pass
    assert [path.name for path in folder.iterdir()] == ["letter.txt"]
    assert file.read_text() == "a letter"


def test_lmdb_files_of_other_programs_are_refused(tmp_path: Path) -> None:
    with driver(tmp_path / "app") as environment, environment.begin(write=True) as transaction:
        transaction.put(b"their", b"row")
    with pytest.raises(NotADatabase, match="another program"), opened(tmp_path / "app"):
        pass
    with driver(tmp_path / "app") as environment, environment.begin() as transaction:
        assert transaction.stat()["entries"] == 1
        assert transaction.get(b"their") == b"row"


def test_a_format_from_the_future_is_refused_and_left_alone(tmp_path: Path) -> None:
    with opened(tmp_path / "app") as engine:
        put(engine, b"key")
    with driver(tmp_path / "app") as environment, environment.begin(write=True) as transaction:
        transaction.put(b"holdfast", b"holdfast lmdb\0\0\0\7")
    with pytest.raises(FormatTooNew) as refusal, opened(tmp_path / "app"):
        pass
    assert (refusal.value.found, refusal.value.supported) == (7, 2)


@pytest.mark.parametrize("size", [1, 100, 4096, 8191, 8192, 100_000])
def test_a_file_that_is_no_lmdb_file_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "data.mdb").write_bytes(random.Random(size).randbytes(size))
    with pytest.raises(NotADatabase, match="no LMDB file"), opened(tmp_path / "app"):
        pass


def _filled(path: Path) -> int:
    """Make a database of some hundred pages, big values and long keys among them; its size."""
    with opened(path) as engine:
        for number in range(40):
            put(engine, b"key %d" % number, bytes(1000))
            put(engine, b"big %d" % number, bytes(20_000))
            put(engine, b"long %d " % number * 100, bytes(100))
    return (path / "data.mdb").stat().st_size


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    """LMDB alone dies of it (SIGBUS), with the process."""
    size = _filled(tmp_path / "app")
    whole = (tmp_path / "app" / "data.mdb").read_bytes()
    refused = 0
    for length in [*range(1, size, size // 60), size - 4096, size - 1]:
        (tmp_path / "app" / "data.mdb").write_bytes(whole[:length])
        try:
            with opened(tmp_path / "app") as engine:
                # Only unused pages were behind the new end: then nothing is missing.
                assert len(keys(engine)) == 120
                assert drive(engine.check()) == []
        except (IntegrityFailed, NotADatabase):
            refused += 1
    assert refused >= 55
    (tmp_path / "app" / "data.mdb").write_bytes(whole)
    with opened(tmp_path / "app") as engine:
        assert len(keys(engine)) == 120


def test_a_damaged_header_or_root_is_refused(tmp_path: Path) -> None:
    _filled(tmp_path / "app")
    file = tmp_path / "app" / "data.mdb"
    whole = file.read_bytes()
    roots = [
        int.from_bytes(whole[at : at + 8], sys.byteorder)
        for meta in (0, 4096)
        for at in (meta + 16 + 24 + 40, meta + 16 + 24 + 48 + 40)
    ]
    damages = [bytes(4096)] + [random.Random(seed).randbytes(4096) for seed in range(3)]
    for page in {0, *roots} - {2**64 - 1}:
        for damage in damages:
            file.write_bytes(whole[: page * 4096] + damage + whole[(page + 1) * 4096 :])
            try:
                header.examine(file)
            except (IntegrityFailed, NotADatabase):
                continue
            # The roots of the older header may be damaged: nobody looks at them.
            newest = max((0, 4096), key=lambda at: whole[at + 144 : at + 152][::-1])
            assert page not in {0, *roots[2 * (newest // 4096) :][:2]}


def test_rows_that_break_the_rules_are_found_by_the_check(tmp_path: Path) -> None:
    with opened(tmp_path / "app") as engine:
        put(engine, b"key")
        put(engine, b"long" * 200)
    with driver(tmp_path / "app") as environment:
        rows, long = environment.open_db(b"rows"), environment.open_db(b"long")
        with environment.begin(write=True) as transaction:
            transaction.put(b"from the future", (99).to_bytes(8) + b"value", db=rows)
            transaction.put(b"short", b"123", db=rows)
            transaction.drop(long, delete=False)
            transaction.put((7).to_bytes(8) + b"lost", (1).to_bytes(8), db=long)
    with opened(tmp_path / "app") as engine:
        wrong = "\n".join(drive(engine.check()))
    assert "b'from the future' has revision 99" in wrong
    assert "b'short' has revision" in wrong
    assert "leads to nothing" in wrong
    assert "are reached" in wrong


def test_one_process_opens_a_database_once(tmp_path: Path) -> None:
    with opened(tmp_path / "app") as engine:
        (tmp_path / "other").symlink_to(tmp_path / "app")
        for path in (tmp_path / "app", tmp_path / "other", tmp_path / "x" / ".." / "app"):
            with (
                pytest.raises((StoreLocked, StoreError), match="open in this process"),
                opened(path),
            ):
                pass
        assert put(engine, b"key") == 1
    with opened(tmp_path / "other") as engine:
        assert get(engine, b"key") == b"value"


def test_a_closed_engine_stays_closed(tmp_path: Path) -> None:
    with opened(tmp_path / "app") as engine:
        put(engine, b"key")
    for verb in (engine.open(), engine.read([b"key"]), engine.scan(Range()), engine.head()):
        with pytest.raises(StoreClosed):
            drive(verb)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/app", "ext4"),
        ("/data/shared/app", "nfs4"),
        ("/data/shared", "nfs4"),
        ("/data/shared folder/app", "fuse.sshfs"),
        ("/data/sharedness/app", "ext4"),
        ("/twice/app", "cifs"),
    ],
)
def test_the_file_system_of_a_directory_is_that_of_the_longest_mount(path: str, kind: str) -> None:
    mounts = (
        "/dev/vda / ext4 rw 0 0\nserver:/x /data/shared nfs4 rw 0 0\nbroken\n"
        "me@host: /data/shared\\040folder fuse.sshfs rw 0 0\n"
        "tmpfs /twice tmpfs rw 0 0\n//server/x /twice cifs rw 0 0\n"
    )
    assert network.file_system(Path(path), mounts) == kind


@needs.linux
def test_network_file_systems_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = network.file_system_of(tmp_path)
    assert here
    monkeypatch.setattr(network, "NETWORK_FILE_SYSTEMS", frozenset((here,)))
    with pytest.raises(ConfigInvalid, match="postgresql") as refusal, opened(tmp_path / "app"):
        pass
    assert refusal.value.found == here
    assert not (tmp_path / "app").exists()


READ_ONLY_MEDIUM = """
path = Path(sys.argv[1])
with opened(path, read_only=True) as engine:
    print(get(engine, b"key"), drive(engine.head()), drive(engine.check()))
try:
    with opened(path):
        print("opened for writing")
except StoreError as error:
    print("refused")
"""


@needs.private_mounts
def test_a_read_only_medium_is_read(tmp_path: Path) -> None:
    with opened(tmp_path / "app") as engine:
        put(engine, b"key", b"1")
    for name in ("lock.mdb", "holdfast.lock", "ballast"):
        (tmp_path / "app" / name).unlink()
    command = child_command(
        "from holdfast.contract.errors import StoreError\n" + READ_ONLY_MEDIUM, tmp_path / "app"
    )
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    answer = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, tmp_path, *command],
        capture_output=True,
        text=True,
        env=child_environment(),
        timeout=50,
        check=False,
    )
    assert answer.stdout == "b'1' 1 []\nrefused\n", answer.stderr


HOLDER = """
with opened(Path(sys.argv[1])) as engine:
    put(engine, b"key")
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_process_of_another_container_is_refused(tmp_path: Path) -> None:
    """What the other one noted is written over: the rest is as it is between containers."""
    path = tmp_path / "app"
    with child(HOLDER, path):
        lock = path / "holdfast.lock"
        here = lock.read_text()
        lock.write_text(here.replace("pid:[", "pid:[9"))
        with pytest.raises(StoreLocked, match="sqlite") as refusal, opened(path):
            pass
        assert refusal.value.here == here
        lock.write_text(here)
        with opened(path) as engine:
            assert get(engine, b"key") == b"value"
    # What a dead process noted counts for nothing.
    (path / "holdfast.lock").write_text("another boot pid:[1]")
    with opened(path) as engine:
        assert get(engine, b"key") == b"value"


@needs.process_namespaces
def test_a_real_process_id_namespace_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "app"
    command = child_command(HOLDER, path)
    with child(HOLDER, path):
        answer = subprocess.run(
            ["unshare", "--map-root-user", "--pid", "--fork", "--mount-proc", *command],
            capture_output=True,
            text=True,
            env=child_environment(),
            timeout=50,
            check=False,
        )
    assert "StoreLocked" in answer.stderr
    assert "one process-id namespace" in answer.stderr


def test_the_address_and_the_settings_are_one_thing() -> None:
    config: EngineConfig = LmdbConfig.from_url("lmdb:///app?map_size=64MiB&durability=relaxed")
    assert isinstance(config, LmdbConfig)
    assert (config.path, config.map_size, config.map_size_max) == (Path("app"), 2**26, 2**40)
    assert LmdbConfig.from_url(config.url) == config
    for wrong in (
        "map_size=1KiB",
        "map_size=2TiB&map_size_max=1GiB",
        "durability=server",
        "readers_max=0",
        "ballast=-1",
        "lock_timeout=-1",
        "snapshot_age_max=0",
        "color=red",
    ):
        with pytest.raises(ConfigInvalid):
            LmdbConfig.from_url(f"lmdb:///app?{wrong}")


def test_relaxed_mode_is_refused_where_a_death_would_go_unnoticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, which has no such file locks."""
    monkeypatch.setattr(byte_locks, "AVAILABLE", False)
    with pytest.raises(Unsupported, match="sqlite"), opened(tmp_path / "a", durability="relaxed"):
        pass
    with opened(tmp_path / "a") as engine:
        assert put(engine, b"key") == 1
        drive(engine.compact())
        assert get(engine, b"key") == b"value"


def test_a_closed_engine_that_was_never_open_closes(tmp_path: Path) -> None:
    drive(make(tmp_path / "app").close())
    assert not (tmp_path / "app").exists()
