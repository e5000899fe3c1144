"""Backups shipped again and again restore what stood there, whatever the shipper went through."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.backups.following import Round
from holdfast.backups.shipping import Place
from holdfast.contract.errors import (
    DriverMissing,
    InvalidInput,
    NotADatabase,
    StoreNotFound,
    VersionNotFound,
)
from tests.backups.test_backups import filled
from tests.store.scene import Scene, rows_of, until, url_of

Rows = list[Any]


async def restored(scene: Scene, place: Path | str, **options: Any) -> Rows:
    """The rows of what is restored from a place, which its own check found right."""
    folder = scene.folder / f"restored-{len(list(scene.folder.iterdir()))}"
    folder.mkdir()
    url = url_of(scene.engine, folder)
    await holdfast.restore([place], url, components=scene.components, **options)
    async with scene.handle(url) as db:
        assert await db.check() == []
        return await rows_of(db)


@pytest.mark.row("E-133")
async def test_what_was_shipped_restores_to_each_revision_that_was_shipped(
    kept_scene: Scene, tmp_path: Path
) -> None:
    place = tmp_path / "shipped"
    moments: list[tuple[int, Rows]] = []
    async with kept_scene.open() as db:
        await filled(db, 30)
        for n in range(4):
            done = await holdfast.follow(kept_scene.url, place, once=True)
            moments.append((done.revision, await rows_of(db)))
            await db.entries.set(f"a:{n}", n)
            await db.entries.delete(f"users/active:{n + 10:05}")
    assert [one.name for one in sorted(place.iterdir())] == [
        "00000001.full", "00000002.more", "00000003.more", "00000004.more",
    ]  # fmt: skip
    for revision, rows in moments:
        assert await restored(kept_scene, place, to=revision) == rows
    assert await restored(kept_scene, place) == moments[-1][1]
    with pytest.raises(VersionNotFound):
        await restored(kept_scene, place, to=1)


async def test_another_full_one_follows_many_and_what_is_of_another_database(
    kept_scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.backups.shipping.CONTINUED_MAX", 2)
    place = tmp_path / "shipped"
    rounds: list[Round] = []
    async with kept_scene.open() as db:
        await db.entries.set("a:1", 1)
        work = holdfast.follow(kept_scene.url, place, interval=0.001, progress=rounds.append)
        task = asyncio.create_task(work)
        for n in range(6):
            await db.entries.set("a:1", n)
            await until(lambda: bool(rounds) and rounds[-1].revision >= db.revision)
        task.cancel()
        await asyncio.wait([task])
        rows = await rows_of(db)
    names = [one.name for one in sorted(place.iterdir())]
    assert [one.partition(".")[2] for one in names[:4]] == ["full", "more", "more", "full"]
    assert "2 backups continue" in rounds[3].reason
    assert await restored(kept_scene, place) == rows
    early = rounds[1].revision
    assert {one.revision for one in [row[1] for row in await restored(kept_scene, place, to=early)]}
    other = f"sqlite:///{tmp_path / 'other.db'}"
    async with holdfast.open(other) as db:
        await db.entries.set("b:1", 1)
        await holdfast.follow(other, place, once=True, progress=rounds.append)
        assert "another database" in rounds[-1].reason
        assert await restored(kept_scene, place) == await rows_of(db)


async def test_a_torn_backup_is_written_once_more_and_left_out_of_a_restore(
    kept_scene: Scene, tmp_path: Path
) -> None:
    place = tmp_path / "shipped"
    async with kept_scene.open() as db:
        await filled(db, 10)
        await holdfast.follow(kept_scene.url, place, once=True)
        first = await rows_of(db)
        await db.entries.set("a:1", 1)
        await holdfast.follow(kept_scene.url, place, once=True)
        last = place / "00000002.more"
        whole = last.read_bytes()
        last.write_bytes(whole[: len(whole) // 2])
        assert await restored(kept_scene, place) == first
        await holdfast.follow(kept_scene.url, place, once=True)
        assert await restored(kept_scene, place) == await rows_of(db)
        (place / "00000001.full").write_bytes(b"torn")
        with pytest.raises(NotADatabase):
            await restored(kept_scene, place)


async def test_a_backup_that_cannot_be_read_is_neither_removed_nor_left_out(
    kept_scene: Scene, tmp_path: Path
) -> None:
    place = tmp_path / "shipped"
    async with kept_scene.open() as db:
        for n in range(2):
            await db.entries.set("a:1", n)
            await holdfast.follow(kept_scene.url, place, once=True)
        last = place / "00000002.more"
        last.rename(tmp_path / "aside")
        last.mkdir()  # It opens no more than what a file system fails to read.
        with pytest.raises(InvalidInput, match="cannot be used"):
            await holdfast.follow(kept_scene.url, place, once=True)
        with pytest.raises(InvalidInput, match="cannot be used"):
            await restored(kept_scene, place)
        assert last.is_dir()


async def test_a_backup_that_has_just_begun_is_left_out_of_a_restore(
    kept_scene: Scene, tmp_path: Path
) -> None:
    place = tmp_path / "shipped"
    async with kept_scene.open() as db:
        await db.entries.set("a:1", 1)
        await holdfast.follow(kept_scene.url, place, once=True)
        (place / "00000002.more").touch()
        assert await restored(kept_scene, place) == await rows_of(db)
        await holdfast.follow(kept_scene.url, place, once=True)
    names = sorted(one.name for one in place.iterdir())
    assert names == ["00000001.full", "00000002.more"]
    assert (place / names[1]).stat().st_size


@pytest.mark.parametrize("error", [KeyError, SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_a_backup_that_fails_leaves_no_object_and_tells_why(
    tmp_path: Path, error: type[BaseException]
) -> None:
    def work(stream: Any) -> None:
        stream.write(b"begun")
        raise error("why")

    with pytest.raises(error, match="why"):
        Place(tmp_path).write("00000001.full", work)
    assert list(tmp_path.iterdir()) == []


async def test_where_what_was_shipped_is_removed_a_full_backup_follows(
    kept_scene: Scene, tmp_path: Path
) -> None:
    place = tmp_path / "shipped"
    rounds: list[Round] = []
    async with kept_scene.open() as db:
        await db.entries.set("a:1", 1)
        work = holdfast.follow(kept_scene.url, place, interval=0.001, progress=rounds.append)
        task = asyncio.create_task(work)
        for n in range(2, 4):
            await until(lambda: bool(rounds) and rounds[-1].revision >= db.revision)
            await db.entries.set("a:1", n)
        await until(lambda: rounds[-1].revision >= db.revision)
        (place / "00000001.full").unlink()  # As a rule of the bucket does it.
        await db.entries.set("a:1", 4)
        await until(lambda: rounds[-1].revision >= db.revision)
        assert "is gone" in rounds[-1].reason
        assert await restored(kept_scene, place) == await rows_of(db)
        for one in place.iterdir():
            one.unlink()
        await db.entries.set("a:1", 5)
        await until(lambda: rounds[-1].revision >= db.revision)
        assert await restored(kept_scene, place) == await rows_of(db)
        task.cancel()
        await asyncio.wait([task])


async def test_a_moment_between_the_last_of_one_chain_and_the_next_full_one_comes_back(
    kept_scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.backups.shipping.CONTINUED_MAX", 0)
    place = tmp_path / "shipped"
    moments: list[tuple[int, int]] = []
    async with kept_scene.open() as db:
        for n in range(6):
            await db.entries.set("a:1", n)
            moments.append((db.revision, n))
            if n % 2:
                await holdfast.follow(kept_scene.url, place, once=True)
    assert {one.suffix for one in place.iterdir()} == {".full"}
    for at, n in moments:
        url = url_of(kept_scene.engine, tmp_path / f"restored-{n}")
        (tmp_path / f"restored-{n}").mkdir()
        done = await holdfast.restore([place], url, at=at, components=kept_scene.components)
        assert done.revision == at
        async with kept_scene.handle(url) as db:
            assert (await db.entries.require("a:1")).value == n


async def test_without_fsspec_a_shipper_says_what_it_needs(
    kept_scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    async with kept_scene.open() as db:
        await db.entries.set("a:1", 1)
        with pytest.raises(DriverMissing, match="need the package fsspec"):
            await holdfast.follow(kept_scene.url, tmp_path / "shipped", once=True)
        with pytest.raises(DriverMissing, match="need the package fsspec"):
            await db.backup("memory://one.backup")


async def test_places_that_hold_nothing_are_told(kept_scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(NotADatabase, match="nothing was shipped"):
        await restored(kept_scene, tmp_path)
    async with kept_scene.open() as db:
        await db.entries.set("a:1", 1)
        with pytest.raises(InvalidInput, match="interval"):
            await holdfast.follow(kept_scene.url, tmp_path / "x", interval=0)
    with pytest.raises(StoreNotFound):
        await holdfast.follow(f"sqlite:///{tmp_path / 'absent.db'}", tmp_path / "x", once=True)


# --- An object store for real -------------------------------------------------------------------


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a server that speaks S3."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("backups")
        yield "s3://backups"
    finally:
        server.stop()


SHIPPER = """
import sys, holdfast.sync

