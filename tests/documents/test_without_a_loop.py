"""Collections through the twins that need no event loop."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest

import holdfast.sync
from holdfast.contract.errors import DuplicateKey
from holdfast.documents.aggregate import count_
from holdfast.documents.query import F


@dataclass
class City:
    name: str
    country: str
    population: int


@pytest.mark.parametrize("engine", ["memory", "lmdb", "sqlite"])
def test_a_collection_without_a_loop(engine: str, tmp_path: Path) -> None:
    url = "memory://" if engine == "memory" else f"{engine}:///{tmp_path / 'app'}"
    with holdfast.sync.open(url) as db:
        cities = db.collection("cities", type=City)
        cities.set_many({f"c{at:04}": City(f"n{at}", "AB"[at % 2], at) for at in range(1000)})
        cities.create_index("population", "population", unique=True)
        with pytest.raises(DuplicateKey):
            cities.set("more", City("more", "A", 7))
        assert cities.find_one(F.population > 10, order_by="population") == City("n11", "B", 11)
        assert cities.find_one(name="nobody") is None
        assert [one.key for one in islice(cities.query(country="A"), 3)] == [
            "c0000", "c0002", "c0004",
        ]  # fmt: skip
        # Many walks that nobody ends: none of them holds a snapshot.
        for _ in range(150):
            assert next(iter(cities.query(F.name != "x"))).key == "c0000"
            assert next(cities.keys()) == "c0000"
        assert cities.count(F.population < 100) == 100
        assert cities.group_by(F.country, n=count_()) == [
            {"country": "A", "n": 500}, {"country": "B", "n": 500},
        ]  # fmt: skip
        with db.transaction() as tx:
            tx.collection("cities", type=City).delete("c0000")
        assert cities.size() == 999
        assert db.check() == []
