"""What indexes a collection has: the catalogue, one row that every commit of the collection reads.

So a process cannot write without knowing of an index that another one has just created, and needs
no look at it before.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from holdfast.contract.errors import IntegrityFailed
from holdfast.store import layout

#: The region of a keyspace with the catalogue and how far builds are, and that of the index rows.
CATALOGUE: Final = b"C"
INDEX: Final = b"I"

INDEX_NUMBER_BYTES: Final = 4
#: Numbers of indexes are never given out twice in a collection.
INDEX_NUMBER_MAX: Final = (1 << 8 * INDEX_NUMBER_BYTES) - 1

Kind = Literal["btree", "hash", "text", "geo", "vector"]
State = Literal["building", "ready", "failed"]


class IndexField(msgspec.Struct, frozen=True, array_like=True):
    """A field of an index.

    Attributes:
        path: the parts that lead to it.
        descending: whether the greatest comes first.
        weight: of a full-text index, how much a word in it counts.
    """

    path: tuple[str, ...]
    descending: bool = False
    weight: float = 1.0


class IndexDefinition(msgspec.Struct, frozen=True, array_like=True):
    """One index of a collection, as stored.

    Attributes:
        name: as given.
        number: what stands in its keys.
        kind: what it can do.
        fields: what it is over, the most important first.
        unique: whether a value stands in one document only.
        sparse: whether documents that have none of the fields are left out.
        language: of a full-text index, whose stems and stop words it knows; empty: of none.
        state: `building` until it has every document, then `ready`; `failed`: it never will.
        arrays: for each field, whether some document has, or had, an array on the way or there.
        failure: why it failed.
        dimensions: of a vector index, how many components each vector has.
        metric: of a vector index, what near means: `cosine`, `dot` or `l2`.
        secret: of a hash index in an encrypted database, what its digests are keyed with.
    """

    name: str
    number: int
    kind: Kind
    fields: tuple[IndexField, ...]
    unique: bool = False
    sparse: bool = False
    language: str = ""
    state: State = "building"
    arrays: tuple[bool, ...] = ()
    failure: str = ""
    dimensions: int = 0
    metric: str = ""
    secret: bytes = b""

    def same_as(self, other: IndexDefinition) -> bool:
        """Whether both would hold the same rows."""
        return self._made_of() == other._made_of()

    def _made_of(self) -> tuple[object, ...]:
        return (
            self.kind, self.fields, self.unique, self.sparse, self.language, self.dimensions,
            self.metric,
        )  # fmt: skip


class Catalogue(msgspec.Struct, frozen=True, array_like=True):
    """The indexes of a collection.

    Attributes:
        last: the highest number given out.
        indexes: by name.
        dropping: numbers of indexes whose rows are being removed.
        documents_max: how many documents there may be; 0: as many as you like.
    """

    last: int = 0
    indexes: tuple[IndexDefinition, ...] = ()
    dropping: tuple[int, ...] = ()
    documents_max: int = 0

    def get(self, name: str) -> IndexDefinition | None:
        """The index of that name."""
        return next((one for one in self.indexes if one.name == name), None)

    def with_index(self, index: IndexDefinition) -> Catalogue:
        """The same with an index added, or another one of its name replaced."""
        others = [one for one in self.indexes if one.name != index.name]
        indexes = tuple(sorted([*others, index], key=lambda one: one.name))
        last = max(self.last, index.number)
        return msgspec.structs.replace(self, last=last, indexes=indexes)

    def without(self, index: IndexDefinition) -> Catalogue:
        """The same without the index, whose rows are to be removed."""
        kept = tuple(one for one in self.indexes if one.name != index.name)
        return msgspec.structs.replace(self, indexes=kept, dropping=(*self.dropping, index.number))


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Catalogue).decode
NO_INDEXES: Final = Catalogue()


def pack_catalogue(catalogue: Catalogue) -> bytes:
    """The catalogue as its row holds it."""
    return _encode(catalogue)


def read_catalogue(stored: bytes | None) -> Catalogue:
    """The catalogue of a row; without a row, none of a kind. Raises IntegrityFailed."""
    if stored is None:
        return NO_INDEXES
    try:
        return _decode(stored)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityFailed(
            "the row that says what indexes a collection has cannot be read; run `holdfast check`"
        ) from error


def catalogue_key(keyspace: int) -> bytes:
    """The row of the catalogue."""
    return layout.region(keyspace, CATALOGUE)


def build_key(keyspace: int, number: int) -> bytes:
    """The row that says up to which document an index is built."""
    return layout.region(keyspace, CATALOGUE) + number.to_bytes(INDEX_NUMBER_BYTES, "big")


def count_key(keyspace: int) -> bytes:
    """The row that says how many documents there are, where a quota asks for it."""
    return build_key(keyspace, 0)  # No index has this number.


def index_prefix(keyspace: int, number: int) -> bytes:
    """What all rows of an index begin with."""
    return layout.region(keyspace, INDEX) + number.to_bytes(INDEX_NUMBER_BYTES, "big")
