"""Proofs as bytes: the Protocol Buffers messages of `cosmos.ics23.v1`.

Four small messages are written here by hand, because a proof is made and read in microseconds and
the runtime of Protocol Buffers would be one more dependency. Reading is strict: a proof has exactly
one form, so bytes that any other reader would skip are refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.contract.errors import DeserializationFailed
from holdfast.stores.ics23.proofs import (
    ExistenceProof,
    InnerOp,
    LeafOp,
    NonExistenceProof,
    Proof,
)

#: Longer bytes are no proof: a path of 128 steps of two hashes each, twice, and two values.
PROOF_BYTES_MAX = 4 << 20

_VARINT, _BYTES = 0, 2
_MORE = 0x80
_VARINT_BYTES_MAX = 10


def encode(proof: Proof) -> bytes:
    """The proof as a CommitmentProof message."""
    if isinstance(proof, ExistenceProof):
        return field(1, encode_existence(proof))
    return field(2, encode_non_existence(proof))


def decode(data: bytes) -> Proof:
    """The proof in a CommitmentProof message.

    Raises:
        DeserializationFailed: the bytes are not one proof of presence or absence, in the one form
            that has.
    """
    if len(data) > PROOF_BYTES_MAX:
        raise DeserializationFailed(
            f"a proof has at most {PROOF_BYTES_MAX} bytes; found {len(data)}",
            limit=PROOF_BYTES_MAX,
            found=len(data),
        )
    try:
        found = list(fields(data))
        if len(found) != 1 or found[0][0] not in {1, 2}:
            raise ValueError("it holds no proof of presence or absence, or several")
        number, content = found[0]
        proof = (decode_existence if number == 1 else decode_non_existence)(content_of(content))
    except (ValueError, IndexError) as error:
        raise DeserializationFailed(f"the bytes are no ICS-23 proof: {error}") from None
    if encode(proof) != data:
        raise DeserializationFailed("the bytes are an ICS-23 proof in an unusual form")
    return proof


def encode_existence(proof: ExistenceProof) -> bytes:
    """An ExistenceProof message."""
    parts = [
        field(1, proof.key) if proof.key else b"",
        field(2, proof.value) if proof.value else b"",
    ]
    if proof.leaf is not None:
        parts.append(field(3, encode_leaf(proof.leaf)))
    parts += [field(4, encode_inner(step)) for step in proof.path]
    return b"".join(parts)


def decode_existence(data: bytes) -> ExistenceProof:
    """The ExistenceProof in a message; ValueError or IndexError when there is none."""
    key = value = b""
    leaf = None
    path = []
    for number, content in fields(data):
        match number:
            case 1:
                key = content_of(content)
            case 2:
                value = content_of(content)
            case 3:
                leaf = decode_leaf(content_of(content))
            case 4:
                path.append(decode_inner(content_of(content)))
            case _:
                raise ValueError(f"the field {number} is unknown")
    return ExistenceProof(key, value, leaf, tuple(path))


def encode_non_existence(proof: NonExistenceProof) -> bytes:
    """A NonExistenceProof message."""
    return b"".join(
        (
            field(1, proof.key) if proof.key else b"",
            b"" if proof.left is None else field(2, encode_existence(proof.left)),
            b"" if proof.right is None else field(3, encode_existence(proof.right)),
        )
    )


def decode_non_existence(data: bytes) -> NonExistenceProof:
    """The NonExistenceProof in a message; ValueError or IndexError when there is none."""
    key, left, right = b"", None, None
    for number, content in fields(data):
        match number:
            case 1:
                key = content_of(content)
            case 2:
                left = decode_existence(content_of(content))
            case 3:
                right = decode_existence(content_of(content))
            case _:
                raise ValueError(f"the field {number} is unknown")
    return NonExistenceProof(key, left, right)


def encode_leaf(op: LeafOp) -> bytes:
    """A LeafOp message."""
    numbers = (op.hash, op.prehash_key, op.prehash_value, op.length)
    parts = [bytes((place << 3, number)) for place, number in enumerate(numbers, 1) if number]
    return b"".join(parts) + (field(5, op.prefix) if op.prefix else b"")


def decode_leaf(data: bytes) -> LeafOp:
    """The LeafOp in a message; ValueError or IndexError when there is none."""
    numbers = [0, 0, 0, 0]
    prefix = b""
    for number, content in fields(data):
        if number == 5:  # noqa: PLR2004 - the number of a field
            prefix = content_of(content)
        elif 0 < number <= len(numbers):
            numbers[number - 1] = _enum(content)
        else:
            raise ValueError(f"the field {number} is unknown")
    return LeafOp(numbers[0], numbers[1], numbers[2], numbers[3], prefix)


def encode_inner(op: InnerOp) -> bytes:
    """An InnerOp message."""
    prefix, suffix = op.prefix, op.suffix
    out = bytes((8, op.hash)) if op.hash else b""
    if prefix:
        out += b"\x12" + varint(len(prefix)) + prefix
    return out + b"\x1a" + varint(len(suffix)) + suffix if suffix else out


def decode_inner(data: bytes) -> InnerOp:
    """The InnerOp in a message; ValueError or IndexError when there is none."""
    hash, prefix, suffix = 0, b"", b""
    for number, content in fields(data):
        match number:
            case 1:
                hash = _enum(content)
            case 2:
                prefix = content_of(content)
            case 3:
                suffix = content_of(content)
            case _:
                raise ValueError(f"the field {number} is unknown")
    return InnerOp(hash, prefix, suffix)


def varint(number: int) -> bytes:
    """A number that is not negative, seven bits a byte, the lowest first."""
    if number < _MORE:
        return bytes((number,))
    out = bytearray()
    while number >= _MORE:
        out.append(number & 0x7F | _MORE)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, content: bytes) -> bytes:
    """A field of bytes."""
    return bytes((number << 3 | _BYTES,)) + varint(len(content)) + content


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The numbers and contents of a message's fields; ValueError or IndexError if malformed."""
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, at = read_varint(data, at)
        if tag & 7 == _VARINT:
            yield tag >> 3, number
        elif tag & 7 == _BYTES:
            if at + number > len(data):
                raise ValueError("it is cut short")
            yield tag >> 3, data[at : at + number]
            at += number
        else:
            raise ValueError("a field has another type")


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends; ValueError or IndexError if malformed."""
    number = 0
    for place in range(_VARINT_BYTES_MAX):
        byte = data[at + place]
        number |= (byte & 0x7F) << 7 * place
        if byte < _MORE:
            return number, at + place + 1
    raise ValueError("a number in it does not end")


def content_of(content: int | bytes) -> bytes:
    """The bytes of a field that has to have some; ValueError if it is a number."""
    if isinstance(content, bytes):
        return content
    raise ValueError("a number stands where bytes belong")


def _enum(content: int | bytes) -> int:
    # Every operation has a number of one byte; none of them that is known has another.
    if isinstance(content, int) and content < _MORE:
        return content
    raise ValueError("an operation in it is unknown")
