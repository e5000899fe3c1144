"""Backups: what is restored is what stood there, whatever happened meanwhile and to the files."""

from __future__ import annotations

import asyncio
import errno
import io
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import msgspec
import pytest

import holdfast
import holdfast.sync
from holdfast.backups.framing import LAYER, ROWS, FrameReader, FrameWriter, Layer
from holdfast.backups.taking import PARTIAL
from holdfast.contract.errors import (
    Compacted,
    ConfigInvalid,
    IntegrityFailed,
    InvalidInput,
    NotADatabase,
    StorageFull,
    StoreClosed,
    StoreError,
    StoreExists,
    StoreLocked,
    StoreNotFound,
    TimedOut,
    VersionNotFound,
)
from holdfast.contract.record import Range, Record
from holdfast.database.handle import Database
from tests.store.scene import ENGINES, Scene, engine_of, listed, rows_of, url_of

Rows = list[tuple[bytes, Record]]


async def filled(db: Database, count: int = 300) -> None:
    """Something of every view: past versions, a big value, times to live, indexes, a store."""
    await db.entries.set_many(
        {f"users/active:{n:05}": {"n": n, "text": "x" * (n % 50)} for n in range(count)}
    )
    for n in range(0, min(count, 90), 3):
        await db.entries.set(f"users/active:{n:05}", {"n": -n}, modified_by="ada", comment="second")
    await db.entries.set("big:1", bytes(300_000), tags=["large"])
    await db.entries.set("short:1", 1, ttl=1000)
    await db.entries.delete("users/active:00001")
    cities = db.collection("cities")
    await cities.create_index("by population", "population")
    await cities.set("tokyo", {"population": 9_733_276})
    store = await db.stores.create("ledger")
    await store.set(b"\x00key", b"\xffvalue")


async def restored(scene: Scene, files: list[Path], **options: Any) -> Rows:
    """The rows of a database made of backups, which its own check found right."""
    url = url_of(scene.engine, fresh_folder(scene))
    await holdfast.restore(files, url, components=scene.components, **options)
    if scene.engine == "memory":
        return []
    async with scene.handle(url) as db:
        assert await db.check() == []
        return await rows_of(db)


def fresh_folder(scene: Scene) -> Path:
    for n in range(1000):
        folder = scene.folder / f"restored-{n}"
        if not folder.exists():
            folder.mkdir()
            return folder
    raise AssertionError


@pytest.mark.row("E-134")
async def test_a_backup_restores_every_row_with_its_revision(
    kept_scene: Scene, tmp_path: Path
) -> None:
    async with kept_scene.open() as db:
        await filled(db)
        seen: list[tuple[int, int]] = []
        taken = await db.backup(tmp_path / "full", progress=lambda *step: seen.append(step))
        rows = await rows_of(db)
        assert (taken.rows, taken.written, taken.revision) == (len(rows), len(rows), db.revision)
        assert seen[-1][0] == len(rows)
        assert not (tmp_path / f"full{PARTIAL}").exists()
        assert await restored(kept_scene, [tmp_path / "full"]) == rows


@pytest.mark.row("E-134")
async def test_what_is_restored_goes_on_as_another_life_of_the_database(
    kept_scene: Scene, tmp_path: Path
) -> None:
    async with kept_scene.open() as db:
        await filled(db, 10)
        before, cursor = await db.entries.require("users/active:00003"), db.cursor
        history = [one.metadata for one in await listed(db.entries.history("users/active:00003"))]
        taken = await db.backup(tmp_path / "full")
    folder = tmp_path / "other"
    folder.mkdir()
    url = url_of(kept_scene.engine, folder)
    done = await holdfast.restore([tmp_path / "full"], url)
    assert (done.revision, done.rows, done.files) == (
        taken.revision, taken.rows, (str(tmp_path / "full"),),
    )  # fmt: skip
    async with kept_scene.open(url=url) as db:
        after = await db.entries.require("users/active:00003")
        assert (after.value, after.metadata) == (before.value, before.metadata)
        assert history == [
            one.metadata for one in await listed(db.entries.history("users/active:00003"))
        ]
        assert (await db.entries.set("new:1", 1)).revision == taken.revision + 1
        with pytest.raises(Compacted):
            await anext(db.watch(since=cursor))
        found = await listed(db.collection("cities").query(population=9_733_276))
        assert [one.key for one in found] == ["tokyo"]
        assert await (await db.stores.get("ledger")).get(b"\x00key") == b"\xffvalue"


