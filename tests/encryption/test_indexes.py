"""What indexes of an encrypted database may hold; the fast ways read through the cipher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import holdfast.sync
from holdfast.contract.errors import Unsupported
from holdfast.contract.record import Page, Range
from holdfast.documents.query import F
from holdfast.encryption import Encryption
from holdfast.runtime.system import drive
from holdfast.store.encrypted import encryption_of
from tests.encryption.keys import SeededKeys


def index_rows(db: Any) -> list[bytes]:
    """The keys of all rows of hash indexes, without the numbers before and the documents behind."""
    layer = encryption_of(db._inner._open_engine())
    engine = db._inner._open_engine() if layer is None else layer.inner
    page = drive(engine.scan(Range.prefix(b"K")))
    return [key[10:26] for key, _ in page.rows if key[5:6] == b"I"]


@pytest.mark.row("E-129")
@pytest.mark.parametrize(
    "index",
    [
        {"fields": "name"}, {"fields": "name", "unique": True}, {"fields": ["age", "name"]},
        {"fields": "name", "kind": "text"}, {"fields": "place", "kind": "geo"},
    ],
)  # fmt: skip
def test_an_index_with_values_in_the_clear_wants_its_fields_named(
    index: dict[str, Any], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/app.db"
    one = Encryption(SeededKeys(), plain_indexes=("people.age",))
    with holdfast.sync.open(url, encryption=one) as db:
        people = db.collection("people")
        people.set("ada", {"name": "Ada", "age": 36, "place": [0.1, 51.5]})
        with pytest.raises(Unsupported, match=r"(name|place) in the clear.*hash.*plain_indexes"):
            people.create_index("by", **index)
        assert people.list_indexes() == []
        people.create_index("by_age", "age")
        assert people.find_many(F.age > 30) == [people.get("ada")]
    with holdfast.sync.open(
        url, encryption=Encryption(SeededKeys(), plain_indexes=("people.*",))
    ) as db:
        db.collection("people").create_index("by", **index)


@pytest.mark.row("E-129")
def test_equality_goes_by_a_keyed_digest_that_nobody_can_reckon(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two", "plain"):
        encryption = None if name == "plain" else Encryption(SeededKeys())
        with holdfast.sync.open(f"sqlite:///{tmp_path}/{name}.db", encryption=encryption) as db:
            people = db.collection("people")
            people.create_index("by_name", "name", kind="hash")
            people.set("ada", {"name": "Ada", "n": 1})
            people.set("bob", {"name": "Bob", "n": 2})
            people.set("other", {"name": "Ada", "n": 3})
            plan = people.explain(name="Ada")
            assert "by_name" in str(plan)
            assert sorted(one["n"] for one in people.find_many(name="Ada")) == [1, 3]
            people.set("ada", {"name": "Bob", "n": 1})
            assert sorted(one["n"] for one in people.find_many(name="Bob")) == [1, 2]
            assert db.check() == []
            digests.append(set(index_rows(db)))
        with holdfast.sync.open(f"sqlite:///{tmp_path}/{name}.db", encryption=encryption) as db:
            assert [one["n"] for one in db.collection("people").find_many(name="Ada")] == [3]
    assert [len(one) for one in digests] == [2, 2, 2]
    assert not digests[0] & digests[1]
    assert not digests[0] & digests[2], "who has no key cannot look values up"


def test_vectors_lie_in_values(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/app.db"
    with holdfast.sync.open(url, encryption=Encryption(SeededKeys())) as db:
        places = db.collection("places")
        places.create_index("near", "at", kind="vector", dimensions=2)
        places.set("a", {"at": [1.0, 0.0]})
        places.set("b", {"at": [0.0, 1.0]})
        assert next(iter(places.nearest([0.9, 0.1], limit=1))).key == "a"


@pytest.mark.row("S-089")
@pytest.mark.parametrize("engine", ["memory", "lmdb"])
def test_the_fast_ways_stay_and_read_through_the_cipher(engine: str, tmp_path: Path) -> None:
    url = "memory://" if engine == "memory" else f"lmdb:///{tmp_path}/app"
    with holdfast.sync.open(url, encryption=Encryption(SeededKeys()), cached=True) as db:
        written = db.entries.set("a:b", {"x": 1})
        layer = encryption_of(db._inner._open_engine())
        assert layer is not None
        assert layer.peek is not None
        assert layer.peek_page is not None
        assert layer.transact_now is not None
        [(key, record)] = [
            row for row in drive(layer.inner.scan(Range.prefix(b"K"))).rows if row[0][5:6] == b"D"
        ]
        peeked = layer.peek(key)
        assert isinstance(peeked, tuple)
        assert peeked[1] == record.revision == written.revision
        assert peeked[0] != record.value
        page = layer.peek_page(Range.prefix(b"K"))
        assert isinstance(page, Page)
        assert (key, peeked) in [(one, tuple(found)) for one, found in page.rows]
        assert db.entries.require("a:b").value == {"x": 1}
