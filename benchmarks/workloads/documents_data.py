"""Documents of about 500 bytes, what is asked of them, and the answers that a plain loop gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from random import Random
from typing import Any

Document = dict[str, Any]
#: What a question asks with: `POINT` an e-mail, `BOX` four numbers.
Argument = Any

CITIES = 200
WORDS = 20_000
BOX_DEGREES = 3.5
BIO_WORDS = 26
CREATED_FIRST = 1_600_000_000
#: Seconds between two documents at most.
CREATED_STEP = 600
EARTH_METRES = 6_371_008.8
LIMIT = 10

POINT, RANGE, COMPOUND, COUNT = "point by e-mail", "range, sort, limit 10", "compound", "count"
WORDS_AND, WORDS_OR = "full text, two words", "full text, rare OR common"
BOX, NEAREST = "bounding box", "nearest 10"
SCAN, GROUP, UPDATE = "filter without index", "group by", "update of one"
BUILD = "index build"

#: Rows of the table, in order, and what each asks.
QUESTIONS: dict[str, str] = {
    POINT: "`email == x`, one of all, by a btree index",
    RANGE: "`created >= x` ordered by `created`, the first 10, by its index",
    COMPOUND: "`city == x and 20 <= age < 30` ordered by `score`, the first 10, by an index over "
    "city and age",
    COUNT: "how many have `city == x`, 1 in 200, by the same index",
    WORDS_AND: "the best 10 by BM25 that have both words",
    WORDS_OR: "the best 10 by BM25 that have a rare word or a common one",
    BOX: "all in a box of 3.5 degrees, some 30 of 100,000",
    NEAREST: "the 10 nearest to a point, in order of distance",
    SCAN: "`active and score >= x` ordered by `-score`, the first 10, with no index: all are "
    "looked at",
    GROUP: "count and average of `score` by `city`, with no index on score",
    UPDATE: "another `created` for the document of a key, its index included, committed",
    BUILD: "a btree index over city and age of all documents",
}


class Corpus:
    """Documents that a seed decides, and arguments for the questions.

    Args:
        count: how many documents.
        seed: decides them.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        random = Random(seed)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self.words = [
            "".join(random.choices(letters, k=random.randint(4, 9))) for _ in range(WORDS)
        ]
        self._cumulative = list(accumulate(1 / (rank + 3) for rank in range(WORDS)))

    def documents(self) -> Iterator[Document]:
        """All of them, in the order of their keys, each with its key as `id`."""
        random = Random(self.seed + 1)
        created = CREATED_FIRST
        for number in range(self.count):
            created += random.randrange(CREATED_STEP)
            yield {
                "id": key_of(number),
                "name": f"Person {number:06}",
                "email": email_of(number),
                "city": city_of(random.randrange(CITIES)),
                "age": random.randrange(18, 91),
                "score": round(random.random(), 6),
                "active": random.random() < 0.5,
                "created": created,
                "tags": random.choices(("new", "paid", "trial", "staff", "beta"), k=2),
                "address": {"street": f"{number % 900} High Street", "zip": f"{number % 99999:05}"},
                "bio": " ".join(
                    random.choices(self.words, cum_weights=self._cumulative, k=BIO_WORDS)
                ),
                "location": {
                    "latitude": round(random.uniform(-60, 60), 5),
                    "longitude": round(random.uniform(-170, 170), 5),
                },
            }

    def arguments(self, question: str, count: int, turn: int) -> list[Argument]:
        """What to ask with in a round, made before it is timed."""
        random = Random(f"{self.seed} {question} {turn}")
        return [self._argument(question, random) for _ in range(count)]

    def _argument(self, question: str, random: Random) -> Argument:
        number = random.randrange(self.count)
        words, place = self.words, (random.uniform(-50, 50), random.uniform(-160, 160))
        created = CREATED_FIRST + number * CREATED_STEP // 2
        of_city = city_of(random.randrange(CITIES))
        return {
            POINT: email_of(number),
            RANGE: created,
            COMPOUND: of_city,
            COUNT: of_city,
            # Frequent enough that the two meet now and then.
            WORDS_AND: (words[random.randrange(40)], words[40 + random.randrange(100)]),
            WORDS_OR: (words[5_000 + random.randrange(5_000)], words[random.randrange(10)]),
            BOX: (place[1], place[0], place[1] + BOX_DEGREES, place[0] + BOX_DEGREES),
            NEAREST: place,
            SCAN: 0.9 + random.random() / 20,
            UPDATE: (key_of(random.randrange(self.count)), created),
        }.get(question)


