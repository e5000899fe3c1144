"""Many proofs in one message, where steps that several have in common stand once.

Proofs of neighbouring keys share most of their way to the root: compressed, a dozen of them take
less than half.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from holdfast.contract.errors import DeserializationFailed, InvalidInput
from holdfast.stores.ics23.proofs import ExistenceProof, InnerOp, NonExistenceProof, Proof
from holdfast.stores.ics23.wire import (
    PROOF_BYTES_MAX,
    content_of,
    decode_existence,
    decode_inner,
    decode_leaf,
    decode_non_existence,
    encode_existence,
    encode_inner,
    encode_leaf,
    encode_non_existence,
    field,
    fields,
    read_varint,
    varint,
)

#: How many steps all proofs of a message may have together: a short message names many in a few
#: bytes each.
STEPS_MAX = 1 << 18
_BATCH, _COMPRESSED = 3, 4


def encode_batch(proofs: Sequence[Proof]) -> bytes:
    """The proofs as a CommitmentProof message with a BatchProof."""
    return field(_BATCH, b"".join(field(1, _entry(proof)) for proof in _some(proofs)))


def encode_compressed(proofs: Sequence[Proof]) -> bytes:
    """The proofs as a CommitmentProof message with a CompressedBatchProof."""
    places: dict[InnerOp, int] = {}
    entries = [field(1, _compressed_entry(proof, places)) for proof in _some(proofs)]
    lookups = [field(2, encode_inner(step)) for step in places]
    return field(_COMPRESSED, b"".join(entries + lookups))


def decode_batch(data: bytes) -> list[Proof]:
    """The proofs in a message that `encode_batch` or `encode_compressed` could have made.

    Raises:
        DeserializationFailed: the bytes are no such message, or too long.
    """
    if len(data) > PROOF_BYTES_MAX:
        raise DeserializationFailed(
            f"proofs have at most {PROOF_BYTES_MAX} bytes together; found {len(data)}",
            limit=PROOF_BYTES_MAX,
            found=len(data),
        )
    try:
        ((number, content),) = fields(data)
        if number == _BATCH:
            return [_read_entry(content_of(entry)) for _, entry in _only(content_of(content), 1)]
        if number == _COMPRESSED:
            return _decompressed(content_of(content))
        raise ValueError("it holds no batch")
    except (ValueError, IndexError) as error:
        raise DeserializationFailed(f"the bytes are no batch of ICS-23 proofs: {error}") from None


def _some(proofs: Sequence[Proof]) -> Sequence[Proof]:
    if proofs:
        return proofs
    raise InvalidInput("a batch has at least one proof; found none")


def _entry(proof: Proof) -> bytes:
    if isinstance(proof, ExistenceProof):
        return field(1, encode_existence(proof))
    return field(2, encode_non_existence(proof))


def _read_entry(data: bytes) -> Proof:
    ((number, content),) = fields(data)
    if number == 1:
        return decode_existence(content_of(content))
    if number == 2:  # noqa: PLR2004 - the number of a field
        return decode_non_existence(content_of(content))
    raise ValueError(f"the field {number} is unknown")


def _compressed_entry(proof: Proof, places: dict[InnerOp, int]) -> bytes:
    if isinstance(proof, ExistenceProof):
        return field(1, _compressed(proof, places))
    sides = [(2, proof.left), (3, proof.right)]
    parts = [field(at, _compressed(side, places)) for at, side in sides if side is not None]
    return field(2, field(1, proof.key) + b"".join(parts))


def _compressed(proof: ExistenceProof, places: dict[InnerOp, int]) -> bytes:
    path = b"".join(varint(places.setdefault(step, len(places))) for step in proof.path)
    return b"".join(
        (
            field(1, proof.key),
            field(2, proof.value),
            b"" if proof.leaf is None else field(3, encode_leaf(proof.leaf)),
            field(4, path) if path else b"",
        )
    )


def _decompressed(data: bytes) -> list[Proof]:
    parts = list(fields(data))
    if not {number for number, _ in parts} <= {1, 2}:
        raise ValueError("a field of it is unknown")
    lookups = [decode_inner(content_of(content)) for number, content in parts if number == 2]  # noqa: PLR2004
    room = [STEPS_MAX]
    return [
        _read_compressed_entry(content_of(content), lookups, room)
        for number, content in parts
        if number == 1
    ]


def _read_compressed_entry(data: bytes, lookups: list[InnerOp], room: list[int]) -> Proof:
    ((number, content),) = fields(data)
    if number == 1:
        return _read_compressed(content_of(content), lookups, room)
    parts = dict(fields(content_of(content)))
    if number != 2 or not parts.keys() <= {1, 2, 3}:  # noqa: PLR2004
        raise ValueError("an entry of it is unknown")
    left, right = (
        _read_compressed(content_of(parts[side]), lookups, room) if side in parts else None
        for side in (2, 3)
    )
    return NonExistenceProof(content_of(parts.get(1, b"")), left, right)


def _read_compressed(data: bytes, lookups: list[InnerOp], room: list[int]) -> ExistenceProof:
    parts = dict(fields(data))
    if not parts.keys() <= {1, 2, 3, 4}:
        raise ValueError("a field of it is unknown")
    steps = []
    path, at = content_of(parts.get(4, b"")), 0
    while at < len(path):
        place, at = read_varint(path, at)
        steps.append(lookups[place])
    room[0] -= len(steps)
    if room[0] < 0:
        raise ValueError(f"it has more than {STEPS_MAX} steps")
    leaf = decode_leaf(content_of(parts[3])) if 3 in parts else None  # noqa: PLR2004
    key, value = (content_of(parts.get(number, b"")) for number in (1, 2))
    return ExistenceProof(key, value, leaf, tuple(steps))


def _only(data: bytes, wanted: int) -> Iterable[tuple[int, int | bytes]]:
    for number, content in fields(data):
        if number != wanted:
            raise ValueError(f"the field {number} is unknown")
        yield number, content
