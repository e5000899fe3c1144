"""The contract of values, counters and claims."""

import asyncio

import pytest

from holdfast.contract.errors import InvalidValue, StoreClosed
from holdfast.state.adapter import BatchWrite
from tests.state.contract.conftest import Hold
from tests.state.contract.subjects import Subject

pytestmark = pytest.mark.row("D-129", "D-145", "D-116")


def test_values(holds: Hold) -> None:
    async def test(subject: Subject) -> None:
        adapter, a = subject.adapter, subject.key("a")
        assert await adapter.get(a) is None
        assert not await adapter.has(a)
        assert await adapter.set(a, b"\0\xff")
        assert await adapter.get(a) == b"\0\xff"
        assert await adapter.has(a)
        assert await adapter.remaining_ms(a) == 0
        assert not await adapter.set(a, b"x", condition="absent")
        assert await adapter.set(a, b"y", condition="present")
        assert not await adapter.set(subject.key("b"), b"y", condition="present")
        assert await adapter.delete([a, subject.key("b")]) == 1
        assert await adapter.delete([]) == 0
        assert await adapter.remaining_ms(a) is None

    holds(test)


def test_time_to_live(holds: Hold) -> None:
    async def test(subject: Subject) -> None:
        adapter, a = subject.adapter, subject.key("a")
        await adapter.set(a, b"1", ttl_ms=60_000)
        assert 59_000 < (await adapter.remaining_ms(a) or 0) <= 60_000
        await adapter.set(a, b"2", keep_ttl=True)
        assert 59_000 < (await adapter.remaining_ms(a) or 0) <= 60_000
        await adapter.set(a, b"3")
        assert await adapter.remaining_ms(a) == 0
        assert await adapter.expire(a, 100)
        assert not await adapter.expire(subject.key("none"), 100)
        await subject.passes(0.1)
        assert await adapter.get(a) is None
        assert await adapter.get_many([a]) == [None]
        assert await adapter.set(a, b"4", condition="absent")

    holds(test)


def test_batches(holds: Hold) -> None:
    async def test(subject: Subject) -> None:
        adapter, key = subject.adapter, subject.key
        await adapter.set_many([BatchWrite(key("a"), b"1"), BatchWrite(key("b"), b"2", 60_000)])
        await adapter.set_many([BatchWrite(key("c"), b"1"), BatchWrite(key("c"), b"2")])
        wanted = [key(name) for name in ("b", "none", "a", "b", "c")]
        assert await adapter.get_many(wanted) == [b"2", None, b"1", b"2", b"2"]
        assert await adapter.remaining_ms(key("a")) == 0
        assert (await adapter.remaining_ms(key("b")) or 0) > 59_000

    holds(test)


@pytest.mark.row("D-034", "D-036")
def test_counters(holds: Hold) -> None:
    async def test(subject: Subject) -> None:
        adapter, a = subject.adapter, subject.key("a")
        sums = await asyncio.gather(*(adapter.add(a, 1) for _ in range(200)))
        assert sorted(sums) == list(range(1, 201))
        assert await adapter.add(a, -300) == -100
        assert await adapter.get(a) == b"-100"
        await adapter.expire(a, 60_000)
        await adapter.add(a, 1)
        assert (await adapter.remaining_ms(a) or 0) > 59_000
        await adapter.set(a, b"%d" % (2**63 - 1))
        with pytest.raises(InvalidValue):
            await adapter.add(a, 1)
        assert await adapter.get(a) == b"%d" % (2**63 - 1)
        await adapter.set(a, b"many")
        with pytest.raises(InvalidValue):
            await adapter.add(a, 1)

    holds(test)


