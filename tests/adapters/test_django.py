"""What users of Django's caches expect, written out: its own tests are in no wheel.

The contract is Django's manual: docs.djangoproject.com/en/5.2/topics/cache.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import CacheHandler, caches
from django.core.cache.backends.base import CacheKeyWarning
from django.core.signals import request_finished
from django.utils.functional import empty

from holdfast.adapters.django import HoldfastCache
from holdfast.adapters.expiring import Kept, unpack_kept
from holdfast.adapters.place import close_databases
from holdfast.contract.errors import ConfigInvalid, InvalidInput, InvalidKey

_numbers = itertools.count()

#: So long does a value live that is to be gone at the next look.
SOON_S = 0.001


@pytest.fixture(autouse=True, scope="module")
def _configured() -> Iterator[None]:
    if not settings.configured:
        settings.configure()
    yield
    close_databases()
    # What runs later in this process may configure Django in its own way.
    settings._wrapped = empty
    caches.__dict__.pop("settings", None)


def cache_at(address: str, **settings: Any) -> HoldfastCache:
    """A cache as Django makes it of its settings, in this thread."""
    backend = "holdfast.adapters.django.HoldfastCache"
    handler = CacheHandler({"default": {"BACKEND": backend, "LOCATION": address, **settings}})
    found = handler["default"]
    assert isinstance(found, HoldfastCache)
    return found


@pytest.fixture
def cache() -> HoldfastCache:
    return cache_at(f"memory://?name=django-{next(_numbers)}")


class Pickled:
    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pickled) and self.number == other.number

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        0,
        1,
        2.5,
        True,
        b"bytes",
        "ünïcode",
        (1, 2),
        {3},
        {"a": [1, {"b": None}]},
        Pickled(7),
    ],
)
def test_values_come_back_as_they_were(cache: HoldfastCache, value: Any) -> None:
    cache.set("k", value)
    found = cache.get("k", "default")
    assert found == value
    assert type(found) is type(value)
    assert "k" in cache


def test_what_is_not_there(cache: HoldfastCache) -> None:
    assert cache.get("k") is None
    assert cache.get("k", "default") == "default"
    assert "k" not in cache
    assert not cache.has_key("k")
    assert cache.delete("k") is False
    assert cache.touch("k") is False
    assert cache.get_many(["a", "b"]) == {}
    for call in (cache.incr, cache.decr, cache.incr_version):
        with pytest.raises(ValueError, match="k"):
            call("k")
    cache.delete_many(["a", "b"])
    cache.clear()


def test_add_leaves_what_is_there(cache: HoldfastCache) -> None:
    assert cache.add("k", "first") is True
    assert cache.add("k", "second") is False
    assert cache.get("k") == "first"
    cache.set("none", None)
    assert cache.add("none", 1) is False
    assert cache.delete("k") is True
    assert cache.add("k", "third", timeout=0) is True
    assert cache.get("k") is None


def test_get_or_set(cache: HoldfastCache) -> None:
    assert cache.get_or_set("k", lambda: "made", 100) == "made"
    assert cache.get_or_set("k", lambda: 1 / 0) == "made"
    assert cache.get_or_set("null", None) is None
    assert cache.get_or_set("null", 5) is None
    with pytest.raises(ZeroDivisionError):
        cache.get_or_set("broken", lambda: 1 / 0)
    assert "broken" not in cache


def test_counting(cache: HoldfastCache) -> None:
    cache.set("k", 41)
    assert cache.incr("k") == 42
    assert cache.incr("k", 10) == 52
    assert cache.decr("k", 53) == -1
    assert cache.get("k") == -1
    cache.set("text", "a")
    with pytest.raises(TypeError):
        cache.incr("text")
    assert cache.get("text") == "a"


def test_counting_leaves_the_time_to_live(cache: HoldfastCache) -> None:
    cache.set_many({"ends": 1, "touched": 1}, timeout=100)
    cache.set("stays", 1, timeout=None)
    ends = kept(cache, "ends").expires_at_ms
    for _ in range(3):
        cache.incr("ends")
        cache.incr("stays")
    assert abs(kept(cache, "ends").expires_at_ms - ends) <= 3  # It is kept to the millisecond.
    assert kept(cache, "stays").expires_at_ms == 0
    assert cache.touch("touched", 1000)
    assert kept(cache, "touched").expires_at_ms - ends > 800_000


def kept(cache: HoldfastCache, key: str) -> Kept:
    return unpack_kept(cache._place.store.get(cache._key(key, None)))


def test_times_to_live(cache: HoldfastCache) -> None:
    cache.set_many({"soon": 1, "also": 2}, timeout=SOON_S)
    cache.set("over", 1, timeout=0)
    cache.set("negative", 1, timeout=-1)
    cache.set("touched", 1, timeout=100)
    assert cache.touch("touched", timeout=None) is True
    cache.set("dropped", 1)
    assert cache.touch("dropped", timeout=0) is True
    cache.set("replaced", 1, timeout=None)
    cache.set("replaced", 2, timeout=-1)
    threading.Event().wait(SOON_S * 10)
    names = ["soon", "also", "over", "negative", "touched", "dropped", "replaced"]
    assert cache.get_many(names) == {"touched": 1}
    assert cache.add("soon", "again") is True


def test_the_default_timeout_is_that_of_the_settings() -> None:
    address = f"memory://?name=django-{next(_numbers)}"
    for timeout, left in ((SOON_S, None), (None, 1), (0, None)):
        cache = cache_at(address, TIMEOUT=timeout)
        cache.default_timeout = timeout  # Django itself rounds to whole seconds.
        cache.set("k", 1)
        threading.Event().wait(SOON_S * 10)
        assert cache.get("k") == left


def test_many(cache: HoldfastCache) -> None:
    database = cache._place.database
    cache.set("first", 0)
    head = database.head()
    assert cache.set_many({"a": 1, "b": None, "c": [3]}) == []
    assert database.head() == head + 1
    assert cache.get_many(key for key in ("c", "missing", "b")) == {"c": [3], "b": None}
    cache.delete_many(["a", "missing", "b"])
    assert database.head() == head + 2
    assert cache.get_many(["a", "b", "c"]) == {"c": [3]}
    assert cache.set_many({}) == []
    with pytest.raises(TypeError, match="pickle"):
        cache.set_many({"x": 1, "y": threading.Lock()})
    assert "x" not in cache


def test_versions_and_prefixes_keep_values_apart() -> None:
    address = f"memory://?name=django-{next(_numbers)}"
    one, two = cache_at(address), cache_at(address, VERSION=2)
    prefixed = cache_at(address, KEY_PREFIX="app")
    made = cache_at(address, KEY_FUNCTION=lambda key, prefix, version: f"{key}!{version}")
    for number, cache in enumerate((one, two, prefixed, made)):
        cache.set("k", number)
    assert [cache.get("k") for cache in (one, two, prefixed, made)] == [0, 1, 2, 3]
    assert one.get("k", version=2) == 1
    assert one.delete("k", version=2) is True
    assert two.get("k") is None
    assert one.incr_version("k") == 2
    assert two.get("k") == 0
    assert one.get("k") is None
    assert two.decr_version("k") == 1
    assert one.get("k") == 0
    one.set_many({"a": 1}, version=3)
    assert one.get_many(["a"], version=3) == {"a": 1}
    assert one.incr("a", version=3) == 2
    assert one.touch("a", version=3)
    one.clear()  # Of everybody in this store, as Django's manual warns.
    assert prefixed.get("k") is None


def test_stores_keep_caches_apart() -> None:
    address = f"memory://?name=django-{next(_numbers)}"
    one, other = cache_at(address), cache_at(address, OPTIONS={"STORE": "other"})
    one.set("k", 1)
    other.set("k", 2)
    other.clear()
    assert one.get("k") == 1


@pytest.mark.parametrize(("frequency", "left"), [(3, 29), (2, 29), (0, 19), (1, 19)])
def test_a_full_cache_is_culled(frequency: int, left: int) -> None:
    options = {"MAX_ENTRIES": 30, "CULL_FREQUENCY": frequency}
    cache = cache_at(f"memory://?name=django-{next(_numbers)}", OPTIONS=options)
    for number in range(1, 50):
        cache.set(f"cull{number}", "value", 1000)
        assert f"cull{number}" in cache
        assert cache._place.store.count() <= 30
    assert cache._place.store.count() <= left
    assert cache._place.store.count() >= 10


def test_many_values_make_themselves_room() -> None:
    options = {"MAX_ENTRIES": 20}
    cache = cache_at(f"memory://?name=django-{next(_numbers)}", OPTIONS=options)
    for begin in range(0, 100, 10):
        cache.set_many({f"k{number}": 1 for number in range(begin, begin + 10)})
        assert cache._place.store.count() <= 20
    assert cache.get_many(f"k{number}" for number in range(90, 100)).keys() == {
        f"k{number}" for number in range(90, 100)
    }


def test_a_cache_that_others_empty_while_it_is_culled() -> None:
    class Slow(HoldfastCache):
        def _remove_every(self, nth: int) -> int:
            other.clear()
            return super()._remove_every(nth)

    address, options = f"memory://?name=django-{next(_numbers)}", {"MAX_ENTRIES": 5}
    cache = Slow(address, {"OPTIONS": options})
    other = cache_at(address, OPTIONS=options)
    for number in range(8):
        cache.set(f"k{number}", number)
    assert cache.get("k7") == 7


def test_counting_in_threads_loses_nothing(cache: HoldfastCache) -> None:
    cache.set("k", 0, None)
    with ThreadPoolExecutor(4) as pool:
        totals = list(pool.map(lambda _: cache.incr("k"), range(100)))
    assert sorted(totals) == list(range(1, 101))
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda number: cache.add("once", number), range(20))) == 1


def test_workers_that_are_forked_share_it(tmp_path: Path) -> None:
    cache = cache_at(f"lmdb:///{tmp_path}/cache?durability=relaxed")
    cache.set("parent", 1, None)
    cache.set("total", 0, None)
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                assert cache.get("parent") == 1  # The very object that was there before the fork.
                for _ in range(20):
                    cache.incr("total")
                close_databases()
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert cache.get("total") == 40
    close_databases()
    assert cache.get("total") == 40  # Opened again by itself.


def test_the_end_of_a_request_closes_nothing(cache: HoldfastCache) -> None:
    cache.set("k", 1)
    database = cache._place.database
    request_finished.send(None)
    cache.close()
    assert cache._place.database is database
    assert cache.get("k") == 1


def test_keys_that_other_backends_refuse_are_warned_of(cache: HoldfastCache) -> None:
    for key in ("with space", "k" * 300):
        with pytest.warns(CacheKeyWarning):
            cache.set(key, 1)
        with pytest.warns(CacheKeyWarning):
            assert cache.get(key) == 1
    with pytest.warns(CacheKeyWarning), pytest.raises(InvalidKey):
        cache.set("k" * 5000, 1)
    with pytest.raises(InvalidKey):
        cache.get("\udcff")


@pytest.mark.parametrize("location", ["", None, ["a", "b"]])
def test_a_location_is_needed(location: Any) -> None:
    with pytest.raises(ConfigInvalid, match="LOCATION"):
        cache_at(location)


@pytest.mark.anyio
async def test_from_a_loop(cache: HoldfastCache) -> None:
    await cache.aset("k", 1)
    assert await cache.aadd("k", 2) is False
    assert await cache.aincr("k") == 2
    assert await cache.adecr("k") == 1
    assert await cache.aget_or_set("made", lambda: 3) == 3
    assert await cache.aset_many({"a": 1, "b": 2}) == []
    assert await cache.aget_many(["a", "b", "c"]) == {"a": 1, "b": 2}
    assert await cache.atouch("a", 0) is True
    assert await cache.ahas_key("a") is False
    await cache.adelete_many(["b"])
    assert await cache.aget("b", "gone") == "gone"
    assert await cache.adelete("k") is True
    await cache.aclear()
    assert await cache.aget("made") is None


@pytest.mark.parametrize("ttl", [math.nan, math.inf, "5", 10**400, 1e300])
def test_times_that_are_none_are_named(cache: HoldfastCache, ttl: Any) -> None:
    cache.set("k", 1)
    for call in (
        lambda: cache.set("k", 2, ttl), lambda: cache.add("new", 2, ttl),
        lambda: cache.touch("k", ttl),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match="ttl"):
            call()
    assert cache.get("k") == 1
    assert cache.get("new") is None


def test_one_text_is_not_taken_for_several_keys(cache: HoldfastCache) -> None:
    cache.set("k", 1)
    for call in (cache.delete_many, cache.get_many):
        with pytest.raises(InvalidInput, match="several keys"):
            call("k")
    assert cache.get("k") == 1
