"""Journals that somebody cut, changed, swapped or lost: told with file and line, never guessed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from holdfast.contract.batch import Batch, Delete, Put
from holdfast.contract.errors import (
    FormatTooNew,
    IntegrityFailed,
    NotADatabase,
    StoreError,
    StoreNotFound,
)
from holdfast.engines.file import journal as journals
from holdfast.runtime.system import drive
from tests.engines.file_database import (
    contents,
    get,
    left_behind,
    opened,
    padding,
    put,
    segments,
    written,
)

FORMATS = ("json", "msgpack")


def _filled(tmp_path: Path, format: str, *, close: bool = True) -> tuple[Path, dict[bytes, bytes]]:
    """A database of three commits in one segment, left by a killed process or closed."""
    expected = {b"a": b"1", b"b\xff": b"\0two", b"c": b"x" * 30}
    with opened(tmp_path / "app", format=format) as engine:
        put(engine, b"a", b"0")
        drive(engine.commit(Batch([Put(b"gone", b""), Put(b"b\xff", expected[b"b\xff"])], id=b"1")))
        last = Batch([Put(b"a", b"1"), Put(b"c", expected[b"c"]), Delete(b"gone")])
        drive(engine.commit(last))
        path = tmp_path / "app" if close else left_behind(engine, tmp_path)
    return path, expected


def _opens(path: Path) -> dict[bytes, bytes]:
    with opened(path, read_only=True) as engine:
        assert drive(engine.check()) == []
        return contents(engine)


@pytest.mark.row("E-066")
@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80])
def test_every_byte_flipped_is_noticed(
    tmp_path: Path, format: str, flip: int, closed: bool
) -> None:
    """Of records acknowledged: also of the last, also where nobody closed the database."""
    path, expected = _filled(tmp_path, format, close=closed)
    (segment,) = segments(path)
    whole = segment.read_bytes()
    for at in range(len(written(segment))):
        segment.write_bytes(whole)
        with segment.open("r+b") as file:
            file.seek(at)
            file.write(bytes([whole[at] ^ flip]))
        with pytest.raises(IntegrityFailed, match=re.escape(segment.name)) as told:
            _opens(path)
        number = whole[:at].count(b"\n") + 1
        if format == "json":
            assert f"line {number} " in str(told.value) or f"line {number + 1} " in str(
                told.value
            ), at
        assert told.value.path == str(path)
    segment.write_bytes(whole)
    assert _opens(path) == expected


@pytest.mark.row("E-066")
@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("format", FORMATS)
def test_a_journal_cut_anywhere_holds_whole_commits(
    tmp_path: Path, format: str, filled: bool
) -> None:
    """What a killed process leaves may end within a record: that was acknowledged to nobody.

    The file ends there, or goes on with what it was filled with ahead.
    """
    seen: dict[int, dict[bytes, bytes]] = {}
    with opened(tmp_path / "app", format=format) as engine:
        journal = engine._store.journal
        seen[journal.active.size] = {}
        for number in range(4):
            put(engine, b"%d" % number, b"value \xff\0" * number)
            seen[journal.active.size] = contents(engine)
        path = left_behind(engine, tmp_path)
    (segment,) = segments(path)
    whole = segment.read_bytes()[: max(seen)]
    behind = padding(segment) * 1000 if filled else b""
    manifest = path / "manifest.json"
    listed = manifest.read_bytes()
    for cut in range(min(seen), len(whole) + 1):
        segment.write_bytes(whole[:cut] + behind)
        manifest.write_bytes(listed)
        # A commit that lacks nothing but the end of its line is whole.
        slack = 1 if format == "json" else 0
        last = max(size for size in seen if size <= cut + slack)
        assert _opens(path) == seen[last], cut
        if cut % 17 == 0 or cut in seen:
            with opened(path, format=format) as engine:
                assert contents(engine) == seen[last], cut
                put(engine, b"after")
            assert _opens(path) == {**seen[last], b"after": b"value"}, cut


@pytest.mark.parametrize("format", FORMATS)
def test_a_cut_journal_that_was_closed_whole_is_refused(tmp_path: Path, format: str) -> None:
    path, _ = _filled(tmp_path, format)
    (segment,) = segments(path)
    whole = segment.read_bytes()
    for cut in range(0, len(whole) - 1, 7):
        segment.write_bytes(whole[:cut])
        with pytest.raises(IntegrityFailed, match=re.escape(segment.name)):
            _opens(path)


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("format", FORMATS)
def test_sectors_that_were_never_written_are_the_end(
    tmp_path: Path, format: str, filled: bool
) -> None:
    """A file may be longer than what of it reached the medium: the rest reads as zeros.

    Or as what it was filled with ahead.
    """
    with opened(tmp_path / "app", format=format) as engine:
        put(engine, b"a")
        before = len(written(segments(tmp_path / "app")[0]))
        put(engine, b"big", bytes(range(1, 256)) * 12)
        path = left_behind(engine, tmp_path)
    (segment,) = segments(path)
    whole = segment.read_bytes()
    hole = padding(segment) * 512 if filled else bytes(512)
    for begin in range(before // 512 * 512 + 512, len(written(segment)), 512):
        segment.write_bytes(whole[:begin] + hole + whole[begin + 512 :])
        assert _opens(path) == {b"a": b"value"}
    # In front of another commit it was there once: that one was begun when it was flushed.
    with opened(tmp_path / "app", format=format) as engine:
        put(engine, b"later")
    (segment,) = segments(tmp_path / "app")
    whole = segment.read_bytes()
    begin = before // 512 * 512 + 512
    segment.write_bytes(whole[:begin] + hole + whole[begin + 512 :])
    with pytest.raises(IntegrityFailed, match=re.escape(segment.name)):
        _opens(tmp_path / "app")


def test_whole_lines_that_were_never_written_are_told_by_their_commit(tmp_path: Path) -> None:
    """What is left of them may be a blank line, which means nothing by itself."""
    with opened(tmp_path / "app") as engine:
        put(engine, b"a")
        rows = [Put(b"row %03d" % number, b"x" * 50) for number in range(40)]
        drive(engine.commit(Batch(rows)))
        path = left_behind(engine, tmp_path)
        put(engine, b"later")
        gone_on = left_behind(engine, tmp_path)

    def holed(segment: Path) -> bytes:
        whole = segment.read_bytes()
        begin = whole.index(b'{"key":"row 005"')
        end = whole.index(b'{"key":"row 025"') - 1  # The end of the line before stays.
        assert end - begin > 1024, "a whole sector lies in it"
        return whole[:begin] + b"\t" * (end - begin) + whole[end:]

    (segment,) = segments(path)
    segment.write_bytes(holed(segment))
    assert _opens(path) == {b"a": b"value"}
    # In front of another commit it is damage.
    (segment,) = segments(gone_on)
    segment.write_bytes(holed(segment))
    with pytest.raises(IntegrityFailed, match=r"commits 40 records; found 20"):
        _opens(gone_on)


@pytest.mark.parametrize("format", FORMATS)
def test_a_hole_in_rows_written_again_is_damage(tmp_path: Path, format: str) -> None:
    """Their commit has the revision of the one before: the next is not taken for its end."""
    path = tmp_path / "app"
    with opened(path, format=format) as engine:
        put(engine, b"big", bytes(range(1, 256)) * 12)
        drive(engine.compact())
        (segment,) = segments(path)
        begin = (len(written(segment)) - 1) // 512 * 512
        put(engine, b"later")
        crashed = left_behind(engine, tmp_path)
    (segment,) = segments(crashed)
    whole = segment.read_bytes()
    for hole in (begin, begin - 512, begin - 1024):
        segment.write_bytes(whole[:hole] + bytes(512) + whole[hole + 512 :])
        if whole[hole : hole + 512].find(b"later") >= 0:
            continue  # The hole reaches into the last commit, which is then the one that lacks.
        with pytest.raises(IntegrityFailed, match=re.escape(segment.name)):
            _opens(crashed)


# --- Segments ---------------------------------------------------------------------------------


@pytest.fixture
def several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of some segments, closed."""
    monkeypatch.setattr(journals, "SEGMENT_BYTES_MIN", 400)
    with opened(tmp_path / "app") as engine:
        for number in range(12):
            put(engine, b"%d" % number)
    assert len(segments(tmp_path / "app")) > 3
    return tmp_path / "app"


