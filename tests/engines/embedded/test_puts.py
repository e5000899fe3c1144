"""The one pass over a draft takes what every engine takes, and leaves the rest to a closer look."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from holdfast.contract.batch import Draft, append_key
from holdfast.contract.errors import StoreError
from holdfast.contract.limits import check_draft
from holdfast.contract.record import Range
from holdfast.engines.embedded.puts import puts_of
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.runtime.system import system_components

LIMITS = replace(
    MemoryEngine(MemoryConfig(), system_components()).capabilities,
    key_bytes_max=20,
    value_bytes_max=100,
    batch_bytes_max=100,
    batch_operations_max=3,
)


def draft(rows: Any = None, appends: Any = (), ranges: Any = (), id: bytes | None = None) -> Draft:
    made = Draft()
    made.rows.update(rows or {})
    made.appends.extend(appends)
    made.ranges, made.id = ranges, id
    return made


def test_rows_and_appends_get_the_revision_of_the_commit() -> None:
    taken = draft({b"a": b"1", b"k" * 20: b""}, [(b"F", b"2")])
    assert puts_of(taken, 7, LIMITS) == {
        b"a": (b"1", 7), b"k" * 20: (b"", 7), append_key(b"F", 7, 0): (b"2", 7),
    }  # fmt: skip
    taken = draft({b"a": None, b"b": b"1"})
    assert puts_of(taken, 7, LIMITS) == {b"a": (None, 7), b"b": (b"1", 7)}
    assert puts_of(taken, 7, LIMITS, deletes=False) is None
    several = draft({}, [(b"F", b"1"), (b"F", b"2")])
    assert list(puts_of(several, 7, LIMITS) or ()) == [append_key(b"F", 7, n) for n in (0, 1)]


@pytest.mark.parametrize(
    "more",
    [
        draft({b"a": b"1"}, ranges=[Range(b"a", b"b")]),
        draft({b"a": b"1"}, id=b"x"),
        draft(),
    ],
    ids=["range", "id", "nothing"],
)
def test_what_does_more_than_to_put_goes_the_other_way(more: Draft) -> None:
    assert puts_of(more, 1, LIMITS) is None
    check_draft(more, LIMITS)


@pytest.mark.parametrize(
    "wrong",
    [
        draft({b"": b"1"}),
        draft({b"k" * 21: b"1"}),
        draft({"a": b"1"}),
        draft({b"a": "1"}),
        draft({b"a": b"1" * 101}),
        draft({b"a": b"1" * 60, b"b": b"1" * 60}),
        draft({bytes((n,)): b"" for n in range(4)}),
        draft({}, [(b"F" * 9, b"1")]),
        draft({}, [(b"", b"1"), (b"F", "1")]),
        draft({b"": None}),
        draft({b"a": 1}),
    ],
    ids=["no key", "long key", "text key", "text", "big", "big together", "many", "long append",
         "wrong appends", "no key to delete", "number"],
)  # fmt: skip
def test_what_no_engine_takes_is_left_to_the_close_look_which_refuses_it(wrong: Draft) -> None:
    assert puts_of(wrong, 1, LIMITS) is None
    with pytest.raises(StoreError):
        check_draft(wrong, LIMITS)
