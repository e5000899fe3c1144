"""Keys, values and letters: distinct, skewed, mixed as they should be, and the same every time."""

import itertools
from collections import Counter
from random import Random

import pytest

from benchmarks.data import (
    LETTERS,
    MODIFY,
    READ,
    SCAN,
    WRITE,
    Model,
    Values,
    Wrong,
    Zipf,
    key_of,
    namespace_of,
)
from holdfast.codecs.serializers import MESSAGE_PACK


def test_every_write_has_a_value_of_its_own() -> None:
    values = Values(1)
    encoded = {
        MESSAGE_PACK.encode(values.of(number, write))
        for number, write in itertools.product(range(50), range(20))
    }
    assert len(encoded) == 50 * 20
    texts = {values.of(7, write)["field0"] for write in range(20)}
    assert len(texts) == 20, "values differ in their texts too, not in a counter alone"


def test_values_take_about_a_kilobyte() -> None:
    for number, write in ((0, 0), (99_999, 0), (5, 1_000_000)):
        assert 1_000 <= len(MESSAGE_PACK.encode(Values(1).of(number, write))) <= 1_100


def test_one_seed_gives_one_run() -> None:
    runs = []
    for seed in (1, 1, 2):
        model = Model(200, seed)
        runs.append(
            [(act, key) for letter in LETTERS for act, key, _ in model.operations(letter, 300)]
        )
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("letter", LETTERS)
def test_letters_have_their_shares(letter: str) -> None:
    operations = Model(500, 1).operations(letter, 20_000)
    counted = Counter(act for act, _, _ in operations)
    for act, share in zip((READ, WRITE, MODIFY, SCAN), LETTERS[letter], strict=True):
        assert counted[act] / 20_000 == pytest.approx(share, abs=0.015)


def test_keys_are_drawn_zipfian() -> None:
    drawn = Counter(Zipf(1_000).draw(Random(1), 100_000))
    harmonic = sum(1 / rank**0.99 for rank in range(1, 1_001))
    for rank in (0, 1, 9):
        assert drawn[rank] / 100_000 == pytest.approx(1 / (rank + 1) ** 0.99 / harmonic, rel=0.1)
    assert max(drawn) <= 999


def test_the_latest_letter_reads_what_is_newest() -> None:
    model = Model(1_000, 1)
    reads = Counter(key for act, key, _ in model.operations("D", 5_000) if act == READ)
    newest = {key_of(number) for number in range(len(model.writes) - 300, len(model.writes))}
    assert sum(reads[key] for key in newest) > 0.5 * sum(reads.values())


def test_inserts_make_new_keys_in_order() -> None:
    model = Model(100, 1)
    inserted = [key for act, key, _ in model.operations("E", 2_000) if act == WRITE]
    assert inserted == [key_of(number) for number in range(100, 100 + len(inserted))]
    assert len(model.writes) == 100 + len(inserted)


def test_the_model_knows_the_last_write_of_each_key() -> None:
    model = Model(50, 1)
    last = dict(model.initial())
    for letter in "ABDEF":
        for act, key, argument in model.operations(letter, 400):
            if act == WRITE:
                last[key] = argument
            elif act == MODIFY:
                last[key] = argument(last[key])
    wanted = {
        key_of(number): model.values.of(number, write) for number, write in enumerate(model.writes)
    }
    assert last == wanted


def test_a_change_refuses_the_value_of_another_key() -> None:
    model = Model(50, 1)
    key, change = next((key, one) for act, key, one in model.operations("F", 100) if act == MODIFY)
    other = next(value for name, value in model.initial() if name != key)
    with pytest.raises(Wrong):
        change(other)
    with pytest.raises(Wrong):
        change(None)


def test_keys_stand_in_the_order_of_their_numbers() -> None:
    keys = [key_of(number) for number in range(0, 120_000, 97)]
    assert keys == sorted(keys)
    assert namespace_of(12_345) == "user/000123"
    assert key_of(12_345) == "user/000123:45"
