"""Rows of formats: what a handle writes, any other handle and foreign tools read."""

import gzip
import json
import struct
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.codecs.compression import SNAPPY
from holdfast.codecs.serializers import MESSAGE_PACK
from tests.store.scene import Scene, listed, rows_of


@pytest.mark.row("I-092", "E-143")
async def test_a_database_written_in_one_format_goes_on_in_another(kept_scene: Scene) -> None:
    old = {"text": "written as JSON, compressed " * 20, "n": [1, None, 2.5]}
    new = {"text": "written as MessagePack, as it is " * 20}
    async with kept_scene.open(serializer="json", compression="gzip") as db:
        await db.entries.set("a:old", old)
        await db.entries.set("a:changed", old)
        assert old in [
            json.loads(text) for text in decompressed(await rows_of(db)) if text.startswith(b"{")
        ]
    async with kept_scene.open() as db:
        before = {key for key, _ in await rows_of(db)}
        assert (await db.entries.require("a:old")).value == old
        await db.entries.set("a:new", new)
        changed = await db.entries.modify("a:changed", lambda value: value | {"n": 3})
        assert changed.value == old | {"n": 3}
        assert [past.value for past in await listed(db.entries.history("a:changed"))] == [old]
        # As a decoder of its own reads it: MessagePack, with nothing over it.
        written = [one for one in await rows_of(db) if one[0] not in before]
        assert any(msgspec.msgpack.encode(new) in one.value for _, one in written)
    async with kept_scene.open(serializer="json", compression="zstd") as db:
        values = {str(one.key): one.value for one in await listed(db.entries.items())}
        assert values == {"a:old": old, "a:changed": old | {"n": 3}, "a:new": new}


def decompressed(rows: list[Any]) -> list[bytes]:
    """Every gzip member inside a row, taken apart by Python's own module."""
    found = []
    for _, one in rows:
        at = one.value.find(b"\x1f\x8b\x08")
        if at >= 0:
            found.append(gzip.decompress(one.value[at:]))
    return found


def gunzipped(member: bytes) -> bytes:
    """What the command line tool makes of it."""
    done = subprocess.run(["gzip", "-dc"], input=member, capture_output=True, check=True)
    return done.stdout


@pytest.mark.row("I-088")
async def test_gzip_alone_takes_a_stored_value_apart(kept_scene: Scene) -> None:
    value = {"text": "the same again " * 50}
    async with kept_scene.open(serializer="json", compression="gzip") as db:
        await db.entries.set("a", value)
        [record] = [one for _, one in await rows_of(db) if b"\x1f\x8b\x08" in one.value]
    member = record.value[record.value.index(b"\x1f\x8b\x08") :]
    assert json.loads(gunzipped(member)) == value


@pytest.mark.row("E-051")
@pytest.mark.parametrize(
    ("compression", "limit"),
    [("gzip", 50_000), ("zstd", 50_000), ("lz4", 60_000), ("snappy", 100_000)],
)
async def test_a_megabyte_of_zeros_takes_little_on_disk(
    kept_scene: Scene, compression: str, limit: int
) -> None:
    def size() -> int:
        path = kept_scene.folder / "app.db"
        return (path / "data.mdb" if path.is_dir() else path).stat().st_size

    async with kept_scene.open(compression=compression) as db:
        await db.entries.set("a", bytes(1_000_000))
    assert size() < limit
    async with kept_scene.open() as db:
        assert (await db.entries.require("a")).value == bytes(1_000_000)
        await db.entries.set("b", bytes(1_000_000))
    assert size() > 1_000_000, "without compression it takes its size"


# --- MessagePack by its specification, without any library ------------------------------------


def unpacked(data: bytes) -> Any:
    """The value of a whole MessagePack document."""
    value, end = unpack_at(data, 0)
    assert end == len(data), "nothing follows the value"
    return value


