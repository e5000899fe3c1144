"""Test data of the standard, read into our types."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

from holdfast.stores.ics23 import ExistenceProof, InnerOp, LeafOp, Spec
from holdfast.stores.ics23.proofs import InnerSpec

VECTORS = Path(__file__).parent / "vectors"


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


def raw(text: str | None) -> bytes:
    return b64decode(text or "")


def leaf_op(data: dict[str, Any]) -> LeafOp:
    numbers = ("hash", "prehash_key", "prehash_value", "length")
    return LeafOp(**{name: data.get(name, 0) for name in numbers}, prefix=raw(data.get("prefix")))


def inner_op(data: dict[str, Any]) -> InnerOp:
    return InnerOp(data.get("hash", 0), raw(data.get("prefix")), raw(data.get("suffix")))


def existence(data: dict[str, Any]) -> ExistenceProof:
    leaf = data.get("leaf")
    return ExistenceProof(
        raw(data.get("key")),
        raw(data.get("value")),
        None if leaf is None else leaf_op(leaf),
        tuple(inner_op(step) for step in data.get("path") or ()),
    )


def spec(data: dict[str, Any]) -> Spec:
    inner = data.get("inner_spec") or {}
    return Spec(
        leaf_op(data.get("leaf_spec") or {}),
        InnerSpec(
            tuple(inner.get("child_order", ())),
            inner.get("child_size", 0),
            inner.get("min_prefix_length", 0),
            inner.get("max_prefix_length", 0),
            raw(inner.get("empty_child")),
            inner.get("hash", 0),
        ),
        data.get("max_depth", 0),
        data.get("min_depth", 0),
        data.get("prehash_key_before_comparison", False),
    )
