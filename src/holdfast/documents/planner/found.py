"""What a run finds, and what it looked at for that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdfast.store.versions.entry import Entry

#: A key, of its document at least what the query looks at, and its entry, which has all of it.
Found = tuple[str, Any, Entry[Any]]


@dataclass
class Examined:
    """What a query looked at.

    Attributes:
        keys: rows of indexes.
        documents: that were read and decoded.
    """

    keys: int = 0
    documents: int = 0
