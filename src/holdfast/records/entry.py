"""What a reader gets: an entry, its metadata, and a past version of it.

An entry is made around the bytes as stored; key, value and metadata are decoded when they are
first touched. Decoding makes new objects each time an entry is read, so nothing a caller does to
them can reach what is stored.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar, cast

import msgspec

from holdfast.codecs import envelope, header
from holdfast.codecs.serializers import MESSAGE_PACK
from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import IntegrityFailed, VersionNotFound

T = TypeVar("T")

#: The header byte of uncompressed MessagePack.
_PLAIN = MESSAGE_PACK.code
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
    revision: int
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


class Entry(Generic[T]):
    """A key with its value and metadata, as one commit left it. Immutable.

    Two entries are equal when key, revision and stored bytes are.
    """

    __slots__ = ("_key", "_metadata", "_payload", "_value", "revision", "stored")

    def __init__(
        self, key: StoreKey | str, stored: bytes, revision: int, payload: bytes | None = None
    ) -> None:
        #: The revision of the commit that wrote it.
        self.revision = revision
        #: The bytes as stored; see `codecs/envelope.py`.
        self.stored = stored
        self._key = key
        self._payload = payload
        self._value: Any = _UNREAD
        self._metadata: Metadata | None = None

    @property
    def key(self) -> StoreKey:
        """Where it stands."""
        key = self._key
        if type(key) is not StoreKey:
            key = self._key = StoreKey.of(key)
        return key

    @property
    def value(self) -> T:
        """The value, decoded now and kept for this entry alone.

        Raises:
            VersionNotFound: the value of this past version was given up by retention.
            DeserializationFailed, IntegrityFailed: the stored bytes cannot be decoded.
        """
        value = self._value
        if value is _UNREAD:
            stored = self.stored
            if stored[1] & (envelope.VALUE_GONE | envelope.BLOB):
                value = header.unpack(self._large_payload())
            else:
                offset = envelope.payload_offset(stored)
                try:
                    # The default form without the look-ups of the general way.
                    if stored[offset] == _PLAIN:
                        value = MESSAGE_PACK.decode(stored[offset + 1 :])
                    else:
                        value = header.unpack(stored[offset:])
                except IndexError as error:
                    raise IntegrityFailed(
                        f"the stored value of {self.key} is cut off; "
                        "run `holdfast check` on the database"
                    ) from error
            self._value = value
        return cast("T", value)

    @property
    def metadata(self) -> Metadata:
        """Version, revision, instants, author, digest."""
        if self._metadata is None:
            self._metadata = metadata_of(self.stored, self.revision)
        return self._metadata

    @property
    def has_value(self) -> bool:
        """Whether the value is retained; always for a living entry."""
        return not self.stored[1] & envelope.VALUE_GONE

    @property
    def in_chunks(self) -> bool:
        """Whether the value is so big that it is stored in chunks."""
        return bool(self.stored[1] & envelope.BLOB)

    def attach(self, payload: bytes) -> None:
        """Give the entry the bytes of its big value, read from their chunks."""
        self._payload = payload

    def _large_payload(self) -> bytes:
        if self.stored[1] & envelope.VALUE_GONE:
            raise VersionNotFound(
                f"the value of version {self.metadata.version} of {self.key} is no longer "
                "retained; its metadata is. Raise the retention of values to keep more"
            )
        if self._payload is None:
            raise PayloadMissing(self)
        return self._payload

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Entry):
            return NotImplemented
        return (
            self.revision == other.revision
            and self.stored == other.stored
            and self.key == other.key
        )

    def __hash__(self) -> int:
        return hash((self.revision, self.stored))

    def __repr__(self) -> str:
        metadata = self.metadata
        return (
            f"Entry({str(self.key)!r}, version={metadata.version}, revision={self.revision}, "
            f"updated_at={metadata.updated_at.isoformat()})"
        )


class PayloadMissing(Exception):  # noqa: N818 - no failure: it asks for the bytes
    """The chunks of a big value were not read yet; storage reads them and tries again."""

    def __init__(self, entry: Entry[Any]) -> None:
        super().__init__("the chunks of a big value were not read with its entry")
        self.entry = entry


class PastVersion(Entry[T]):
    """A version that was overwritten, deleted or ran out.

    Attributes:
        ended_at_revision: of the commit that ended it.
        end_cause: `set` overwritten, `delete` deleted, `expired` run out; and for the last two
            `end_actor`, `end_comment` and `end_at`: who, why and when.
    """

    __slots__ = ("end_actor", "end_at_ms", "end_cause", "end_comment", "ended_at_revision")

    def __init__(
        self,
        key: StoreKey | str,
        stored: bytes,
        revision: int,
        payload: bytes | None = None,
        *,
        end_cause: str = "set",
        end_at_ms: int = 0,
        end_actor: str | int | None = None,
        end_comment: str | None = None,
    ) -> None:
        super().__init__(key, stored, revision, payload)
        self.end_cause = end_cause
        self.end_at_ms = end_at_ms
        self.end_actor = end_actor
        self.end_comment = end_comment
        self.ended_at_revision = 0

    @property
    def end_at(self) -> datetime:
        """When this version ended."""
        return instant(self.end_at_ms)


#: No value can be this; it stays itself through pickling and copying.
_UNREAD: Any = msgspec.UNSET


def metadata_of(stored: bytes, revision: int) -> Metadata:
    """The metadata in stored bytes."""
    head = envelope.header_of(stored)
    extras = envelope.extras_of(stored, head.extras_length)
    return Metadata(
        head.version,
        head.incarnation,
        revision,
        head.created_at_ms,
        head.updated_at_ms,
        head.expires_at_ms,
        head.digest,
        head.identity,
        extras.modified_by,
        extras.comment,
        extras.tags,
        extras.schema_hash,
    )


def instant(milliseconds: int) -> datetime:
    """The aware instant of milliseconds since 1970 UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970 UTC of an aware instant."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)
