"""Keys, values and the YCSB letters: everything follows from a seed.

The keys of the records are `user/000123:45`: a hundred names to a namespace, so that a scan of
one namespace is a range. A value is a mapping of ten texts and two numbers, about 1 KB; the
numbers say which key and which write of the key it is, so no two values are equal and a value
read back tells whether it is the right one.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate
from random import Random
from typing import Any, Final

Value = dict[str, Any]
#: What is done, to which key, with what: a value, a function of a value, or a number of rows.
Operation = tuple[int, str, Any]

READ: Final = 0
WRITE: Final = 1
MODIFY: Final = 2
SCAN: Final = 3

NAMES_PER_NAMESPACE = 100
FIELDS = 10
FIELD_CHARACTERS = 95
SCAN_ROWS_MAX = 100
#: How skewed the choice of keys is: the constant of the YCSB paper.
ZIPF = 0.99

#: Shares of each letter in the order of the acts; writes of D and E insert, others overwrite.
LETTERS: dict[str, tuple[float, float, float, float]] = {
    "A": (0.50, 0.50, 0.00, 0.00),
    "B": (0.95, 0.05, 0.00, 0.00),
    "C": (1.00, 0.00, 0.00, 0.00),
    "D": (0.95, 0.05, 0.00, 0.00),
    "E": (0.00, 0.05, 0.00, 0.95),
    "F": (0.50, 0.00, 0.50, 0.00),
}
MEANINGS = {
    "A": "50 % reads, 50 % overwrites",
    "B": "95 % reads, 5 % overwrites",
    "C": "reads",
    "D": "95 % reads of what is newest, 5 % inserts",
    "E": "95 % scans of 1 to 100 rows, 5 % inserts",
    "F": "50 % reads, 50 % read-modify-writes",
}
_INSERTING = "DE"


class Wrong(AssertionError):
    """A store does not hold what was written to it."""


def namespace_of(number: int) -> str:
    return f"user/{number // NAMES_PER_NAMESPACE:06d}"


def key_of(number: int) -> str:
    return f"{namespace_of(number)}:{number % NAMES_PER_NAMESPACE:02d}"


class Values:
    """Makes the value of any write of any key.

    Args:
        seed: decides the texts.
        field_characters: length of each of the ten texts.
    """

    _TEXT_CHARACTERS = 1 << 16

    def __init__(self, seed: int, field_characters: int = FIELD_CHARACTERS) -> None:
        letters = string.ascii_letters + string.digits + " .,"
        self._text = "".join(Random(seed).choices(letters, k=self._TEXT_CHARACTERS))
        self._length = field_characters
        self._room = self._TEXT_CHARACTERS - field_characters

    def of(self, number: int, write: int) -> Value:
        """The value that the given write (0: the load) gives to the record of that number."""
        text, length, room = self._text, self._length, self._room
        place = number * 7919 + write * 104_729
        value: Value = {
            f"field{field}": text[(start := (place + field * 6_151) % room) : start + length]
            for field in range(FIELDS)
        }
        value["number"] = number
        value["write"] = write
        return value


class Zipf:
    """Ranks from 0, the lower the likelier."""

    def __init__(self, count: int, skew: float = ZIPF) -> None:
        self._ranks = range(count)
        self._cumulative = list(accumulate(1 / (rank + 1) ** skew for rank in range(count)))

    def draw(self, random: Random, count: int) -> list[int]:
        return random.choices(self._ranks, cum_weights=self._cumulative, k=count)


class Model:
    """What a store must hold: which write each record saw last. Makes the operations.

    Attributes:
        writes: by number of the record, its last write (0: the load).
        values: makes their values.
    """

    def __init__(self, records: int, seed: int) -> None:
        self.values = Values(seed)
        self.writes = [0] * records
        self._random = Random(seed)
        self._zipf = Zipf(records)
        # Hot keys are spread over the key space instead of being neighbours.
        self._scattered = list(range(records))
        self._random.shuffle(self._scattered)

    def initial(self) -> Iterator[tuple[str, Value]]:
        """The records as loaded, in key order."""
        for number in range(len(self.writes)):
            yield key_of(number), self.values.of(number, 0)

    def hot_keys(self, count: int) -> list[str]:
        """Keys as a letter draws them."""
        return [key_of(self._scattered[rank]) for rank in self._zipf.draw(self._random, count)]

    def overwrite(self, number: int) -> Value:
        """The next value of a record."""
        self.writes[number] += 1
        return self.values.of(number, self.writes[number])

    def overwrites(self, count: int) -> list[tuple[str, Value]]:
        """Keys as a letter draws them, with their next values."""
        numbers = [self._scattered[rank] for rank in self._zipf.draw(self._random, count)]
        return [(key_of(number), self.overwrite(number)) for number in numbers]

    def operations(self, letter: str, count: int) -> list[Operation]:
        """The next operations of a letter, made before they are timed."""
        acts = self._random.choices(
            (READ, WRITE, MODIFY, SCAN), weights=LETTERS[letter], k=count
        )  # fmt: skip
        ranks = self._zipf.draw(self._random, count)
        inserting = letter in _INSERTING
        operations: list[Operation] = []
        for act, rank in zip(acts, ranks, strict=True):
            if act == WRITE and inserting:
                operations.append((WRITE, *self._insert()))
                continue
            newest = len(self.writes) - 1
            number = newest - rank if letter == "D" else self._scattered[rank]
            operations.append(self._operation(act, number))
        return operations

    def _operation(self, act: int, number: int) -> Operation:
        if act == READ:
            return (READ, key_of(number), None)
        if act == SCAN:
            return (SCAN, namespace_of(number), self._random.randint(1, SCAN_ROWS_MAX))
        value = self.overwrite(number)
        argument: Value | Callable[[Value | None], Value] = value
        if act == MODIFY:
            argument = partial(_replace, value)
        return (act, key_of(number), argument)

    def _insert(self) -> tuple[str, Value]:
        self.writes.append(0)
        number = len(self.writes) - 1
        return key_of(number), self.values.of(number, 0)


def _replace(value: Value, before: Value | None) -> Value:
    """Checks that it is handed what stands there, and replaces it."""
    if before is None or before["number"] != value["number"]:
        raise Wrong("a read-modify-write was handed the wrong value")
    return value
