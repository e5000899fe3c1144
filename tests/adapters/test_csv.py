"""CSV: typed, sniffed, and what it cannot tell apart is refused."""

import asyncio
import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.adapters.csv import from_csv, to_csv
from holdfast.contract.errors import InvalidInput, InvalidKey, InvalidValue, StoreError
from tests.adapters.samples import DOCUMENTS


def read(content: str | bytes, **options: Any) -> dict[str, Any]:
    """The documents of CSV text."""
    with holdfast.sync.open("memory://") as db:
        data = content.encode() if isinstance(content, str) else content
        from_csv(db.collection("all"), io.BytesIO(data), **options)
        return dict(db.collection("all").entries())


def test_documents_come_back_equal(db: holdfast.sync.Database, tmp_path: Path) -> None:
    documents = {
        key: {name: value for name, value in document.items() if name != "only_some"}
        for key, document in DOCUMENTS.items()
    }
    collection = db.collection("all")
    collection.set_many(documents)
    file = tmp_path / "all.csv"
    assert to_csv(collection, file) == 20
    back = db.collection("back")
    assert from_csv(back, file, commit_rows=7) == 20
    assert dict(back.entries()) == documents
    with file.open(newline="") as stream:  # The standard library reads the same cells.
        assert next(csv.DictReader(stream))["text"] == DOCUMENTS["k00"]["text"]


def test_awaited_on_a_handle_with_a_loop(tmp_path: Path) -> None:
    async def work() -> None:
        async with holdfast.open("memory://") as db:
            await db.collection("all").set_many({str(at): {"x": at} for at in range(1000)})
            assert await to_csv(db.collection("all"), tmp_path / "a.csv", "x < 600") == 600
            assert await from_csv(db.collection("back"), tmp_path / "a.csv") == 600

    asyncio.run(work())


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "-20", ""], [1, -20, None]),
        (["1", "18446744073709551615"], [1, 2**64 - 1]),
        (["1", "18446744073709551616"], ["1", "18446744073709551616"]),
        (["007", "1"], ["007", "1"]),
        (["+1"], ["+1"]),
        (["1", "2.5", "-1e3"], [1.0, 2.5, -1000.0]),
        (["9007199254740993", "0.5"], ["9007199254740993", "0.5"]),
        (["1e999"], ["1e999"]),
        (["nan"], ["nan"]),
        (["true", "False"], [True, False]),
        (["true", "1"], ["true", "1"]),
        (["2025-01-31", "x"], ["2025-01-31", "x"]),
        (["2025-01-31T12:00:00"], ["2025-01-31T12:00:00"]),
        (["2025-13-31T12:00:00Z"], ["2025-13-31T12:00:00Z"]),
        (["[1", "[1]"], ["[1", "[1]"]),
        (["[1]", '{"a": null}'], [[1], {"a": None}]),
        (["٣"], ["٣"]),
    ],
)
def test_a_column_is_what_all_of_its_cells_are(cells: list[str], expected: list[Any]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["key", "x"], *([str(at), one] for at, one in enumerate(cells))])
    found = [one["x"] for one in read(text.getvalue()).values()]
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))


def test_types_are_said_or_declared(db: holdfast.sync.Database) -> None:
    content = "key,zip,n\na,12345,1\n"
    assert read(content, types={"zip": "str"})["a"] == {"zip": "12345", "n": 1}
    with pytest.raises(InvalidValue, match="line 2: column 'zip': a cell of the type bool"):
        read(content, types={"zip": "bool"})
    with pytest.raises(InvalidInput, match="the type of a column is one of int"):
        read(content, types={"zip": "number"})

    @dataclass
    class Place:
        zip: str | None
        n: int

    places = db.collection("places", type=Place)
    from_csv(places, io.BytesIO(content.encode()))
    assert places.get("a") == Place("12345", 1)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_delimiter_and_encoding_are_found(delimiter: str, encoding: str) -> None:
    rows = [["key", "größe", "text"], ["a", "1", 'one, "two"; three\nand | four'], ["b", "2", ""]]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    assert read(text.getvalue().encode(encoding)) == {
        "a": {"größe": 1, "text": 'one, "two"; three\nand | four'},
        "b": {"größe": 2, "text": None},
    }


def test_another_encoding_has_to_be_said() -> None:
    content = "key,x\na,größe\n".encode("cp1252")
    with pytest.raises(InvalidInput, match=r"text in utf-8 was wanted.*encoding='cp1252'"):
        read(content)
    assert read(content, encoding="cp1252") == {"a": {"x": "größe"}}
    with pytest.raises(InvalidInput, match="an encoding such as cp1252"):
        read(content, encoding="no such")
    late = b"key,x\n" + b"a,b\n" * 100_000 + b"c,\xff\n"  # Behind what is sniffed.
    with pytest.raises(InvalidInput, match="text in utf-8"):
        read(late)


def test_a_header_is_found_or_given() -> None:
    assert list(read("1,x\n3,y\n", key=None).values()) == [
        {"column1": 1, "column2": "x"},
        {"column1": 3, "column2": "y"},
    ]
    assert read("a,x\n", header=["key", "b"]) == {"a": {"b": "x"}}
    assert read("key,b\n", header=True) == {}
    with pytest.raises(InvalidInput, match="found none"):
        read("")
    assert read("", key=None) == {}
    assert list(read("a,b\n", key=None, header=False).values()) == [
        {"column1": "a", "column2": "b"}
    ]


