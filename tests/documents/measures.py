"""What the pure cores cost: `python -m tests.documents.measures [keys|vector|text]`.

Nothing here is a test: figures depend on the machine. Rows lie in memory, so that what is measured
is the work of the index itself.
"""

# ruff: noqa: T201
import sys
import time
from collections.abc import Callable
from random import Random
from statistics import median

import numpy as np

from holdfast.codecs.keys import pack
from holdfast.documents.entries import IndexOrder
from holdfast.documents.ordering import encode
from holdfast.documents.text.analysis import Analyzer
from holdfast.documents.text.index import TextIndex
from holdfast.documents.text.query import parse
from holdfast.documents.text.search import search
from holdfast.documents.vector.approximate import VectorGraph
from holdfast.documents.vector.exact import VectorTable, search_rows
from holdfast.documents.vector.vectors import VectorSpace
from tests.documents.text.store import Rows


def per_call(work: Callable[[], object], calls: int) -> float:
    """Microseconds of one call: the median of five rounds."""
    rounds = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(calls):
            work()
        rounds.append((time.perf_counter() - start) / calls)
    return median(rounds) * 1e6


def keys() -> None:
    order, identifier = IndexOrder((False,)), pack(("user:123",))
    for value in (5, 1.5, "hello world", None, ["a", "b", "c"]):
        whole = per_call(lambda value=value: order.entries([[value]], identifier), 20_000)  # type: ignore[misc]
        one = per_call(lambda value=value: encode(value), 20_000)  # type: ignore[misc]
        print(f"key of {value!r}: value {one:.2f} µs, entry {whole:.2f} µs")


def text() -> None:
    random = Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["".join(random.choices(letters, k=random.randint(3, 9))) for _ in range(20_000)]
    weights = [1 / (rank + 3) for rank in range(len(vocabulary))]
    texts = [" ".join(random.choices(vocabulary, weights, k=72)) for _ in range(100_000)]
    print(f"{sum(map(len, texts)) / len(texts):.0f} characters a document")
    for language in (None, "english"):
        analyzer = Analyzer(language)
        start = time.perf_counter()
        for one in texts[:5_000]:
            analyzer.terms(one)
        print(f"terms, {language}: {(time.perf_counter() - start) / 5_000 * 1e6:.1f} µs a document")
    index, rows = TextIndex(), Rows()
    start = time.perf_counter()
    for place in range(0, 10_000, 1000):
        chunk = [(pack((f"d{at}",)), [[texts[at]]]) for at in range(place, place + 1000)]
        rows.take(index.changes_of_many(chunk, rows.read))
    print(f"the same, a thousand at once: {(time.perf_counter() - start) * 100:.1f} µs a document")
    index, rows = TextIndex(), Rows()
    start = time.perf_counter()
    for place, one in enumerate(texts):
        rows.take(index.changes(pack((f"d{place}",)), [[one]], rows.read))
        if place == 10_000:
            start_rest = time.perf_counter()
    took = (time.perf_counter() - start_rest) / (len(texts) - 10_001)
    print(f"terms and rows: {took * 1e6:.1f} µs a document")
    size = sum(len(key) + len(value) for key, value in rows.rows.items())
    print(f"{len(rows.rows)} rows, {size / 1e6:.0f} MB")
    common, middle, rare = vocabulary[0], vocabulary[200], vocabulary[15_000]
    for query in (
        f"{common} {middle}",
        f"{middle} {vocabulary[250]}",
        f"{middle} {rare}",
        f"{rare} OR {common}",
        f'"{common} {vocabulary[1]}"',
        f"{rare[:3]}*",
    ):
        node = parse(query)
        hits = len(search(index, node, rows.read, rows.scan))
        top = per_call(lambda node=node: search(index, node, rows.read, rows.scan, limit=10), 5)  # type: ignore[misc]
        print(f"{query}: {hits} hits, best ten in {top / 1000:.2f} ms")


def vector() -> None:
    random = np.random.default_rng(3)
    space = VectorSpace(384)
    matrix = random.standard_normal((20_000, 384)).astype("f4")
    value = matrix[0].tolist()
    print(f"pack a list of 384: {per_call(lambda: space.pack(value), 500):.1f} µs")
    rows = [(b"%05d" % place, one.tobytes()) for place, one in enumerate(matrix)]
    table = VectorTable(space, rows)
    query = random.standard_normal(384).astype("f4")
    print(
        f"exact ten of 20,000 x 384: {per_call(lambda: table.search(query, 10), 3) / 1000:.1f} ms"
    )
    took = per_call(lambda: search_rows(space, rows, query, 10), 1)
    print(f"the same from rows, keeping nothing: {took / 1000:.1f} ms")
    start = time.perf_counter()
    graph = VectorGraph(space, rows[:5000])
    print(f"graph: {(time.perf_counter() - start) / 5000 * 1e6:.0f} µs to add a vector")
    print(
        f"approximate ten of 5,000: {per_call(lambda: graph.search(query, 10), 20) / 1000:.2f} ms"
    )


if __name__ == "__main__":
    for name in sys.argv[1:] or ["keys", "vector", "text"]:
        globals()[name]()
