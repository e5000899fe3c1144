"""Errors: a code each, facts as data, and the same on the other side of a process border."""

import copy
import pickle
import threading
from typing import Any

import pytest

from holdfast.contract.errors import (
    Compacted,
    Conflict,
    DriverMissing,
    ErrorCode,
    InvalidInput,
    KeyNotFound,
    SchemaValidationFailed,
    StoreError,
    TimedOut,
)
from holdfast.contract.errors.facts import facts_of

CLASSES = sorted(StoreError.by_code.values(), key=lambda one: one.code)
RETRYABLE = {
    "VERSION_CONFLICT", "TRANSACTION_ABORTED", "DEADLOCK_DETECTED", "CONSISTENCY_VIOLATION",
    "STORE_LOCKED", "STORAGE_FULL", "CONNECTION_FAILED", "CONNECTION_LOST", "TIMEOUT",
    "OVERLOADED",
}  # fmt: skip


@pytest.mark.row("I-099")
@pytest.mark.parametrize("error_class", CLASSES, ids=lambda one: one.code)
def test_every_error_says_its_code_its_message_and_its_facts(
    error_class: type[StoreError],
) -> None:
    # Facts need not be declared: an engine from elsewhere may know others.
    error: Any = error_class("wanted a, found b", key="users:1", attempt=3)
    assert error.code is error_class.code
    assert StoreError.by_code[error.code] is error_class
    assert str(error) == "wanted a, found b"
    assert error.message == "wanted a, found b"
    assert error.details == {"key": "users:1", "attempt": 3}
    assert (error.key, error.attempt) == ("users:1", 3)
    assert repr(error) == f"{error_class.__name__}('wanted a, found b', key='users:1', attempt=3)"
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = error.nothing_such
    with pytest.raises(StoreError) as caught:
        raise error
    assert caught.value is error


@pytest.mark.row("E-060", "I-099")
@pytest.mark.parametrize("error_class", CLASSES, ids=lambda one: one.code)
def test_every_error_pickles_with_its_facts_and_its_cause(error_class: type[StoreError]) -> None:
    innermost = ValueError("a driver failed")
    cause = Conflict("somebody was faster", expected=1)
    cause.__cause__ = innermost
    error = error_class("no", key="users:1", range=(1, 2))
    error.__cause__ = cause
    for again in (
        pickle.loads(pickle.dumps(error)),
        pickle.loads(pickle.dumps(error, protocol=2)),
        copy.copy(error),
        copy.deepcopy(error),
    ):
        assert type(again) is error_class
        assert (again.message, again.details) == ("no", {"key": "users:1", "range": (1, 2)})
        assert str(again) == "no"
        assert type(again.__cause__) is Conflict
        assert again.__cause__.expected == 1
        assert type(again.__cause__.__cause__) is ValueError
        assert str(again.__cause__.__cause__) == "a driver failed"


class Stubborn(Exception):
    """An error of a driver that can be pickled and never read again."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"{number} {text}")


class Holding(Exception):
    """An error that holds what cannot be pickled."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


@pytest.mark.parametrize("cause", [Stubborn(7, "no disk"), Holding("7 no disk")], ids=repr)
def test_an_error_travels_whatever_its_cause_is(cause: Exception) -> None:
    error = Conflict("no", key="a", expected=3)
    error.__cause__ = cause
    error.add_note("while importing line 7")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.expected, again.__notes__) == (
        Conflict,
        3,
        ["while importing line 7"],
    )
    told = again.__cause__
    assert type(told) is StoreError
    assert str(told) == f"{type(cause).__qualname__}: 7 no disk"
    assert error.__cause__ is cause


def test_outer_floors_add_facts_that_only_they_know() -> None:
    error = Conflict("no", key=b"raw", found=3)
    assert error.within(key="users:1", store="entries") is error
    assert error.details == {"key": b"raw", "found": 3, "store": "entries"}
    # Names of the facts may be any, those of Python's own arguments too.
    error.within(message="m", error="e", self=1)
    assert pickle.loads(pickle.dumps(error)).details == error.details


def test_facts_that_are_declared_are_typed_and_always_there() -> None:
    conflict = Conflict("no", key="users:1", condition="revision", expected=3, found=None)
    wanted: int | tuple[int, int] | str | None = conflict.expected
    assert (wanted, conflict.found, conflict.current) == (3, None, None)
    assert conflict.condition == "revision"
    gone = Compacted("gone", oldest=7)
    oldest: int | None = gone.oldest
    assert (oldest, gone.since) == (7, None)
    assert Compacted("gone").oldest is None
    assert [path for path, _ in SchemaValidationFailed("no").violations] == []
    assert pickle.loads(pickle.dumps(gone)).oldest == 7
    gone.within(since=3)
    assert gone.since == 3


@pytest.mark.parametrize("error_class", CLASSES, ids=lambda one: one.code)
def test_every_declared_fact_says_what_it_means(error_class: type[StoreError]) -> None:
    taken = {"args", "message", "details", "code", "retryable", "by_code", "within"}
    facts = facts_of(error_class)
    assert not facts.keys() & taken
    for name, fact in facts.items():
        assert len(fact.meaning) > 5
        assert getattr(error_class, name) is fact
        assert getattr(error_class("no"), name) == fact.default


def test_which_errors_can_succeed_when_repeated() -> None:
    assert {one.code for one in CLASSES if one.retryable} == RETRYABLE


def test_errors_are_what_python_calls_them_too() -> None:
    assert issubclass(KeyNotFound, KeyError)
    assert str(KeyNotFound("there is no 'a'")) == "there is no 'a'"
    assert issubclass(TimedOut, TimeoutError)
    assert issubclass(DriverMissing, ImportError)
    assert issubclass(InvalidInput, ValueError)
    assert issubclass(StoreError.by_code[ErrorCode.INVALID_KEY], ValueError)
    assert not issubclass(Compacted, ValueError)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_codes_are_read_with_and_without_the_prefix(code: ErrorCode) -> None:
    assert ErrorCode.parse(code.value) is code
    assert ErrorCode.parse("STORE_" + code.value) is code


def test_codes_that_begin_with_the_word_keep_their_meaning() -> None:
    assert ErrorCode.parse("STORE_NOT_FOUND") is ErrorCode.STORE_NOT_FOUND
    assert ErrorCode.parse("STORE_EXISTS") is ErrorCode.STORE_EXISTS
    assert ErrorCode.parse("STORE_CONNECTION_FAILED") is ErrorCode.CONNECTION_FAILED


@pytest.mark.parametrize(
    "text", ["", "STORE_", "NO_SUCH", "STORE_STORE_STORE_CLOSED", "key_not_found"]
)
def test_unknown_codes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ErrorCode"):
        ErrorCode.parse(text)


def test_a_refinement_of_an_error_keeps_its_code() -> None:
    class Sharper(Conflict):
        """A conflict of a certain kind."""

    error: Any = Sharper("no")
    assert error.code is ErrorCode.VERSION_CONFLICT
    assert error.retryable
    assert StoreError.by_code[ErrorCode.VERSION_CONFLICT] is Conflict