def test_nulls_may_have_a_text_and_may_be_missing() -> None:
    content = "key,x,y\na,NULL,\n"
    assert read(content, null="NULL") == {"a": {"x": None, "y": ""}}
    assert read(content, null="NULL", nulls="missing") == {"a": {"y": ""}}
    with pytest.raises(InvalidInput, match="nulls is"):
        read(content, nulls="x")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("key,x\na,1\nb,1,2\n", "line 3: a row of 2 cells was wanted; found 3"),
        ("key,x\na\n", "line 2: a row of 2 cells was wanted; found 1"),
        ('key,x\na,"un', "CSV was wanted"),
        ('key,x\na,"b"c\n', "line 2: CSV was wanted"),
        ("x,y\n1,2\n", "a column 'key' with the keys was wanted"),
    ],
)
def test_what_is_no_such_csv_is_refused_by_its_line(content: str, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        read(content)


def test_bad_arguments_and_keys_are_refused() -> None:
    with pytest.raises(InvalidKey, match="line 2: the key of a document"):
        read("key,x\n,1\n")
    with pytest.raises(InvalidInput, match="a delimiter is one character"):
        read("key,x\na,1\n", delimiter="--")
    with pytest.raises(InvalidInput, match="found 'x' twice"):
        read("key,x,x\na,1,2\n", header=True)


def test_a_pipe_is_read_once() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: Any) -> int:
            raise io.UnsupportedOperation

    with holdfast.sync.open("memory://") as db:
        pipe = Pipe(b"key,x\na,1\n")
        assert from_csv(db.collection("all"), pipe) == 1
        assert not pipe.closed


def test_what_stands_before_a_bad_row_is_written(db: holdfast.sync.Database) -> None:
    content = b"key,x\n" + b"".join(b"%d,1\n" % at for at in range(30)) + b",1\n"
    with pytest.raises(InvalidKey, match="line 32"):
        from_csv(db.collection("all"), io.BytesIO(content), commit_rows=10)
    assert db.collection("all").size() == 30


def test_what_csv_cannot_tell_apart_is_refused(
    db: holdfast.sync.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = db.collection("all")
    collection.set_many({"a": {"x": ""}, "b": {"x": None}})
    file = tmp_path / "a.csv"
    with pytest.raises(InvalidValue, match=r"null is written as ''; .* column 'x'"):
        to_csv(collection, file)
    assert not file.exists()
    assert not list(tmp_path.glob("*.partial"))
    to_csv(collection, file, null="NULL")
    from_csv(db.collection("back"), file, null="NULL")
    assert dict(db.collection("back").entries()) == {"a": {"x": ""}, "b": {"x": None}}
    collection.set("c", {})
    with pytest.raises(InvalidValue, match="CSV has one null; found x both"):
        to_csv(collection, file, null="NULL")
    assert to_csv(collection, file, null="NULL", missing="null") == 3
    with pytest.raises(InvalidInput, match="the column 'x' is that of the keys"):
        to_csv(collection, file, key="x", missing="null")
    monkeypatch.setattr("csv.field_size_limit", lambda: 5)
    collection.set("c", {"x": "secret text"})
    with pytest.raises(InvalidValue, match=r"at most 5 characters, .* column 'x'") as error:
        to_csv(collection, file, null="NULL")
    assert "secret" not in str(error.value)


def test_columns_key_and_delimiter_are_chosen(db: holdfast.sync.Database) -> None:
    collection = db.collection("all")
    collection.set_many({"a": {"x": 1, "y": 2}, "b": {"x": 3}})
    text = io.StringIO()
    assert to_csv(collection, text, key="id", columns=["y", "z"], delimiter=";") == 2
    assert text.getvalue() == "id;y;z\na;2;\nb;;\n"
    text = io.StringIO()
    to_csv(collection, text, key=None, columns=["x"])
    assert text.getvalue() == "x\n1\n3\n"
    with pytest.raises(StoreError, match="a delimiter"):
        to_csv(collection, text, delimiter="")


def test_a_first_row_with_the_name_of_the_key_names_the_columns(tmp_path: Path) -> None:
    """Whatever the other names look like: years, flags, nothing."""
    documents = {"a": {"2023": 1, "true": 2, "": 3, "1.5": "x"}, "b": {"2023": 4, "": 5}}
    with holdfast.sync.open("memory://") as db:
        db.collection("years").set_many(documents)
        to_csv(db.collection("years"), tmp_path / "years.csv")
        from_csv(db.collection("back"), tmp_path / "years.csv", nulls="missing")
        assert dict(db.collection("back").entries()) == documents
    assert read("id,2023\nx,7\n", key="id") == {"x": {"2023": 7}}
    assert list(read("1,2\n3,4\n", key=None).values()) == [
        {"column1": 1, "column2": 2}, {"column1": 3, "column2": 4},
    ]  # fmt: skip
    with pytest.raises(InvalidInput, match="'a' twice"):
        read("key,a,a\nx,1,2\n")