@pytest.mark.row("E-134")
async def test_writes_go_on_during_a_backup_and_are_not_in_it(
    kept_scene: Scene, tmp_path: Path
) -> None:
    async with kept_scene.open() as db:
        await filled(db, 2_000)
        rows = await rows_of(db)
        writing = True

        async def write() -> None:
            n = 0
            while writing:
                await db.entries.set(f"users/active:{n % 2_000:05}", {"later": n})
                n += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(write())
        try:
            await asyncio.sleep(0)
            taken = await db.backup(tmp_path / "full")
        finally:
            writing = False
            await task
        assert db.revision > taken.revision
        found = await restored(kept_scene, [tmp_path / "full"])
        kept = {key: record for key, record in rows if record.revision <= taken.revision}
        newest = max(record.revision for _, record in found)
        assert newest <= taken.revision
        for key, record in found:
            if key in kept and record.revision == kept[key].revision:
                assert record == kept[key]


async def test_a_full_backup_and_three_that_continue_it_restore_to_each_moment(
    kept_scene: Scene, tmp_path: Path
) -> None:
    chance = random.Random(7)
    async with kept_scene.open() as db:
        await filled(db, 200)
        files, moments = [tmp_path / "0"], []
        taken = await db.backup(files[0])
        moments.append((taken.revision, await rows_of(db)))
        for n in range(1, 4):
            kept_scene.clock.advance(60)
            for _ in range(40):
                key = f"users/active:{chance.randrange(250):05}"
                if chance.random() < 0.3:
                    await db.entries.delete(key)
                else:
                    await db.entries.set(key, {"round": n})
            await db.retention.purge(f"users/active:{n + 10:05}")
            files.append(tmp_path / str(n))
            taken = await db.backup(files[-1], since=files[-2])
            moments.append((taken.revision, await rows_of(db)))
            assert taken.written < taken.rows / 2
        for n, (revision, rows) in enumerate(moments):
            assert await restored(kept_scene, chance.sample(files, 4), to=revision) == rows, n
            assert await restored(kept_scene, files[: n + 1]) == rows, n
        assert await restored(kept_scene, files, to=moments[2][0] + 1) == moments[2][1]
        with pytest.raises(VersionNotFound, match=r"no backup .* so old"):
            await restored(kept_scene, files, to=moments[0][0] - 1)


async def test_a_backup_that_was_broken_off_goes_on_where_it_was(
    kept_scene: Scene, tmp_path: Path
) -> None:
    async with kept_scene.open() as db:
        await filled(db, 2_000)
        base = tmp_path / "base"
        await db.backup(base)
        for since in (None, base):
            await db.entries.set("users/active:00002", {"in": "between"})
            target = tmp_path / f"after-{since is None}"
            for rounds in range(3):
                pages = 0

                def broken(_rows: int, _bytes: int, until: int = rounds + 2) -> None:
                    nonlocal pages
                    pages += 1
                    if pages == until:
                        raise KeyError("pulled")

                with pytest.raises(KeyError):
                    await db.backup(target, since=since, progress=broken)
                partial = target.with_name(target.name + PARTIAL)
                with partial.open("ab") as stream:
                    stream.write(b"torn")  # The last frame did not reach the disk as a whole.
                for n in range(0, 2_000, 37):
                    await db.entries.set(f"users/active:{n:05}", {"round": rounds})
                await db.entries.delete(f"users/active:{rounds + 500:05}")
            taken = await db.backup(target, since=since)
            assert taken.resumed
            assert layers_of(target) == 4
            files = [target] if since is None else [base, target]
            assert await restored(kept_scene, files) == await rows_of(db)


def layers_of(file: Path) -> int:
    with file.open("rb") as stream:
        reader = FrameReader(stream, "")
        count = 0
        while (frame := reader.frame()) is not None:
            count += frame[0] == LAYER
        return count


