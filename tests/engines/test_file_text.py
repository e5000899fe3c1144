"""Records of the file engine as people see them, and back again without a loss."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import holdfast.sync
from holdfast.engines.file.frames import Frames
from holdfast.engines.file.json_lines import JsonLines
from holdfast.engines.file.records import BatchId, Commit, Format, Header, Record, Row, Unsound
from holdfast.engines.file.text import meant, readable
from tests.engines.file_database import opened, put, segments

FORMATS = (JsonLines(), Frames())

#: Bytes of every kind: binary, text, text with bytes in it, and what the escapes are made of.
raw = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=100).map(str.encode),
    st.lists(
        st.one_of(st.binary(max_size=9), st.text(max_size=9).map(str.encode), st.just(b"%{QUJD}")),
        max_size=9,
    ).map(b"".join),
    st.text("%{}0aAfF=", max_size=40).map(str.encode),
)
numbers = st.integers(0, 2**63 - 1)
records = st.one_of(
    st.builds(Row, raw, numbers, st.none() | raw),
    st.builds(BatchId, raw, numbers, numbers),
    st.builds(Commit, numbers, numbers, numbers),
    st.builds(Header, numbers, numbers, st.text("0123456789abcdef"), numbers),
)


@given(raw)
def test_text_means_what_it_was_made_of(bytes_: bytes) -> None:
    text = readable(bytes_)
    if text is not None:
        assert meant(text) == bytes_
        assert all(character.isprintable() or character > "\x9f" for character in text)


@pytest.mark.row("E-066")
@pytest.mark.parametrize(
    ("bytes_", "text"),
    [
        (b"users:1", "users:1"),
        ("Grüße, 世界".encode(), "Grüße, 世界"),
        (b"100% sure", "100%25 sure"),
        (b"D users\0 1\0", "D users%00 1%00"),
        (b"\xff", "%FF"),
        (b"\0\1", "%00%01"),
        (b"a\0b\1c\2d", "a%00b%01c%02d"),
        (bytes(60) + b"name" + bytes(3), f"%{{{'A' * 80}}}name%00%00%00"),
        (bytes(range(128, 256)), None),
    ],
)
def test_what_is_text_is_shown_as_text(bytes_: bytes, text: str | None) -> None:
    assert readable(bytes_) == text


@pytest.mark.parametrize("text", ["100%", "50% off", "%zz", "%{no base64}", "%{A}", "%"])
def test_a_percent_sign_typed_by_hand_means_itself(text: str) -> None:
    assert meant(text) == text.encode()


@given(st.lists(records, max_size=6))
@pytest.mark.parametrize("format", FORMATS)
def test_records_come_back_as_they_were(format: Format, written: list[Record]) -> None:
    data = [format.encode(record) for record in written]
    whole = b"".join(data)

    def read(at: int, length: int) -> bytes:
        return whole[at : at + length]

    found = list(format.walk(read, 0, len(whole)))
    assert [one.record for one in found] == written
    assert [one.length for one in found] == list(map(len, data))
    assert [one.number for one in found] == list(range(1, len(written) + 1))
    for record, stored in zip(written, data, strict=True):
        if isinstance(record, Row):
            assert format.row(stored) == record


@given(st.lists(records, min_size=1, max_size=4), st.integers(0), st.binary(max_size=30))
@pytest.mark.parametrize("format", FORMATS)
def test_whatever_is_read_no_damage_escapes(
    format: Format, written: list[Record], at: int, junk: bytes
) -> None:
    """Reading ends, whatever stands there, and what is not what was written is unsound."""
    whole = b"".join(map(format.encode, written))
    at %= len(whole)
    whole = whole[:at] + junk + whole[at + len(junk) :]
    found = list(format.walk(lambda at, length: whole[at : at + length], 0, len(whole)))
    assert all(isinstance(one.record, Unsound) or one.record in written for one in found)


def test_lines_longer_than_what_is_read_at_once(tmp_path: Path) -> None:
    values = [bytes([byte]) * (3 << 20) for byte in (0, 65, 255)]
    for format in ("json", "msgpack"):
        with opened(tmp_path / format, format=format) as engine:
            for number, value in enumerate(values):
                put(engine, b"%d" % number, value)
        with opened(tmp_path / format) as engine:
            assert [engine.peek(b"%d" % number)[0] for number in range(3)] == values  # type: ignore[index]


@pytest.mark.row("E-066")
def test_a_person_finds_what_was_stored_by_reading(tmp_path: Path) -> None:
    with holdfast.sync.open(f"file:///{tmp_path / 'app'}") as db:
        db.entries.set("notes/today:shopping", {"milk": "two bottles", "tea": "green"})
        db.entries.set("plain", "Grüße an alle")
    (segment,) = segments(tmp_path / "app")
    lines = segment.read_text().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)
    (shopping,) = [line for line in lines if "two bottles" in line]
    assert "notes" in shopping
    assert "green" in shopping
    assert any("Grüße an alle" in line for line in lines)
