"""Entries of a hash index: equality only, keys of one length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from itertools import product
from typing import Any

from holdfast.contract.errors import InvalidValue
from holdfast.documents.entries import ENTRIES_MAX, Found
from holdfast.documents.ordering import encode
from holdfast.documents.query.values import MISSING

HASH_BYTES = 16


def hash_entries(
    found: Sequence[Found], identifier: bytes, secret: bytes = b""
) -> dict[bytes, bytes]:
    """The rows of one document in a hash index: equality only, keys of one length.

    Missing is as null. The identifier stands behind `HASH_BYTES` bytes.
    """
    columns = [_hashable(values) for values in found]
    if math.prod(map(len, columns)) > ENTRIES_MAX:
        raise InvalidValue(f"a document has at most {ENTRIES_MAX} entries in an index")
    return {hash_key(row, secret) + identifier: b"" for row in product(*columns)}


def hash_key(values: Sequence[Any], secret: bytes = b"") -> bytes:
    """What all entries of a hash index begin with whose fields equal `values`; see its secret."""
    encoded = [encode(value) for value in values]
    lengths = b"".join([len(one).to_bytes(8, "big") for one in encoded])
    return blake2b(lengths + b"".join(encoded), digest_size=HASH_BYTES, key=secret).digest()


def _hashable(values: Found) -> list[Any]:
    return [
        part
        for value in values or (MISSING,)
        for part in ((*value, value) if isinstance(value, list | tuple) else (value,))
    ]