async def test_a_snapshot_that_ends_too_early_is_followed_by_another(
    kept_scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with kept_scene.open() as db:
        await filled(db, 1_000)
        engine = engine_of(db)
        scan, calls = engine.scan, 0

        async def aging(range: Range, **options: Any) -> Any:
            nonlocal calls
            if options.get("at") is not None:
                calls += 1
                if calls in (2, 4):
                    raise StoreClosed("the snapshot was older than snapshot_age_max")
            return await scan(range, **options)

        monkeypatch.setattr(engine, "scan", aging)
        taken = await db.backup(tmp_path / "full")
        assert not taken.resumed
        assert layers_of(tmp_path / "full") == 3
        monkeypatch.undo()
        assert await restored(kept_scene, [tmp_path / "full"]) == await rows_of(db)


async def test_a_cancelled_backup_ends_and_leaves_a_working_handle(
    kept_scene: Scene, tmp_path: Path
) -> None:
    async with kept_scene.open() as db:
        await filled(db, 3_000)
        started = asyncio.Event()
        loop = asyncio.get_running_loop()

        def noticed(_rows: int, _bytes: int) -> None:
            loop.call_soon_threadsafe(started.set)

        task = asyncio.create_task(
            db.backup(
                tmp_path / "full",
                progress=noticed,
            )
        )
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(20):
            while True:
                try:
                    taken = await db.backup(tmp_path / "full")
                    break
                except StoreLocked:
                    await asyncio.sleep(0.01)  # Its thread ends with the page it was at.
                except StoreExists:
                    return  # It was done before it was cancelled.
        assert taken.rows == len(await rows_of(db))


async def test_every_byte_that_flips_in_a_backup_is_noticed_before_anything_is_written(
    tmp_path: Path,
) -> None:
    file, damaged = tmp_path / "full", tmp_path / "damaged"
    async with holdfast.open(f"sqlite:///{tmp_path / 'app.db'}") as db:
        for n in range(5):
            await db.entries.set(f"a:{n}", n)
        await db.backup(file)
    whole = file.read_bytes()
    for place in range(len(whole)):
        damaged.write_bytes(
            whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :]
        )
        with pytest.raises((IntegrityFailed, NotADatabase)):
            await holdfast.restore([damaged], f"sqlite:///{tmp_path / 'new.db'}")
    for size in range(0, len(whole), 7):
        damaged.write_bytes(whole[:size])
        with pytest.raises((IntegrityFailed, NotADatabase)):
            await holdfast.restore([damaged], f"sqlite:///{tmp_path / 'new.db'}")
    assert not (tmp_path / "new.db").exists()


async def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    files = {name: tmp_path / name for name in ("full", "one", "two", "other")}
    async with holdfast.open(f"sqlite:///{tmp_path / 'app.db'}") as db:
        await db.entries.set("a:1", 1)
        await db.backup(files["full"])
        await db.backup(files["one"], since=files["full"])
        await db.backup(files["two"], since=files["one"])
    async with holdfast.open(f"sqlite:///{tmp_path / 'other.db'}") as db:
        await db.entries.set("a:1", 1)
        await db.backup(files["other"])
        with pytest.raises(Compacted, match="another database"):
            await db.backup(tmp_path / "never", since=files["full"])
    assert not (tmp_path / f"never{PARTIAL}").exists()
    for wanted, names in (
        ("found 0 full", ("one",)),
        ("found 2 full", ("full", "other")),
        ("does not continue any", ("full", "two")),
        ("found 0", ()),
    ):
        with pytest.raises(InvalidInput, match=wanted):
            await holdfast.restore([files[name] for name in names], url)
    with pytest.raises(NotADatabase, match="cannot be read"):
        await holdfast.restore([tmp_path / "nothing"], url)
    with pytest.raises(NotADatabase, match="no backup of Holdfast"):
        await holdfast.restore([tmp_path / "app.db"], url)
    assert not (tmp_path / "new.db").exists()


async def test_nothing_is_restored_over_what_stands_there(
    kept_scene: Scene, tmp_path: Path
) -> None:
    async with kept_scene.open() as db:
        await filled(db, 10)
        rows = await rows_of(db)
        await db.backup(tmp_path / "full")
        with pytest.raises(StoreExists, match="exists; give another name"):
            await db.backup(tmp_path / "full")
    with pytest.raises(StoreExists, match="something stands at"):
        await holdfast.restore([tmp_path / "full"], kept_scene.url)
    async with kept_scene.open() as db:
        assert await rows_of(db) == rows


