"""The default metadata service: the rules of versions, instants and what a write keeps."""

from __future__ import annotations

from holdfast.contract.runtime import Clock, Ids
from holdfast.records.options import NO_OPTIONS, WriteOptions
from holdfast.records.services.protocols import Past
from holdfast.store.versions.entry import Metadata


class StandardMetadataService:
    """Pure rules on a clock.

    Versions count from 1 in each incarnation. The creation instant stays, the update instant
    never goes backwards for one key even if the clock does. Tags that are not given stay; author,
    comment and schema belong to one version and do not carry over.
    """

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._now_ms = clock.now_ms
        self._ids = ids

    def generate_new_metadata(
        self, data_hash: bytes, options: WriteOptions, past: Past | None
    ) -> Metadata:
        now = self._now_ms()
        expires = options.expiry_ms(now, 0)
        if past is not None:
            now = max(now, past.updated_at_ms)
        return Metadata(
            1,
            past.incarnation + 1 if past is not None else 1,
            0,
            now,
            now,
            expires,
            data_hash,
            past.identity if past is not None else self._ids.new(),
            options.modified_by,
            options.comment,
            options.tags or (),
            options.schema_hash,
        )

    def generate_next_version(
        self, previous: Metadata, data_hash: bytes, options: WriteOptions
    ) -> Metadata:
        now = self._now_ms()
        expires = 0 if options is NO_OPTIONS else options.expiry_ms(now, previous.expires_at_ms)
        if now < previous.updated_at_ms:  # noqa: PLR1730 - a third of what `max` costs
            now = previous.updated_at_ms
        return Metadata(
            previous.version + 1,
            previous.incarnation,
            0,
            previous.created_at_ms,
            now,
            expires,
            data_hash,
            previous.identity,
            options.modified_by,
            options.comment,
            previous.tags_kept if options.tags is None else options.tags,
            options.schema_hash,
        )
