"""Digests: the same everywhere for equal values, another for every difference."""

import hashlib
import os
import pickle
import subprocess
import sys
import unicodedata
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.codecs.digest import DIGEST_BYTES, Digest, digest, digest_bytes
from holdfast.contract.errors import SerializationFailed

SCRIPT = """
from holdfast.codecs.digest import digest
names = [f"field {index}" for index in range(200)]
import sys
if sys.argv[1] == "reversed": names.reverse()
print(digest({name: {"b": [name, 1.5, None], "a": b"x"} for name in names}).hex)
"""


@pytest.mark.row("trap 12", "K-025")
def test_processes_agree_whatever_the_hash_seed_and_order() -> None:
    seen = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT, order],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "4711")
        for order in ("forward", "reversed")
    }
    assert len(seen) == 1
    assert len(seen.pop().strip()) == 64


DISTINCT: list[Any] = [
    1, 1.0, True, "1", b"1", 0, 0.0, -0.0, False, None, "", b"", [], {}, [None], {"a": None},
    {"a": 1}, {"a": 1.0}, {"a": True}, {"a": "1"}, {"b": 1}, [1], [[1]], [1, 2], [2, 1], "null",
    2**53, float(2**53), "é", unicodedata.normalize("NFD", "é"),
]  # fmt: skip


@pytest.mark.row("trap 12", "K-026")
def test_every_difference_of_value_or_type_shows() -> None:
    for one, other in combinations(DISTINCT, 2):
        assert digest(one) != digest(other), (one, other)


@pytest.mark.row("K-026")
@given(st.dictionaries(st.text(), st.integers(-(2**63), 2**63) | st.text()), st.randoms())
def test_the_order_of_a_mapping_does_not_show(value: dict[str, Any], chance: Any) -> None:
    items = list(value.items())
    chance.shuffle(items)
    assert digest({"in": dict(items)}) == digest({"in": value})


@pytest.mark.row("K-027")
def test_it_is_sha_256_of_message_pack() -> None:
    # {"a": 1} in MessagePack, written by hand.
    assert digest({"a": 1}).raw == hashlib.sha256(b"\x81\xa1a\x01").digest()
    # The vector of FIPS 180-2 for "abc".
    assert digest_bytes(b"abc").hex == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    assert digest_bytes(b"abc").u32 == 0xBA7816BF


def test_a_digest_is_a_value() -> None:
    one = digest(1)
    assert len(one.raw) == DIGEST_BYTES
    assert str(one) == one.hex
    assert one == Digest(one.raw)
    assert len({one, Digest(one.raw), digest(2)}) == 2
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(AttributeError):
        one.raw = b""  # type: ignore[misc]


@pytest.mark.row("K-028")
def test_what_has_no_message_pack_has_no_digest() -> None:
    with pytest.raises(SerializationFailed):
        digest(object())