async def test_a_restore_that_was_broken_off_is_no_database(
    kept_scene: Scene, tmp_path: Path
) -> None:
    async with kept_scene.open() as db:
        await filled(db, 2_000)
        await db.backup(tmp_path / "full")
    folder = tmp_path / "new"
    folder.mkdir()
    url = url_of(kept_scene.engine, folder)

    def broken(_rows: int) -> None:
        raise KeyError("pulled")

    with pytest.raises(KeyError):
        await holdfast.restore([tmp_path / "full"], url, progress=broken)
    with pytest.raises(NotADatabase):
        await holdfast.open(url)
    with pytest.raises(StoreExists, match="part of a restore"):
        await holdfast.restore([tmp_path / "full"], url)


@pytest.mark.parametrize("into", ENGINES)
async def test_a_copy_stands_on_any_engine_with_the_same_rows(scene: Scene, into: str) -> None:
    async with scene.open() as db:
        await filled(db)
        folder = scene.folder / "copy"
        folder.mkdir()
        url = url_of(into, folder)
        seen: list[int] = []
        done = await db.copy_to(url, progress=seen.append)
        rows = await rows_of(db)
        assert (done.rows, done.revision) == (len(rows), db.revision)
        assert seen[-1] == len(rows)
        if into != "memory":
            async with scene.open(url=url) as other:
                assert await rows_of(other) == rows
            with pytest.raises(StoreExists):
                await db.copy_to(url)
        with pytest.raises(ConfigInvalid):
            await db.copy_to("nowhere")


async def test_a_backup_goes_to_streams_and_to_what_fsspec_reaches(
    scene: Scene, tmp_path: Path
) -> None:
    async with scene.open() as db:
        await filled(db, 20)
        stream = io.BytesIO()
        await db.backup(stream)
        await db.backup("memory://backups/full")
        (tmp_path / "one").write_bytes(stream.getvalue())
        (tmp_path / "two").write_bytes(fsspec.filesystem("memory").cat("/backups/full"))
        for name in ("one", "two"):
            target = f"sqlite:///{tmp_path / f'{name}.db'}"
            await holdfast.restore([tmp_path / name], target)
            async with holdfast.open(target) as other:
                assert await rows_of(other) == await rows_of(db)


async def test_no_error_about_a_backup_shows_the_secrets_of_its_url(scene: Scene) -> None:
    memory = fsspec.filesystem("memory")
    urls = {name: f"memory://ada:hunter2@host/{name}" for name in ("full", "more", "torn")}
    async with scene.open() as db:
        await filled(db, 5)
        await db.backup(urls["full"])
        await db.backup(urls["more"], since=urls["full"])
    memory.pipe(memory._strip_protocol(urls["torn"]), b"torn")
    async with holdfast.open("memory://") as other:
        await filled(other, 5)
        with pytest.raises(Compacted) as compacted:
            await other.backup("memory://never", since=urls["full"])
    found: list[StoreError] = [compacted.value]
    bad = (["torn"], ["more"], ["full", "full"], ["full", "more", "more"])
    for names in bad:
        with pytest.raises(StoreError) as failed:
            await holdfast.restore([urls[one] for one in names], "memory://")
        found.append(failed.value)
    with pytest.raises(VersionNotFound) as absent:
        await holdfast.restore([urls["full"]], "memory://", to=1)
    for error in [*found, absent.value]:
        assert "host/" in str(error)
        assert "hunter2" not in f"{error}{error.__cause__}"


@pytest.mark.parametrize("compression", ["zstd", "gzip", "lz4", "snappy", "none"])
def test_backups_without_an_event_loop(tmp_path: Path, compression: str) -> None:
    with holdfast.sync.open(f"lmdb:///{tmp_path / 'app'}") as db:
        db.entries.set("a:1", {"text": "abc " * 1000})
        db.backup(tmp_path / "full", compression=compression)
        assert (b"abc abc" in (tmp_path / "full").read_bytes()) == (compression == "none")
        with pytest.raises(ConfigInvalid):
            db.backup(tmp_path / "never", compression="best")
        assert not list(tmp_path.glob("never*"))
    done = holdfast.sync.restore([tmp_path / "full"], f"sqlite:///{tmp_path / 'app.db'}")
    with holdfast.sync.open(f"sqlite:///{tmp_path / 'app.db'}") as db:
        assert db.entries.require("a:1").value == {"text": "abc " * 1000}
        assert db.revision == done.revision