def test_swapped_segments_are_told(several: Path) -> None:
    one, two = segments(several)[:2]
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)
    with pytest.raises(IntegrityFailed, match=r"00000001.jsonl .*line 1 .*belongs to segment 2"):
        _opens(several)


def test_a_missing_segment_is_told(several: Path) -> None:
    middle = segments(several)[1]
    middle.unlink()
    with pytest.raises(IntegrityFailed, match=rf"it lists {middle.name}, which is not there"):
        _opens(several)


def test_an_older_copy_of_a_segment_is_told(several: Path) -> None:
    middle = segments(several)[1]
    lines = middle.read_bytes().splitlines(keepends=True)
    middle.write_bytes(b"".join(lines[:-2]))
    with pytest.raises(IntegrityFailed, match="older copy, or was cut off"):
        _opens(several)


def test_an_older_copy_of_the_last_segment_is_told(several: Path) -> None:
    last = segments(several)[-1]
    lines = last.read_bytes().splitlines(keepends=True)
    last.write_bytes(b"".join(lines[:-2]))
    with pytest.raises(IntegrityFailed, match=r"ends at revision 11, and revision 12 was"):
        _opens(several)


def test_a_segment_of_another_database_is_told(several: Path, tmp_path: Path) -> None:
    with opened(tmp_path / "other") as engine:
        put(engine, b"theirs")
    shutil.copy(segments(tmp_path / "other")[0], segments(several)[0])
    with pytest.raises(IntegrityFailed, match="belongs to segment 1 of the database"):
        _opens(several)


