"""Canonical JSON, against the RFC, another implementation and Node's own number printing."""

import json
import shutil
import struct
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from holdfast.codecs.canonical import canonical_json
from holdfast.contract.errors import SerializationFailed

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | FLOATS
    | st.floats(1e-8, 1e-4)
    | st.integers(2**53, 2**80).map(float)
    | st.text()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.row("trap 13")
@given(VALUES)
def test_it_is_what_another_implementation_writes(value: Any) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)


def test_the_example_of_the_rfc() -> None:
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    assert canonical_json(value).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_keys_sort_by_utf_16_units() -> None:
    # The sorting example of RFC 8785, 3.2.3: the emoji stands before U+FB33.
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    written = canonical_json({"in": [dict.fromkeys(keys, 1.0)]})
    assert list(json.loads(written)["in"][0]) == [
        "\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33",
    ]  # fmt: skip


@pytest.mark.row("trap 13")
def test_one_and_one_point_zero_are_one_number() -> None:
    assert canonical_json(1) == canonical_json(1.0) == b"1"
    assert canonical_json(-0.0) == canonical_json(0) == b"0"


@pytest.mark.row("trap 13")
def test_text_is_not_normalised() -> None:
    composed, decomposed = "é", unicodedata.normalize("NFD", "é")
    assert canonical_json(composed) == b'"\xc3\xa9"'
    assert canonical_json(decomposed) == b'"e\xcc\x81"'


@pytest.mark.row("trap 13")
@pytest.mark.parametrize(
    "bad",
    [
        float("nan"), float("inf"), -float("inf"), "\ud800", {"\udfff": 1}, 2**53, -(2**53),
        b"x", {1}, (1,), {1: 1}, object(),
    ],
    # A plain object prints its address, which differs from one worker to the next.
    ids=lambda bad: "object" if type(bad) is object else repr(bad),
)  # fmt: skip
def test_what_has_no_canonical_form_is_refused(bad: Any) -> None:
    with pytest.raises(SerializationFailed, match="Canonical JSON"):
        canonical_json({"a": [None, bad]})


def doubles() -> list[float]:
    """Edges of the number rules, then bit patterns spread over all exponents."""
    edges = [5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 0.1, 1 / 3]
    edges += [float(f"{digits}e{power}") for digits in ("1", "9.999999999999999", "1.5")
              for power in range(-30, 31)]  # fmt: skip
    edges += [float(2**power + step) for power in range(50, 80) for step in (-1, 0, 1)]
    patterns = [(index * 0x9E3779B97F4A7C15) & (2**64 - 1) for index in range(1, 20_001)]
    spread = [struct.unpack("<d", struct.pack("<Q", pattern))[0] for pattern in patterns]
    whole = [float(pattern >> (pattern % 60)) for pattern in patterns[:5_000]]
    small = [(pattern % 10**9) / 10**14 for pattern in patterns[:5_000]]
    finite = [each for each in spread if each - each == 0]
    return [sign * each for each in edges + finite + whole + small for sign in (1, -1)]


@pytest.mark.row("trap 13", "trap 52")
def test_numbers_are_what_node_writes(tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node is not None, "this test needs Node.js on the path: its numbers are the standard"
    numbers = doubles()
    (tmp_path / "bits").write_bytes(struct.pack(f"<{len(numbers)}d", *numbers))
    script = (
        "const b = require('fs').readFileSync(process.argv[1]);"
        "const a = new Float64Array(b.buffer, b.byteOffset, b.length / 8);"
        "process.stdout.write(JSON.stringify(Array.from(a)))"
    )
    written = subprocess.run(
        [node, "-e", script, str(tmp_path / "bits")], check=True, capture_output=True
    ).stdout
    assert len(numbers) > 50_000
    assert canonical_json(numbers) == written
