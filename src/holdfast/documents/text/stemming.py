"""Stems of words, by the Snowball algorithms of PyStemmer.

PyStemmer is the C build of the algorithms' own authors: 0.1 to 0.3 µs a word, where their pure
Python build takes some hundred times as long. It is loaded when a language is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

from holdfast.contract.errors import DriverMissing, InvalidInput


def stemmer(language: str) -> Callable[[str], str]:
    """What turns a normalised word of the language into its stem. It may be called by any thread.

    Raises:
        DriverMissing: PyStemmer is not installed.
        InvalidInput: Snowball has no algorithm of that name.
    """
    try:
        module: Any = import_module("Stemmer")
    except ImportError as error:
        raise DriverMissing(
            f"stems of {language} need PyStemmer. Install holdfast-db[documents], or make the "
            "index without stemming",
            driver="PyStemmer",
        ) from error
    known = module.algorithms()
    if language not in known:
        raise InvalidInput(
            f"there is no stemmer for {language!r}. There are: {', '.join(sorted(known))}"
        )
    # One object holds the word it works on, so each thread has its own.
    local = threading.local()

    def stem(word: str) -> str:
        own: Any = getattr(local, "stemmer", None)
        if own is None:
            own = local.stemmer = module.Stemmer(language)
        stemmed: str = own.stemWord(word)
        return stemmed

    return stem
