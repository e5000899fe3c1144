"""What the query core costs: `python -m benchmarks.query_core`, CPU time on this machine.

100,000 documents of about 500 bytes, decoded already: compiled conditions against the reference,
the first ten of all by an order, groups, and the memory of a million groups.
"""

import random
import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from holdfast.documents.aggregate import (
    aggregate,
    avg,
    count_,
    group_by,
    limit,
    match,
    project,
    sort,
    sum_,
    unwind,
)
from holdfast.documents.query import F, Node, Query, compile_where, evaluate, run

DOCUMENTS = 100_000
REFERENCE_DOCUMENTS = 2_000
GROUPS = 1_000_000
ROUNDS = 3

CONDITIONS: dict[str, Node] = {
    "country == text": F.country == "JP",
    "population > number": F.population > 1_000_000,
    "both": (F.population > 1_000_000) & (F.country == "JP"),
    "address.city == text": F.address.city == "c7",
    "tags == text (array)": F.tags == "a",
    "country in two": F.country.in_(["JP", "FR"]),
    "population in 100,000": F.population.in_(list(range(100_000))),
    "name.regex": F.name.regex("^City 9"),
    "or, not": (F.country == "JP") | ~(F.score < 0.5),
    "within a box": F.location.within(west=0, south=0, east=20, north=20),
}

PIPELINES: dict[str, list[Any]] = {
    "count, sum, avg by country": [
        group_by(F.country, n=count_(), population=sum_(F.population), mean=avg(F.score))
    ],
    "avg by address.city (500)": [group_by(F.address.city, mean=avg(F.population))],
    "unwind tags, count": [unwind(F.tags), group_by(F.tags, n=count_())],
    "sort, limit 10": [sort(-F.population), limit(10)],
    "match, project": [match(F.population > 5_000_000), project(F.name, x=F.population * 2)],
}


def documents(number: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(1)
    for at in range(number):
        yield {
            "name": f"City {at}",
            "country": chance.choice(["JP", "FR", "DE", "US", "BR"]),
            "population": chance.randrange(10**7),
            "score": chance.random(),
            "active": bool(at % 2),
            "address": {"city": f"c{at % 500}", "zip": str(10000 + at), "street": "x" * 40},
            "tags": [chance.choice("abcdefgh") for _ in range(3)],
            "bio": "lorem ipsum dolor sit amet " * 8,
            "location": {
                "latitude": chance.uniform(-80, 80),
                "longitude": chance.uniform(-180, 180),
            },
        }


def seconds(work: Callable[[], object]) -> float:
    """The least CPU time of some rounds."""
    times = []
    for _ in range(ROUNDS):
        before = time.process_time()
        work()
        times.append(time.process_time() - before)
    return min(times)


def main() -> None:
    found = list(documents(DOCUMENTS))
    rows = [(f"k{at:06}", document) for at, document in enumerate(found)]
    print(f"{DOCUMENTS:,} documents of {len(orjson.dumps(found[0]))} bytes")
    for name, node in CONDITIONS.items():
        test = compile_where(node)
        fast = seconds(lambda test=test: sum(map(test, found))) / DOCUMENTS  # type: ignore[misc]
        line = f"{name:28} {fast * 1e6:6.2f} us a document"
        if name != "population in 100,000":  # The reference makes the set for each document.
            few = found[:REFERENCE_DOCUMENTS]
            slow = seconds(lambda node=node, few=few: [evaluate(node, one) for one in few])  # type: ignore[misc]
            line += f"   reference {slow / len(few) * 1e6:6.2f} us"
        print(line)
    for title, order, wanted in (
        ("first 10 by -population", [-F.population], 10),
        ("first 10 by two fields", [F.country, -F.population], 10),
        ("all by population", [F.population], None),
    ):
        query = Query.of(order_by=order, limit=wanted)
        print(f"{title:28} {seconds(lambda q=query: list(run(q, rows))) * 1e3:6.0f} ms")  # type: ignore[misc]
    for name, pipeline in PIPELINES.items():
        took = seconds(lambda p=pipeline: list(aggregate(p, found)))  # type: ignore[misc]
        print(f"{name:28} {took * 1e3:6.0f} ms")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    source = ({"key": f"user{at}", "value": at} for at in range(GROUPS))
    began = time.process_time()
    number = sum(1 for _ in aggregate([group_by(F.key, n=count_(), total=sum_(F.value))], source))
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{number:,} groups: {time.process_time() - began:.1f} s, {megabytes:.0f} MB more at most"
    )


if __name__ == "__main__":
    main()
