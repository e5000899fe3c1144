"""How entries stand in the rows of a keyspace, and what a change to one writes.

Everything here is pure: from the rows as they are and a proposal to the operations of one batch.
That batch holds value, metadata, past version, grave, expiry and feed, or none of them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from copy import copy
from typing import Any, NamedTuple

from holdfast.codecs import envelope
from holdfast.codecs.envelope import Header
from holdfast.codecs.keys import pack_text
from holdfast.codecs.text import KeyFormat, StoreKey
from holdfast.contract.batch import Delete, DeleteRange, Operation, Put
from holdfast.contract.record import Range, Record
from holdfast.records.options import NO_OPTIONS, WriteOptions
from holdfast.records.services.protocols import Past, Serialized, Step
from holdfast.store import layout
from holdfast.store.feed.row import OWN_COMMIT, Act, Cause, FeedRow, feed_append
from holdfast.store.keyspaces import Keyspace
from holdfast.store.text_keys import unpack_key
from holdfast.store.transaction import PENDING_REVISION
from holdfast.store.versions.entry import Entry, Metadata
from holdfast.store.versions.past_rows import (
    END_DELETE,
    END_EXPIRED,
    End,
    Grave,
    pack_grave,
    pack_past,
    read_grave,
)
from holdfast.store.versions.policy import DEFAULT_POLICY, Policy

#: How many keys are remembered before the memory starts anew: some 50 MB when full.
CACHE_KEYS_MAX = 250_000

_LIFE = struct.Struct(">IQ")


class Change(NamedTuple):
    """The plan of a write to one key: stored bytes before and after it, each possibly None.

    Attributes:
        chunks: of the value after it, when it is big and came with the write.
    """

    before: Record | None
    after: bytes | None
    written: bool
    chunks: list[bytes] | None = None


class Seen(NamedTuple):
    """What stands at a key when a write is decided.

    Attributes:
        data_key: of the key.
        row: its data row, living or run out.
        grave: what is left of it, if it was deleted.
        living: the entry of the row, if it lives.
    """

    data_key: bytes
    row: Record | None
    grave: Record | None
    living: Entry[Any] | None


class _DataKeys(dict[str, bytes]):
    """Data keys by canonical text, remembered: a look-up is one step in C."""

    def __init__(self, prefix: bytes) -> None:
        super().__init__()
        self._prefix = prefix

    def __missing__(self, text: str) -> bytes:
        key = self._prefix + b"".join(map(pack_text, KeyFormat.path.parse(text)))
        if len(self) >= CACHE_KEYS_MAX:
            self.clear()
        self[text] = key
        return key


class Rows:
    """Keys and values of the rows of one keyspace.

    Args:
        keyspace: which.
        policy_of: what is kept of the past of a data row's entry; left out: everything.
    """

    def __init__(
        self, keyspace: Keyspace, policy_of: Callable[[bytes], Policy] | None = None
    ) -> None:
        self.keyspace = keyspace
        self._policy_of = policy_of
        #: Stands in the feed rows of what is written through these rows.
        self._transaction: bytes | None = None
        number = keyspace.number
        self.data = layout.region(number, layout.DATA)
        self.graves = layout.region(number, layout.GRAVE)
        self.past = layout.region(number, layout.HISTORY)
        self.blobs = layout.region(number, layout.BLOB)
        self.tags = layout.region(number, layout.TAG)
        #: The row of a living entry, from its canonical text.
        self.data_key: Callable[[str], bytes] = _DataKeys(self.data).__getitem__

    # --- Keys -------------------------------------------------------------------------------

    def within(self, transaction: bytes) -> Rows:
        """The same rows, for the writes of one transaction."""
        rows = copy(self)
        rows._transaction = transaction  # noqa: SLF001 - ours
        return rows

    def prefix(self, segments: tuple[str, ...]) -> bytes:
        """What the rows of all keys below these segments begin with."""
        return self.data + b"".join(map(pack_text, segments))

    def grave_key(self, data_key: bytes) -> bytes:
        """The row that remembers the key once it is gone."""
        return self.graves + data_key[layout.REGION_BYTES :]

    def store_key(self, data_key: bytes) -> StoreKey:
        """The key that a data row belongs to."""
        return unpack_key(data_key[layout.REGION_BYTES :])

    def past_key(self, identity: bytes, incarnation: int, version: int) -> bytes:
        """The row of a past version."""
        return self.past + identity + _LIFE.pack(incarnation, version)

    def past_position(self, past_key: bytes) -> tuple[int, int]:
        """(incarnation, version) of a past version's row."""
        incarnation, version = _LIFE.unpack(past_key[-_LIFE.size :])
        return incarnation, version

    def tag_key(self, tag: str, data_key: bytes) -> bytes:
        """The row that says that the key carries the tag."""
        return self.tags + pack_text(tag) + data_key[layout.REGION_BYTES :]

    # --- Writing ----------------------------------------------------------------------------

    def change(self, operations: list[Operation], step: Step, now_ms: int, seen: Seen) -> Change:
        """Decide one step and add its operations."""
        living, row = seen.living, seen.row
        past = None
        if living is None:
            past = self._past_of(row, seen.grave)
        proposal = step.decide(living, past)
        if proposal is None:
            return Change(row if living is not None else None, None, written=False)
        if row is not None and living is None:
            self.end(operations, seen.data_key, row, END_EXPIRED, Cause.EXPIRED, now_ms)
        if proposal.metadata is not None:
            return self._set(operations, step, seen, proposal.metadata, proposal.value, now_ms)
        if row is not None and living is not None:
            self.end(operations, seen.data_key, row, END_DELETE, step.cause, now_ms, step.options)
            self.bury(operations, seen.data_key, row)
            return Change(row, None, written=True)
        if row is not None:
            self.bury(operations, seen.data_key, row)
        return Change(None, None, written=row is not None)

    def end(
        self,
        operations: list[Operation],
        data_key: bytes,
        row: Record,
        how: str,
        cause: Cause,
        now_ms: int,
        options: WriteOptions = NO_OPTIONS,
    ) -> None:
        """Add what ends an incarnation: its last version goes to the past, the feed tells."""
        head = envelope.header_of(row.value)
        end = End(how, now_ms, options.modified_by, options.comment)
        self._displace(operations, data_key, row, head, end)
        self._unlink(operations, data_key, row, head)
        previous = OWN_COMMIT if row.revision == PENDING_REVISION else row.revision
        self._tell(operations, Act.DELETE, data_key, head, previous, now_ms, cause, options)

    def bury(self, operations: list[Operation], data_key: bytes, row: Record) -> None:
        """Add what removes a living row and remembers its key."""
        head = envelope.header_of(row.value)
        grave = Grave(head.identity, head.incarnation, head.updated_at_ms)
        operations.append(Put(self.grave_key(data_key), pack_grave(grave)))
        operations.append(Delete(data_key))

    def _set(
        self,
        operations: list[Operation],
        step: Step,
        seen: Seen,
        metadata: Metadata,
        value: Serialized | None,
        now_ms: int,
    ) -> Change:
        flags, payload = self._payload(operations, seen, metadata, value)
        extras = envelope.NO_EXTRAS
        if (
            metadata.modified_by is not None
            or metadata.comment
            or metadata.tags_kept
            or metadata.schema_hash
        ):
            extras = envelope.Extras(
                metadata.modified_by, metadata.comment, metadata.tags_kept, metadata.schema_hash
            )
        stored = envelope.seal(
            flags, metadata.version, metadata.incarnation, metadata.created_at_ms,
            metadata.updated_at_ms, metadata.expires_at_ms, metadata.digest, metadata.identity,
            extras, payload,
        )  # fmt: skip
        data_key = seen.data_key if step.new_key is None else self.data_key(step.new_key)
        operations.append(Put(data_key, stored))
        previous = 0
        living = seen.living
        before: Metadata | None = None
        if living is not None:
            assert seen.row is not None
            before = living.metadata
            previous = seen.row.revision
            if previous == PENDING_REVISION:
                previous = OWN_COMMIT
            self._displace(operations, seen.data_key, seen.row, before, None)
            if data_key is not seen.data_key:
                head = envelope.header_of(seen.row.value)
                self._unlink(operations, seen.data_key, seen.row, head)
                operations.append(Delete(seen.data_key))
                self._tell(
                    operations, Act.DELETE, seen.data_key, head, previous, now_ms, step.cause,
                    step.options,
                )  # fmt: skip
                before = None
        if seen.grave is not None:
            operations.append(Delete(self.grave_key(seen.data_key)))
        self._link(operations, data_key, before, metadata)
        self._tell(
            operations, Act.SET, data_key, metadata, previous, metadata.updated_at_ms, step.cause,
            step.options,
        )  # fmt: skip
        chunks = value.chunks if value is not None and value.payload is None else None
        return Change(seen.row if living is not None else None, stored, True, chunks)

    def _payload(
        self,
        operations: list[Operation],
        seen: Seen,
        metadata: Metadata,
        value: Serialized | None,
    ) -> tuple[int, bytes]:
        """(flags, payload) of a new version; adds the chunks of a big value."""
        if value is None:
            assert seen.row is not None
            stored = seen.row.value
            return stored[1] & envelope.BLOB, stored[envelope.payload_offset(stored) :]
        if value.payload is not None:
            return 0, value.payload
        # A version has one value for good, so its identity and place name the chunks.
        blob = metadata.identity + _LIFE.pack(metadata.incarnation, metadata.version)
        operations.extend(
            Put(self.blobs + blob + index.to_bytes(4, "big"), chunk)
            for index, chunk in enumerate(value.chunks)
        )
        return envelope.BLOB, blob + len(value.chunks).to_bytes(4, "big")

    def _displace(
        self,
        operations: list[Operation],
        data_key: bytes,
        row: Record,
        head: Header | Metadata,
        end: End | None,
    ) -> None:
        """Add the past row of a version that ends, as far as its namespace keeps the past."""
        policy = DEFAULT_POLICY if self._policy_of is None else self._policy_of(data_key)
        stored = row.value
        if policy is not DEFAULT_POLICY:
            if policy.values == "none" or policy.versions == 0:
                if stored[1] & envelope.BLOB:
                    operations.extend(Delete(key) for key in self.blob_keys(stored))
                stored = envelope.without_payload(stored)
            if policy.versions is not None:
                self._forget(operations, head, head.version - policy.versions)
            if policy.versions == 0:
                return
        past_key = self.past_key(head.identity, head.incarnation, head.version)
        operations.append(Put(past_key, pack_past(row.revision, stored, end)))

    def _forget(self, operations: list[Operation], head: Header | Metadata, version: int) -> None:
        """Add what removes a past version for good, with the chunks of a big value."""
        if version > 0:
            life = head.identity + _LIFE.pack(head.incarnation, version)
            operations.append(Delete(self.past + life))
            operations.append(DeleteRange(Range.prefix(self.blobs + life)))

    def _link(
        self,
        operations: list[Operation],
        data_key: bytes,
        before: Metadata | None,
        after: Metadata,
    ) -> None:
        """Add what changes in the expiry and tag rows of a key that stays or comes."""
        expired_at = before.expires_at_ms if before is not None else 0
        if expired_at != after.expires_at_ms:
            if expired_at:
                operations.append(Delete(layout.expiry_key(expired_at, data_key)))
            if after.expires_at_ms:
                operations.append(Put(layout.expiry_key(after.expires_at_ms, data_key), b""))
        had = before.tags_kept if before is not None else ()
        if had != after.tags_kept:
            operations.extend(
                Delete(self.tag_key(tag, data_key)) for tag in had if tag not in after.tags_kept
            )
            operations.extend(
                Put(self.tag_key(tag, data_key), b"") for tag in after.tags_kept if tag not in had
            )

    def _unlink(
        self, operations: list[Operation], data_key: bytes, row: Record, head: Header
    ) -> None:
        """Add what removes the expiry and tag rows of a key that goes."""
        if head.expires_at_ms:
            operations.append(Delete(layout.expiry_key(head.expires_at_ms, data_key)))
        tags = envelope.extras_of(row.value, head.extras_length).tags
        operations.extend(Delete(self.tag_key(tag, data_key)) for tag in tags)

    def _tell(
        self,
        operations: list[Operation],
        act: Act,
        data_key: bytes,
        head: Header | Metadata,
        previous: int,
        at_ms: int,
        cause: Cause,
        options: WriteOptions,
    ) -> None:
        """Add the feed row."""
        operations.append(
            feed_append(
                FeedRow(
                    act, self.keyspace.number, data_key[layout.REGION_BYTES :], head.identity,
                    head.incarnation, head.version, previous, at_ms, cause, options.modified_by,
                    None, self._transaction,
                )
            )
        )  # fmt: skip

    # --- Reading ----------------------------------------------------------------------------

    def blob_keys(self, stored: bytes) -> list[bytes]:
        """The rows of the chunks that stored bytes refer to."""
        reference = stored[envelope.payload_offset(stored) :]
        blob = self.blobs + reference[:-4]
        count = int.from_bytes(reference[-4:], "big")
        return [blob + index.to_bytes(4, "big") for index in range(count)]

    def _past_of(self, row: Record | None, grave: Record | None) -> Past | None:
        if row is not None:
            head = envelope.header_of(row.value)
            return Past(head.identity, head.incarnation, head.updated_at_ms)
        if grave is not None:
            one = read_grave(grave)
            return Past(one.identity, one.incarnation, one.updated_at_ms)
        return None
