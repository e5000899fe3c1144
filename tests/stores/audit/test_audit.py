"""The feed under one hash: what is found out, by whom, and with how little."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.contract.batch import Batch, Delete, Put
from holdfast.contract.errors import (
    DeserializationFailed,
    IntegrityFailed,
    InvalidInput,
    KeyNotFound,
    ReadOnly,
)
from holdfast.contract.record import Range
from holdfast.database.handle import Database
from holdfast.store import layout
from holdfast.stores.audit import audit
from holdfast.stores.audit.audit import Head
from holdfast.stores.audit.receipts import Consistency, Receipt
from holdfast.stores.merkle import Ed25519Signer, verify_head
from tests.store.scene import Scene, engine_of, rows_of

AUDITOR = Path(__file__).parent / "auditor.py"


async def filled(db: Database, count: int = 40) -> None:
    store = await db.stores.create("ledger")
    for n in range(count):
        await db.entries.set(f"k{n}", n)
        await store.set_many({b"a": b"%d" % n, b"b": b"%d" % n})


async def test_every_change_has_a_receipt(scene: Scene) -> None:
    async with scene.open() as db:
        assert (await db.audit.seal()).size == 0
        await filled(db)
        with pytest.raises(KeyNotFound):
            await db.audit.receipt(3)
        head = await db.audit.seal()
        assert head.size == 120
        assert head.revision == await db.head() - 1, "sealing is a commit of its own"
        assert await db.audit.seal() == head
        changes = await rows_of(db, Range.prefix(layout.FEED))
        assert len(changes) == 120
        for key, _ in changes:
            revision, index = int.from_bytes(key[1:9], "big"), int.from_bytes(key[9:], "big")
            receipt = await db.audit.receipt(revision, index)
            receipt.require()
            assert receipt.root == head.root
            assert Receipt.from_json(receipt.to_json()) == receipt
        with pytest.raises(KeyNotFound):
            await db.audit.receipt(revision, 7)
        with pytest.raises(KeyNotFound):
            await db.audit.receipt(revision + 1)
        for wrong in ((0, 0), (-1, 0), (1, -1), ("1", 0), (True, 0)):
            with pytest.raises(InvalidInput):
                await db.audit.receipt(*wrong)
        finding = await db.audit.verify(head)
        assert finding.holds
        assert (finding.checked, finding.given_up) == (120, 0)


async def test_the_feed_only_grew(scene: Scene) -> None:
    async with scene.open() as db:
        heads = []
        for n in range(30):
            await db.entries.set(f"k{n % 3}", n)
            heads.append(await db.audit.seal())
        for old in heads:
            proof = await db.audit.consistency(old.size)
            proof.require()
            assert (proof.old_root, proof.root) == (old.root, heads[-1].root)
            assert Consistency.from_json(proof.to_json()) == proof
        middle = await db.audit.consistency(heads[4].size, heads[11].size)
        middle.require()
        assert middle.root == heads[11].root
        with pytest.raises(InvalidInput):
            await db.audit.consistency(31)


async def test_sealing_in_parts_gives_the_same_hash(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        await filled(db, 20)
        async with db.transaction() as tx:
            for n in range(30):
                await tx.entries.set(f"t{n}", n)
        monkeypatch.setattr(audit, "SEAL_ROWS", 7)
        parts = await db.audit.seal()
        await engine_of(db).commit(
            Batch([Delete(key) for key, _ in await rows_of(db, Range.prefix(layout.SYSTEM_AUDIT))])
        )
        monkeypatch.setattr(audit, "SEAL_ROWS", 10_000)
        whole = await db.audit.seal()
        assert (whole.size, whole.root) == (parts.size, parts.root)
        assert (await db.audit.verify()).checked == whole.size == 90


@pytest.mark.parametrize("damage", ["altered", "removed", "put in", "at the end"])
async def test_the_first_revision_that_does_not_hold_is_named(scene: Scene, damage: str) -> None:
    async with scene.open_unchecked() as db:
        await filled(db)
        head = await db.audit.seal()
        changes = await rows_of(db, Range.prefix(layout.FEED))
        key, record = changes[57] if damage != "at the end" else changes[-1]
        revision = int.from_bytes(key[1:9], "big")
        if damage == "altered":
            flipped = bytes([*record.value[:-1], record.value[-1] ^ 1])
            await engine_of(db).commit(Batch([Put(key, flipped)]))
        elif damage == "put in":
            await engine_of(db).commit(Batch([Put(key[:-1] + b"\x09", record.value)]))
        else:
            await engine_of(db).commit(Batch([Delete(key)]))
        finding = await db.audit.verify(head)
        assert not finding.holds
        assert finding.wrong_revision == revision
        assert finding.fault is not None


async def test_a_rewritten_log_is_not_the_one_that_was_kept(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        await filled(db, 10)
        head = await db.audit.seal()
        signer = Ed25519Signer(bytes(range(32)))
        signed = await db.audit.sign(signer)
        verify_head(signed, signer.public_key)
        changes = await rows_of(db, Range.prefix(layout.FEED))
        key, record = changes[3]
        flipped = bytes([*record.value[:-1], record.value[-1] ^ 1])
        sealed = await rows_of(db, Range.prefix(layout.SYSTEM_AUDIT))
        await engine_of(db).commit(Batch([Put(key, flipped), *(Delete(one) for one, _ in sealed)]))
        await db.audit.seal()
        assert (await db.audit.verify()).holds, "whoever rewrites both is believed by himself"
        for known in (head, signed):
            with pytest.raises(IntegrityFailed):
                await db.audit.verify(known)


async def test_damage_of_the_log_itself_is_told(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        await filled(db)
        await db.audit.seal()
        rows = await rows_of(db, Range.prefix(layout.SYSTEM_AUDIT))
        for key, record in rows:
            await engine_of(db).commit(Batch([Delete(key)]))
            kind = key[len(layout.SYSTEM_AUDIT) :][:2]
            if kind == b"h\x00" or not key[len(layout.SYSTEM_AUDIT) :].startswith(b"h"):
                with pytest.raises(IntegrityFailed):
                    await db.audit.verify()
            await engine_of(db).commit(Batch([Put(key, record.value)]))
        assert (await db.audit.verify()).holds


async def test_what_retention_gave_up_is_no_fault(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        await db.audit.seal()
        for n in range(50):
            await db.entries.set("a", n)
        sealed = await db.audit.seal()
        await db.retention.keep_feed(changes_max=10)
        await db.compact()
        finding = await db.audit.verify(sealed)
        assert finding.holds
        assert finding.given_up + finding.checked == 51
        assert finding.given_up > 0
        for n in range(100):
            await db.entries.set("a", n)
        await db.compact()
        after = await db.audit.seal()
        finding = await db.audit.verify(after)
        assert finding.holds
        assert finding.skipped == 1
        with pytest.raises(KeyNotFound):
            await db.audit.receipt(2)


async def test_twenty_lines_of_python_check_a_receipt(kept_scene: Scene, tmp_path: Path) -> None:
    """The auditor has the file, the head, and Python; no Holdfast."""
    lines = [line for line in AUDITOR.read_text().splitlines() if line.strip()]
    assert len(lines) <= 20
    async with kept_scene.open() as db:
        await filled(db)
        head = await db.audit.seal()
        key, _ = (await rows_of(db, Range.prefix(layout.FEED)))[17]
        place = int.from_bytes(key[1:9], "big"), int.from_bytes(key[9:], "big")
        receipt = await db.audit.receipt(*place)
    good = tmp_path / "receipt.json"
    good.write_text(receipt.to_json())
    assert _audited(good, head) == 0
    for other in (Head(head.size, bytes(32), 0), Head(head.size // 2, head.root, 0)):
        assert _audited(good, other) != 0
    content = json.loads(receipt.to_json())
    for name, wrong in (
        ("row", content["row"][:-2] + "ff"),
        ("number", content["number"] + 1),
        ("path", content["path"][::-1]),
        ("path", content["path"][1:]),
    ):
        bad = tmp_path / "bad.json"
        bad.write_text(json.dumps({**content, name: wrong}))
        assert _audited(bad, head) != 0, name


def _audited(path: Path, head: Head) -> int:
    # -I: nothing but the standard library and what is installed; -S: nothing installed either.
    command = [sys.executable, "-I", "-S", str(AUDITOR), str(path)]
    command += [str(head.size), head.root.hex()]
    return subprocess.run(command, capture_output=True, timeout=120, check=False).returncode


async def test_what_is_no_receipt_is_refused(kept_scene: Scene) -> None:
    for text in ("", "{}", "[]", '{"revision": 1}', "\x00", '{"row": 5}'):
        with pytest.raises(DeserializationFailed):
            Receipt.from_json(text)
    for number in (-1, 1 << 64):
        for text in (
            f'{{"revision":{number},"index":0,"row":"","number":0,"size":1,"root":"","path":[]}}',
            f'{{"revision":1,"index":{number},"row":"","number":0,"size":1,"root":"","path":[]}}',
            f'{{"revision":1,"index":0,"row":"","number":{number},"size":1,"root":"","path":[]}}',
        ):
            with pytest.raises((DeserializationFailed, IntegrityFailed)):
                Receipt.from_json(text).require()
    async with kept_scene.open() as db:
        await filled(db, 3)
        await db.audit.seal()
    async with kept_scene.handle(f"{kept_scene.url}?read_only=true") as db:
        assert (await db.audit.verify()).holds
        with pytest.raises(ReadOnly):
            await db.audit.seal()
