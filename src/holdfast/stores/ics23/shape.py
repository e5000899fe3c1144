"""Whether a proof has the shape that a kind of tree gives it.

Without that, whoever makes a proof could pass off inner nodes as leaves, or move bytes between a
key, a value and the prefixes around them, and still arrive at the right root.
"""

from __future__ import annotations

from holdfast.stores.ics23.operations import Refused
from holdfast.stores.ics23.proofs import TENDERMINT, ExistenceProof, InnerOp, LeafOp, Spec

DEPTH_MAX = 128
_IAVL_RESTS = (1, 34)  # the length of the child; the left hash with its length, and that
_MORE = 0x80


def check_shape(spec: Spec, proof: ExistenceProof, *, is_iavl: bool) -> None:
    """Raise Refused unless the steps of a proof are those of its kind of tree."""
    if proof.leaf is None:
        raise Refused("it does not say how its leaf is hashed")
    check_leaf(spec.leaf_spec, proof.leaf)
    if is_iavl:
        height, size, rest = _iavl_numbers(proof.leaf.prefix)
        if height != 0 or size != 1 or rest != 0:
            raise Refused("its leaf is no leaf")
    if len(proof.path) < spec.min_depth:
        raise Refused("it is too short")
    if len(proof.path) > (spec.max_depth or DEPTH_MAX):
        raise Refused("it is too long")
    for layer, step in enumerate(proof.path, 1):
        if is_iavl:
            height, _, rest = _iavl_numbers(step.prefix)
            if height < layer or rest not in _IAVL_RESTS:
                raise Refused("a step of it is none of an inner node")
        check_inner(spec, step)


def check_leaf(expected: LeafOp, leaf: LeafOp) -> None:
    """Raise Refused unless a leaf is hashed as the spec says."""
    if (
        leaf.hash != expected.hash
        or leaf.prehash_key != expected.prehash_key
        or leaf.prehash_value != expected.prehash_value
        or leaf.length != expected.length
        or not leaf.prefix.startswith(expected.prefix)
    ):
        raise Refused("its leaf is hashed in another way")


def check_inner(spec: Spec, step: InnerOp) -> None:
    """Raise Refused unless an inner step is one that the spec allows."""
    inner = spec.inner_spec
    if step.hash != inner.hash:
        raise Refused("a step of it is hashed in another way")
    if inner.child_size <= 0:
        raise Refused("the spec has no size of children")
    if inner.max_prefix_length >= inner.min_prefix_length + inner.child_size:
        raise Refused("the spec cannot tell a prefix from a child")
    if step.prefix.startswith(spec.leaf_spec.prefix):
        raise Refused("a step of it could be a leaf")
    longest = inner.max_prefix_length + (len(inner.child_order) - 1) * inner.child_size
    if not inner.min_prefix_length <= len(step.prefix) <= longest:
        raise Refused("the prefix of a step has another length")
    if len(step.suffix) % inner.child_size:
        raise Refused("the suffix of a step has another length")
    if (spec.leaf_spec, inner) == (TENDERMINT.leaf_spec, TENDERMINT.inner_spec) and (
        step.prefix[:1] != b"\x01" or (step.suffix and step.prefix != b"\x01")
    ):
        raise Refused("a step of it has another prefix")


def _iavl_numbers(prefix: bytes) -> tuple[int, int, int]:
    """Height and size in the prefix of an IAVL+ step, and how many bytes follow the version."""
    at = 0
    numbers = []
    for _ in range(3):
        number = shift = 0
        while True:
            if at == len(prefix) or shift > 63:  # noqa: PLR2004 - the bits of a number
                raise Refused("the prefix of a step is cut short")
            byte = prefix[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < _MORE:
                break
        if number & 1 or number >> 64:
            raise Refused("a number in the prefix of a step is negative or too large")
        numbers.append(number >> 1)
    return numbers[0], numbers[1], len(prefix) - at
