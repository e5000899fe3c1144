"""What a reader gets: an entry, its metadata, and a past version of it.

An entry is made around the bytes as stored; key, value and metadata are decoded when they are
first touched. Decoding makes new objects each time an entry is read, so nothing a caller does to
them can reach what is stored.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Generic, Self, TypeVar

import msgspec

from holdfast.codecs import envelope, header
from holdfast.codecs.serializers import MESSAGE_PACK
from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import (
    IntegrityFailed,
    InvalidInput,
    StoreError,
    VersionNotFound,
)
from holdfast.contract.memory import no_memory
from holdfast.store.instants import instant
from holdfast.store.text_keys import unpack_key
from holdfast.store.versions.shown import FACTS, VALUE_CHARACTERS_MAX, brief, cell, html_table

T = TypeVar("T")

#: The header byte of uncompressed MessagePack, and what decodes what follows it.
_PLAIN = bytes((MESSAGE_PACK.code,))
_decode_plain = MESSAGE_PACK.decode_trusted
#: The value is not in the stored bytes, or in a form that is not known.
_ELSEWHERE = 0xFF & ~(envelope.EXPIRES | envelope.TAGGED)
_unpack_header = envelope.unpack_header
_UNKNOWN = ~envelope.FLAGS
_HEADER_BYTES = envelope.HEADER_BYTES
#: How much of a value a notebook shows, in characters.
HTML_CHARACTERS_MAX = 2_000
#: No value can be this; it stays itself through pickling and copying.
_UNREAD: Any = msgspec.UNSET
#: How an entry keeps what it decoded, although it is frozen for everybody else.
_remember = msgspec.structs.force_setattr


class PendingRevision:
    """The revision of what a transaction writes: known once the transaction has committed."""

    __slots__ = ("_over", "_revision")

    def __init__(self) -> None:
        self._revision: int | None = None
        self._over = False

    def settle(self, revision: int | None) -> None:
        """The transaction committed at this revision; None: it wrote nothing and is over."""
        self._revision = revision
        self._over = True

    @property
    def known(self) -> int | None:
        """The revision, if it is known."""
        return self._revision

    def require(self) -> int:
        """The revision. Raises InvalidInput before the commit, and after a rollback."""
        if self._revision is None:
            raise InvalidInput(
                "the entry was written by a transaction that was rolled back; it was never stored"
                if self._over
                else "the entry was written by a transaction that has not committed yet; it has a "
                "revision once it has. Inside the transaction, compare with if_version"
            )
        return self._revision


class Metadata(msgspec.Struct, frozen=True):
    """Facts about one version of an entry.

    Attributes:
        version: counts the versions of this incarnation, from 1.
        incarnation: counts the lives of the key: one more each time it is set after a delete or
            an expiry.
        revision: of the commit that wrote this version; the token of `if_revision`.
        modified_by: who wrote it, as given: a str or an int.
        comment: why, as given.
        tags: labels, in the order given.
        data_hash: SHA-256 of the value's deterministic MessagePack, 64 hex digits.
        schema_hash: digest of the schema the value was validated with.
        created_at, updated_at, expires_at: aware instants in UTC.
    """

    version: int
    incarnation: int
    _revision: int | PendingRevision
    created_at_ms: int
    updated_at_ms: int
    expires_at_ms: int
    digest: bytes
    identity: bytes
    modified_by: str | int | None = None
    comment: str | None = None
    tags_kept: tuple[str, ...] = ()
    schema_hash: str | None = None

    @property
    def revision(self) -> int:
        revision = self._revision
        return revision if type(revision) is int else _require(revision)

    @property
    def created_at(self) -> datetime:
        return instant(self.created_at_ms)

    @property
    def updated_at(self) -> datetime:
        return instant(self.updated_at_ms)

    @property
    def expires_at(self) -> datetime | None:
        return instant(self.expires_at_ms) if self.expires_at_ms else None

    @property
    def tags(self) -> list[str]:
        return list(self.tags_kept)

    @property
    def data_hash(self) -> str:
        return self.digest.hex()

    def to_dict(self) -> dict[str, Any]:
        """The facts by their names."""
        return {name: getattr(self, name) for name in FACTS}

    def __repr__(self) -> str:
        return f"Metadata({_facts_of(self)})"

    def _repr_html_(self) -> str:
        return html_table((name, cell(getattr(self, name))) for name in FACTS)


class Entry(msgspec.Struct, Generic[T], frozen=True, eq=False):
    """A key with its value and metadata, as one commit left it. Immutable.

    Two entries are equal when key, revision and stored bytes are. It unpacks:
    `key, value = entry`, and so in loops over `items()`.

    Attributes:
        stored: the bytes as stored; see `codecs/envelope.py`.
    """

    _key: StoreKey | str | bytes
    stored: bytes
    _revision: int | PendingRevision
    _payload: list[bytes] | None = None
    _value: Any = _UNREAD
    _metadata: Metadata | None = None

    @property
    def key(self) -> StoreKey:
        """Where it stands."""
        key = self._key
        if type(key) is not StoreKey:
            key = unpack_key(key) if isinstance(key, bytes) else StoreKey.of(key)
            _remember(self, "_key", key)
        return key

    @property
    def revision(self) -> int:
        """Of the commit that wrote it; of an entry that a transaction wrote, once it commits.

        Raises:
            InvalidInput: the transaction has not committed.
        """
        revision = self._revision
        return revision if type(revision) is int else _require(revision)

    @property
    def known_revision(self) -> int | None:
        """The same, or None while it is not known."""
        revision = self._revision
        return revision if type(revision) is int else _known(revision)

    @property
    def value(self) -> T:
        """The value, decoded now and kept for this entry alone.

        Raises:
            VersionNotFound: the value of this past version was given up by retention.
            DeserializationFailed, IntegrityFailed: the stored bytes cannot be decoded.
        """
        value: Any = self._value
        if value is _UNREAD:
            stored = self.stored
            try:
                # The default form without a call between here and the decoder.
                if not stored[1] & _ELSEWHERE:
                    offset = _HEADER_BYTES + (stored[86] << 8) + stored[87]
                    if stored[offset : offset + 1] == _PLAIN:
                        try:
                            value = _decode_plain(stored[offset + 1 :])
                        except (ValueError, RecursionError):
                            value = self._decode()  # Says what is wrong.
                    else:
                        value = self._decode()
                else:
                    value = self._decode()
            except IndexError:
                _ = self.metadata  # Says that the header is cut off.
                raise
            except StoreError as error:
                error.within(key=str(self.key))
                raise
            except MemoryError as error:
                raise no_memory("decode the value", lighter="read it elsewhere") from error
            _remember(self, "_value", value)
        return value  # type: ignore[no-any-return]

    @property
    def metadata(self) -> Metadata:
        """Version, revision, instants, author, digest."""
        metadata = self._metadata
        if metadata is None:
            try:
                metadata = metadata_of(self.stored, self._revision)
            except StoreError as error:
                error.within(key=str(self.key))
                raise
            _remember(self, "_metadata", metadata)
        return metadata

    @property
    def version(self) -> int:
        """`metadata.version`: counts the versions of this life of the key, from 1."""
        return self.metadata.version

    def to_dict(self) -> dict[str, Any]:
        """Key, value and metadata by their names, the key as a text.

        Raises:
            VersionNotFound: the value of this past version was given up by retention.
        """
        return {
            "key": str(self.key),
            "value": self.value,
            "metadata": self.metadata.to_dict(),
        }

    def __iter__(self) -> Iterator[Any]:
        yield self.key
        yield self.value

    @property
    def has_value(self) -> bool:
        """Whether the value is retained; always for a living entry."""
        return not self.stored[1] & envelope.VALUE_GONE

    @property
    def in_chunks(self) -> bool:
        """Whether the value is so big that it is stored in chunks."""
        return bool(self.stored[1] & envelope.BLOB)

    @property
    def bytes_held(self) -> int:
        """How many bytes it holds in memory, as stored."""
        return len(self.stored) + sum(map(len, self._payload or ()))

    def fresh(self) -> Self:
        """The same entry with nothing decoded yet: its value is an object of its own."""
        return msgspec.structs.replace(self, _value=_UNREAD)

    def unread(self) -> Self:
        """The entry itself while its value was not decoded; then a fresh one."""
        return self if self._value is _UNREAD else self.fresh()

    def attach(self, chunks: list[bytes]) -> None:
        """Give the entry the bytes of its big value; they are joined when it is first decoded."""
        _remember(self, "_payload", chunks)

    def _decode(self) -> Any:
        stored = self.stored
        if stored[1] & _ELSEWHERE:
            envelope.header_of(stored)  # Refuses a form that is not known.
            return header.unpack(self._large_payload())
        payload = stored[envelope.payload_offset(stored) :]
        if not payload:
            raise IntegrityFailed(
                f"the stored value of {self.key} is cut off; run `holdfast check` on the database"
            )
        return header.unpack(payload)

    def _large_payload(self) -> bytes:
        if self.stored[1] & envelope.VALUE_GONE:
            raise VersionNotFound(
                f"the value of version {self.metadata.version} of {self.key} is no longer "
                "retained; its metadata is. Raise the retention of values to keep more"
            )
        chunks = self._payload
        if chunks is None:
            raise PayloadMissing(self)
        if len(chunks) > 1:
            chunks = [b"".join(chunks)]
            _remember(self, "_payload", chunks)
        return chunks[0]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Entry):
            return NotImplemented
        return (
            self.known_revision == other.known_revision
            and self.stored == other.stored
            and self.key == other.key
        )

    def __hash__(self) -> int:
        return hash(self.stored)

    def __repr__(self) -> str:
        metadata, revision = self.metadata, self.known_revision
        return (
            f"{type(self).__name__}({str(self.key)!r}, {self._shown()}, "
            f"version={metadata.version}, "
            f"revision={'pending' if revision is None else revision}, "
            f"updated_at={metadata.updated_at.isoformat()})"
        )

    def _repr_html_(self) -> str:
        metadata = self.metadata
        rows = [("key", str(self.key)), ("value", self._shown(HTML_CHARACTERS_MAX))]
        rows += [(name, cell(getattr(metadata, name))) for name in FACTS]
        return html_table(rows)

    def row(self) -> list[str]:
        """The cells that tables show of it."""
        metadata = self.metadata
        facts = (metadata.version, metadata.updated_at, metadata.modified_by)
        return [str(self.key), self._shown(), *map(cell, facts)]

    def _shown(self, characters_max: int = VALUE_CHARACTERS_MAX) -> str:
        """The beginning of the value; a look at it leaves nothing decoded behind."""
        value = self._value
        if value is _UNREAD:
            if self.in_chunks:
                return "<big value>"
            try:
                value = self.fresh().value
            except StoreError as error:
                return f"<{type(error).__name__}>"
        return brief(value, characters_max)


class PayloadMissing(VersionNotFound):
    """The chunks of a big value were not read with its entry.

    Inside a commit the storage reads them then, and decides again.
    """

    def __init__(self, entry: Entry[Any]) -> None:
        metadata = entry.metadata
        super().__init__(
            f"the value of {str(entry.key)!r} is big and was not read with its entry; "
            f"get(key, version=({metadata.incarnation}, {metadata.version})) reads it"
        )
        self.entry = entry


class PastVersion(Entry[T], frozen=True, eq=False):
    """A version that was overwritten, deleted or ran out.

    Attributes:
        ended_at_revision: of the commit that ended it.
        end_cause: `set` overwritten, `delete` deleted, `expired` run out; and for the last two
            `end_modified_by`, `end_comment` and `end_at`: who, why and when.
    """

    end_cause: str = "set"
    end_at_ms: int = 0
    end_modified_by: str | int | None = None
    end_comment: str | None = None
    ended_at_revision: int = 0

    @property
    def end_at(self) -> datetime | None:
        """When this version was deleted or ran out; None where another version took its place."""
        return instant(self.end_at_ms) if self.end_at_ms else None


def _facts_of(metadata: Metadata) -> str:
    known = _known(metadata._revision)  # noqa: SLF001 - of this module
    facts = ((name, known if name == "revision" else getattr(metadata, name)) for name in FACTS)
    return ", ".join(
        f"{name}={fact.isoformat() if isinstance(fact, datetime) else repr(fact)}"
        for name, fact in facts
    )


def _require(revision: int | PendingRevision) -> int:
    return revision if isinstance(revision, int) else revision.require()


def _known(revision: int | PendingRevision) -> int | None:
    return revision if isinstance(revision, int) else revision.known


def metadata_of(stored: bytes, revision: int | PendingRevision) -> Metadata:
    """The metadata in stored bytes."""
    try:
        form, flags, version, incarnation, created, updated, expires, digest, identity, length = (
            _unpack_header(stored)
        )
    except struct.error:
        envelope.header_of(stored)  # Says what is wrong.
        raise
    if form != envelope.FORMAT or flags & _UNKNOWN:
        envelope.header_of(stored)
    if not length:
        return Metadata(version, incarnation, revision, created, updated, expires, digest, identity)
    extras = envelope.extras_of(stored, length)
    return Metadata(
        version,
        incarnation,
        revision,
        created,
        updated,
        expires,
        digest,
        identity,
        extras.modified_by,
        extras.comment,
        extras.tags,
        extras.schema_hash,
    )