def test_an_older_manifest_is_told_and_nothing_removed(several: Path) -> None:
    before = segments(several)
    manifest = several / "manifest.json"
    text = manifest.read_text()
    short = re.sub(rf',\s*"{before[-1].name}"', "", text)
    short = re.sub(r',\s*"crc": "\w+"', "", re.sub(r'"head": \d+', '"head": 0', short))
    assert short != text
    manifest.write_text(short)
    with (
        pytest.raises(IntegrityFailed, match=rf"does not list {before[-1].name}"),
        opened(several),
    ):
        pass
    assert segments(several) == before


@pytest.mark.parametrize("flip", [0x01, 0x20])
def test_every_byte_of_the_manifest_flipped(several: Path, flip: int) -> None:
    """The lay-out of the file is not checked, what it says is."""
    manifest = several / "manifest.json"
    whole = manifest.read_bytes()
    expected = _opens(several)
    silent = 0
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= flip
        manifest.write_bytes(damaged)
        try:
            assert _opens(several) == expected
            silent += 1
        except (IntegrityFailed, NotADatabase, FormatTooNew):
            pass
    assert silent < 40, "white space alone may change unnoticed"


def test_a_missing_manifest_is_told(several: Path) -> None:
    (several / "manifest.json").unlink()
    with pytest.raises(IntegrityFailed, match=r"manifest.json is damaged: it is missing"):
        _opens(several)
    with pytest.raises(IntegrityFailed, match="it is missing"), opened(several):
        pass


def test_a_row_damaged_while_the_database_is_open_is_told(tmp_path: Path) -> None:
    with opened(tmp_path / "app", cache_size=0) as engine:
        put(engine, b"first", b"1")
        put(engine, b"second", b"2")
        (segment,) = segments(tmp_path / "app")
        text = segment.read_bytes()
        with segment.open("r+b") as file:
            file.write(text.replace(b'"value":"2"', b'"value":"3"'))
        assert get(engine, b"first") == b"1"
        with pytest.raises(IntegrityFailed, match=r"00000001.jsonl is damaged: the line 4 "):
            get(engine, b"second")
        found = drive(engine.check())
        assert len(found) >= 1
        assert found[0].startswith("00000001.jsonl: the line 4 (at byte ")


# --- Foreign places ---------------------------------------------------------------------------


def test_a_foreign_directory_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "notes.txt").write_text("mine")
    with (
        pytest.raises(NotADatabase, match=r"holds other files \('notes.txt'"),
        opened(tmp_path / "app"),
    ):
        pass
    assert [path.name for path in (tmp_path / "app").iterdir()] == ["notes.txt"]


def test_a_foreign_manifest_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "manifest.json").write_text('{"name": "a web page"}')
    with pytest.raises(NotADatabase, match="another program"), opened(tmp_path / "app"):
        pass
    assert (tmp_path / "app" / "manifest.json").read_text() == '{"name": "a web page"}'


