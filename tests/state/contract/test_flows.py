"""The contract of channels, streams, limits and members."""

import asyncio

import pytest

from holdfast.contract.errors import KeyNotFound
from holdfast.state.adapter import Verdict
from tests.state.contract.conftest import Hold
from tests.state.contract.subjects import Subject

pytestmark = pytest.mark.row("D-129", "D-145", "D-116")


async def heard(got: list[object], count: int) -> None:
    for _ in range(400):
        if len(got) >= count:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(got)


def test_channels(holds: Hold) -> None:
    async def test(subject: Subject) -> None:
        adapter, key = subject.adapter, subject.key
        got: list[object] = []
        plain = await adapter.subscribe(
            key("a"), lambda c, d: got.append(("plain", c, d)), lambda: None
        )
        wild = await adapter.subscribe(
            key("a") + "*", lambda c, d: got.append(("wild", c, d)), lambda: None, wildcard=True
        )

        async def published(channel: str, data: bytes, hear: int) -> None:
            heard_by = await adapter.publish(channel, data)
            assert heard_by == hear or not subject.counts_listeners

        await published(key("a"), b"1", 2)
        await published(key("ab"), b"2", 1)
        await published(key("b"), b"3", 0)
        await heard(got, 3)
        assert set(got) == {
            ("plain", key("a"), b"1"), ("wild", key("a"), b"1"), ("wild", key("ab"), b"2"),
        }  # fmt: skip
        await plain()
        await plain()
        await published(key("a"), b"4", 1)
        await heard(got, 4)
        await wild()
        await published(key("a"), b"5", 0)
        await asyncio.sleep(0.02)
        assert len(got) == 4

    holds(test)


@pytest.mark.row("D-053", "D-054", "D-055", "D-056", "trap 45")
def test_streams(holds: Hold) -> None:
    async def test(subject: Subject) -> None:
        adapter, s = subject.adapter, subject.key("s")
        with pytest.raises(KeyNotFound):
            await adapter.read_group(s, "g", "one", count=1)
        ids = [await adapter.append(s, b"%d" % n) for n in range(10)]
        assert ids == sorted(ids, key=lambda id: tuple(map(int, id.split("-"))))
        assert await adapter.ensure_group(s, "g", "0")
        assert not await adapter.ensure_group(s, "g", "0")
        assert await adapter.ensure_group(s, "late", "$")
        first = await adapter.read_group(s, "g", "one", count=3)
        second = await adapter.read_group(s, "g", "two", count=100)
        assert [one.data for one in first + second] == [b"%d" % n for n in range(10)]
        assert [one.deliveries for one in first] == [1, 1, 1]
        assert await adapter.read_group(s, "late", "x", count=5) == []
        assert await adapter.acknowledge(s, "g", [ids[0], "9-9"]) == 1
        pending = await adapter.pending(s, "g", count=3)
        assert [(one.id, one.consumer, one.deliveries) for one in pending] == [
            (ids[1], "one", 1), (ids[2], "one", 1), (ids[3], "two", 1),
        ]  # fmt: skip
        assert await adapter.reclaim(s, "g", "two", idle_ms=60_000, count=5) == []
        await subject.passes(0.1)
        taken = await adapter.reclaim(s, "g", "three", idle_ms=50, count=2)
        assert [(one.id, one.data, one.deliveries) for one in taken] == [
            (ids[1], b"1", 2), (ids[2], b"2", 2),
        ]  # fmt: skip
        moved = await adapter.move(s, "g", ids[1], subject.key("dead"), b"x")
        assert [one.id for one in await adapter.read_last(subject.key("dead"), 5)] == [moved]
        assert ids[1] not in [one.id for one in await adapter.pending(s, "g", count=100)]
        assert [one.data for one in await adapter.read_last(s, 2)] == [b"8", b"9"]
        behind = await adapter.read_after(s, ids[7], count=5)
        assert [one.data for one in behind] == [b"8", b"9"]
        await adapter.append(s, b"10", length_max=2)
        assert await adapter.length(s) == 2
        await subject.passes(0.1)
        # Trimmed away: neither given out nor pending any more.
        left = await adapter.reclaim(s, "g", "four", idle_ms=50, count=100)
        assert [one.data for one in left] == [b"9"]
        assert len(await adapter.pending(s, "g", count=100)) == 1

    holds(test)


