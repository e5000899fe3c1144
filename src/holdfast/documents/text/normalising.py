"""What counts as a word in any script, and the one form of its spellings.

Words are found in the text as it stands, so that their places can be shown. Letters, digits and
the marks on them make a word; an apostrophe between letters and a point or comma between digits
stay inside it (as Unicode's word boundaries have it), an underscore parts words. Scripts written
without spaces, and Hangul, are found as runs.
"""

# ruff: noqa: RUF001  -- letters of other scripts are meant

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable

#: Scripts that are searched by pairs of characters: no rule of spaces tells their words.
_RUN_RANGES = (
    (0x0E01, 0x0E3A), (0x0E40, 0x0E4E),  # Thai
    (0x0E80, 0x0ECE), (0x0EDC, 0x0EDF),  # Lao
    (0x1000, 0x103F), (0x1050, 0x109F),  # Myanmar
    (0x1780, 0x17D3), (0x17DC, 0x17DD),  # Khmer
    (0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF),  # Hangul
    (0x3005, 0x3007), (0x3040, 0x30FA), (0x30FC, 0x30FF), (0x31F0, 0x31FF),  # kana
    (0x3105, 0x312F), (0x31A0, 0x31BF),  # Bopomofo
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF),  # Han
    (0xFF66, 0xFFDC),  # half-width kana and Hangul
)  # fmt: skip
#: Invisible characters inside words: soft hyphen, joiners.
_FORMATS = "\u00ad\u200c\u200d\u2060\ufeff"
_ASCII_WORD = re.compile(r"[A-Za-z0-9]+(?:(?<=\d)[.,]\d+|'[A-Za-z]+|[A-Za-z0-9])*")
#: The planes of Unicode that have letters and marks, but for a few selectors.
_LETTERS_END = 0x20000

# Marks that change how a letter is said and not which one it is, where diacritics are folded.
_LATIN_MARKS = range(0x0300, 0x0370)
_HEBREW_MARKS = range(0x0591, 0x05C8)
_ARABIC_MARKS = (*range(0x0610, 0x061B), *range(0x064B, 0x0660), 0x0670, *range(0x06D6, 0x06EE))
_CYRILLIC = ("\u0400", "\u052f")
#: On Cyrillic letters only the accents of stress go: the marks of other letters make them others.
_STRESS_MARKS = "\u0300\u0301"
_TATWEEL = "\u0640"
#: Letters that Unicode does not take apart.
_LETTERS_FOLDED = str.maketrans(
    {
        "ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i",
        "ħ": "h", "ŧ": "t", "ё": "е", _TATWEEL: None,
    }
)  # fmt: skip
_MARKS_DROPPED = dict.fromkeys((*_HEBREW_MARKS, *_ARABIC_MARKS))
_FORMATS_DROPPED = dict.fromkeys(map(ord, _FORMATS))


def _class_of(ranges: Iterable[tuple[int, int]]) -> str:
    return "".join(rf"\U{first:08x}-\U{last:08x}" for first, last in ranges)


@functools.cache
def _any_word() -> re.Pattern[str]:
    """Matches a run (group 1) or a word. Made at first use: it asks Unicode for all marks."""
    marks: list[tuple[int, int]] = []
    for code in range(0x300, _LETTERS_END):
        if unicodedata.category(chr(code)) in ("Mn", "Mc", "Me"):
            if marks and marks[-1][1] == code - 1:
                marks[-1] = (marks[-1][0], code)
            else:
                marks.append((code, code))
    runs = _class_of(_RUN_RANGES)
    mark = rf"[{_class_of(marks)}{_FORMATS}]"
    letter = rf"(?:[^\W_{runs}]{mark}*)"
    return re.compile(
        rf"([{runs}](?:[{runs}]|{mark})*)"
        rf"|{letter}+(?:(?:(?<=\d)[.,](?=\d)|['’](?=[^\W\d_{runs}])){letter}+)*"
    )


def words(text: str) -> Iterable[re.Match[str]]:
    """The words and runs of a text, in order; a match whose group 1 is set is a run."""
    if text.isascii():
        return _ASCII_WORD.finditer(text)
    return _any_word().finditer(text)


def ascii_words(text: str) -> list[str]:
    """The words of a text that is ASCII."""
    return _ASCII_WORD.findall(text)


def is_run(match: re.Match[str]) -> bool:
    """Whether a match of `words` is a run of a script without spaces."""
    return match.re.groups == 1 and match[1] is not None


def normalise(word: str, *, fold_diacritics: bool) -> str:
    """The form in which spellings of a word are equal: compatibility, case, and diacritics."""
    if word.isascii():
        return word.lower()
    form = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold())
    form = form.translate(_FORMATS_DROPPED).replace("’", "'")
    return _fold(form) if fold_diacritics else form


def _fold(word: str) -> str:
    parts: list[str] = []
    for character in unicodedata.normalize("NFC", word.translate(_LETTERS_FOLDED)):
        if _CYRILLIC[0] <= character <= _CYRILLIC[1] or character in _STRESS_MARKS:
            if character not in _STRESS_MARKS:
                parts.append(character)
            continue
        taken_apart = unicodedata.normalize("NFKD", character)
        parts.extend(one for one in taken_apart if ord(one) not in _LATIN_MARKS)
    return unicodedata.normalize("NFC", "".join(parts).translate(_MARKS_DROPPED))
