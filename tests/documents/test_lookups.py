"""An index lookup and a tally of an engine are what a scan and reads of the same rows give."""

from __future__ import annotations

import random
from typing import Any

import pytest

from holdfast.contract.batch import Append, Batch, Put
from holdfast.contract.engine import NOT_NOW, Engine
from holdfast.contract.lookup import TAIL, Fence, Lookup, Tally
from holdfast.contract.record import Range
from tests.store.scene import Scene, engine_of

FENCE = Fence(b"fence", b"right")
INTO = b"target "


def target_of(lookup: Lookup, key: bytes, value: bytes) -> bytes:
    if lookup.in_value is not None and value[lookup.in_value :]:
        return lookup.into + value[lookup.in_value :]
    if lookup.cut is TAIL:
        return lookup.into + key[-2 - int.from_bytes(key[-2:], "big") : -2]
    at, length = lookup.cut
    return lookup.into + (key[at:] if length is None else key[at:][:length])


async def expected(engine: Engine, lookup: Lookup) -> list[Any]:
    rows: list[Any] = []
    for start, end in lookup.spans:
        if start >= end:
            continue
        page = await engine.scan(Range(start, end, lookup.reverse, lookup.limit))
        for key, (value, _) in page.rows:
            if lookup.keep is not None and not lookup.keep(value):
                continue
            [found] = await engine.read([target_of(lookup, key, value)])
            seen = value if lookup.valued else b""
            rows.append((key, seen, None if found is None else found.value))
    return rows


def blanked(lookup: Lookup, rows: Any) -> Any:
    """Values that nobody wanted may be there."""
    return rows if lookup.valued else [(key, b"", target) for key, _, target in rows]


def entry(chance: random.Random, name: bytes) -> bytes:
    value = bytes(chance.choices(b"abc", k=3))
    return b"index " + value + name + len(name).to_bytes(2, "big")


async def filled(engine: Engine, chance: random.Random) -> None:
    # One is so long that both bytes of its length count.
    names = [bytes(chance.choices(b"\0k\xff", k=chance.choice([1, 2, 7]))) for _ in range(40)]
    names.append(b"n" * 300)
    operations: list[Any] = [Put(*FENCE)]
    for name in names:
        named = chance.choice([b"", b"\x01", b"\x00" + chance.choice(names), b"\x01" + name])
        operations.append(Put(entry(chance, name), named))
        if chance.random() < 0.8:
            operations.append(Put(INTO + name, b"document " + name))
    await engine.commit(Batch(operations))


def lookups(chance: random.Random) -> Lookup:
    number = chance.choice([1, 1, 1, 2, 5])
    ends = sorted(b"index " + bytes(chance.choices(b"abcd", k=2)) for _ in range(2 * number))
    spans = list(zip(ends[::2], ends[1::2], strict=True))
    cut = chance.choice([TAIL, TAIL, (-3, 1), (-9, 7), (9, None), (9, 1)])
    return Lookup(
        FENCE, spans, chance.random() < 0.4, chance.choice([1, 3, 100]), INTO, cut,
        chance.random() < 0.5, None, chance.choice([None, 0, 1]),
    )  # fmt: skip


@pytest.mark.row("I-005")
async def test_only_rows_that_are_wanted_have_their_targets_read(shared_scene: Scene) -> None:
    chance = random.Random(5)
    async with shared_scene.open_unchecked() as db:
        await filled(engine_of(db), chance)
    async with shared_scene.open_unchecked() as db:
        engine = engine_of(db)
        assert engine.peek_lookup is not None
        answered = 0
        for _ in range(200):
            lookup = lookups(chance)._replace(keep=lambda value: value[:1] == b"\x01", valued=True)
            found = engine.peek_lookup(lookup)
            long = False
            for start, end in lookup.spans:
                if start < end:
                    page = await engine.scan(Range(start, end))
                    long = long or len(page.rows) > lookup.limit
            if long:
                assert found is NOT_NOW
            else:
                assert found == await expected(engine, lookup), lookup
                answered += bool(found)
        assert answered > 20


