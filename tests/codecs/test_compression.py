"""Compression: standard containers, read by other decoders, bounded when unpacked."""

import gzip
import os
import shutil
import subprocess
import sys
import threading
import zlib

import cramjam
import lz4.frame  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from holdfast.codecs.compression import (
    COMPRESSIONS,
    GZIP,
    LZ4,
    NONE,
    SNAPPY,
    ZSTD,
    Compression,
    compression_named,
)
from holdfast.contract.errors import ConfigInvalid, DeserializationFailed, ValueTooLarge
from tests import needs

# Bytes that compress, bytes that do not, nothing, and more than one block of every format.
SAMPLES = {
    "empty": b"",
    "one": b"x",
    "text": b"to be or not to be, " * 50,
    "noise": bytes((index * index * 2654435761 >> 13) & 0xFF for index in range(100_000)),
    "long": b"0123456789abcdef" * 30_000,
}
REAL = [each for each in COMPRESSIONS if each is not NONE]
named = pytest.mark.parametrize("compression", COMPRESSIONS, ids=lambda each: each.name)
real = pytest.mark.parametrize("compression", REAL, ids=lambda each: each.name)
sample = pytest.mark.parametrize("data", SAMPLES.values(), ids=SAMPLES.keys())


@named
@sample
def test_data_comes_back(compression: Compression, data: bytes) -> None:
    assert compression.decompress(compression.compress(data)) == data


@given(st.binary(max_size=2000), st.integers(1, 200))
def test_any_data_comes_back(data: bytes, times: int) -> None:
    for compression in COMPRESSIONS:
        assert compression.decompress(compression.compress(data * times)) == data * times


@real
def test_repetitive_data_shrinks(compression: Compression) -> None:
    assert len(compression.compress(SAMPLES["long"])) < len(SAMPLES["long"]) // 10


def unsnap(framed: bytes) -> bytes:
    """Snappy's framing format by its specification, without any library."""
    assert framed[:10] == b"\xff\x06\x00\x00sNaPpY"
    out, position = b"", 10
    while position < len(framed):
        kind, size = framed[position], int.from_bytes(framed[position + 1 : position + 4], "little")
        body = framed[position + 8 : position + 4 + size]
        out += unsnap_block(body) if kind == 0 else body
        position += 4 + size
    return out


def unsnap_block(block: bytes) -> bytes:
    position = shift = size = 0
    while True:
        byte = block[position]
        size |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            break
    out = bytearray()
    while position < len(block):
        tag = block[position]
        position += 1
        if tag & 3 == 0:
            length = tag >> 2
            if length >= 60:
                extra = length - 59
                length = int.from_bytes(block[position : position + extra], "little")
                position += extra
            out += block[position : position + length + 1]
            position += length + 1
            continue
        width = {1: 1, 2: 2, 3: 4}[tag & 3]
        offset = int.from_bytes(block[position : position + width], "little")
        position += width
        length = (tag >> 2) + 1
        if tag & 3 == 1:
            length, offset = (tag >> 2 & 7) + 4, (tag >> 5 << 8) | offset
        for _ in range(length):
            out.append(out[-offset])
    assert len(out) == size
    return bytes(out)


@pytest.mark.row("trap 52", "I-088", "I-089", "I-090")
@sample
def test_other_decoders_read_ours(data: bytes) -> None:
    assert gzip.decompress(GZIP.compress(data)) == data
    assert bytes(cramjam.gzip.decompress(GZIP.compress(data))) == data
    assert bytes(cramjam.lz4.decompress(LZ4.compress(data))) == data
    assert bytes(cramjam.zstd.decompress(ZSTD.compress(data))) == data
    assert unsnap(SNAPPY.compress(data)) == data


@pytest.mark.row("trap 52", "I-089")
@sample
def test_ours_reads_other_encoders(data: bytes) -> None:
    assert GZIP.decompress(gzip.compress(data)) == data
    assert LZ4.decompress(bytes(cramjam.lz4.compress(data))) == data
    assert LZ4.decompress(lz4.frame.compress(data, store_size=False)) == data
    assert ZSTD.decompress(bytes(cramjam.zstd.compress(data))) == data
    unsized = zstandard.ZstdCompressor(write_content_size=False)
    assert ZSTD.decompress(unsized.compress(data)) == data


@pytest.mark.row("trap 52", "I-089", "I-090")
def test_known_foreign_bytes_are_read() -> None:
    # "abc" uncompressed, framed by hand: identifier, padding chunk, CRC-32C masked as specified.
    crc = 0x364B3FB7  # CRC-32C of b"abc"
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    framed = (
        b"\xff\x06\x00\x00sNaPpY" + b"\xfe\x02\x00\x00\x00\x00"
        + b"\x01\x07\x00\x00" + masked.to_bytes(4, "little") + b"abc"
    )  # fmt: skip
    assert SNAPPY.decompress(framed) == b"abc"
    # An LZ4 frame by hand: version 1, independent blocks, 64 KiB, one raw block, the end mark.
    frame = bytes.fromhex("04224d18" + "604082" + "03000080" + "616263" + "00000000")
    assert LZ4.decompress(frame) == b"abc"


@pytest.mark.row("trap 52", "I-088")
@pytest.mark.parametrize(
    ("compression", "command"),
    [
        pytest.param(GZIP, "gzip", id="gzip"),
        pytest.param(LZ4, "lz4", id="lz4", marks=needs.command("lz4")),
        pytest.param(ZSTD, "zstd", id="zstd", marks=needs.command("zstd")),
    ],
)
def test_command_line_tools_read_ours(compression: Compression, command: str) -> None:
    tool = shutil.which(command)
    assert tool is not None, "gzip is part of every POSIX system and must be on the path"
    data = SAMPLES["long"]
    done = subprocess.run(
        [tool, "-dc"], input=compression.compress(data), check=True, capture_output=True
    )
    assert done.stdout == data