def test_a_file_in_the_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "app").write_text("mine")
    with pytest.raises(NotADatabase, match="is a file"), opened(tmp_path / "app"):
        pass


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "app"):
        pass
    manifest = tmp_path / "app" / "manifest.json"
    text = re.sub(r',\s*"crc": "\w+"', "", manifest.read_text())
    manifest.write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(FormatTooNew, match="format 2"), opened(tmp_path / "app"):
        pass


# --- Mending by hand --------------------------------------------------------------------------


def _edit(segment: Path, old: str, new: str) -> None:
    text = segment.read_text()
    assert old in text
    segment.write_text(text.replace(old, new))


def _unsign(line: str) -> str:
    return re.sub(r',"crc":"[0-9a-f]{8}"', "", line)


@pytest.mark.row("E-066")
def test_a_person_changes_a_value_with_an_editor(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with opened(path) as engine:
        put(engine, b"users:1", b"Ada")
        put(engine, b"users:2", b"Charles")
    (segment,) = segments(path)
    _edit(segment, '"value":"Ada"', '"value":"Grace"')
    with pytest.raises(IntegrityFailed, match=r"line 2 .*changed on purpose, remove its crc"):
        _opens(path)
    lines = [_unsign(one) if "Grace" in one else one for one in segment.read_text().splitlines()]
    segment.write_text("\n".join(lines))  # Some editors leave out the last end of a line.
    assert _opens(path) == {b"users:1": b"Grace", b"users:2": b"Charles"}
    with opened(path) as engine:
        put(engine, b"users:3", b"Alan")
        drive(engine.compact())
    assert _opens(path) == {b"users:1": b"Grace", b"users:2": b"Charles", b"users:3": b"Alan"}


@pytest.mark.row("E-066")
def test_a_person_removes_a_damaged_line(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with opened(path) as engine:
        drive(engine.commit(Batch([Put(b"a", b"1"), Put(b"b", b"2")])))
        put(engine, b"c", b"3")
    (segment,) = segments(path)
    lines = segment.read_text().splitlines()
    assert '"a"' in lines[1]
    del lines[1]
    segment.write_text("\n".join(lines) + "\n")
    with pytest.raises(IntegrityFailed, match=r"line 3 .*commits 2 records; found 1"):
        _opens(path)
    lines[2] = _unsign(lines[2]).replace('"rows":2', '"rows":1')
    segment.write_text("\r\n".join(lines) + "\r\n\r\n")
    assert _opens(path) == {b"b": b"2", b"c": b"3"}


def test_what_a_person_mistypes_is_told(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with opened(path) as engine:
        put(engine, b"a", b"1")
    (segment,) = segments(path)
    text = segment.read_text()
    line = text.splitlines()[1]
    for wrong, why in (
        ('{"key":"a","value":"1"}', "lacks a member"),
        ('{"key":"a","revision":"1","value":"1"}', "has another type"),
        ('{"key":"a","revision":1,"value":"1","note":"?"}', "has a member that its kind has not"),
        ('{"kye":"a"}', "is none that a segment holds"),
        ('{"key":"a","revision":1,"value":"1"', "is no JSON"),
        ('["key"]', "is no JSON object"),
        ('{"crc":"00000000","key":"a","revision":1,"value":"1"}', "elsewhere than at its end"),
        ('{"key64":"?","revision":1,"value":"1"}', "lacks a member"),
        ('{"key":"a","revision":9,"value":"1"}', "commits rows of a later revision"),
    ):
        segment.write_text(text.replace(line, wrong))
        with pytest.raises(IntegrityFailed, match=why):
            _opens(path)
    segment.write_text(text)
    assert _opens(path) == {b"a": b"1"}


def test_nothing_is_opened_by_what_was_refused(tmp_path: Path) -> None:
    path, expected = _filled(tmp_path, "json")
    (segment,) = segments(path)
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-30] + b"?" + whole[-29:])
    for _ in range(3):
        with pytest.raises(StoreError), opened(path):
            pass
    assert segment.read_bytes() == whole[:-30] + b"?" + whole[-29:], "it was left as it is"
    segment.write_bytes(whole)
    with opened(path) as engine:
        assert contents(engine) == expected
    shutil.rmtree(path)
    with pytest.raises(StoreNotFound):
        _opens(path)
