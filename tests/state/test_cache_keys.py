"""Keys of kept results: the quick ways to them give what the slow ones do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import holdfast
from holdfast.contract.errors import InvalidInput
from holdfast.contract.runtime import Components, ManualClock
from holdfast.runtime.system import system_components
from holdfast.state import build_store
from holdfast.state.areas.cache_keys import keyed


def one(n: Any) -> None:
    """A function of one argument."""


def two(a: Any, b: Any = "x", *, c: Any = 1) -> None:
    """A function of several."""


class Odd:
    def __format__(self, how: str) -> str:
        return f"odd {how}"


@pytest.mark.parametrize(
    ("template", "arguments", "keywords", "made"),
    [
        ("u:{n}", (7,), {}, "u:7"),
        ("u:{n}", (), {"n": 7}, "u:7"),
        ("u:{n}:v", ("a:b%",), {}, "u:a%3Ab%25:v"),
        ("u:{n}:v", (), {"n": "a:b%"}, "u:a%3Ab%25:v"),
        ("u:{n}", (True,), {}, "u:True"),
        ("u:{n}", (None,), {}, "u:None"),
        ("u:{n}", (1.5,), {}, "u:1.5"),
        ("u:{n}", (Odd(),), {}, "u:odd "),
        ("u:{n:>3}", (7,), {}, "u:  7"),
        ("{n}{n}", (7,), {}, "77"),
        ("{{{n}}}", (7,), {}, "{7}"),
        ("}}{n}", (7,), {}, "}7"),
        ("same", (7,), {}, "same"),
    ],
)
def test_of_a_template_with_one_argument(
    template: str, arguments: tuple[Any, ...], keywords: dict[str, Any], made: str
) -> None:
    assert keyed(one, template)(*arguments, **keywords) == made
    # The general way, which a function with a further argument takes.
    assert keyed(lambda n, m=0: None, template)(*arguments, **keywords) == made


def test_of_a_template_with_several() -> None:
    key = keyed(two, "{a}:{b}:{c}")
    assert key(1) == "1:x:1"
    assert key(1, ":", c="%") == "1:%3A:%25"
    assert key(b=2, a=1) == "1:2:1"


def test_a_wrong_call_is_wrong_either_way() -> None:
    for template in ("u:{n}", "u:{n:>3}"):
        key = keyed(one, template)
        for arguments, keywords in (((), {}), ((1, 2), {}), ((1,), {"n": 2}), ((), {"m": 1})):
            with pytest.raises(TypeError):
                key(*arguments, **keywords)


def test_of_a_digest() -> None:
    key = keyed(two, None)
    assert key(1) == key(1, "x") == key(a=1, b="x", c=1)
    assert key(1) != key("1")
    assert key(1).startswith(f"{__name__}.two@")
    with pytest.raises(InvalidInput, match="Give a key"):
        key(object())


def test_a_hit_at_once_is_a_hit() -> None:
    """On a database a hit needs no waiting; time, damage and removal are seen all the same."""
    clock = ManualClock()
    host, ids = system_components().host, system_components().ids

    async def main() -> None:
        async with holdfast.open(
            "memory://", components=Components(host, clock, ids), housekeeping=False
        ) as db:
            store = build_store(db, "api", components=Components(host, clock, ids))
            calls: list[int] = []

            @store.cached(ttl=10, key="f:{n}")
            async def function(n: int) -> int:
                calls.append(n)
                return n * 2

            assert [await function(1) for _ in range(3)] == [2, 2, 2]
            assert calls == [1]
            assert store.cache.at_once("f:1", function._rules) == (2,)
            clock.advance(10.01)
            assert store.cache.at_once("f:1", function._rules) is None
            assert await function(1) == 2
            assert calls == [1, 1]
            await function.invalidate(1)
            assert store.cache.at_once("f:1", function._rules) is None
            assert await function(1) == 2
            assert calls == [1, 1, 1]
            await db.state_adapter().set("holdfast:state:api:cache:f:1", b"no JSON")
            # What cannot be read is computed anew.
            assert store.cache.at_once("f:1", function._rules) is None
            assert await function(1) == 2
            assert calls == [1] * 4

    asyncio.run(main())


class Named:
    def __init__(self, name: str) -> None:
        self.name = name


def test_what_a_template_looks_up_does_not_reach_into_the_next_part() -> None:
    key = keyed(two, "{a.name}:{b[0]}:{c!r:>3}")
    first = key(Named("x:y"), ["z"])
    assert first == "x%3Ay:z:  1"
    assert first != key(Named("x"), ["y:z"])
    assert keyed(two, "{a}:{b}")("['x', ':']", "y") != keyed(two, "{a}:{b}")(["x", ":"], "%:y")
    assert keyed(two, "{a}:{b}")(Named, 1).count(":") == 1


@pytest.mark.parametrize(
    "template", ["{", "u:{}", "u:{0}", "u:{m}", "u:{m.x}", "u:{n", "}", "{[0]}"]
)
def test_templates_that_cannot_be_are_refused_where_they_are_given(template: str) -> None:
    with pytest.raises(InvalidInput):
        keyed(one, template)
