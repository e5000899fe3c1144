"""The seam of full text: one function prepares a search, the search judges texts.

The default finds a text when it holds every word of the search, whatever its case. The index of
full text brings a finer one (stemming, phrases); both sides of a query use the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable

#: Prepares a search: from the searched words to a test of texts.
TextMatcher = Callable[[str], Callable[[str], bool]]

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of a text, case folded: runs of letters, digits and underscores of any script."""
    return _WORD.findall(text.casefold())


def all_words(search: str) -> Callable[[str], bool]:
    """A test for texts that hold all words of a search. A search without words finds nothing."""
    wanted = frozenset(words(search))

    def holds(text: str) -> bool:
        return bool(wanted) and wanted.issubset(words(text))

    return holds