def key_of(number: int) -> str:
    return f"u{number:07}"


def email_of(number: int) -> str:
    return f"person{number}@mail{number % 17}.example.org"


def city_of(number: int) -> str:
    return f"City {number:03}"


def metres(latitude: float, longitude: float, other: float, along: float) -> float:
    """Of the great circle between two points in degrees."""
    north, far = math.radians(latitude), math.radians(other)
    turned = math.radians(along - longitude)
    half = (
        math.sin((far - north) / 2) ** 2
        + math.cos(north) * math.cos(far) * math.sin(turned / 2) ** 2
    )
    return 2 * EARTH_METRES * math.asin(math.sqrt(half))


# --- What a plain loop gives ------------------------------------------------------------------

Answer = Any


def answer(question: str, documents: Sequence[Document], argument: Argument) -> Answer:
    """The answer of a loop over all documents: ids in order, a number, or groups.

    Of a search of words: the ids of all that match, for relevance is each store's own.
    """
    return _LOOPS[question](documents, argument)


def agrees(question: str, expected: Answer, found: Answer) -> bool:
    """Whether a store's answer is right."""
    if question in (WORDS_AND, WORDS_OR):
        return len(found) == min(LIMIT, len(expected)) and set(found) <= set(expected)
    if question == GROUP:
        return bool(found.keys() == expected.keys()) and all(
            count == found[city][0] and math.isclose(mean, found[city][1])
            for city, (count, mean) in expected.items()
        )
    if question == BOX:
        return bool(sorted(found) == expected)
    return bool(found == expected)


def ids(documents: Sequence[Document]) -> list[str]:
    return [one["id"] for one in documents]


def _compound(documents: Sequence[Document], city: str) -> list[str]:
    found = [one for one in documents if one["city"] == city and 20 <= one["age"] < 30]
    return ids(sorted(found, key=lambda one: (one["score"], one["id"]))[:LIMIT])


def _ranged(documents: Sequence[Document], created: int) -> list[str]:
    found = [one for one in documents if one["created"] >= created]
    return ids(sorted(found, key=lambda one: (one["created"], one["id"]))[:LIMIT])


def _scanned(documents: Sequence[Document], score: float) -> list[str]:
    found = [one for one in documents if one["active"] and one["score"] >= score]
    found.sort(key=lambda one: (one["score"], one["id"]), reverse=True)
    return ids(found[:LIMIT])


def _boxed(documents: Sequence[Document], box: tuple[float, float, float, float]) -> list[str]:
    west, south, east, north = box
    return sorted(
        one["id"]
        for one in documents
        if west <= one["location"]["longitude"] <= east
        and south <= one["location"]["latitude"] <= north
    )


def _nearest(documents: Sequence[Document], point: tuple[float, float]) -> list[str]:
    def distance(one: Document) -> float:
        return metres(*point, one["location"]["latitude"], one["location"]["longitude"])

    return ids(sorted(documents, key=distance)[:LIMIT])


def _grouped(documents: Sequence[Document], _argument: None) -> dict[str, tuple[int, float]]:
    scores: dict[str, list[float]] = {}
    for one in documents:
        scores.setdefault(one["city"], []).append(one["score"])
    return {city: (len(found), math.fsum(found) / len(found)) for city, found in scores.items()}


_LOOPS: dict[str, Callable[[Sequence[Document], Any], Answer]] = {
    POINT: lambda documents, email: ids([one for one in documents if one["email"] == email]),
    RANGE: _ranged,
    COMPOUND: _compound,
    COUNT: lambda documents, city: sum(one["city"] == city for one in documents),
    WORDS_AND: lambda documents, words: ids(
        [one for one in documents if set(words) <= set(one["bio"].split())]
    ),
    WORDS_OR: lambda documents, words: ids(
        [one for one in documents if not set(words).isdisjoint(one["bio"].split())]
    ),
    BOX: _boxed,
    NEAREST: _nearest,
    SCAN: _scanned,
    GROUP: _grouped,
}
