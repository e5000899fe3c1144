"""Every verb with whatever may come: an error of ours or an answer, and a sound database."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

import holdfast.sync
from holdfast.contract.errors import InvalidInput, StoreError
from tests.faults.modes import url_of


class Text(str):
    __slots__ = ()


#: Often something that fits, so that calls come further than to their first argument.
FITTING: tuple[Any, ...] = ("a", "n:1", "ledger", b"k", b"v", 1, {"n": 1}, [b"a"], ["a"])
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, math.nan, math.inf, 10**400, 2**63, "", "\ud800", "a\0b", "#", "a//b:",
    "x" * 5000, b"", b"\xff" * 3000, [], {}, object(), Text("a"), datetime(2026, 1, 1),  # noqa: DTZ001
    datetime.max.replace(tzinfo=UTC), timedelta(days=-1), timedelta.max, (1, 2), {1: 2}, [None],
    {"a": math.nan}, lambda *_: 1, {"": ""}, [1, "a"], (None, None), Exception, 1j,
)  # fmt: skip

#: What is left out: it waits for what nobody writes, or it takes a handle or a function of ours,
#: as type checkers tell.
LEFT_OUT = frozenset(
    (
        "close", "open", "live", "write", "merge", "mount", "on", "policy", "policy_of", "upgraded",
        "transaction", "lead", "lease", "permit", "limit", "follow", "consume", "read", "tail",
    )
)  # fmt: skip

#: Optional parameters that take a handle of ours.
HANDLES = frozenset({"fence"})

CALLS_EACH = 25

VIEWS: dict[str, Callable[[holdfast.sync.Database], object]] = {
    "entries": lambda db: db.entries,
    "stores": lambda db: db.stores,
    "a store": lambda db: db.stores.get("ledger"),
    "a collection": lambda db: db.collection("cities"),
    "retention": lambda db: db.retention,
    "schemas": lambda db: db.schemas,
    "a scope": lambda db: db.scope("users", "a").entries,
    **{
        f"state: {area}": lambda db, area=area: getattr(holdfast.sync.state_store(db, "api"), area)  # type: ignore[misc]
        for area in ("kv", "batch", "cache", "claim", "counter", "dev", "limiter", "presence",
                     "semaphore", "streams")
    },
}  # fmt: skip


def arguments(method: Callable[..., Any], chance: Random) -> tuple[list[Any], dict[str, Any]]:
    """Something for what has to be given, and for some of the rest."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, one in inspect.signature(method).parameters.items():
        if name in HANDLES:
            continue
        value = chance.choice(FITTING if chance.random() < 0.45 else ODD)
        required = one.default is one.empty
        if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD):
            if required:
                positional.append(value)
            elif chance.random() < 0.4:
                named[name] = value
        elif one.kind is one.KEYWORD_ONLY and (required or chance.random() < 0.35):
            named[name] = value
    return positional, named


def verbs(view: object) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in dir(view):
        if not name.startswith("_") and name not in LEFT_OUT:
            verb = getattr(view, name)
            if inspect.ismethod(verb):
                yield name, verb


def answered(verb: str, call: Callable[[], Any]) -> None:
    """Make a call, and begin what it gives to be walked through."""
    result = call()
    if isinstance(result, Iterator) and verb != "watch":  # That would wait.
        next(result, None)
    close = getattr(result, "close", None)
    if close is not None and not isinstance(result, holdfast.sync.Store):
        close()


@pytest.mark.parametrize("name", VIEWS)
def test_whatever_is_given_is_an_error_of_ours_or_an_answer(name: str, quick: Path) -> None:
    chance = Random(7)
    raw = []
    with holdfast.sync.open(url_of("memory", quick), housekeeping=False) as db:
        db.entries.set_many({"n:1": 1, "a": {"b": 2}})
        db.stores.create("ledger").set(b"k", b"v")
        db.collection("cities").set("a", {"n": 1})
        view = VIEWS[name](db)
        for verb, method in verbs(view):
            for _ in range(CALLS_EACH):
                positional, named = arguments(method, chance)
                try:
                    answered(verb, lambda: method(*positional, **named))  # noqa: B023 - called at once
                except StoreError as error:
                    if type(error) is StoreError:
                        raw.append(f"{verb}: {error}")
                except Exception as error:
                    if isinstance(error, TypeError) and "not callable" in str(error):
                        continue  # A function that is none says so where it is called.
                    raw.append(f"{verb}{positional!r:.120} {named!r:.120}: {error!r:.200}")
        assert not raw, "\n".join(raw)
        assert db.check() == []
        with db.watch("#", view="*", since=0) as changes:
            while changes.poll(0) is not None:
                pass  # All of it can be read.


@pytest.mark.parametrize("said", [{"comment": 5}, {"comment": [b"a"]}, {"modified_by": 1.5},
                                  {"modified_by": b"ada"}, {"modified_by": "\ud800"},
                                  {"comment": "x" * 5000}], ids=str)  # fmt: skip
def test_who_and_why_are_looked_at_before_the_feed_keeps_them(
    said: dict[str, Any], quick: Path
) -> None:
    """One of a wrong type was kept, and no watch came past it again."""
    with holdfast.sync.open(url_of("sqlite", quick)) as db:
        ledger = db.stores.create("ledger")
        ledger.set(b"k", b"v")
        db.entries.set("a", 1)
        before = db.head()
        for call in (
            lambda: ledger.set(b"k", b"w", **said),
            lambda: ledger.set_many({b"k": b"w"}, **said),
            lambda: ledger.delete(b"k", **said),
            lambda: ledger.delete_many([b"k"], **said),
            lambda: ledger.batch(**said),
            lambda: db.retention.purge("a", **said),
            lambda: db.entries.set("a", 2, **said),
            lambda: db.collection("c").set("a", {}, **said),
        ):
            with pytest.raises(InvalidInput):
                call()
        assert db.head() == before
        assert db.check() == []
