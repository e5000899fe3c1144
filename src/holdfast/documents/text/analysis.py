"""From a text to its terms, the same way when it is stored and when it is searched for.

A word becomes one term: normalised, checked for being a stop word, stemmed. A run of a script
without spaces (Chinese, Japanese, Korean, Thai …) becomes the pairs of its neighbouring
characters and its last character alone. So a text of two characters or more is found inside
any run as a phrase of pairs, and a single character as the beginning of a term.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, final

from holdfast.contract.errors import InvalidInput
from holdfast.documents.text.normalising import ascii_words, is_run, normalise, words
from holdfast.documents.text.stemming import stemmer
from holdfast.documents.text.stop_words import STOPPED_LANGUAGES, stop_words

TERM_CHARACTERS_MAX = 64
"""Longer words are cut here, when stored and when searched for."""

WORDS_REMEMBERED_MAX = 65_536
"""How many spellings an analyzer remembers the terms of."""

#: Languages whose articles lose their vowel: the apostrophe parts two words.
_ELIDING = frozenset({"french", "italian", "catalan"})
_APART = re.compile(r"[^'\u2019]+")


class Token(NamedTuple):
    """A term where it stands in a text.

    Attributes:
        term: what is indexed; "" for a stop word, which keeps its place.
        start: the first character of the text that it stands for.
        end: the first character behind it.
    """

    term: str
    start: int
    end: int


class Sought(NamedTuple):
    """A place of a query: what may stand there.

    Attributes:
        terms: the terms that will do, or their beginnings.
        offset: how many places behind the first word of the query it stands.
        prefix: whether every term that begins so will do.
    """

    terms: tuple[str, ...]
    offset: int
    prefix: bool


@final
class Analyzer:
    """How texts become terms. An index keeps its analyzer for life. Any thread may use it."""

    def __init__(
        self,
        language: str | None = None,
        *,
        stem: bool = True,
        ignore_stop_words: bool = True,
        fold_diacritics: bool = True,
    ) -> None:
        """Prepare for texts of one language, or of any.

        Args:
            language: the Snowball name of the language, for stop words and stems; None for any.
            stem: whether terms are stems. Without a language they are not.
            ignore_stop_words: whether the language's stop words are left out.
            fold_diacritics: whether letters count the same with and without their marks. Letters
                of scripts where a mark makes another letter keep it.

        Raises:
            InvalidInput: there is no stemmer for the language; nor, if none is asked for, a list of
                stop words.
            DriverMissing: stems are asked for and PyStemmer is not installed.
        """
        if language is not None and not stem and language not in STOPPED_LANGUAGES:
            raise InvalidInput(
                f"there are no stop words for {language!r}. There are for: "
                + ", ".join(STOPPED_LANGUAGES)
            )
        self.language = language
        self.fold_diacritics = fold_diacritics
        self._stem = stemmer(language) if language is not None and stem else None
        ignored = stop_words(language or "") if ignore_stop_words else frozenset[str]()
        self._ignored = {normalise(word, fold_diacritics=fold_diacritics) for word in ignored}
        self._elides = language in _ELIDING
        self._remembered: dict[str, str] = {}

    def terms(self, text: str) -> list[str]:
        """The terms of a text in their places; "" where a stop word stands."""
        remembered = self._remembered
        if text.isascii() and not self._elides:
            found = ascii_words(text)
            try:
                return [remembered[word] for word in found]
            except KeyError:
                return [self._term(word) for word in found]
        terms: list[str] = []
        for match in words(text):
            word = match[0]
            term = remembered.get(word)
            if term is not None and not is_run(match):
                terms.append(term)
            else:
                terms.extend([token.term for token in self._tokens(match)])
        return terms

    def tokens(self, text: str) -> Iterator[Token]:
        """The terms of a text with the characters they stand for."""
        for match in words(text):
            yield from self._tokens(match)

    def sought(self, text: str, *, open_end: bool = False) -> list[Sought]:
        """The terms by which the words of a query are found; stop words are left out.

        `open_end`: the last word is the beginning of one. Stems are shorter than words, so the
        stem of the beginning will do as well.
        """
        sought = []
        offset = 0
        matches = list(words(text))
        for match in matches:
            if is_run(match):
                run = normalise(match[0], fold_diacritics=False)
                if len(run) == 1:
                    sought.append(Sought((run,), offset, prefix=True))
                pairs = enumerate(pairwise(run), offset)
                sought += [Sought((one + next_,), at, prefix=False) for at, (one, next_) in pairs]
                offset += len(run)
                continue
            tokens = list(self._tokens(match))
            if open_end and match is matches[-1]:
                last = match[0][tokens.pop().start - match.start() :]
                beginning = self._normal(last)
                stems = [beginning] if self._stem is None else [beginning, self._stem(beginning)]
                at = offset + len(tokens)
                sought.append(Sought(tuple(dict.fromkeys(stems)), at, prefix=True))
            sought += [
                Sought((token.term,), at, prefix=False)
                for at, token in enumerate(tokens, offset)
                if token.term
            ]
            offset += len(tokens)
        return sorted(sought, key=lambda one: one.offset)

    def _tokens(self, match: re.Match[str]) -> Iterator[Token]:
        text, start = match[0], match.start()
        if is_run(match):
            run = normalise(text, fold_diacritics=False)
            plain = len(run) == len(text)
            for place in range(len(run)):
                pair = run[place : place + 2]
                if plain:
                    yield Token(pair, start + place, start + place + len(pair))
                else:
                    # Composed otherwise, single characters cannot be told: the run stands for all.
                    yield Token(pair, start, match.end())
            return
        if self._elides and ("'" in text or "\u2019" in text):
            for part in _APART.finditer(text):
                yield Token(self._term(part[0]), start + part.start(), start + part.end())
            return
        yield Token(self._term(text), start, match.end())

    def _term(self, word: str) -> str:
        term = self._remembered.get(word)
        if term is None:
            normal = self._normal(word)
            term = "" if normal in self._ignored else normal
            if term and self._stem is not None:
                term = self._stem(term) or term
            if len(self._remembered) >= WORDS_REMEMBERED_MAX:
                self._remembered.clear()
            # A text may hold one word of a million letters; that is not worth remembering.
            if len(word) <= TERM_CHARACTERS_MAX:
                self._remembered[word] = term
        return term

    def _normal(self, word: str) -> str:
        return normalise(word, fold_diacritics=self.fold_diacritics)[:TERM_CHARACTERS_MAX]
