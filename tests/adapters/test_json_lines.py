"""JSON Lines: everything that a collection holds comes back."""

import asyncio
import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

import holdfast
import holdfast.sync
from holdfast.adapters.csv import to_csv
from holdfast.adapters.files import held
from holdfast.adapters.json_lines import from_json_lines, to_json_lines
from holdfast.contract.errors import InvalidInput, InvalidValue, SerializationFailed
from holdfast.contract.runtime import ManualClock
from tests.adapters.samples import DOCUMENTS, values


def read(content: str | bytes, **options: Any) -> dict[str, Any]:
    """The documents of JSON Lines."""
    with holdfast.sync.open("memory://") as db:
        data = content.encode() if isinstance(content, str) else content
        from_json_lines(db.collection("all"), io.BytesIO(data), **options)
        return dict(db.collection("all").entries())


def test_documents_come_back_equal(db: holdfast.sync.Database, tmp_path: Path) -> None:
    collection = db.collection("all")
    collection.set_many(DOCUMENTS)
    collection.set("no fields", [1, None])
    file = tmp_path / "all.jsonl"
    assert to_json_lines(collection, file) == 21
    assert len(list(map(json.loads, file.read_text().splitlines()))) == 21
    assert from_json_lines(db.collection("back"), file, commit_rows=5) == 21
    assert dict(db.collection("back").entries()) == dict(collection.entries())


@settings(max_examples=60)
@given(values)
def test_any_value_comes_back_equal(value: Any) -> None:
    with holdfast.sync.open("memory://") as db:
        db.collection("all").set("a", value)
        text = io.StringIO()
        to_json_lines(db.collection("all"), text)
        assert read(text.getvalue()) == {"a": value}


def test_plain_objects_have_their_key_in_a_field(db: holdfast.sync.Database) -> None:
    collection = db.collection("all")
    collection.set_many({"a": {"x": b"1"}, "b": {"x": b"2"}})
    text = io.StringIO()
    assert to_json_lines(collection, text, key_field="id") == 2
    assert json.loads(text.getvalue().splitlines()[0]) == {"id": "a", "x": {"$bytes": "MQ=="}}
    assert read(text.getvalue(), key_field="id") == dict(collection.entries())
    assert read('{"id": 7, "x": 1}', key_field="id") == {"7": {"x": 1}}
    with pytest.raises(InvalidInput, match="the field 'x' is to have the keys"):
        to_json_lines(collection, text, key_field="x")
    collection.set("c", 1)
    with pytest.raises(InvalidInput, match="found a int under the key 'c'"):
        to_json_lines(collection, text, key_field="id")


def test_expiry_is_taken_over_and_what_expired_is_left_out() -> None:
    clock = ManualClock()
    with holdfast.sync.open("memory://", clock=clock) as db:
        collection = db.collection("all")
        collection.set("short", {"x": 1}, ttl=10)
        collection.set("long", {"x": 1}, ttl=100)
        collection.set("ever", {"x": 1})
        text = io.StringIO()
        to_json_lines(collection, text)
        clock.advance(50)
        back = db.collection("back")
        assert from_json_lines(back, io.BytesIO(text.getvalue().encode())) == 2
        found, before = back.find("long"), collection.find("long")
        assert found is not None
        assert before is not None
        assert found.metadata.expires_at == before.metadata.expires_at
        clock.advance(51)
        assert list(back.keys()) == ["ever"]


def test_awaited_on_a_handle_with_a_loop(tmp_path: Path) -> None:
    async def work() -> None:
        async with holdfast.open("memory://") as db:
            await db.collection("all").set_many({str(at): {"x": at} for at in range(600)})
            assert await to_json_lines(db.collection("all"), tmp_path / "a") == 600
            assert await from_json_lines(db.collection("back"), tmp_path / "a") == 600

    asyncio.run(work())


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('{"key": "a", "value": 1}\n{"key": "b"', "line 2: wanted JSON"),
        ("\n[]", "line 2: wanted a JSON object"),
        ('{"key": "a"}', 'line 1: wanted an object with "key" and "value"'),
        ('{"key": "a", "value": 1, "x": 2}', 'line 1: wanted an object with "key" and "value"'),
        ('{"key": null, "value": 1}', "line 1: a key is a text or a whole number"),
        ('{"key": "a", "value": {"$bytes": 1}}', "line 1: .*base64"),
        ('{"key": "a", "value": 1, "metadata": []}', 'line 1: "metadata" is an object'),
        ('{"key": "a", "value": 1, "metadata": {"expires_at": "x"}}', "something else"),
        ('{"key": "a", "value": 1, "metadata": {"expires_at": "2025-01-01"}}', "its offset"),
    ],
)
def test_what_is_no_such_line_is_refused_by_its_number(content: str, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        read(content)


def test_marks_blank_lines_and_numbers() -> None:
    assert read(b'\xef\xbb\xbf{"key": "a", "value": 1}\r\n\r\n') == {"a": 1}
    with pytest.raises(InvalidInput, match="line 1: wanted a field 'id'"):
        read('{"x": 1}', key_field="id")
    with pytest.raises(SerializationFailed, match="row 1 to 1"):
        read(f'{{"key": "a", "value": {2**64}}}')


def test_a_file_is_there_whole_or_not_at_all(db: holdfast.sync.Database, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("as it was")
    collection = db.collection("all")
    collection.set_many({"a": {"x": 1}, "b": {"id": 1}})
    with pytest.raises(InvalidInput):
        to_json_lines(collection, file, key_field="id")
    assert file.read_text() == "as it was"
    collection.set("c", 1)
    with pytest.raises(InvalidValue):
        to_csv(collection, file)
    assert file.read_text() == "as it was"
    link = tmp_path / "link"
    link.symlink_to(file)
    to_json_lines(collection, link)
    assert link.is_symlink()
    assert file.read_text().count("\n") == 3


def test_what_is_opened_for_a_cancelled_import_is_closed() -> None:
    begun, go_on, stream = threading.Event(), threading.Event(), io.BytesIO()

    def slow() -> io.BytesIO:
        begun.set()
        go_on.wait(10)
        return stream

    async def work() -> None:
        async with holdfast.open("memory://") as db:

            async def read() -> None:
                async with held(db.collection("all"), slow):
                    raise AssertionError("it was cancelled before")

            task = asyncio.create_task(read())
            await asyncio.to_thread(begun.wait, 10)
            task.cancel()
            await asyncio.sleep(0)
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert stream.closed

    asyncio.run(work())
