"""Words of many scripts, their spellings, and what a query looks for."""

# ruff: noqa: RUF001
import threading
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contract.errors import DriverMissing, InvalidInput
from holdfast.documents.text.analysis import TERM_CHARACTERS_MAX, Analyzer, Sought
from holdfast.documents.text.stop_words import STOPPED_LANGUAGES

ANY = Analyzer()


@pytest.mark.row("trap 36")
@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Hello, World! x2", ["hello", "world", "x2"]),
        ("pi is 3.14, or 1,000.5; v1.2.", ["pi", "is", "3.14", "or", "1,000.5", "v1.2"]),
        ("don't don’t 'quoted' rock'", ["don't", "don't", "quoted", "rock"]),
        ("file_name-v2/path", ["file", "name", "v2", "path"]),
        ("Straße ŒUVRE Łódź smørrebrød", ["strasse", "oeuvre", "lodz", "smorrebrod"]),
        ("ﬁne ＦＵＬＬ ①", ["fine", "full", "1"]),
        ("co\u00adoperate zero\u200bwidth", ["cooperate", "zero", "width"]),
        ("ёлка МОЙ Київ за́мок", ["елка", "мой", "київ", "замок"]),
        ("Ὀδυσσεύς ΚΑΛΗΜΕΡΑ", ["οδυσσευσ", "καλημερα"]),
        ("مُحَمَّد أحمد ســلام", ["محمد", "احمد", "سلام"]),
        ("שָׁלוֹם עולם", ["שלום", "עולם"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("中文分词", ["中文", "文分", "分词", "词"]),
        ("ｶﾀｶﾅ", ["カタ", "タカ", "カナ", "ナ"]),
        ("iPhone中文test", ["iphone", "中文", "文", "test"]),
        ("한국어", ["한국", "국어", "어"]),
        ("ภาษา", ["ภา", "าษ", "ษา", "า"]),
        ("", []),
        ("!?… 😀", []),
    ],
)
def test_words_of_every_script_have_one_spelling(text: str, terms: list[str]) -> None:
    assert ANY.terms(text) == terms
    for form in ("NFC", "NFD"):
        assert Analyzer().terms(unicodedata.normalize(form, text)) == terms


def test_marks_count_where_one_asks_for_it() -> None:
    exact = Analyzer(fold_diacritics=False)
    assert exact.terms("Élan elan e\u0301lan") == ["élan", "elan", "élan"]
    assert ANY.terms("Élan") == ["elan"]


@pytest.mark.parametrize(
    ("language", "text", "terms"),
    [
        ("english", "The running dogs' houses", ["", "run", "dog", "hous"]),
        ("german", "Die Häuser", ["", "haus"]),
        ("french", "L’élève s'appelle", ["l", "elev", "s", "appel"]),
        ("russian", "В домах", ["", "дом"]),
        ("spanish", "también las naciones", ["", "", "nacion"]),
    ],
)
def test_a_language_has_stop_words_and_stems(language: str, text: str, terms: list[str]) -> None:
    assert Analyzer(language).terms(text) == terms
    assert all(Analyzer(language, ignore_stop_words=False).terms(text))


def test_every_list_of_stop_words_is_ignored_as_it_stands() -> None:
    for language in STOPPED_LANGUAGES:
        analyzer = Analyzer(language, stem=False)
        from holdfast.documents.text.stop_words import stop_words

        listed = stop_words(language)
        assert len(listed) >= 20
        assert {term for word in listed for term in analyzer.terms(word.upper())} <= {""}


def test_a_language_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match=r"klingon.*english"):
        Analyzer("klingon")
    with pytest.raises(InvalidInput, match=r"klingon.*english"):
        Analyzer("klingon", stem=False)
    monkeypatch.setitem(__import__("sys").modules, "Stemmer", None)
    with pytest.raises(DriverMissing, match=r"holdfast-db\[documents\]"):
        Analyzer("english")
    assert Analyzer("english", stem=False).terms("the dogs") == ["", "dogs"]
    assert Analyzer().terms("the dogs") == ["the", "dogs"]


def test_a_long_word_is_cut_alike_wherever_it_stands() -> None:
    long = "a" * 100_000
    assert ANY.terms(long) == ["a" * TERM_CHARACTERS_MAX]
    assert ANY.sought(long)[0].terms == ("a" * TERM_CHARACTERS_MAX,)


def test_a_query_looks_for_pairs_in_a_row_and_for_single_characters_as_beginnings() -> None:
    assert ANY.sought("中") == [Sought(("中",), 0, prefix=True)]
    assert ANY.sought("中文字") == [
        Sought(("中文",), 0, prefix=False),
        Sought(("文字",), 1, prefix=False),
    ]
    # Behind a run of three characters the next word is three places on.
    assert ANY.sought("中文字 ab")[-1] == Sought(("ab",), 3, prefix=False)
    assert ANY.sought("red ca", open_end=True) == [
        Sought(("red",), 0, prefix=False),
        Sought(("ca",), 1, prefix=True),
    ]
    english = Analyzer("english")
    assert english.sought("houses", open_end=True) == [Sought(("houses", "hous"), 0, prefix=True)]
    assert english.sought("state of the art") == [
        Sought(("state",), 0, prefix=False),
        Sought(("art",), 3, prefix=False),
    ]


TEXTS = st.text(
    st.sampled_from("aB1é\u0301ß_'’.,- 中文ไทย한\u0e49\u00adЙё\0\n😀")
    | st.characters(exclude_categories=["Cs"])
)


@given(TEXTS)
def test_tokens_are_the_terms_with_their_places(text: str) -> None:
    tokens = list(ANY.tokens(text))
    assert [token.term for token in tokens] == ANY.terms(text) == Analyzer().terms(text)
    assert all(0 <= token.start < token.end <= len(text) for token in tokens)
    assert [token.start for token in tokens] == sorted(token.start for token in tokens)
    for term in ANY.terms(text):
        assert "\0" not in term
        assert len(term) <= max(TERM_CHARACTERS_MAX, 2)


@given(st.text(st.sampled_from("ab1'.,_- \n") | st.characters(max_codepoint=127)))
def test_a_text_has_the_same_words_beside_foreign_ones(text: str) -> None:
    assert ANY.terms(text + " é") == [*ANY.terms(text), "e"]


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_what_was_met_before_changes_no_terms(texts: list[str]) -> None:
    fresh = [Analyzer().terms(text) for text in texts]
    shared = Analyzer()
    assert [shared.terms(text) for text in texts] == fresh
    assert [shared.terms(text) for text in texts] == fresh


def test_threads_share_an_analyzer() -> None:
    analyzer = Analyzer("english")
    word_lists = [[f"running{n}ing houses{n}es" for n in range(k, 2000, 4)] for k in range(4)]
    wanted = [[Analyzer("english").terms(text) for text in texts] for texts in word_lists]
    got: list[list[list[str]]] = [[] for _ in word_lists]

    def work(place: int) -> None:
        got[place] = [analyzer.terms(text) for text in word_lists[place]]

    threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == wanted
