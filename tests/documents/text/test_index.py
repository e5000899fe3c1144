"""Rows after any changes are those of the living documents, whichever way they came."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contract.errors import DeserializationFailed, InvalidInput, QuotaExceeded
from holdfast.documents.indexes.writers import TextWriter
from holdfast.documents.indexing.defining import defined
from holdfast.documents.text import rows as row_formats
from holdfast.documents.text.analysis import Analyzer
from holdfast.documents.text.forward import COUNT_MAX, forward_of, identifier_of, unpack
from holdfast.documents.text.index import FIELDS_MAX, TextIndex
from holdfast.documents.text.query import Words, parse
from holdfast.documents.text.rows import Staged, Statistics
from holdfast.documents.text.search import matching, search
from holdfast.store.plan import Plan
from tests.documents.text.store import Rows

WORDS = st.sampled_from(["a", "b", "c", "the", "dé", "中文字"])
TEXTS = st.lists(WORDS, max_size=6).map(" ".join)
FIELDS = st.tuples(st.lists(TEXTS, max_size=2), st.lists(TEXTS | st.integers(), max_size=2))
KEYS = st.sampled_from([b"1", b"2", b"3", b"4"])
INDEX = TextIndex((2.0, 1.0), Analyzer("english", stem=False))


def postings_of(rows: Rows) -> dict[bytes, dict[str, bytes]]:
    """What the index says of each document: its terms and counts, read from the postings."""
    held: dict[bytes, dict[str, bytes]] = {}
    for key, value in rows.scan(b"t"):
        term, block = row_formats.split_postings_key(key)
        lows, counts = row_formats.postings(value, 2)
        assert list(lows) == sorted(set(lows))
        for place, low in enumerate(lows):
            row = rows.read(row_formats.forward_key(block * row_formats.BLOCK_DOCUMENTS + low))
            assert row is not None
            held.setdefault(identifier_of(row), {})[term.decode()] = counts[
                2 * place : 2 * place + 2
            ]
    return held


@pytest.mark.row("I-040", "trap 36")
@given(st.lists(st.tuples(KEYS, st.none() | FIELDS), max_size=12), st.integers(1, 5))
def test_rows_tell_of_the_living_documents_alone(
    steps: list[tuple[bytes, Sequence[Sequence[object]] | None]], at_once: int
) -> None:
    singly, together = Rows(), Rows()
    living: dict[bytes, Sequence[Sequence[object]]] = {}
    for key, after in steps:
        singly.take(INDEX.changes(key, after, singly.read))
        if after is None:
            living.pop(key, None)
        else:
            living[key] = after
    for start in range(0, len(steps), at_once):
        together.take(INDEX.changes_of_many(steps[start : start + at_once], together.read))
    wanted = {}
    words = 0
    for key, fields in living.items():
        texts = [[text for text in texts if isinstance(text, str)] for texts in fields]
        forward = forward_of([[INDEX.analyzer.terms(text) for text in one] for one in texts])
        if forward.terms:
            wanted[key] = forward.counts
            words += forward.words
    for rows in (singly, together):
        assert postings_of(rows) == wanted
        statistics = Statistics.read(rows.read)
        assert (statistics.documents, statistics.words) == (len(wanted), words)
        assert {key[1:] for key, _ in rows.scan(b"d")} == set(wanted)
        assert len(list(rows.scan(b"f"))) == len(wanted)


@pytest.mark.row("I-040")
def test_replacing_a_document_a_thousand_times_leaves_no_more_rows() -> None:
    rows = Rows()
    for turn in range(1000):
        rows.take(INDEX.changes(b"1", [[f"title {turn}"], ["body", "text"]], rows.read))
    sizes = {prefix: len(list(rows.scan(prefix))) for prefix in (b"a", b"d", b"f", b"l", b"t")}
    assert sizes == {b"a": 1, b"d": 1, b"f": 1, b"l": 1, b"t": 4}
    assert list(INDEX.changes(b"1", [["title 999"], ["body", "text"]], rows.read)) == []
    rows.take(INDEX.changes(b"1", None, rows.read))
    assert [key[:1] for key in rows.rows] == [b"a", b"l"]
    assert list(INDEX.changes(b"1", None, rows.read)) == []


def test_a_change_of_one_word_leaves_the_rows_of_the_others_alone() -> None:
    rows = Rows()
    rows.take(INDEX.changes(b"1", [["red green blue"], []], rows.read))
    changed = [key for key, _ in INDEX.changes(b"1", [["red green grey"], []], rows.read)]
    assert sorted(key[:5] for key in changed) == [b"f\0\0\0\0", b"tblue", b"tgrey"]


def test_documents_of_one_commit_see_each_other() -> None:
    rows = Rows()
    staged = Staged(rows.read)
    for key in (b"1", b"2"):
        staged.take(INDEX.changes(key, [["red"], []], staged.read))
    rows.take(staged.changes.items())
    assert sorted(matching(INDEX, Words("red"), rows.read, rows.scan)) == [b"1", b"2"]


def test_blocks_are_bounded_and_joined_by_a_search() -> None:
    rows = Rows()
    count = row_formats.BLOCK_DOCUMENTS + 10
    documents = [(b"%05d" % place, [["common"], []]) for place in range(count)]
    rows.take(INDEX.changes_of_many(documents, rows.read))
    postings = [value for _, value in rows.scan(b"tcommon\0")]
    assert [len(value) for value in postings] == [4 * row_formats.BLOCK_DOCUMENTS, 40]
    found = list(matching(INDEX, Words("common"), rows.read, rows.scan))
    assert found == [key for key, _ in documents]
    for key, _ in documents[::2]:
        rows.take(INDEX.changes(key, None, rows.read))
    assert len(search(INDEX, Words("common"), rows.read, rows.scan)) == count // 2


@pytest.mark.parametrize("count", [3, 5_000])
def test_terms_that_share_a_checksum_give_way_and_phrases_hold(count: int) -> None:
    # Of 400 terms and more, some share a checksum of two bytes; of 5,000 codes have four.
    vocabulary = [f"w{place}" for place in range(count * 100 if count == 3 else count)]
    forward = forward_of([[vocabulary]])
    assert forward.width == (2 if count == 3 else 4)
    read = unpack(forward.pack(b"key"))
    assert read == forward
    assert read.codes == forward.codes
    assert read.counts == forward.counts
    assert read.words == forward.words
    assert len(set(read.codes.values())) == len(vocabulary)
    index, rows = TextIndex(), Rows()
    rows.take(index.changes(b"1", [[" ".join(vocabulary)]], rows.read))
    for phrase, hits in (("w7 w8", 1), ("w8 w7", 0), ("w7 w9", 0), ("w0 w1 w2", 1)):
        assert len(search(index, Words(phrase), rows.read, rows.scan)) == hits


def test_moved_codes_are_met_in_a_small_document() -> None:
    by_checksum: dict[int, str] = {}
    place = 0
    while True:
        term = f"w{place}"
        (code,) = forward_of([[[term]]]).codes.values()
        if code in by_checksum:
            break
        by_checksum[code] = term
        place += 1
    other = by_checksum[code]
    index, rows = TextIndex(), Rows()
    rows.take(index.changes(b"1", [[f"{other} x {term} y"]], rows.read))
    row = rows.read(row_formats.forward_key(0))
    assert row is not None
    assert unpack(row).moved
    for phrase, hits in ((f"{term} y", 1), (f"{other} y", 0), (f"{other} x", 1), (f"x {term}", 1)):
        assert len(search(index, Words(phrase), rows.read, rows.scan)) == hits, phrase


def test_a_phrase_does_not_reach_from_one_text_into_the_next() -> None:
    index, rows = TextIndex((1.0,), Analyzer("english")), Rows()
    rows.take(index.changes(b"1", [["red car", "blue bus", "the art"]], rows.read))
    for phrase, hits in (
        ("red car", 1),
        ("car blue", 0),
        ("bus the art", 0),
        ("bus of the art", 0),
    ):
        assert len(search(index, Words(phrase), rows.read, rows.scan)) == hits, phrase


def test_many_occurrences_count_up_to_a_limit() -> None:
    rows = Rows()
    rows.take(INDEX.changes(b"1", [["word " * 1000], []], rows.read))
    assert postings_of(rows) == {b"1": {"word": bytes((COUNT_MAX, 0))}}
    assert Statistics.read(rows.read).words == 1000
    rows.take(INDEX.changes(b"1", None, rows.read))
    assert Statistics.read(rows.read) == Statistics(0, 0, 1)


def test_commits_that_fail_between_their_rounds_leave_no_texts_behind() -> None:
    """What is made of texts is kept for the next round; no next round comes for these."""
    definition = defined("t", "t", "text", False, False, None, None, None, None)
    writer = TextWriter(1, definition)
    for number in range(20):
        # The number of the document is known, the rows of its words are not.
        lacks = iter((False, False, True)).__next__
        writer.begin()
        identifier = b"%d" % number
        writer.change(Plan(0), identifier, None, [["some words"]], lambda _: None)
        writer.finish(Plan(0), lambda _: None, lacks)
        assert list(writer._made) == [identifier]
    writer.begin()
    writer.change(Plan(0), identifier, None, [["some words"]], lambda _: None)
    writer.finish(Plan(0), lambda _: None, lambda: False)
    assert writer._made == {}


def test_limits_and_damage_have_their_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    for weights in ((), (1.0,) * (FIELDS_MAX + 1), (-1.0,), (float("nan"),), (float("inf"),)):
        with pytest.raises(InvalidInput):
            TextIndex(weights)
    rows = Rows()
    with pytest.raises(InvalidInput, match="2 fields; found 1"):
        list(INDEX.changes(b"1", [["a"]], rows.read))
    rows.take(INDEX.changes(b"1", [["word"], []], rows.read))
    key = row_formats.forward_key(0)
    rows.rows[key] = b"\0\x011\x02"
    with pytest.raises(DeserializationFailed, match="Drop the index"):
        list(INDEX.changes(b"1", None, rows.read))
    monkeypatch.setattr("holdfast.documents.text.index.DOCUMENTS_MAX", 1)
    with pytest.raises(QuotaExceeded, match="numbers at most 1 "):
        list(INDEX.changes(b"2", [["word"], []], rows.read))
    with pytest.raises(QuotaExceeded, match="numbers at most 1 "):
        INDEX.changes_of_many([(b"2", [["word"], []])], rows.read)
    assert search(INDEX, parse("nothing"), rows.read, rows.scan) == []