@pytest.mark.row("D-192")
def test_limited_counters(holds: Hold) -> None:
    async def test(subject: Subject) -> None:
        adapter, a = subject.adapter, subject.key("a")
        free = {"ttl_ms": 0, "ttl_always": False, "minimum": None, "maximum": None}
        assert await adapter.add_within(a, 5, **{**free, "maximum": 4}) is None  # type: ignore[arg-type]
        assert not await adapter.has(a)
        assert await adapter.add_within(a, 2**60 + 1, **free) == 2**60 + 1  # type: ignore[arg-type]
        await adapter.set(a, b"1", ttl_ms=60_000)
        assert await adapter.add_within(a, -2, **{**free, "minimum": 0}) is None  # type: ignore[arg-type]
        assert await adapter.get(a) == b"1"
        assert (await adapter.remaining_ms(a) or 0) > 59_000
        assert await adapter.add_within(a, -1, **{**free, "minimum": 0, "ttl_ms": 5}) == 0  # type: ignore[arg-type]
        assert (await adapter.remaining_ms(a) or 0) > 59_000
        always = {**free, "ttl_ms": 1000, "ttl_always": True}
        assert await adapter.add_within(a, 1, **always) == 1  # type: ignore[arg-type]
        assert (await adapter.remaining_ms(a) or 0) <= 1000
        b = subject.key("b")
        assert await adapter.add_within(b, 1, **{**free, "ttl_ms": 1000}) == 1  # type: ignore[arg-type]
        assert 0 < (await adapter.remaining_ms(b) or 0) <= 1000

    holds(test)


@pytest.mark.row("trap 9", "trap 10")
def test_claims(holds: Hold) -> None:
    async def test(subject: Subject) -> None:
        adapter, a, fence = subject.adapter, subject.key("a"), subject.key("f")
        tokens = await asyncio.gather(
            *(adapter.claim(a, fence, b"me:", b".", 60_000) for _ in range(50))
        )
        [first] = [token for token in tokens if token is not None]
        stamp = b"me:%d." % first
        assert await adapter.get(a) == stamp
        assert (await adapter.remaining_ms(a) or 0) > 59_000
        assert not await adapter.expire_if(a, b"other", 5)
        assert not await adapter.delete_if(a, b"other")
        assert await adapter.set_fenced(
            subject.key("v"), b"1", a, stamp, ttl_ms=5000, keep_ttl=False
        ) is True  # fmt: skip
        assert await adapter.expire_if(a, stamp, 100)
        await subject.passes(0.1)
        assert await adapter.set_fenced(
            subject.key("v"), b"2", a, stamp, ttl_ms=0, keep_ttl=True
        ) is None  # fmt: skip
        second = await adapter.claim(a, fence, b"me:", b".", 0)
        assert second is not None
        assert second > first
        assert await adapter.remaining_ms(a) == 0
        assert await adapter.set_fenced(
            subject.key("v"), b"2", a, stamp, ttl_ms=0, keep_ttl=True
        ) == b"me:%d." % second  # fmt: skip
        assert await adapter.get(subject.key("v")) == b"1"
        assert not await adapter.delete_if(a, stamp)
        assert await adapter.delete_if(a, b"me:%d." % second)
        assert not await adapter.delete_if(a, b"me:%d." % second)

    holds(test)


@pytest.mark.row("D-059")
def test_scans(holds: Hold) -> None:
    async def test(subject: Subject) -> None:
        adapter = subject.adapter
        await adapter.set_many([BatchWrite(subject.key(f"k{n}"), b"1") for n in range(50)])
        await adapter.set(subject.key("other*"), b"1")

        async def scanned(glob: str, count: int) -> set[str]:
            found: set[str] = set()
            cursor = "0"
            while True:
                cursor, keys = await adapter.scan(subject.key(glob), cursor, count)
                found |= set(keys)
                if cursor == "0":
                    return found

        found = await scanned("k*", 7)
        assert found == {subject.key(f"k{n}") for n in range(50)}
        for glob, wanted in (
            ("k?", 10),
            ("k[12]", 2),
            ("k[^12]", 8),
            (r"other\*", 1),
            ("k[0-3]", 4),
        ):
            assert len(await scanned(glob, 10_000)) == wanted, glob

    holds(test)


def test_a_closed_adapter(holds: Hold) -> None:
    async def test(subject: Subject) -> None:
        await subject.adapter.set(subject.key("a"), b"1")
        await subject.adapter.close()
        await subject.adapter.close()
        with pytest.raises(StoreClosed):
            await subject.adapter.get(subject.key("a"))

    holds(test)
