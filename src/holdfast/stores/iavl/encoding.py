"""The bytes of nodes: what is hashed and what is stored, as cosmos/iavl v1 has them.

Hashed (SHA-256), with zz = zigzag varint and n = unsigned varint:

    leaf    zz(0) zz(1) zz(version) n(len key) key 0x20 sha256(value)
    inner   zz(height) zz(size) zz(version) 0x20 left hash 0x20 right hash

Stored:

    leaf    zz(0) zz(1) n(len key) key n(len value) value
    inner   zz(height) zz(size) n(len key) key 0x20 hash zz(0)
            zz(left version) zz(left nonce) zz(right version) zz(right nonce)

The zero behind the hash says that both children are named by node keys; older trees of
cosmos/iavl named them by hashes there.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct
from typing import TypeAlias

from holdfast.stores.iavl.nodes import (
    NODE_KEY_BYTES,
    NONCE_BITS,
    NONCE_MASK,
    VERSION_MAX,
    Link,
    Node,
    NodeId,
    node_key,
)

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()

#: What a parent says of a child: its hash; version and nonce as varints.
Named: TypeAlias = tuple[bytes, bytes]

_CHILDREN_BY_NODE_KEY = 0
_VARINT_BYTES_MAX = 10
_MORE = 0x80  # the bit of a varint's byte that says another one follows


class MalformedNode(ValueError):
    """The bytes are no node; `loading.py` says which one."""


def unsigned(number: int) -> bytes:
    """An unsigned varint: seven bits a byte, the lowest first."""
    out = bytearray()
    while number >= _MORE:
        out.append(number & 0x7F | _MORE)
        number >>= 7
    out.append(number)
    return bytes(out)


# Sizes, versions, nonces and lengths are mostly small; a look-up beats the loop five times.
_SMALL = 1 << 13
_UNSIGNED = tuple(unsigned(number) for number in range(_SMALL))
_ZIGZAG = tuple(unsigned(number << 1) for number in range(_SMALL))
_CHILD_KEY = Struct(">QI")


def zigzag(number: int) -> bytes:
    """A number, not negative here, as zigzag varint."""
    return _ZIGZAG[number] if number < _SMALL else unsigned(number << 1)


def length(number: int) -> bytes:
    """A length as unsigned varint."""
    return _UNSIGNED[number] if number < _SMALL else unsigned(number)


def leaf_hash(key: bytes, value: bytes, version: bytes) -> bytes:
    """The hash of a leaf; `version` is encoded already."""
    return sha256(
        b"\x00\x02" + version + length(len(key)) + key + b"\x20" + sha256(value).digest()
    ).digest()


def inner_hash(height: int, size: int, version: bytes, left: bytes, right: bytes) -> bytes:
    """The hash of an inner node over those of its children; `version` is encoded already."""
    return sha256(
        zigzag(height) + zigzag(size) + version + b"\x20" + left + b"\x20" + right
    ).digest()


def inner_head(node: Node, version: int) -> bytes:
    """What the hash of an inner node begins with: its height, size and version."""
    return zigzag(node.height) + zigzag(node.size) + zigzag(version)


def leaf_rows(key: bytes, value: bytes, version: bytes) -> tuple[bytes, bytes]:
    """The hash and the stored form of a leaf."""
    named = length(len(key)) + key
    hashed = b"\x00\x02" + version + named + b"\x20" + sha256(value).digest()
    return sha256(hashed).digest(), b"\x00\x02" + named + length(len(value)) + value


def named(link: Link) -> Named:
    """What a parent says of a child that has a row: its hash, and its id as varints."""
    version, nonce = _CHILD_KEY.unpack_from(link)
    if version < _SMALL and nonce < _SMALL:
        return link[NODE_KEY_BYTES:], _ZIGZAG[version] + _ZIGZAG[nonce]
    return link[NODE_KEY_BYTES:], zigzag(version) + zigzag(nonce)


def inner_rows(node: Node, version: bytes, left: Named, right: Named) -> tuple[bytes, bytes]:
    """The hash and the stored form of an inner node over its children."""
    size, key = node.size, node.key
    head = _ZIGZAG[node.height] + (_ZIGZAG[size] if size < _SMALL else zigzag(size))
    left_hash, left_id = left
    right_hash, right_id = right
    hash = sha256(b"".join((head, version, b"\x20", left_hash, b"\x20", right_hash))).digest()
    long = _UNSIGNED[len(key)] if len(key) < _SMALL else unsigned(len(key))
    return hash, b"".join((head, long, key, b"\x20", hash, b"\x00", left_id, right_id))


def decode_node(id: NodeId, row: bytes) -> Node:
    """The node of a row. A leaf gets its hash computed; of an inner node it is the stored one.

    Raises:
        MalformedNode: the row is cut, too long, or says what no node can say.
    """
    try:
        # One byte of zigzag varint reaches to 63; no balanced tree of 2**40 leaves is higher.
        height = row[0]
        if height & 0x81:
            raise MalformedNode("its height is out of range")
        height >>= 1
        size, at = read_zigzag(row, 1)
        key, at = _read_bytes(row, at)
        if height == 0:
            value, at = _read_bytes(row, at)
            if size != 1 or at != len(row):
                raise MalformedNode("a leaf has the size 1 and ends with its value")
            hash = leaf_hash(key, value, zigzag(id >> NONCE_BITS))
            return Node(key, value, 0, 1, None, None, True, node_key(id) + hash)
        end = at + 1 + HASH_BYTES
        if row[at] != HASH_BYTES or row[end] != _CHILDREN_BY_NODE_KEY:
            raise MalformedNode("its hash or the kind of its children is unknown")
        left, right = _read_ids(row, end + 1)
        link = node_key(id) + row[at + 1 : end]
        return Node(key, None, height, size, left, right, False, link)
    except IndexError:
        raise MalformedNode("it is cut short") from None


def read_zigzag(row: bytes, at: int) -> tuple[int, int]:
    """A number that is not negative, and where it ends."""
    number, at = read_unsigned(row, at)
    if number & 1:
        raise MalformedNode("a number in it is negative")
    return number >> 1, at


def read_unsigned(row: bytes, at: int) -> tuple[int, int]:
    """An unsigned varint, and where it ends."""
    byte = row[at]
    if byte < _MORE:
        return byte, at + 1
    number = byte & 0x7F
    for place in range(1, _VARINT_BYTES_MAX):
        byte = row[at + place]
        number |= (byte & 0x7F) << 7 * place
        if byte < _MORE:
            return number, at + place + 1
    raise MalformedNode("a number in it does not end")


def _read_bytes(row: bytes, at: int) -> tuple[bytes, int]:
    size, at = read_unsigned(row, at)
    end = at + size
    if end > len(row):
        raise MalformedNode("it is cut short")
    return row[at:end], end


def _read_ids(row: bytes, at: int) -> tuple[NodeId, NodeId]:
    """The ids of both children, with which a row ends."""
    # One or two bytes are the rule; the loop of `read_unsigned` would cost twice as much.
    left, left_nonce, right, right_nonce = row[at], row[at + 1], row[at + 2], row[at + 3]
    if (left | left_nonce | right | right_nonce) >= _MORE:
        left, at = _read_short(row, at)
        left_nonce, at = _read_short(row, at)
        right, at = _read_short(row, at)
        right_nonce, at = _read_short(row, at)
    else:
        at += 4
    if at != len(row):
        raise MalformedNode("bytes follow its end")
    if (left | left_nonce | right | right_nonce) & 1:
        raise MalformedNode("a number in it is negative")
    if (left | right) >> 1 > VERSION_MAX or (left_nonce | right_nonce) >> 1 > NONCE_MASK:
        raise MalformedNode("the key of a child is out of range")
    shift = NONCE_BITS - 1
    return left << shift | left_nonce >> 1, right << shift | right_nonce >> 1


def _read_short(row: bytes, at: int) -> tuple[int, int]:
    """An unsigned varint that is mostly of one or two bytes, and where it ends."""
    byte = row[at]
    if byte < _MORE:
        return byte, at + 1
    more = row[at + 1]
    if more < _MORE:
        return byte & 0x7F | more << 7, at + 2
    return read_unsigned(row, at)
