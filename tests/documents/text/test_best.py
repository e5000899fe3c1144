"""The best of many: rare words first, what need not be scored, rows that have to be awaited."""

from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest

import holdfast
from holdfast.codecs.keys import pack
from holdfast.documents.planner import searching
from holdfast.documents.text import search as search_module
from holdfast.documents.text import together
from holdfast.documents.text.index import TextIndex
from holdfast.documents.text.query import parse
from holdfast.documents.text.rows import BLOCK_DOCUMENTS, lengths_key
from holdfast.documents.text.search import search
from tests.documents.text.store import Rows

VOCABULARY = [f"word{rank}" for rank in range(60)]
WEIGHTS = [1 / (rank + 1) ** 1.5 for rank in range(60)]


def filled(chance: Random, documents: int) -> tuple[TextIndex, Rows]:
    index, rows = TextIndex(), Rows()
    texts = [
        " ".join(chance.choices(VOCABULARY, WEIGHTS, k=chance.randrange(1, 9)))
        for _ in range(documents)
    ]
    for at in range(0, documents, 500):
        some = [(pack((f"d{n}",)), [[texts[n]]]) for n in range(at, min(at + 500, documents))]
        rows.take(index.changes_of_many(some, rows.read))
    return index, rows


@pytest.mark.row("I-042")
def test_the_best_ten_are_the_first_ten_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = Random(3)
    index, rows = filled(chance, 2500)
    scored = 0
    of = search_module._Scores.of

    def counted(self: Any, block: int, matched: set[int]) -> Any:
        nonlocal scored
        scored += len(matched)
        return of(self, block, matched)

    monkeypatch.setattr(search_module._Scores, "of", counted)
    for _ in range(60):
        words = chance.choices(VOCABULARY, k=chance.randrange(1, 4))
        query = parse(chance.choice([" ", " OR "]).join(words))
        everything = search(index, query, rows.read, rows.scan)
        limit = chance.choice([0, 1, 10, 200])
        assert search(index, query, rows.read, rows.scan, limit=limit) == everything[:limit]
    everything = search(index, parse("word40 OR word0"), rows.read, rows.scan)
    scored = 0
    assert search(index, parse("word40 OR word0"), rows.read, rows.scan, limit=5) == everything[:5]
    assert scored < len(everything) / 10  # Those that have the common word alone cannot be best.


@pytest.mark.row("I-042")
def test_scores_reckoned_at_once_are_those_of_block_by_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = Random(5)
    index, rows = filled(chance, 2500)
    some = rows.read(lengths_key(1))
    assert some is not None
    # A row that says less, as those of an older index may.
    rows.rows[lengths_key(1)] = some[: len(some) // 2]
    reckoned = 0
    real = together.scored_together

    def counted(*arguments: Any) -> Any:
        nonlocal reckoned
        found = real(*arguments)
        reckoned += found is not None
        return found

    monkeypatch.setattr(search_module, "scored_together", counted)
    for _ in range(150):
        one, other, third = chance.choices(VOCABULARY, k=3)
        text = chance.choice(
            [one, f"{one} {other}", f"{one} {other} {third}", f"{one} {one}", "word4*",
             f'{other} "{one} {third}"', f"{one} NOT {other}", f"{one} OR {other}"]
        )  # fmt: skip
        limit = chance.choice([None, 0, 1, 10])
        answers = []
        for least in (1, 100):
            monkeypatch.setattr(together, "BLOCKS_LEAST", least)
            answers.append([
                search(index, parse(text), rows.read, rows.scan, limit=limit, weights=weights)
                for weights in (None, (2.5,))
            ])  # fmt: skip
        assert answers[0] == answers[1]
    assert 50 < reckoned < 300


def test_documents_of_one_commit_are_as_one_after_the_other() -> None:
    chance = Random(4)
    index = TextIndex()
    together, alone = Rows(), Rows()
    for _ in range(30):
        some = [
            (
                pack((f"d{chance.randrange(40)}",)),
                None if chance.random() < 0.2 else [[" ".join(chance.choices(VOCABULARY, k=4))]],
            )
            for _ in range(chance.randrange(1, 12))
        ]
        some = list(dict(some).items())
        together.take(index.changes_of_many(some, together.read, {}))
        for identifier, texts in some:
            alone.take(index.changes(identifier, texts, alone.read))
        for word in VOCABULARY[:20]:
            found, right = (
                {hit.identifier for hit in search(index, parse(word), one.read, one.scan)}
                for one in (together, alone)
            )
            assert found == right


@pytest.mark.row("I-042")
@pytest.mark.parametrize("waits", [False, True])
async def test_a_search_over_many_blocks_takes_few_rounds(
    waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if waits:  # As on an engine behind a network: nothing is there at once.

        def never(reading: Coroutine[Any, Any, Any]) -> None:
            reading.close()

        monkeypatch.setattr(searching, "at_once", never)
    monkeypatch.setattr(searching, "ROUNDS_MAX", 5)
    blocks = searching.ROUNDS_MAX + 4
    count = blocks * BLOCK_DOCUMENTS
    async with holdfast.open("memory://", housekeeping=False) as db:
        notes = db.collection("notes", history="none")
        await notes.create_index("text", "text", kind="text")
        rows = {f"k{at:06}": {"text": f"all n{at % 1500}"} for at in range(count)}
        keys = list(rows)
        for at in range(0, count, 4096):
            await notes.set_many({key: rows[key] for key in keys[at : at + 4096]})
        found = await notes.search("all n7", limit=100)
        assert {one.key for one in found} == {f"k{at:06}" for at in range(7, count, 1500)}
        assert len(await notes.search("n3 OR all", limit=10)) == 10
