"""`Validated`: nothing is written that does not fit its schema, nothing read in another shape."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from holdfast.codecs.text import StoreKey
from holdfast.codecs.typed import instance_of
from holdfast.contract.engine import NOT_NOW
from holdfast.contract.errors import (
    Conflict,
    ReadOnly,
    SchemaValidationFailed,
    StorageFull,
)
from holdfast.records.decorators.base import Decorator
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.rules import Rules
from holdfast.records.services.protocols import Outcome
from holdfast.records.verbs import Version
from holdfast.records.write import Admit, Delete, Rename, Write, migration
from holdfast.store.feed_row import Cause
from holdfast.store.versions.entry import Entry

#: How often a read that migrates tries to store what it made before it only returns it.
WRITE_BACK_TRIES = 10


class Validated(Decorator):
    """Judges every value on its way in, and migrates on its way out where that is asked for.

    A write with a `schema_hash`, and every write into a namespace that requires a schema, is
    judged, whatever the call: set, modify, touch, restore, undelete, rename, import. A write that
    neither concerns passes as it is.

    Args:
        inner: the store below.
        rules: of the database, with the schemas.
    """

    def __init__(self, inner: KeyValueStoreInterface, rules: Rules) -> None:
        super().__init__(inner)
        self._rules = rules
        self._monotonic = rules.monotonic
        self._get = inner.get
        self._write = inner.write
        self._write_now = inner.write_now
        self.peek = inner.peek  # type: ignore[method-assign]

    def around(self, inner: KeyValueStoreInterface) -> Validated:
        return Validated(inner, self._rules)

    # --- Out --------------------------------------------------------------------------------

    async def get(
        self,
        key: StoreKey | str,
        *,
        version: Version | None = None,
        at: int | datetime | None = None,
        expect: object = None,
        write_back: bool = True,
    ) -> Entry[Any] | None:
        if expect is not None:
            entry = await self._expected(key, version, at, expect, write_back)
            return _instance(entry, expect) if isinstance(expect, type) else entry
        if version is None and at is None:
            found = self.peek(key)
            return await self._get(key) if found is NOT_NOW else found
        return await self._get(key, version=version, at=at)

    async def _expected(
        self,
        key: StoreKey | str,
        version: Version | None,
        at: int | datetime | None,
        expect: object,
        write_back: bool,
    ) -> Entry[Any] | None:
        """The entry with its value in the expected shape.

        A value of the expected schema is returned as it is. One without a schema is returned when
        it fits. Anything else is migrated, and the result judged.
        """
        registry = self._rules.registry
        schema = await registry.resolve(expect)
        stores = write_back and version is None and at is None
        for _ in range(WRITE_BACK_TRIES):
            entry = await self._get(key, version=version, at=at)
            if entry is None:
                return None
            value = registry.upgraded(entry, schema)
            if value is entry.value:
                return entry
            migrated = msgspec.structs.replace(entry, _value=value)
            if not stores or await self._rules.of(entry.key) not in (None, schema.digest):
                return migrated
            try:
                return await self._store(entry, value, schema.digest)
            except Conflict:
                continue  # Somebody wrote meanwhile, most likely the same: look again.
            except (ReadOnly, StorageFull):
                return migrated  # A reader is not to suffer because nothing can be written.
        return migrated

    async def _store(self, entry: Entry[Any], value: Any, digest: str) -> Entry[Any]:
        [outcome] = await self._write((migration(entry, value, digest),))
        return outcome.require()

    # --- In ---------------------------------------------------------------------------------

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        # Nothing is required, as far as a look not long ago told: is a schema named?
        if self._monotonic() < self._rules.idle_until:
            for write in writes:
                if write.options.schema_hash is not None:
                    break
            else:
                return await self._write(writes)
        return await self._write([await self._judged(write) for write in writes])

    def write_now(self, write: Write) -> Outcome | None:
        if write.options.schema_hash is None and self._monotonic() < self._rules.idle_until:
            return self._write_now(write)
        return None

    async def _judged(self, write: Write) -> Write:
        """The write with its judge, where one is called for."""
        action = write.action
        if type(action) is Delete:
            return write
        key = action.new_key if type(action) is Rename else write.key
        required = await self._rules.of(key)
        digest = write.options.schema_hash
        if required is not None:
            # What is brought back, touched or moved brings its schema along; it has to fit.
            chosen = write.cause is not Cause.RESTORED
            if digest is not None and digest != required and chosen:
                raise _other_schema(key, required, digest)
            digest = required
        if digest is None:
            return write
        return msgspec.structs.replace(write, admit=await self._judge(key, digest))

    async def _judge(self, key: StoreKey | str, digest: str) -> Admit:
        schema = await self._rules.registry.schema(digest)
        validate = schema.validate

        def admit(value: Any) -> str:
            try:
                validate(value)
            except SchemaValidationFailed as error:
                error.within(key=str(key))
                raise
            return digest

        return admit


def _instance(entry: Entry[Any] | None, kind: type) -> Entry[Any] | None:
    """The entry with an instance of the class as its value."""
    if entry is None:
        return None
    try:
        return msgspec.structs.replace(entry, _value=instance_of(kind)(entry.value))
    except SchemaValidationFailed as error:
        error.within(key=str(entry.key))
        raise


def _other_schema(key: StoreKey | str, required: str, given: str) -> SchemaValidationFailed:
    said = f"the namespace requires schema {required}; schema_hash names {given}"
    return SchemaValidationFailed(
        f"the write of {str(key)!r} cannot be: {said}. Leave schema_hash out, or change what the "
        "namespace requires",
        key=str(key),
        schema_hash=required,
        violations=[("$", said)],
    )
