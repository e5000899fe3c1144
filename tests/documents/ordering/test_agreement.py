"""Index keys and the evaluator of queries have one order and one equality."""

from typing import Any

import pytest
from hypothesis import given

from holdfast.documents.ordering import encode
from holdfast.documents.query.values import order_key
from tests.documents.ordering.values import VALUES


@pytest.mark.row("I-028", "trap 35")
@given(VALUES, VALUES)
def test_bytes_compare_as_the_evaluator_compares(one: Any, other: Any) -> None:
    assert (encode(one) < encode(other)) == (order_key(one) < order_key(other))
    assert (encode(one) == encode(other)) == (order_key(one) == order_key(other))
