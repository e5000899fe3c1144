"""Searches find what SQLite's FTS5 finds, ranked as it ranks; CJK, highlights and snippets."""

# ruff: noqa: RUF001
import math
import sqlite3
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contract.errors import InvalidInput, InvalidQuery
from holdfast.documents.text.analysis import Analyzer
from holdfast.documents.text.highlight import Span, highlight, mark, snippet
from holdfast.documents.text.index import TextIndex
from holdfast.documents.text.matching import matcher, text_test
from holdfast.documents.text.query import (
    NESTING_MAX,
    QUERY_CHARACTERS_MAX,
    And,
    Node,
    Not,
    Or,
    Words,
    parse,
)
from holdfast.documents.text.search import matching, search
from tests.documents.text.store import Rows

VOCABULARY = ["red", "reed", "car", "card", "carts", "Élan", "blue", "of", "naïve"]
FIELD_NAMES = ("title", "body")
WORD = st.sampled_from(VOCABULARY)
TEXT = st.lists(WORD, max_size=8).map(" ".join)
DOCUMENTS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=12)
WORDS = st.builds(
    Words,
    st.lists(WORD | st.sampled_from(["r", "ca", "car", "carx"]), min_size=1, max_size=3).map(
        " ".join
    ),
    st.sampled_from([None, 0, 1]),
    st.booleans(),
)


def with_not(parts: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.builds(
        lambda wanted, refused: And((*wanted, *map(Not, refused))),
        st.lists(parts, min_size=1, max_size=2),
        st.lists(parts, max_size=1),
    )


QUERIES = st.recursive(
    WORDS,
    lambda inner: with_not(inner) | st.lists(inner, min_size=1).map(tuple).map(Or),
    max_leaves=4,
)


def spell_for_fts5(query: Node) -> str:
    if isinstance(query, Words):
        star = " *" if query.open_end else ""
        column = "" if query.field is None else f"{FIELD_NAMES[query.field]} : "
        return f'({column}"{query.text}"{star})'
    if isinstance(query, Or):
        return "(" + " OR ".join(map(spell_for_fts5, query.parts)) + ")"
    assert isinstance(query, And)
    wanted = " AND ".join(spell_for_fts5(one) for one in query.parts if not isinstance(one, Not))
    spelled = f"({wanted})"
    for part in query.parts:
        if isinstance(part, Not):
            spelled = f"({spelled} NOT {spell_for_fts5(part.part)})"
    return spelled


@pytest.fixture(scope="module")
def fts5() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "create virtual table t using fts5(title, body, tokenize='unicode61 remove_diacritics 2')"
    )
    yield connection
    connection.close()


def fill(
    connection: sqlite3.Connection, documents: list[tuple[str, str]], index: TextIndex
) -> Rows:
    connection.execute("delete from t")
    connection.executemany(
        "insert into t(rowid, title, body) values (?, ?, ?)",
        [(place, *fields) for place, fields in enumerate(documents)],
    )
    rows = Rows()
    rows.take(
        index.changes_of_many(
            [
                (b"%d" % place, [[text] for text in fields])
                for place, fields in enumerate(documents)
            ],
            rows.read,
        )
    )
    return rows


@pytest.mark.row("I-042", "trap 36")
@given(documents=DOCUMENTS, query=QUERIES)
def test_the_same_documents_match_as_in_fts5(
    fts5: sqlite3.Connection, documents: list[tuple[str, str]], query: Node
) -> None:
    index = TextIndex((1.0, 1.0))
    rows = fill(fts5, documents, index)
    theirs = fts5.execute("select rowid from t where t match ?", (spell_for_fts5(query),))
    wanted = sorted(b"%d" % rowid for (rowid,) in theirs)
    assert sorted(matching(index, query, rows.read, rows.scan)) == wanted
    hits = search(index, query, rows.read, rows.scan)
    assert sorted(hit.identifier for hit in hits) == wanted
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert search(index, query, rows.read, rows.scan, limit=2) == hits[:2]