@pytest.mark.row("I-005")
async def test_rows_are_told_by_their_keys_where_these_tell(shared_scene: Scene) -> None:
    chance = random.Random(6)
    async with shared_scene.open_unchecked() as db:
        await filled(engine_of(db), chance)
    async with shared_scene.open_unchecked() as db:
        engine = engine_of(db)
        assert engine.peek_lookup is not None
        rows = (await engine.scan(Range.prefix(b"index "))).rows
        values = sorted({value for _, (value, _) in rows})
        answered = 0
        for _ in range(200):
            wanted = set(chance.sample(values, len(values) // 2))
            told = {key: chance.choice([value in wanted, None]) for key, (value, _) in rows}
            lookup = lookups(chance)._replace(
                limit=100, keep=wanted.__contains__, sift=told.__getitem__
            )
            if lookup.in_value is not None:
                lookup = lookup._replace(valued=True)
            found = engine.peek_lookup(lookup)
            assert found is not NOT_NOW
            assert blanked(lookup, found) == await expected(engine, lookup), lookup
            answered += bool(found)
        assert answered > 50


@pytest.mark.row("I-005")
async def test_the_first_appended_rows_are_noticed(shared_scene: Scene) -> None:
    """A reader that knows of none has to meet them, whoever appends them."""
    whole = (b"index ", b"index\xff")
    async with shared_scene.open_unchecked() as db:
        engine = engine_of(db)
        await engine.commit(
            Batch([Put(*FENCE), Put(b"index a\0\x01", b""), Put(INTO + b"a", b"A")])
        )
    async with shared_scene.open_unchecked() as db:
        engine = engine_of(db)
        assert engine.peek_lookup is not None
        lookup = Lookup(FENCE, [whole], False, 5, INTO)
        right = await expected(engine, lookup)
        assert engine.peek_lookup(lookup) in (right, NOT_NOW)
        assert engine.peek_lookup(lookup._replace(spans=[(b"x", b"y")])) in ([], NOT_NOW)
        await engine.commit(Batch([Append(INTO, b"appended"), Put(b"index b\0\x01", b"")]))
        for _ in range(2):
            found = engine.peek_lookup(lookup)
            assert found is NOT_NOW or found == await expected(engine, lookup)
            apart = engine.peek_lookup(lookup._replace(into=b"other "))
            assert apart in (
                [(b"index a\0\x01", b"", None), (b"index b\0\x01", b"", None)],
                NOT_NOW,
            )
            of_appended = engine.peek_lookup(lookup._replace(spans=[(INTO, INTO + b"\xff")]))
            assert of_appended is NOT_NOW or len(of_appended) == 2


@pytest.mark.row("I-005")
async def test_a_lookup_is_what_a_scan_and_reads_give(shared_scene: Scene) -> None:
    chance = random.Random(3)
    async with shared_scene.open_unchecked() as db:
        await filled(engine_of(db), chance)
    async with shared_scene.open_unchecked() as db:
        engine = engine_of(db)
        assert engine.peek_lookup is not None
        assert engine.peek_tally is not None
        found_some = 0
        for _ in range(200):
            lookup = lookups(chance)
            found = engine.peek_lookup(lookup)
            assert found is not NOT_NOW
            assert blanked(lookup, found) == await expected(engine, lookup), lookup
            found_some += bool(found)
            spans = [(start, end, chance.choice([1, 3, 100])) for start, end in lookup.spans]
            counts = []
            for start, end, limit in spans:
                page = await engine.scan(Range(start, end, limit=limit)) if start < end else None
                counts.append(0 if page is None else len(page.rows))
            assert engine.peek_tally(Tally(FENCE, spans)) == counts
        assert found_some > 50


@pytest.mark.row("I-005")
async def test_nothing_is_answered_where_the_fence_is_another(shared_scene: Scene) -> None:
    chance = random.Random(4)
    whole = (b"index ", b"index\xff")
    async with shared_scene.open_unchecked() as db:
        await filled(engine_of(db), chance)
    async with shared_scene.open_unchecked() as db:
        engine = engine_of(db)
        assert engine.peek_lookup is not None
        assert engine.peek_tally is not None
        for fence in (Fence(b"fence", b"wrong"), Fence(b"no such row", b""), Fence(b"fence", b"")):
            for span in (whole, (b"nothing", b"nothing else")):
                lookup = Lookup(fence, [span], False, 5, INTO)
                assert engine.peek_lookup(lookup) is NOT_NOW
                assert engine.peek_tally(Tally(fence, [(*span, 5)])) is NOT_NOW
        nothing = Lookup(FENCE, [(b"nothing", b"nothing else")], False, 5, INTO)
        assert engine.peek_lookup(nothing) == []


@pytest.mark.row("I-005")
async def test_what_is_not_in_its_place_is_left_to_other_reads(shared_scene: Scene) -> None:
    long = b"index " + b"k" * 600
    async with shared_scene.open_unchecked() as db:
        engine = engine_of(db)
        rows: list[Any] = [Put(*FENCE), Append(b"log", b"one"), Put(long + b"\0\x05", b"")]
        await engine.commit(Batch(rows))
    async with shared_scene.open_unchecked() as db:
        engine = engine_of(db)
        assert engine.peek_lookup is not None
        assert engine.peek_tally is not None
        logs = [(b"lo", b"lp")]
        for lookup in (
            Lookup(FENCE, logs, False, 5, INTO),
            Lookup(FENCE, [(b"index ", b"index\xff")], False, 5, b"log"),
            Lookup(FENCE, [(b"index ", b"index\xff")], False, 5, INTO),
        ):
            found = engine.peek_lookup(lookup)
            assert found is NOT_NOW or blanked(lookup, found) == await expected(engine, lookup)
        counted = engine.peek_tally(Tally(FENCE, [(b"lo", b"lp", 5), (b"index ", b"index\xff", 5)]))
        assert counted is NOT_NOW or counted == [1, 1]
        answers = [engine.peek_lookup(Lookup(FENCE, logs, False, 5, INTO)), counted]
        assert NOT_NOW in answers


@pytest.mark.row("I-005")
async def test_what_is_acknowledged_is_seen_at_once(shared_scene: Scene) -> None:
    async with shared_scene.open_unchecked() as db:
        engine = engine_of(db)
        assert engine.peek_lookup is not None
        assert engine.peek_tally is not None
        await engine.commit(Batch([Put(*FENCE)]))
        for at in range(30):
            name = b"%02d" % at
            row = Put(b"index " + name + b"\0\x02", b"")
            await engine.commit(Batch([row, Put(INTO + name, b"v" + name)]))
            lookup = Lookup(FENCE, [(b"index ", b"index\xff")], True, 1, INTO)
            found = engine.peek_lookup(lookup)
            assert found is NOT_NOW or found == [(row.key, b"", b"v" + name)]
            counted = engine.peek_tally(Tally(FENCE, [(b"index ", b"index\xff", 100)]))
            assert counted is NOT_NOW or counted == [at + 1]
