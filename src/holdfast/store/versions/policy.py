"""What is kept of the past of a namespace's entries."""

from __future__ import annotations

from typing import Literal

import msgspec

Values = Literal["feed", "forever", "none"]


class Policy(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of the past of a namespace's entries.

    Attributes:
        values: of past versions: as long as the `feed` reaches back, `forever`, or `none`.
        versions: how many past versions of a key; None: all of them, 0: none at all.
    """

    values: Values = "feed"
    versions: int | None = None


DEFAULT_POLICY = Policy()