def unpack_at(data: bytes, at: int) -> tuple[Any, int]:
    """The value that begins there, and where the next one does."""
    kind = data[at]
    at += 1
    if kind < 0x80:
        return kind, at
    if kind >= 0xE0:
        return kind - 0x100, at
    if kind in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[kind], at
    if kind == 0xCB:
        return struct.unpack_from(">d", data, at)[0], at + 8
    if 0xCC <= kind <= 0xD3:
        size = 1 << (kind & 3)
        return int.from_bytes(data[at : at + size], "big", signed=kind >= 0xD0), at + size
    if kind in (0xD6, 0xD7, 0xC7):
        return moment_at(data, at, kind)
    count, at = count_at(data, at, kind)
    if kind & 0xF0 == 0x80 or kind in (0xDE, 0xDF):
        pairs, at = unpack_many(data, at, 2 * count)
        return dict(zip(pairs[::2], pairs[1::2], strict=True)), at
    if kind & 0xF0 == 0x90 or kind in (0xDC, 0xDD):
        return unpack_many(data, at, count)
    raw = data[at : at + count]
    return (raw if kind in (0xC4, 0xC5, 0xC6) else raw.decode()), at + count


def count_at(data: bytes, at: int, kind: int) -> tuple[int, int]:
    """How many bytes, items or pairs follow."""
    if kind < 0xA0:
        return kind & 0x0F, at
    if kind < 0xC0:
        return kind & 0x1F, at
    size = {0xC4: 1, 0xD9: 1, 0xC5: 2, 0xDA: 2, 0xDC: 2, 0xDE: 2}.get(kind, 4)
    return int.from_bytes(data[at : at + size], "big"), at + size


def unpack_many(data: bytes, at: int, count: int) -> tuple[list[Any], int]:
    values = []
    for _ in range(count):
        value, at = unpack_at(data, at)
        values.append(value)
    return values, at


def moment_at(data: bytes, at: int, kind: int) -> tuple[datetime, int]:
    """A timestamp of 32, 64 or 96 bits."""
    size = {0xD6: 4, 0xD7: 8}.get(kind) or data[at]
    at += kind == 0xC7
    assert data[at] == 0xFF, "the extension type of timestamps is -1"
    body = data[at + 1 : at + 1 + size]
    if size == 12:
        nanoseconds, seconds = struct.unpack(">Iq", body)
    else:
        both = int.from_bytes(body, "big")
        nanoseconds, seconds = (both >> 34, both & (1 << 34) - 1) if size == 8 else (0, both)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + timedelta(seconds=seconds, microseconds=nanoseconds // 1000), at + 1 + size


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40)
    | st.binary(max_size=300)
    | st.datetimes(timezones=st.just(UTC))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner, max_size=20)
    ),
    max_leaves=40,
)


@pytest.mark.row("I-086")
@given(VALUES)
def test_another_implementation_reads_our_message_pack(value: Any) -> None:
    found = unpacked(MESSAGE_PACK.encode(value))
    assert found == value
    assert repr(type(found)) == repr(type(value))


@pytest.mark.row("I-086")
@pytest.mark.parametrize("size", [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536])
def test_every_length_has_the_form_of_the_specification(size: int) -> None:
    for value in ("x" * size, bytes(size), [None] * size, {str(n): n for n in range(size)}):
        assert unpacked(MESSAGE_PACK.encode(value)) == value


# --- Snappy by its specification ---------------------------------------------------------------


def crc_32c(data: bytes) -> int:
    """Castagnoli's checksum, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.row("I-090")
@pytest.mark.parametrize(
    ("block", "data"),
    [
        # A literal of one byte and two copies of it, of eleven bytes and of eight.
        ("14" + "0061" + "1d01" + "1101", b"a" * 20),
        # A literal of five, a copy with an offset of two bytes, and a literal again.
        ("0b" + "1068656c6c6f" + "120500" + "0021", b"hello" + b"hello" + b"!"),
    ],
)
def test_snappy_written_by_hand_is_read(block: str, data: bytes) -> None:
    assert crc_32c(b"123456789") == 0xE3069283, "the published check value"
    crc = crc_32c(data)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    body = masked.to_bytes(4, "little") + bytes.fromhex(block)
    framed = b"\xff\x06\x00\x00sNaPpY" + b"\x00" + len(body).to_bytes(3, "little") + body
    assert SNAPPY.decompress(framed) == data