def without_fields(query: Node) -> Node:
    if isinstance(query, Words):
        return Words(query.text, None, query.open_end)
    if isinstance(query, Not):
        return Not(without_fields(query.part))
    return type(query)(tuple(map(without_fields, query.parts)))


@pytest.mark.row("trap 35", "trap 36")
@pytest.mark.parametrize("analyzer", [Analyzer(), Analyzer("english")])
@given(texts=st.lists(TEXT, max_size=8), query=QUERIES.map(without_fields))
def test_a_text_by_itself_matches_exactly_if_the_index_finds_it(
    analyzer: Analyzer, texts: list[str], query: Node
) -> None:
    index, rows = TextIndex((1.0,), analyzer), Rows()
    documents = [(b"%d" % place, [[text]]) for place, text in enumerate(texts)]
    rows.take(index.changes_of_many(documents, rows.read))
    test = text_test(query, analyzer)
    wanted = [b"%d" % place for place, text in enumerate(texts) if test(text)]
    assert list(matching(index, query, rows.read, rows.scan)) == wanted


def test_a_matcher_reads_queries_as_searches_do() -> None:
    prepare = matcher(Analyzer("english"))
    assert prepare("running NOT cat")("The dogs run")
    assert not prepare("running NOT cat")("The cats run")
    assert not prepare("the")("the")
    for text in ("(", "-red", "red OR -blue", "red -(-blue)"):
        with pytest.raises(InvalidQuery):
            prepare(text)


@pytest.mark.row("I-038")
@given(
    documents=DOCUMENTS,
    word=WORD,
    weights=st.tuples(st.sampled_from([0.5, 1.0, 10.0]), st.sampled_from([0.25, 1.0, 2.0])),
)
def test_one_word_scores_as_in_fts5_but_for_the_share_of_its_rarity(
    fts5: sqlite3.Connection,
    documents: list[tuple[str, str]],
    word: str,
    weights: tuple[float, float],
) -> None:
    documents = [fields for fields in documents if any(fields)]
    index = TextIndex(weights)
    rows = fill(fts5, documents, index)
    theirs = dict(
        fts5.execute(
            "select rowid, bm25(t, ?, ?) from t where t match ?", (*weights, f'"{word}"')
        ).fetchall()
    )
    hits = search(index, Words(word), rows.read, rows.scan)
    count, having = len(documents), len(theirs)
    # FTS5 lets words of more than half of the documents count almost nothing.
    rarity = max(1e-6, math.log((count - having + 0.5) / (having + 0.5)) if having else 1)
    ours = math.log(1 + (count - having + 0.5) / (having + 0.5))
    for hit in hits:
        wanted = -theirs[int(hit.identifier)] / rarity * ours
        assert hit.score == pytest.approx(wanted, rel=1e-6)


@pytest.mark.row("I-038")
def test_a_known_example_of_bm25() -> None:
    index, rows = TextIndex(), Rows()
    for key, text in ((b"1", "a b a c"), (b"2", "a b"), (b"3", "x y")):
        rows.take(index.changes(key, [[text]], rows.read))
    hits = search(index, Words("a"), rows.read, rows.scan)
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    average = 8 / 3
    scores = {
        b"1": idf * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 4 / average)),
        b"2": idf * 1 * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / average)),
    }
    assert [hit.identifier for hit in hits] == [b"1", b"2"]
    assert {hit.identifier: hit.score for hit in hits} == pytest.approx(scores)
    twice = search(index, Words("a"), rows.read, rows.scan, weights=[2.0])
    assert twice[0].score > hits[0].score


