"""Users' regular expressions, matched in linear time by RE2.

Python's own `re` backtracks: `(a+)+$` on thirty letters can take minutes. RE2 has no
backreferences and no look-around for that reason; syntax: https://github.com/google/re2/wiki/Syntax
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

from holdfast.contract.errors import DriverMissing, PatternInvalid

_MEMORY_BYTES_MAX = 8 << 20
_COMPILED_MAX = 128


@lru_cache(maxsize=_COMPILED_MAX)
def regex_search(pattern: str) -> Callable[[str], object]:
    """A function that looks for a match anywhere in a text and returns None when there is none.

    Raises:
        PatternInvalid: RE2 cannot compile the pattern.
        DriverMissing: the package google-re2 is not installed.
    """
    try:
        library: Any = import_module("re2")
    except ImportError as error:
        raise DriverMissing(
            "a regular expression in a query wanted the package google-re2; found none; install "
            "it with: pip install 'holdfast-db[documents]'",
            extra="documents",
        ) from error
    options = library.Options()
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES_MAX
    try:
        search: Callable[[str], object] = library.compile(pattern, options).search
    except library.error as error:
        reason = error.args[0] if error.args else "no reason given"
        shown = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise PatternInvalid(
            f"regex wanted an expression that RE2 can run; found one that it refuses ({shown}). "
            "Correct it; RE2 has no backreferences and no look-around",
            reason=shown,
        ) from error
    return search
