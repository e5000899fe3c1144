"""Medians, spreads and ratios of repeated measurements, and how they are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Figure:
    """One thing measured in several rounds.

    Attributes:
        rounds: what each round gave, in order.
    """

    rounds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.rounds:
            raise ValueError("a figure needs at least one round")

    @classmethod
    def of(cls, rounds: Sequence[float]) -> Figure:
        return cls(tuple(rounds))

    @property
    def median(self) -> float:
        return median(self.rounds)

    @property
    def low(self) -> float:
        return min(self.rounds)

    @property
    def high(self) -> float:
        return max(self.rounds)

    def over(self, other: Figure) -> Figure:
        """This divided by the other, round by round: what both suffered at once cancels out."""
        if len(self.rounds) != len(other.rounds):
            raise ValueError("only figures of equally many interleaved rounds are divided")
        return Figure(tuple(a / b for a, b in zip(self.rounds, other.rounds, strict=True)))

    def minus(self, other: Figure) -> Figure:
        """This less the other, round by round."""
        if len(self.rounds) != len(other.rounds):
            raise ValueError("only figures of equally many interleaved rounds are subtracted")
        return Figure(tuple(a - b for a, b in zip(self.rounds, other.rounds, strict=True)))

    def __str__(self) -> str:
        """Median, and the least and the most of the rounds."""
        if len(self.rounds) == 1:
            return number(self.rounds[0])
        return f"{number(self.median)} ({number(self.low)} to {number(self.high)})"


def percentile(values: Sequence[float], share: float) -> float:
    """The least of the values that at least this share of them does not exceed."""
    if not values:
        raise ValueError("no values")
    if not 0 < share <= 1:
        raise ValueError("a share is above 0 and at most 1")
    return sorted(values)[math.ceil(share * len(values)) - 1]


def number(value: float) -> str:
    """Three digits that matter, thousands as k, millions as M."""
    if value < 0:
        return "-" + number(-value)
    for divisor, suffix in ((1e6, "M"), (1e3, "k")):
        # 9,950 and above would be written with four digits.
        if value >= divisor * (0.9995 if divisor == 1e6 else 9.995):
            return _digits(value / divisor) + suffix
    return f"{value:,.0f}" if value >= 999.5 else _digits(value)


def _digits(value: float) -> str:
    if value == 0:
        return "0"
    if value >= 99.95:
        return f"{value:.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    if value >= 0.1:
        return f"{value:.2f}"
    return f"{value:.3f}"


def size(count: float) -> str:
    """Bytes in the unit that fits."""
    for unit, divisor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= divisor:
            return f"{_digits(count / divisor)} {unit}"
    return f"{count:.0f} B"