@pytest.mark.row("trap 36")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("文", True), ("试", True), ("文分", True), ("分词", True), ("中文分词", True),
        ("文中", False), ("中分", False), ("词", True), ("中文试", False), ('"测试 foo"', True),
        ("タカナ", True), ("ｶﾀ", True), ("カナタ", False), ("국어", True), ("ภาษาไทย", True),
        ("าษ", True), ("עולם", True), ("שלום", True), ("محمد", True), ("elan", True),
        ("ÉLAN", True),
        ("e\u0301lan", True), ("МОЙ", True), ("мои", False), ("οδυσσευσ", True), ("测*", True),
    ],
)  # fmt: skip
def test_every_script_is_found_by_its_parts(query: str, found: bool) -> None:
    text = "中文分词测试 foo カタカナ 한국어 ภาษาไทย שָׁלוֹם עולם مُحَمَّد Élan мой Ὀδυσσεύς"
    index, rows = TextIndex(), Rows()
    rows.take(index.changes(b"1", [[text]], rows.read))
    rows.take(index.changes(b"2", [["something else"]], rows.read))
    hits = [hit.identifier for hit in search(index, parse(query), rows.read, rows.scan)]
    assert hits == ([b"1"] if found else [])


def test_stop_words_are_no_condition_and_stems_match_beginnings() -> None:
    index, rows = TextIndex((1.0,), Analyzer("english")), Rows()
    rows.take(index.changes(b"1", [["the houses of the lords"]], rows.read))
    for query, hits in (
        ("the house", 1), ("the", 0), ("the of", 0), ("house*", 1), ("houses*", 1), ("hou*", 1),
        ('"houses of the lord"', 1), ('"houses the lord"', 0), ("lords NOT house", 0), ("", 0),
        ("the OR lord", 1), ("lord NOT the", 1),
    ):  # fmt: skip
        query_node = Words(query) if not query else parse(query)
        assert len(search(index, query_node, rows.read, rows.scan)) == hits, query


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("red", Words("red")),
        ("red car", And((Words("red"), Words("car")))),
        ("red AND car*", And((Words("red"), Words("car", None, open_end=True)))),
        ('"red car"', Words("red car")),
        ('"red ca"*', Words("red ca", None, open_end=True)),
        ("red OR blue car", Or((Words("red"), And((Words("blue"), Words("car")))))),
        ("(red OR blue) -car", And((Or((Words("red"), Words("blue"))), Not(Words("car"))))),
        ("red NOT title:car", And((Words("red"), Not(Words("car", 0))))),
        ('body:"a b" x', And((Words("a b", 1), Words("x")))),
        ("wi-fi or and", And((Words("wi-fi"), Words("or"), Words("and")))),
        ("ANDY ORE NOTE", And((Words("ANDY"), Words("ORE"), Words("NOTE")))),
    ],
)
def test_text_spells_queries(text: str, node: Node) -> None:
    assert parse(text, FIELD_NAMES) == node


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("", 0, "something"),
        ("red OR", 6, "something"),
        ("OR red", 0, "something"),
        ("AND", 0, "something"),
        ("red (", 5, "something"),
        ("(red", 4, r"a \) is missing"),
        ("red)", 3, "closes nothing"),
        ('say "red', 3, 'a " is missing'),
        ("red * car", 3, r"a \* stands"),
        ("colour:red", 0, "no field 'colour' in this index .title, body."),
        ("title:(red)", 6, "word or phrase"),
        ("(" * (NESTING_MAX + 2), NESTING_MAX + 1, "nest"),
        ("-" * 5_000 + "a", NESTING_MAX + 1, "nest"),
        ("NOT " * 2_000 + "a", 4 * NESTING_MAX + 3, "nest"),
        ("a" * (QUERY_CHARACTERS_MAX + 1), None, "at most"),
    ],
)
def test_text_that_is_no_query_is_refused_with_its_place(
    text: str, place: int | None, reason: str
) -> None:
    with pytest.raises(InvalidQuery, match=reason) as refusal:
        parse(text, FIELD_NAMES)
    if place is not None:
        assert str(refusal.value).startswith(f"character {place} of the full-text query")