def test_what_the_file_system_has_against_a_backup_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "full"
    with holdfast.sync.open(f"sqlite:///{tmp_path / 'app.db'}") as db:
        db.entries.set("a:1", 1)
        with pytest.raises(InvalidInput, match="give another path"):
            db.backup(tmp_path / "nowhere" / "full")
        with pytest.raises(NotADatabase, match="cannot be read"):
            db.backup(target, since=tmp_path / "absent")

        def late(_rows: int, _bytes: int) -> None:
            raise TimedOut("late")

        with pytest.raises(TimedOut, match="late"):  # An OSError, but not of the file.
            db.backup(target, progress=late)

        def full(self: FrameWriter, revision: int, rows: int, written: int) -> None:
            raise OSError(errno.ENOSPC, "no space left")

        with monkeypatch.context() as patch:
            patch.setattr(FrameWriter, "end", full)
            with pytest.raises(StorageFull, match="goes on where it was"):
                db.backup(target)
        assert db.backup(target).resumed
    assert [one.end.revision for one in holdfast.sync.verify_backups([target])] == [3]


KILLED = """
import sys, holdfast.sync
url, file = sys.argv[1:]

def moved(rows, written):
    print(rows, flush=True)
    sys.stdin.readline()

with holdfast.sync.open(url) as db:
    db.backup(file, progress=moved)
"""


def test_a_backup_that_was_killed_goes_on(tmp_path: Path) -> None:
    url, file = f"lmdb:///{tmp_path / 'app'}", tmp_path / "full"
    with holdfast.sync.open(url) as db:
        for n in range(0, 5_000, 500):
            db.entries.set_many({f"k:{one}": "x" * 200 for one in range(n, n + 500)})
        for pages in (3, 6, 9):
            command = [sys.executable, "-c", KILLED, url, str(file)]
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as process:
                assert process.stdin is not None
                assert process.stdout is not None
                for _ in range(pages):
                    process.stdout.readline()
                    process.stdin.write("\n")
                    process.stdin.flush()
                process.stdout.readline()
                process.kill()
            db.entries.set(f"k:{pages}", "changed")
        taken = db.backup(file)
        assert taken.resumed
    target = f"sqlite:///{tmp_path / 'restored.db'}"
    holdfast.sync.restore([file], target)
    with holdfast.sync.open(target) as db:
        assert db.check() == []
        assert db.entries.count() == 5_000
        assert [db.entries.require(f"k:{n}").value for n in (3, 6, 9)] == ["changed"] * 3


HOSTILE: dict[str, Callable[[list[Any]], list[Any]]] = {
    "negative": lambda rows: [(key, -1, value) for key, _, value in rows],
    "beyond 63 bits": lambda rows: [(key, 1 << 63, value) for key, _, value in rows],
    "reordered": lambda rows: rows[::-1],
    "twice": lambda rows: rows + rows,
    "referring to nothing": lambda rows: [(key, revision, None) for key, revision, _ in rows],
}


@pytest.mark.parametrize("engine", ["sqlite", "lmdb"])
@pytest.mark.parametrize("what", [*HOSTILE, "head", "end"])
async def test_a_backup_whose_checksums_were_made_to_fit_is_refused(
    tmp_path: Path, engine: str, what: str
) -> None:
    """Numbers that no engine holds, from somebody who reckons checksums as we do."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    async with holdfast.open("memory://") as db:
        await db.entries.set("a:1", 1)
        await db.backup(good, compression="none")
    with good.open("rb") as stream, bad.open("wb") as out:
        reader, writer = FrameReader(stream, "good"), FrameWriter(out)
        year = 10**18 if what == "head" else reader.head.made_at_ms
        writer.head(msgspec.structs.replace(reader.head, made_at_ms=year))
        count = 0
        while (frame := reader.frame()) is not None:
            kind, body = frame
            if kind == LAYER:
                writer.layer(reader.decode(body, Layer))
            elif kind == ROWS:
                rows = reader.rows(body)
                count += len(rows)
                writer.rows(HOSTILE.get(what, list)(rows))
        writer.end((1 << 64) - 1 if what == "end" else 4, count, count)
    with pytest.raises(IntegrityFailed):
        await holdfast.restore([bad], f"{engine}:///{tmp_path / 'there'}")
    # Either nothing was made of it, or an engine in which nothing stands.
    with suppress(NotADatabase, StoreNotFound):
        async with holdfast.open(f"{engine}:///{tmp_path / 'there'}", create=False) as db:
            assert await db.entries.count() == 0
