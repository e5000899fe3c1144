"""The file engine across processes: what one wrote another reads, with and without Holdfast."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from tests.engines.file_database import contents, get, opened, put, run_child, segments

WRITE = """
with opened(Path(sys.argv[1])) as engine:
    put(engine, b"users:1", b"Ada")
    put(engine, b"users:2", b"Grace")
    put(engine, b"\\x00\\xff", b"\\xff\\x00\\x80")
    delete(engine, b"users:2")
"""
#: Nothing but the standard library.
READ = """
import json, pathlib, sys
rows = {}
for segment in sorted(pathlib.Path(sys.argv[1]).glob("*.jsonl")):
    for line in segment.read_text("utf-8").splitlines():
        record = json.loads(line)
        if "delete" in record:
            rows.pop(record["delete"])
        elif "key" in record:
            rows[record["key"]] = record["value"]
print(json.dumps(rows["users:1"]), sorted(key for key in rows if key.startswith("users")))
"""


@pytest.mark.row("E-063")
def test_one_process_writes_and_another_reads_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "app"
    assert run_child(WRITE, path).returncode == 0
    read = 'with opened(Path(sys.argv[1])) as engine:\n    print(get(engine, b"users:1"))'
    assert run_child(read, path).stdout == "b'Ada'\n"
    with opened(path) as engine:
        assert contents(engine) == {b"users:1": b"Ada", b"\x00\xff": b"\xff\x00\x80"}


@pytest.mark.row("E-063")
def test_every_line_of_every_segment_is_json(tmp_path: Path) -> None:
    path = tmp_path / "app"
    assert run_child(WRITE, path).returncode == 0
    lines = [line for segment in segments(path) for line in segment.read_text().splitlines()]
    assert len(lines) > 6
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert json.loads((path / "manifest.json").read_text())
    assert run_child(READ, path).stdout == "\"Ada\" ['users:1']\n"


@pytest.mark.row("E-065")
@pytest.mark.parametrize("format", ["json", "msgpack"])
def test_any_bytes_come_back_as_they_were(tmp_path: Path, format: str) -> None:
    odd = [b"\x00\xff", b"\xff\xfe", b"\x00", b"\n", b'"', b"%00", b"\xc3\x28", bytes(range(256))]
    with opened(tmp_path / "app", format=format) as engine:
        for key in odd:
            put(engine, key, key[::-1] + b"\x00\xff")
    with opened(tmp_path / "app", format=format) as engine:
        for key in odd:
            assert get(engine, key) == key[::-1] + b"\x00\xff"
        assert sorted(contents(engine)) == sorted(odd)


@pytest.mark.row("E-065")
def test_bytes_that_are_no_text_are_escaped_in_the_readable_format(tmp_path: Path) -> None:
    with opened(tmp_path / "app") as engine:
        put(engine, b"\x00\xff", b"\xff" * 30)
    (segment,) = segments(tmp_path / "app")
    text = segment.read_bytes().decode("ascii")
    assert re.search(r'"key":"[^"]*%[^"]*"', text) or base64.b64encode(b"\x00\xff").decode() in text
