"""How entries stand in the rows of a keyspace, and what a change to one writes.

Everything here is pure: from the rows as they are and a proposal to the operations of one batch.
That batch holds value, metadata, past version, grave, expiry and feed, or none of them.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import msgspec

from holdfast.codecs import envelope
from holdfast.codecs.keys import Element, pack_text, unpack
from holdfast.codecs.text import KeyFormat, StoreKey
from holdfast.contract.batch import Delete, Operation, Put
from holdfast.contract.errors import IntegrityFailed
from holdfast.contract.record import Record
from holdfast.records.entry import Entry, Metadata, PastVersion
from holdfast.records.options import WriteOptions
from holdfast.records.services import Decision, Past, Proposal
from holdfast.store import layout
from holdfast.store.feed import Act, Cause, FeedRow, feed_append
from holdfast.store.keyspaces import Keyspace

#: How many keys are remembered before the memory starts anew.
CACHE_KEYS_MAX = 100_000

_PAST = struct.Struct(">QH")
_LIFE = struct.Struct(">IQ")
_encode = msgspec.msgpack.Encoder().encode


class Grave(msgspec.Struct, frozen=True, array_like=True):
    """What a key that is gone will need when it comes back."""

    identity: bytes
    incarnation: int
    version: int
    revision: int
    updated_at_ms: int


class End(msgspec.Struct, frozen=True, array_like=True):
    """How the last version of an incarnation ended."""

    cause: str
    at_ms: int
    actor: str | int | None = None
    comment: str | None = None


_decode_grave = msgspec.msgpack.Decoder(Grave).decode
_decode_end = msgspec.msgpack.Decoder(End).decode


class Change(NamedTuple):
    """The plan of a write to one key: stored bytes before and after it, each possibly None."""

    before: Record | None
    after: bytes | None
    written: bool


class Rows:
    """Keys and values of the rows of one keyspace."""

    def __init__(self, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        number = keyspace.number
        self.data = layout.region(number, layout.DATA)
        self.graves = layout.region(number, layout.GRAVE)
        self.past = layout.region(number, layout.HISTORY)
        self.blobs = layout.region(number, layout.BLOB)
        self._data_keys: dict[str, bytes] = {}

    # --- Keys -------------------------------------------------------------------------------

    def data_key(self, text: str) -> bytes:
        """The row of a living entry, from its canonical text."""
        key = self._data_keys.get(text)
        if key is None:
            segments = KeyFormat.path.parse(text)
            key = self.data + b"".join(map(pack_text, segments))
            if len(self._data_keys) >= CACHE_KEYS_MAX:
                self._data_keys = {}
            self._data_keys[text] = key
        return key

    def prefix(self, segments: tuple[str, ...]) -> bytes:
        """What the rows of all keys below these segments begin with."""
        return self.data + b"".join(map(pack_text, segments))

    def grave_key(self, data_key: bytes) -> bytes:
        """The row that remembers the key once it is gone."""
        return self.graves + data_key[layout.REGION_BYTES :]

    def store_key(self, data_key: bytes) -> StoreKey:
        """The key that a data row belongs to."""
        return store_key(data_key[layout.REGION_BYTES :])

    def past_key(self, identity: bytes, incarnation: int, version: int) -> bytes:
        """The row of a past version."""
        return self.past + identity + _LIFE.pack(incarnation, version)

    def past_position(self, past_key: bytes) -> tuple[int, int]:
        """(incarnation, version) of a past version's row."""
        incarnation, version = _LIFE.unpack(past_key[-_LIFE.size :])
        return incarnation, version

    # --- Writing ----------------------------------------------------------------------------

    def change(
        self,
        operations: list[Operation],
        living: Entry[Any] | None,
        data_key: bytes,
        row: Record | None,
        grave: Record | None,
        decide: Decision,
        options: WriteOptions,
        now_ms: int,
        cause: Cause = Cause.WRITE,
    ) -> Change:
        """Decide one write and add its operations. `living` is the entry of `row`, if it lives."""
        past = None
        if living is None:
            past = self._past_of(row, grave)
        proposal = decide(living, past)
        if proposal is None:
            return Change(row if living is not None else None, None, written=False)
        if row is not None and living is None:
            self.end(operations, data_key, row, "expired", Cause.EXPIRED, now_ms, None)
        if proposal.metadata is None:
            if living is None:
                if row is not None:
                    self.bury(operations, data_key, row)
                return Change(None, None, written=row is not None)
            assert row is not None
            self.end(
                operations, data_key, row, "delete", cause, now_ms, options.modified_by,
                options.comment,
            )  # fmt: skip
            self.bury(operations, data_key, row)
            return Change(row, None, written=True)
        return self._set(operations, data_key, row, living, grave, proposal, cause, now_ms)

    def end(
        self,
        operations: list[Operation],
        data_key: bytes,
        row: Record,
        how: str,
        cause: Cause,
        now_ms: int,
        actor: str | int | None,
        comment: str | None = None,
    ) -> None:
        """Add what ends an incarnation: its last version goes to the past, the feed tells."""
        head = envelope.header_of(row.value)
        end = _encode(End(how, now_ms, actor, comment))
        past_key = self.past_key(head.identity, head.incarnation, head.version)
        operations.append(Put(past_key, _PAST.pack(row.revision, len(end)) + end + row.value))
        if head.expires_at_ms:
            operations.append(Delete(layout.expiry_key(head.expires_at_ms, data_key)))
        operations.append(
            feed_append(
                FeedRow(
                    Act.DELETE, self.keyspace.number, data_key[layout.REGION_BYTES :],
                    head.identity, head.incarnation, head.version, row.revision, now_ms,
                    cause, actor,
                )
            )
        )  # fmt: skip

    def bury(self, operations: list[Operation], data_key: bytes, row: Record) -> None:
        """Add what removes a living row and remembers its key."""
        head = envelope.header_of(row.value)
        grave = Grave(
            head.identity, head.incarnation, head.version, row.revision, head.updated_at_ms
        )
        operations.append(Put(self.grave_key(data_key), _encode(grave)))
        operations.append(Delete(data_key))

    def _set(
        self,
        operations: list[Operation],
        data_key: bytes,
        row: Record | None,
        living: Entry[Any] | None,
        grave: Record | None,
        proposal: Proposal,
        cause: Cause,
        now_ms: int,
    ) -> Change:
        metadata, value = proposal
        assert metadata is not None
        assert value is not None
        if value.payload is None:
            flags, payload = envelope.BLOB, self._write_blob(operations, metadata, value.chunks)
        else:
            flags, payload = 0, value.payload
        if metadata.modified_by is None and not (
            metadata.comment or metadata.tags_kept or metadata.schema_hash
        ):
            extras = envelope.NO_EXTRAS
        else:
            extras = envelope.Extras(
                metadata.modified_by, metadata.comment, metadata.tags_kept, metadata.schema_hash
            )
        stored = envelope.seal(
            flags, metadata.version, metadata.incarnation, metadata.created_at_ms,
            metadata.updated_at_ms, metadata.expires_at_ms, metadata.digest, metadata.identity,
            extras, payload,
        )  # fmt: skip
        operations.append(Put(data_key, stored))
        previous = 0
        expired_at = 0
        if living is not None:
            assert row is not None
            previous = row.revision
            head = living.metadata
            expired_at = head.expires_at_ms
            operations.append(
                Put(
                    self.past_key(head.identity, head.incarnation, head.version),
                    _PAST.pack(previous, 0) + row.value,
                )
            )
        if grave is not None:
            operations.append(Delete(self.grave_key(data_key)))
        if expired_at != metadata.expires_at_ms:
            if expired_at:
                operations.append(Delete(layout.expiry_key(expired_at, data_key)))
            if metadata.expires_at_ms:
                operations.append(Put(layout.expiry_key(metadata.expires_at_ms, data_key), b""))
        operations.append(
            feed_append(
                FeedRow(
                    Act.SET, self.keyspace.number, data_key[layout.REGION_BYTES :],
                    metadata.identity, metadata.incarnation, metadata.version, previous,
                    metadata.updated_at_ms, cause, metadata.modified_by,
                )
            )
        )  # fmt: skip
        return Change(row if living is not None else None, stored, written=True)

    def _write_blob(
        self, operations: list[Operation], metadata: Metadata, chunks: list[bytes]
    ) -> bytes:
        """Add the chunks of a big value; what refers to them."""
        # A version has one value for good, so its identity and place name the chunks.
        blob: bytes = metadata.identity + _LIFE.pack(metadata.incarnation, metadata.version)
        operations.extend(
            Put(self.blobs + blob + index.to_bytes(4, "big"), chunk)
            for index, chunk in enumerate(chunks)
        )
        return blob + len(chunks).to_bytes(4, "big")

    # --- Reading ----------------------------------------------------------------------------

    def blob_keys(self, stored: bytes) -> list[bytes]:
        """The rows of the chunks that stored bytes refer to."""
        reference = stored[envelope.payload_offset(stored) :]
        blob = self.blobs + reference[:-4]
        count = int.from_bytes(reference[-4:], "big")
        return [blob + index.to_bytes(4, "big") for index in range(count)]

    def past_version(self, key: StoreKey | str, value: bytes) -> PastVersion[Any]:
        """The past version in a row of the past."""
        try:
            revision, end_bytes = _PAST.unpack_from(value)
            start = _PAST.size + end_bytes
            stored = value[start:]
            if not end_bytes:
                return PastVersion(key, stored, revision)
            end = _decode_end(value[_PAST.size : start])
        except (struct.error, msgspec.DecodeError) as error:
            raise IntegrityFailed(
                f"a past version of {key} cannot be read; run `holdfast check`"
            ) from error
        return PastVersion(
            key, stored, revision, end_cause=end.cause, end_at_ms=end.at_ms, end_actor=end.actor,
            end_comment=end.comment,
        )  # fmt: skip

    def _past_of(self, row: Record | None, grave: Record | None) -> Past | None:
        if row is not None:
            head = envelope.header_of(row.value)
            return Past(head.identity, head.incarnation, head.updated_at_ms)
        if grave is not None:
            one = read_grave(grave)
            return Past(one.identity, one.incarnation, one.updated_at_ms)
        return None


def read_grave(record: Record) -> Grave:
    """The content of a grave's row."""
    try:
        return _decode_grave(record.value)
    except msgspec.DecodeError as error:
        raise IntegrityFailed("the row of a deleted key cannot be read") from error


def store_key(packed: bytes) -> StoreKey:
    """The key with these packed segments."""
    segments: tuple[Element, ...] = unpack(packed)
    if not segments or not all(isinstance(segment, str) for segment in segments):
        raise IntegrityFailed("a row of a keyspace of entries has a key that is no entry key")
    return StoreKey(str(segments[-1]), tuple(str(segment) for segment in segments[:-1]))