def test_gzip_is_deterministic_and_reads_several_members() -> None:
    data = GZIP.compress(b"abc")
    assert data[4:8] == bytes(4)  # No time.
    assert data[3] == 0  # No name, no comment.
    assert GZIP.decompress(data + gzip.compress(b"def")) == b"abcdef"


@named
def test_the_size_is_bounded(compression: Compression) -> None:
    data = SAMPLES["long"]
    packed = compression.compress(data)
    assert compression.decompress(packed, len(data)) == data
    for size_max in (len(data) - 1, 1, 0):
        with pytest.raises(ValueTooLarge) as caught:
            compression.decompress(packed, size_max)
        assert caught.value.size_max == size_max


def test_unstated_sizes_are_bounded_too() -> None:
    data = SAMPLES["long"]
    unsized = zstandard.ZstdCompressor(write_content_size=False)
    cases = [
        (ZSTD, unsized.compress(data)),
        (LZ4, lz4.frame.compress(data, store_size=False)),
        (GZIP, GZIP.compress(data[:-1]) + GZIP.compress(b"x")),
    ]
    for compression, packed in cases:
        assert len(compression.decompress(packed, len(data))) == len(data)
        with pytest.raises(ValueTooLarge):
            compression.decompress(packed, len(data) - 1)


BOMB = """
import resource, sys
from holdfast.codecs.compression import compression_named
from holdfast.contract.errors import ValueTooLarge
data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    compression_named(sys.argv[1]).decompress(data, 1_000_000)
except ValueTooLarge:
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(grown * (1 if sys.platform == "darwin" else 1024))
"""


@pytest.mark.parametrize("case", ["gzip", "zstd", "zstd unsized", "lz4", "lz4 unsized", "snappy"])
def test_a_bomb_is_refused_before_it_takes_memory(case: str) -> None:
    zeros = bytes(150_000_000)
    name = case.partition(" ")[0]
    bomb = compression_named(name).compress(zeros)
    if case == "zstd unsized":
        bomb = zstandard.ZstdCompressor(write_content_size=False).compress(zeros)
    if case == "lz4 unsized":
        bomb = lz4.frame.compress(zeros, store_size=False)
    done = subprocess.run(
        [sys.executable, "-c", BOMB, name], input=bomb, check=True, capture_output=True
    )
    assert int(done.stdout) < 40_000_000


@real
@sample
def test_damage_is_noticed(compression: Compression, data: bytes) -> None:
    packed = compression.compress(data)
    for bad in (b"", b"junk", packed[:-1], packed[: len(packed) // 2], packed + b"x"):
        with pytest.raises(DeserializationFailed, match=f"wanted {compression.name} data"):
            compression.decompress(bad)


@real
def test_flipped_bits_never_give_other_data(compression: Compression) -> None:
    data = SAMPLES["text"]
    packed = compression.compress(data)
    for place in range(len(packed)):
        for bit in range(8):
            bad = bytearray(packed)
            bad[place] ^= 1 << bit
            try:
                assert compression.decompress(bytes(bad), 10_000) == data
            except (DeserializationFailed, ValueTooLarge):
                continue


def test_a_lie_about_the_size_costs_nothing() -> None:
    # The content size field says 1 GiB, the frame holds a few bytes.
    frame = bytearray(lz4.frame.compress(b"abc"))
    frame[6:14] = (2**30).to_bytes(8, "little")
    with pytest.raises(DeserializationFailed):
        LZ4.decompress(bytes(frame))
    # A snappy chunk that claims 2 GiB behind a valid stream identifier.
    chunk = b"\x00\x0a\x00\x00" + bytes(4) + b"\xff\xff\xff\xff\x07" + b"x"
    with pytest.raises(ValueTooLarge):
        SNAPPY.decompress(b"\xff\x06\x00\x00sNaPpY" + chunk)


def test_threads_do_not_share_zstd_contexts() -> None:
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for size in range(200):
                data = bytes([seed]) * (size * 37)
                assert ZSTD.decompress(ZSTD.compress(data)) == data
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_names_and_codes() -> None:
    assert [each.name for each in COMPRESSIONS] == ["none", "gzip", "lz4", "snappy", "zstd"]
    assert [each.code for each in COMPRESSIONS] == [0, 1, 2, 3, 4]
    for each in COMPRESSIONS:
        assert compression_named(each.name) is each
    with pytest.raises(ConfigInvalid, match="none, gzip, lz4, snappy, zstd"):
        compression_named("brotli")


@pytest.mark.parametrize(
    ("name", "module"), [("lz4", "lz4.frame"), ("snappy", "cramjam"), ("zstd", "zstandard")]
)
def test_a_missing_driver_names_the_extra(name: str, module: str) -> None:
    # A None in sys.modules is how Python itself records a package that cannot be imported.
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from holdfast.codecs.compression import compression_named\n"
        "from holdfast.contract.errors import DriverMissing\n"
        f"try: compression_named({name!r}).compress(b'x')\n"
        "except DriverMissing as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=os.environ
    )
    assert "pip install 'holdfast-db[compression]'" in done.stdout


def test_gzip_window_is_the_standard_one() -> None:
    assert zlib.decompress(GZIP.compress(b"abc"), 31) == b"abc"