def told(one):
    print(one.revision, flush=True)

holdfast.sync.follow(sys.argv[1], sys.argv[2], interval=0.001, progress=told)
"""


def _leave(_rows: int, _bytes: int) -> None:
    raise SystemExit


@pytest.mark.row("E-133")
def test_backups_go_to_an_object_store_and_come_back(bucket: str, tmp_path: Path) -> None:
    import s3fs

    url, place = f"lmdb:///{tmp_path / 'app'}", f"{bucket}/app/"
    with holdfast.sync.open(url) as db:
        db.entries.set("a:1", {"text": "x" * 1000})
        with subprocess.Popen(
            [sys.executable, "-c", SHIPPER, url, place], stdout=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        ) as shipper:  # fmt: skip
            assert shipper.stdout is not None
            shipper.stdout.readline()
            for n in range(3):
                db.entries.set(f"shipped:{n}", n)
                while int(shipper.stdout.readline()) < db.revision:
                    pass
            db.entries.set("late:1", 1)
            shipper.send_signal(signal.SIGKILL)  # Perhaps in the middle of an upload.
        holdfast.sync.follow(url, place, once=True)
        db.backup(f"{bucket}/one.backup")
        with pytest.raises(SystemExit):
            db.backup(f"{bucket}/torn.backup", progress=_leave)
        assert [one.rpartition("/")[2] for one in s3fs.S3FileSystem().ls(bucket, refresh=True)] == [
            "app", "one.backup",
        ]  # fmt: skip
        keys = list(db.entries.keys("#"))
        for files in ([place], [f"{bucket}/one.backup"]):
            target = f"sqlite:///{tmp_path / f'restored-{len(files[0])}.db'}"
            done = holdfast.sync.restore(files, target)
            assert done.revision == db.revision
            with holdfast.sync.open(target) as other:
                assert other.check() == []
                assert list(other.entries.keys("#")) == keys
