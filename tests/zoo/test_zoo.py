"""The contract suite catches every animal of the zoo, and nothing else.

Each animal is the good engine with one thing broken. A suite that one of them passes has a hole.
`pytest tests/zoo -s` prints which promise caught which animal.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.contract.config import EngineConfig
from holdfast.testing import EngineContract, promises_of
from tests.zoo import checking, claiming, deciding, drafting, living, reading, sifting, writing
from tests.zoo.drafting import Instant, Redrafting
from tests.zoo.good import GoodConfig, GoodEngine, Rewriting

ANIMALS_LEAST = 20
#: What the animals are broken versions of.
SOUND = (GoodEngine, Rewriting, Redrafting, Instant)


def animals() -> Iterator[type[GoodEngine]]:
    for house in (reading, writing, checking, deciding, drafting, sifting, living, claiming):
        for animal in vars(house).values():
            if not isinstance(animal, type) or animal in SOUND:
                continue
            if issubclass(animal, GoodEngine):
                yield animal


class Good(EngineContract):
    engine_type = GoodEngine
    model_examples = 10
    model_shrinks = False

    def make_config(self, folder: Path) -> EngineConfig:
        return GoodConfig(path=folder / "database")


ZOO = {animal.__name__: animal for animal in animals()}
for name, animal in ZOO.items():
    # At the top of the module, because other processes import them from here.
    settings = {"engine_type": animal, "promise_timeout_s": 1.0, "__module__": __name__}
    setattr(sys.modules[__name__], name, type(name, (Good,), settings))


def caught_by(contract: EngineContract, folder: Path) -> str | None:
    """The first promise that the engine breaks."""
    for name, promise in promises_of(type(contract)).items():
        place = folder / name
        place.mkdir()
        try:
            promise(contract, place)
        except BaseException as broken:  # any way to fail is a way to be caught
            if isinstance(broken, KeyboardInterrupt):
                raise
            return f"{name} ({type(broken).__name__})"
    return None


@pytest.mark.row("trap 50")
@pytest.mark.parametrize("name", ZOO)
def test_a_broken_engine_fails_the_suite(name: str, tmp_path: Path) -> None:
    caught = caught_by(getattr(sys.modules[__name__], name)(), tmp_path)
    print(f"\n{name:34} {caught}")  # noqa: T201 - the table of who was caught by what
    assert caught is not None, f"no promise fails for {name}: {ZOO[name].__doc__}"


class GoodAtOnce(Good):
    engine_type = Instant


@pytest.mark.parametrize("sound", [Good, GoodAtOnce])
def test_the_good_engines_pass_the_same_run(sound: type[EngineContract], tmp_path: Path) -> None:
    assert caught_by(sound(), tmp_path) is None


def test_the_zoo_is_well_stocked() -> None:
    assert len(ZOO) >= ANIMALS_LEAST
    assert all(animal.__doc__ for animal in ZOO.values()), "each animal says what is wrong with it"
