"""Entries and stores as mappings: CPython's own tests of mappings, and what they leave out."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import TestCase

import pytest

import holdfast
import holdfast.sync
from holdfast.adapters.mapping import EntryMapping, StoreMapping
from holdfast.contract.errors import InvalidKey, InvalidValue, SerializationFailed

try:
    from test import mapping_tests
except ImportError:
    mapping_tests = None

_Suite: Any = TestCase if mapping_tests is None else mapping_tests.BasicTestMappingProtocol

_NO_SUITE = "builds of Python may leave out the package `test`, which has the suite"


class _Databases(_Suite):  # type: ignore[misc]  # ships no types
    """Gives each mapping of CPython's tests a place of its own in one database."""

    def setUp(self) -> None:
        if mapping_tests is None:
            self.skipTest(_NO_SUITE)
        self._db = holdfast.sync.open("memory://")
        self.addCleanup(self._db.close)
        self._names = (f"place-{number}" for number in itertools.count())


@pytest.mark.platform(_NO_SUITE)
class TestEntriesAsCPythonAsks(_Databases):
    def _reference(self) -> dict[str, Any]:
        # A tuple, which CPython's own reference has, would come back as a list: it is refused.
        return {"1": "2", "key1": "value1", "key2": [1, 2, 3]}

    def _empty_mapping(self) -> EntryMapping:
        return EntryMapping(self._db.entries.scope(next(self._names)))


@pytest.mark.platform(_NO_SUITE)
class TestStoresAsCPythonAsks(_Databases):
    def _reference(self) -> dict[bytes, bytes]:
        return {b"1": b"2", b"key1": b"value1", b"key2": b"\x00\x01"}

    def _empty_mapping(self) -> StoreMapping:
        return StoreMapping(self._db.stores.open(next(self._names)))

    def test_update(self) -> None:
        """CPython's updates with text, which a store refuses as a whole: see below."""
        mapping = self._empty_mapping()
        mapping.update(self.other.items())
        mapping.update()
        mapping.update(iter(self.reference.items()))
        assert dict(mapping) == {**self.other, **self.reference}
        with pytest.raises(InvalidKey):
            mapping.update({b"new": b"1", "text": b"2"})
        assert b"new" not in mapping


del _Databases, _Suite  # they would be collected


@pytest.fixture
def entries(db: holdfast.sync.Database) -> EntryMapping:
    return EntryMapping(db.entries)


@pytest.fixture
def store(db: holdfast.sync.Database) -> StoreMapping:
    return StoreMapping(db.stores.open("mapped"))


def test_what_stands_in_the_mapping_are_the_entries_themselves(
    db: holdfast.sync.Database, entries: EntryMapping
) -> None:
    entries["users/active:1"] = {"name": "Ada"}
    assert db.entries.require("users/active:1").value == {"name": "Ada"}
    db.entries.set("users/active:2", None)
    assert entries["users/active:2"] is None
    assert list(entries) == ["users/active:1", "users/active:2"]
    assert list(reversed(entries)) == ["users/active:2", "users/active:1"]
    assert None in entries.values()
    assert ("users/active:1", {"name": "Ada"}) in entries.items()


def test_an_update_is_one_commit_or_nothing(
    db: holdfast.sync.Database, entries: EntryMapping, store: StoreMapping
) -> None:
    before = db.head()
    entries.update({"a": 1}, b=2)
    assert db.head() == before + 1
    with pytest.raises(SerializationFailed):
        entries.update(c=3, d=object())
    assert "c" not in entries
    store.update({b"a": b"1", b"b": b"2"})
    assert db.head() == before + 2
    with pytest.raises(InvalidValue):
        store.update({b"c": b"3", b"d": "text"})
    assert b"c" not in store


def test_what_cannot_be_a_key_is_said(entries: EntryMapping, store: StoreMapping) -> None:
    with pytest.raises(InvalidKey):
        entries["a/b"] = 1
    with pytest.raises(InvalidKey):
        store[b""] = b"1"
    with pytest.raises(InvalidKey):
        store.get("text")  # type: ignore[call-overload]


def test_clear_removes_more_than_a_commit_holds(entries: EntryMapping, store: StoreMapping) -> None:
    entries.update({f"n:{number}": number for number in range(1_500)})
    store.update({b"%d" % number: b"" for number in range(1_500)})
    entries.clear()
    store.clear()
    assert not entries
    assert not store
    assert len(entries) == len(store) == 0


def _pairs(mapping: Any, keys: list[Any]) -> Iterator[Any]:
    barrier = threading.Barrier(4)

    def take() -> list[Any]:
        barrier.wait()
        taken = []
        while True:
            try:
                taken.append(mapping.popitem())
            except KeyError:
                return taken

    with ThreadPoolExecutor(4) as pool:
        for taken in [pool.submit(take) for _ in range(4)]:
            yield from taken.result()


def test_threads_that_take_pairs_get_each_once(entries: EntryMapping, store: StoreMapping) -> None:
    texts = {f"{number:02}": number for number in range(40)}
    entries.update(texts)
    assert sorted(_pairs(entries, list(texts))) == sorted(texts.items())
    raw = {b"%02d" % number: b"value" for number in range(40)}
    store.update(raw)
    assert sorted(_pairs(store, list(raw))) == sorted(raw.items())


def test_threads_that_set_a_default_agree(entries: EntryMapping, store: StoreMapping) -> None:
    barrier = threading.Barrier(4)

    def ask(number: int) -> tuple[Any, bytes]:
        barrier.wait()
        return entries.setdefault("k", number), store.setdefault(b"k", b"%d" % number)

    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(ask, range(4)))
    assert answers == {(entries["k"], store[b"k"])}