@pytest.mark.row("D-053", "trap 45")
def test_ids_grow_though_the_clock_steps_back(holds: Hold) -> None:
    async def test(subject: Subject) -> None:
        adapter, s = subject.adapter, subject.key("s")
        ids = [await adapter.append(s, b"0")]
        if subject.clock is None:
            # The clock of a server stays; so a message comes from an hour ahead.
            ahead_ms = int(ids[0].partition("-")[0]) + 3_600_000
            await adapter.client.send(("XADD", s, f"{ahead_ms}-0", "data", b"ahead"))
            ids.append(f"{ahead_ms}-0")
        else:
            subject.clock.advance(-3600)
        ids += [await adapter.append(s, b"%d" % n) for n in range(3)]
        numbers = [tuple(map(int, id.split("-"))) for id in ids]
        assert numbers == sorted(set(numbers))
        found = [one.data for one in await adapter.read_after(s, ids[-3], count=10)]
        assert found == [b"1", b"2"]

    holds(test)


@pytest.mark.row("D-055", "trap 45")
def test_reads_that_block(holds: Hold) -> None:
    async def test(subject: Subject) -> None:
        adapter, s = subject.adapter, subject.key("s")
        await adapter.ensure_group(s, "g", "0")
        waits = [
            asyncio.create_task(adapter.read_group(s, "g", "one", count=5, block_ms=5000)),
            asyncio.create_task(adapter.read_after(s, "$", count=5, block_ms=5000)),
        ]
        await asyncio.sleep(0.1)
        await adapter.append(s, b"1")
        for wait in waits:
            [found] = await asyncio.wait_for(wait, 3)
            assert found.data == b"1"
        if subject.clock is None:
            assert await adapter.read_group(s, "g", "one", count=5, block_ms=50) == []

    holds(test)


@pytest.mark.row("D-083", "D-166")
def test_limiters(holds: Hold) -> None:
    async def test(subject: Subject) -> None:
        adapter, key = subject.adapter, subject.key
        for name, limit in (("fixed", adapter.limit_fixed), ("sliding", adapter.limit_sliding)):
            assert await limit(key(name), 10, 300, 4) == Verdict(True, 6, 0)
            assert await limit(key(name), 10, 300, 6) == Verdict(True, 0, 0)
            refused = await limit(key(name), 10, 300, 1)
            assert (refused.allowed, refused.remaining) == (False, 0)
            assert 0 < refused.retry_after_ms <= 300
            assert (await limit(key(name), 10, 300, 11)).retry_after_ms == -1
            await subject.passes(refused.retry_after_ms / 1000)
            assert (await limit(key(name), 10, 300, 4)).allowed
        bucket, b = adapter.limit_bucket, key("bucket")
        assert await bucket(b, 2, 100.0, 2) == Verdict(True, 0, 0)
        refused = await bucket(b, 2, 100.0, 1)
        assert not refused.allowed
        assert 0 < refused.retry_after_ms <= 100
        assert (await bucket(b, 2, 100.0, 3)).retry_after_ms == -1
        await subject.passes(refused.retry_after_ms / 1000)
        assert (await bucket(b, 2, 100.0, 1)).allowed
        assert not (await bucket(b, 2, 100.0, 2)).allowed

    holds(test)


def test_members(holds: Hold) -> None:
    async def test(subject: Subject) -> None:
        adapter, m = subject.adapter, subject.key("m")
        assert await adapter.join(m, "a", 100, members_max=2)
        assert await adapter.join(m, "b", 60_000, members_max=2)
        assert not await adapter.join(m, "c", 60_000, members_max=2)
        assert await adapter.join(m, "b", 60_000, members_max=2)
        assert [name for name, _ in await adapter.members(m)] == ["a", "b"]
        await subject.passes(0.1)
        assert not await adapter.join(m, "a", 100, renew=True)
        assert await adapter.join(m, "b", 50_000, renew=True)
        [(name, left)] = await adapter.members(m)
        assert name == "b"
        assert 49_000 < left <= 50_000
        assert await adapter.leave(m, "b")
        assert not await adapter.leave(m, "b")
        assert await adapter.members(m) == []
        assert not await adapter.has(m)

    holds(test)