@given(st.text(st.sampled_from('ab "()-*:ORANDNOT') | st.characters(), max_size=30))
def test_any_text_is_a_query_or_refused(text: str) -> None:
    index, rows = TextIndex(), Rows()
    rows.take(index.changes(b"1", [["a b"]], rows.read))
    try:
        query = parse(text)
        hits = search(index, query, rows.read, rows.scan)
    except InvalidQuery:
        return
    assert len(hits) <= 1


def test_what_only_excludes_and_what_is_out_of_range_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index, rows = TextIndex(), Rows()
    rows.take(index.changes_of_many([(b"%d" % n, [[f"w{n}"]]) for n in range(20)], rows.read))
    for text in ("-red", "-red -blue", "red OR -blue", "red -(-blue)"):
        with pytest.raises(InvalidQuery, match="must match"):
            search(index, parse(text), rows.read, rows.scan)
    with pytest.raises(InvalidQuery, match="no field 1"):
        search(index, Words("a", 1), rows.read, rows.scan)
    with pytest.raises(InvalidInput, match="limit"):
        search(index, Words("a"), rows.read, rows.scan, limit=-1)
    with pytest.raises(InvalidInput, match="weights"):
        search(index, Words("a"), rows.read, rows.scan, weights=[1, 2])
    assert search(index, Words("w1"), rows.read, rows.scan, limit=0) == []
    monkeypatch.setattr("holdfast.documents.text.sources.PREFIX_TERMS_MAX", 10)
    with pytest.raises(InvalidQuery, match="more than 10 terms"):
        search(index, parse("w*"), rows.read, rows.scan)


@pytest.mark.parametrize(
    ("text", "query", "marked"),
    [
        ("The Quick brown fox", "quick fox", "The <Quick> brown <fox>"),
        ("red car, red bus", '"red bus"', "red car, <red bus>"),
        ("red car", "red -car", "<red> car"),
        ("carpet car", "car*", "<carpet car>"),
        ("中文分词测试", "文分词", "中<文分词>测试"),
        ("中文分词", "词", "中文分<词>"),
        ("ÉLAN’s Straße", "strasse OR élan’s", "<ÉLAN’s Straße>"),
        ("ｶﾞｷﾞ x", "ガギ", "<ｶﾞｷﾞ> x"),
        ("nothing", "else", "nothing"),
    ],
)
def test_highlights_stand_on_the_text_as_it_is(text: str, query: str, marked: str) -> None:
    spans = highlight(text, parse(query), Analyzer())
    assert mark(text, spans, "<", ">") == marked


TEXTS = st.text(
    st.sampled_from("ab 中文é.") | st.characters(exclude_categories=["Cs", "Cc"]), max_size=60
)


@given(TEXTS, st.sampled_from(["a", "ab", "中", "中文", "a* b", '"a b"']), st.integers(1, 40))
def test_a_snippet_is_a_stretch_of_the_text(text: str, query: str, characters: int) -> None:
    spans = highlight(text, parse(query), Analyzer())
    assert all(one.end <= other.start for one, other in pairwise(spans))
    shown = snippet(text, spans, characters=characters, before="\x01", after="\x02")
    plain = shown.replace("\x01", "").replace("\x02", "").removeprefix("…").removesuffix("…")
    assert plain in text or plain in "…" + text + "…"
    assert len(plain) <= characters + 2
    assert shown.count("\x01") == shown.count("\x02")
    if spans and "\x01" not in text:
        assert "\x01" in shown


def test_a_snippet_shows_the_densest_stretch_and_ends_with_words() -> None:
    text = "red " + "filler " * 40 + "red car here " + "filler " * 40
    spans = highlight(text, parse("red car"), Analyzer())
    shown = snippet(text, spans, characters=40)
    assert "<b>red car</b> here" in shown
    assert shown.startswith("…filler ")
    assert shown.endswith(" filler…")
    assert snippet("short", [], characters=40) == "short"
    assert snippet("abcdefgh", [Span(5, 6)], characters=3) == "…<b>f</b>gh"
    with pytest.raises(InvalidInput, match="characters=0"):
        snippet("text", [], characters=0)
