"""One ranking out of several: reciprocal rank fusion.

A document gets from each ranking where it stands 1 / (constant + its rank), ranks counted from 1;
the sum is its score. So words and vectors are joined without comparing their scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from holdfast.contract.errors import InvalidInput

RANK_CONSTANT = 60.0
"""What is added to each rank, so that the first of one ranking does not outdo all of another."""


class Fused(NamedTuple):
    """A document of a fused ranking.

    Attributes:
        identifier: the packed key of the document.
        score: its sum; higher is better.
    """

    identifier: bytes
    score: float


def fuse(
    rankings: Sequence[Iterable[bytes]],
    *,
    weights: Sequence[float] | None = None,
    limit: int | None = None,
    constant: float = RANK_CONSTANT,
) -> list[Fused]:
    """The documents of all rankings, best first; of equals, the lower identifier.

    Args:
        rankings: identifiers, best first; of a repeated one its first place counts.
        weights: how much each ranking counts; None for all alike.
        limit: how many at most.
        constant: see `RANK_CONSTANT`.

    Raises:
        InvalidInput: there are not as many weights as rankings, one is negative, `constant` is
            negative, or `limit` is.
    """
    counted = [1.0] * len(rankings) if weights is None else list(weights)
    if len(counted) != len(rankings) or not all(weight >= 0 for weight in counted):
        raise InvalidInput(
            f"each of {len(rankings)} rankings has a weight from 0 upwards; found {len(counted)}"
        )
    if not constant >= 0 or (limit is not None and limit < 0):
        raise InvalidInput(
            f"constant and limit are 0 or more; found constant={constant}, limit={limit}"
        )
    scores: dict[bytes, float] = {}
    for weight, ranking in zip(counted, rankings, strict=True):
        for rank, identifier in enumerate(dict.fromkeys(ranking), 1):
            scores[identifier] = scores.get(identifier, 0.0) + weight / (constant + rank)
    best = sorted(scores.items(), key=lambda one: (-one[1], one[0]))
    return [Fused(*one) for one in best[:limit]]
