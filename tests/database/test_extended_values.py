"""`serializer="extended"`: what Python has and MessagePack lacks, through a database."""

from __future__ import annotations

from collections import OrderedDict
from datetime import date
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import holdfast
import holdfast.sync
from holdfast.codecs.serializers import EXTENDED, MESSAGE_PACK
from tests.cli.conftest import process
from tests.store.scene import Scene, listed


class ShirtSize(Enum):
    BIG = "big"


VALUE = {
    "tuple": (1, ("a", [Decimal(2)])),
    "ordered": OrderedDict(z=1, a=2),
    "price": Decimal("1.10"),
    "id": UUID(int=7),
    "day": date(2026, 1, 31),
    "size": ShirtSize.BIG,
}


async def test_values_keep_their_types(scene: Scene) -> None:
    serializer = holdfast.ExtendedSerializer(enums=[ShirtSize])
    async with scene.open(serializer=serializer) as db:
        made = await db.entries.set("a", VALUE)
        found = (await db.entries.require("a")).value
        assert found == VALUE
        assert type(found["tuple"]) is tuple
        assert list(found["ordered"]) == ["z", "a"]
        assert str(found["price"]) == "1.10"
        assert found["size"] is ShirtSize.BIG
        # The digest is that of its bytes, so the same value changes nothing.
        assert (await db.entries.set("a", dict(VALUE), if_changed=True)).version == 1
        assert made.metadata.data_hash == sha256(EXTENDED.encode(VALUE)).hexdigest()
        changed = await db.entries.modify("a", lambda value: value | {"price": Decimal("2.5")})
        assert changed.value["price"] == Decimal("2.5")
        assert [past.value async for past in db.entries.history("a")] == [VALUE]
        big = ("x" * 600_000, Decimal(1))
        await db.entries.set("big", big)
        assert (await db.entries.require("big")).value == big
        # What MessagePack holds is stored as ever.
        plain = await db.entries.set("plain", {"n": [1, 2.5, b""]})
        assert plain.metadata.data_hash == holdfast.data_hash({"n": [1, 2.5, b""]})
        assert plain.stored.endswith(bytes((MESSAGE_PACK.code,)) + MESSAGE_PACK.encode(plain.value))
        assert await db.check() == []
        async with scene.handle() as other:  # Whoever reads needs not ask for it.
            assert (await other.entries.require("a")).value["tuple"] == VALUE["tuple"]
            assert {key.name for key, _ in await listed(other.entries.items())} == {
                "a", "big", "plain"
            }  # fmt: skip


async def test_watchers_and_transactions_see_them(scene: Scene) -> None:
    async with scene.open(serializer="extended") as db:
        begin = await db.head()
        async with db.transaction() as tx:
            await tx.entries.set("a", (1, Decimal(2)))
            assert (await tx.entries.require("a")).value == (1, Decimal(2))
        async with db.watch("a", since=begin) as changes:
            change = await anext(changes)
        assert change.after is not None
        assert change.after.value == (1, Decimal(2))
        assert EXTENDED.decode(EXTENDED.encode(change.after.value)) == (1, Decimal(2))


def test_the_command_line_exports_and_imports_them_exactly(tmp_path: Path) -> None:
    holdfast.ExtendedSerializer(enums=[ShirtSize])
    url, other = f"sqlite:///{tmp_path / 'a.db'}", f"lmdb:///{tmp_path / 'b'}"
    file = tmp_path / "all.jsonl"
    with holdfast.sync.open(url, serializer="extended") as db:
        made: Any = db.entries.set("a", VALUE)
    assert process("export", "--url", url, "--output", str(file)).code == 0
    text = file.read_text()
    assert '{"$decimal":"1.10"}' in text
    assert '{"$enum":["ShirtSize","BIG"]}' in text
    assert process("import", str(file), "--url", other).code == 0
    with holdfast.sync.open(other) as db:
        found = db.entries.require("a")
        assert found.value == VALUE
        assert found.metadata.data_hash == made.metadata.data_hash
        assert db.check() == []
