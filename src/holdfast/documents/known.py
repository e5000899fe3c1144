"""What a process has seen of a collection, for the planner: never needed, and never relied on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Known:
    """What was seen of a collection.

    Attributes:
        documents: how many there were when all of them were last walked through.
        sample: some of them; see `planner.statistics`.
        reaches: by number of a spatial index, how far the last nearest ones were, in metres.
    """

    documents: int = 0
    sample: Any = None
    reaches: dict[int, float] = field(default_factory=dict)
