"""What a change to a versioned value puts into the plan.

Everything here is pure: from the rows as they stand and the new metadata to the new row, the past
row, the grave, the derived rows and the feed row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from holdfast.codecs import envelope
from holdfast.codecs.envelope import Header
from holdfast.contract.record import THIS_COMMIT, Record
from holdfast.store import layout
from holdfast.store.feed_row import Act, Cause, encode_feed_row
from holdfast.store.plan import Derived, Plan
from holdfast.store.versions.chunks import Serialized
from holdfast.store.versions.entry import Metadata
from holdfast.store.versions.moves import move_rows
from holdfast.store.versions.past_rows import (
    END_DELETE,
    END_EXPIRED,
    PAST,
    End,
    Grave,
    pack_grave,
    pack_past,
    past_parts,
)
from holdfast.store.versions.policy import DEFAULT_POLICY, Policy
from holdfast.store.versions.rows import Rows, blob_reference, pack_life

_pack_header = envelope.pack_header
_EXPIRES, _FORMAT = envelope.EXPIRES, envelope.FORMAT
_pack_past = PAST.pack
_FEED: Final = layout.FEED
#: An enumeration's member is encoded through a look-up of its value, a number is not.
_SET: Final = int(Act.SET)
#: A bit above those of a flags byte: what derives from every row.
_ANY = 0x100
#: What a keyspace keeps of the past, by its setting.
HISTORIES = {"values": DEFAULT_POLICY, "versions": Policy("none"), "none": Policy("none", 0)}


class Policies(Protocol):
    """What is kept of the past; see `Retention`."""

    @property
    def policies(self) -> Mapping[int, object]:
        """Empty while no namespace has a policy. The same mapping for good."""
        ...

    def policy_of(self, data_key: bytes) -> Policy:
        """What is kept of the past of the value in a data row."""
        ...


class VersionPlanner:
    """Plans the changes of the values of one keyspace.

    Args:
        rows: where they stand.
        derived: what follows from them.
        retention: of the database; left out: everything is kept.

    Attributes:
        keeps_all: the keyspace keeps every version, as far as no policy says otherwise.
        forgets: it keeps nothing of the past: `needs` asks for nothing.
        policies: truthy while some namespace has a policy; empty, no policy is looked up.
    """

    def __init__(
        self, rows: Rows, derived: tuple[Derived, ...], retention: Policies | None = None
    ) -> None:
        self._rows = rows
        self._derived = derived
        #: A row without any of these bits concerns none of them.
        self._derived_flags = 0
        for one in derived:
            # Every stored form has a format, so this bit stands for "any row".
            self._derived_flags |= one.flags or _ANY
        self._retention = retention
        self.policies: Mapping[int, object] = {} if retention is None else retention.policies
        settings = rows.keyspace.settings
        self._number = rows.keyspace.number
        self._tells = settings.feed
        self._history = HISTORIES[settings.history]
        self.keeps_all = self._history is DEFAULT_POLICY
        self.forgets = not self.keeps_all and self._history.versions == 0
        self._past, self._data_bytes = rows.past, layout.REGION_BYTES

    # --- What has to be seen ----------------------------------------------------------------

    def policy(self, data_key: bytes) -> Policy:
        """What is kept of the past of the value of this row."""
        if not self.keeps_all:
            return self._history
        if not self.policies or self._retention is None:
            return DEFAULT_POLICY
        return self._retention.policy_of(data_key)

    def needs(self, data_key: bytes, row: Record | None) -> Sequence[bytes]:
        """Further rows that a change of this one has to see: its grave, or what falls out.

        Nothing where the common case stands: a row whose versions are all kept.
        """
        if row is not None and self.keeps_all and not self.policies:
            return ()
        policy = self.policy(data_key)
        if row is None:
            return () if policy.versions == 0 else (self._rows.grave_key(data_key),)
        if not policy.versions:
            return ()
        head = envelope.header_of(row.value)
        falls_out = head.version - policy.versions
        if falls_out < 1:
            return ()
        return (self._rows.past_key(head.identity, head.incarnation, falls_out),)

    # --- Changes ----------------------------------------------------------------------------

    def set(
        self,
        plan: Plan,
        data_key: bytes,
        row: Record | None,
        extra: Record | None,
        metadata: Metadata,
        value: Serialized | None,
        before: Metadata | None,
    ) -> bytes:
        """Put a new version in the place of the living one, or of none; its stored bytes.

        Args:
            row: the living row; None: there is none.
            before: metadata of the living row.
            extra: what `needs` asked for, as it stands.
            value: None: the value there is.
        """
        if (
            value is None
            or value.payload is None
            or metadata.modified_by is not None
            or metadata.comment
            or metadata.tags_kept
            or metadata.schema_hash
        ):
            stored = self._seal(plan, metadata, value, row)
        else:
            # Most versions: `_seal` would come to the same.
            stored = _pack_header(
                _FORMAT, _EXPIRES if metadata.expires_at_ms else 0, metadata.version,
                metadata.incarnation, metadata.created_at_ms, metadata.updated_at_ms,
                metadata.expires_at_ms, metadata.digest, metadata.identity, 0,
            ) + value.payload  # fmt: skip
        rows = plan.rows
        rows[data_key] = stored
        previous = 0
        flags = stored[1] | _ANY
        old: bytes | None = None
        if row is not None:
            assert before is not None
            old, previous = row
            flags |= old[1]
            if self.keeps_all and not self.policies:
                # What `_displace` would do.
                life = before.identity + pack_life(before.incarnation, before.version)
                known = 0 if previous == THIS_COMMIT else previous
                rows[self._past + life] = _pack_past(known, 0) + old
            else:
                self._displace(plan, data_key, row, before, extra, None)
        elif extra is not None:
            rows[self._rows.grave_key(data_key)] = None
        if self._derived_flags & flags:
            plan.derive(self._derived, data_key, old, stored)
        if self._tells:
            told = encode_feed_row(
                _SET, self._number, data_key[self._data_bytes :], previous,
                metadata.updated_at_ms, plan.context,
                (metadata.identity, metadata.incarnation, metadata.version),
            )  # fmt: skip
            plan.draft.appends.append((_FEED, told))
        return stored

    def move(
        self,
        plan: Plan,
        data_key: bytes,
        row: Record,
        extra: Record | None,
        new_key: bytes,
        metadata: Metadata,
        value: Serialized | None,
    ) -> bytes:
        """Put a new version under another key, and remove the living row; its stored bytes."""
        stored = self._seal(plan, metadata, value, row)
        head = envelope.header_of(row.value)
        self._displace(plan, data_key, row, head, extra, None)
        plan.rows[data_key] = None
        if self.policy(data_key).versions != 0:
            last = head.identity, head.incarnation, head.version
            plan.rows.update(
                move_rows(self._rows, data_key, new_key, last, metadata.version, plan.now_ms)
            )
        plan.derive(self._derived, data_key, row.value, None)
        self._tell_end(plan, data_key, row, head, None)
        plan.rows[new_key] = stored
        plan.derive(self._derived, new_key, None, stored)
        if self._tells:
            plan.tell(
                self._number, Act.SET, new_key[layout.REGION_BYTES :], row.revision,
                metadata.updated_at_ms,
                (metadata.identity, metadata.incarnation, metadata.version),
            )  # fmt: skip
        return stored

    def delete(self, plan: Plan, data_key: bytes, row: Record, extra: Record | None) -> None:
        """Remove the living row; its last version becomes past."""
        context = plan.context
        end = End(END_DELETE, plan.now_ms, context.modified_by, context.comment)
        self._end(plan, data_key, row, extra, end, None)
        self._bury(plan, data_key, row)

    def expire(
        self, plan: Plan, data_key: bytes, row: Record, extra: Record | None, *, bury: bool
    ) -> None:
        """End a row that has run out; `bury` unless a new value takes its place at once."""
        self._end(plan, data_key, row, extra, End(END_EXPIRED, plan.now_ms), Cause.EXPIRED)
        if bury:
            self._bury(plan, data_key, row)

    # --- Inside -----------------------------------------------------------------------------

    def _end(
        self,
        plan: Plan,
        data_key: bytes,
        row: Record,
        extra: Record | None,
        end: End,
        cause: Cause | None,
    ) -> None:
        head = envelope.header_of(row.value)
        self._displace(plan, data_key, row, head, extra, end)
        plan.rows[data_key] = None
        if self._derived_flags & (row.value[1] | _ANY):
            plan.derive(self._derived, data_key, row.value, None)
        self._tell_end(plan, data_key, row, head, cause)

    def _tell_end(
        self, plan: Plan, data_key: bytes, row: Record, head: Header, cause: Cause | None
    ) -> None:
        if self._tells:
            plan.tell(
                self._number, Act.DELETE, data_key[layout.REGION_BYTES :], row.revision,
                plan.now_ms, (head.identity, head.incarnation, head.version), cause,
            )  # fmt: skip

    def _bury(self, plan: Plan, data_key: bytes, row: Record) -> None:
        """Remember the key, where something will need it when the key comes back."""
        if self.policy(data_key).versions == 0:
            return
        head = envelope.header_of(row.value)
        grave = Grave(head.identity, head.incarnation, head.updated_at_ms)
        plan.rows[self._rows.grave_key(data_key)] = pack_grave(grave)

    def _seal(
        self, plan: Plan, metadata: Metadata, value: Serialized | None, row: Record | None
    ) -> bytes:
        """The stored bytes of a new version; puts the chunks of a big value."""
        if value is None:
            assert row is not None
            flags = row.value[1] & envelope.BLOB
            payload = row.value[envelope.payload_offset(row.value) :]
        elif value.payload is not None:
            flags, payload = 0, value.payload
        else:
            name = self._rows.blob_name(metadata.identity, metadata.incarnation, metadata.version)
            for index, chunk in enumerate(value.chunks):
                plan.rows[self._rows.blob_key(name, index)] = chunk
            flags, payload = envelope.BLOB, blob_reference(name, len(value.chunks))
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
        return envelope.seal(
            flags, metadata.version, metadata.incarnation, metadata.created_at_ms,
            metadata.updated_at_ms, metadata.expires_at_ms, metadata.digest, metadata.identity,
            extras, payload,
        )  # fmt: skip

    def _displace(
        self,
        plan: Plan,
        data_key: bytes,
        row: Record,
        head: Header | Metadata,
        extra: Record | None,
        end: End | None,
    ) -> None:
        """Put the past row of a version that ends, as far as its past is kept."""
        stored = row.value
        policy = self.policy(data_key)
        if policy is not DEFAULT_POLICY:
            if policy.values == "none" or policy.versions == 0:
                self._delete_chunks(plan, stored)
                stored = envelope.without_payload(stored)
            if policy.versions == 0:
                return
            if policy.versions is not None and extra is not None:
                falls_out = head.version - policy.versions
                plan.rows[self._rows.past_key(head.identity, head.incarnation, falls_out)] = None
                self._delete_chunks(plan, past_parts(extra).stored)
        past_key = self._rows.past_key(head.identity, head.incarnation, head.version)
        plan.rows[past_key] = pack_past(row.revision, stored, end)

    def _delete_chunks(self, plan: Plan, stored: bytes) -> None:
        """Delete the chunks of a big value, unless the plan has just put them."""
        if stored[1] & envelope.BLOB:
            for key in self._rows.blob_keys(stored):
                plan.rows.setdefault(key, None)
