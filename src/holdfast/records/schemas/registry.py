"""`db.schemas`: registering schemas, requiring them, and migrating between them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from holdfast.codecs.digest import Digest
from holdfast.codecs.text import StoreKey, format_namespace, parse_namespace
from holdfast.contract.errors import (
    Conflict,
    InvalidInput,
    SchemaMigrationMissing,
    SchemaNotFound,
    SchemaValidationFailed,
    StoreError,
)
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.requirements import REQUIRED, SCHEMAS, Requirements
from holdfast.records.schemas.adapting import schema_of
from holdfast.records.schemas.json_schema import JsonSchema
from holdfast.records.schemas.migrating import Migrated, Migration
from holdfast.records.schemas.migrations import Migrations, Node, Step
from holdfast.records.schemas.schema import CHECK, CLASS, Form, Schema, digest_of, judge
from holdfast.store.text_keys import refuse_reserved
from holdfast.store.versions.entry import Entry

#: How many JSON Schemas are kept compiled; the others are read and compiled again.
COMPILED_MAX = 1000
#: How many classes and functions one handle knows: it cannot get them back from the database.
CODE_MAX = 10_000
#: How many namespaces can require a schema.
REQUIREMENTS_MAX = 10_000

_DIGEST = re.compile(r"[0-9a-f]{64}")


class SchemaRegistry:
    """The schemas of a database.

    A schema is a JSON Schema as a dict (draft 2020-12 unless `$schema` says otherwise), a msgspec
    Struct, a dataclass, a pydantic model, or a function that raises ValueError. Registered, it is
    an entry of the reserved namespace `__schema` whose name is its digest, and never changes.
    JSON Schemas then hold in every process; the code of the others has to be registered in each.

    Args:
        store: may write reserved names.
        requirements: of the same database.
    """

    def __init__(self, store: KeyValueStoreInterface, requirements: Requirements) -> None:
        self._store = store
        self._requirements = requirements
        self._compiled: dict[str, Schema] = {}
        self._code: dict[str, Schema] = {}
        # Classes and functions may be asked for by themselves; kept, so that none takes the
        # identity of another.
        self._given: dict[int, tuple[object, str]] = {}
        self._migrations = Migrations()

    # --- Schemas ----------------------------------------------------------------------------

    async def register(
        self,
        schema: object,
        *,
        name: str | None = None,
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> str:
        """Store a schema unless it is there already; its digest, 64 hex digits.

        Args:
            schema: see the class.
            name: what a function is stored as; its own name unless given.
            modified_by, comment: of the entry, should it be new.

        Raises:
            InvalidInput: it is not a schema, or a JSON Schema that refers outside itself.
            DriverMissing: JSON Schemas need `holdfast-db[schema]`.
        """
        made = schema_of(schema, name)
        await self._put(made.digest, made.form, modified_by, comment)
        self._remember(schema, made)
        return made.digest

    async def adopt(
        self,
        form: Form,
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> str:
        """Store a schema as it stands in another database; its digest, the same as there.

        For moving entries with their schemas. A class or function is adopted without its code,
        which has to be registered before it judges.
        """
        if not isinstance(form, dict) or not (CLASS in form or CHECK in form):
            return await self.register(JsonSchema(form), modified_by=modified_by, comment=comment)
        digest = digest_of(form)
        await self._put(digest, form, modified_by, comment)
        return digest

    def items(self) -> AsyncIterator[Entry[Form]]:
        """The registered schemas as entries: the name is the digest, the value what is stored."""
        return self._store.items(f"{SCHEMAS}:+")

    async def validate(self, value: Any, schema: object) -> None:
        """Judge a value by a schema or its digest.

        Raises:
            SchemaValidationFailed: it does not fit; `violations` lists (path, message).
            SchemaNotFound: the schema is not registered.
        """
        judge(await self.resolve(schema), value)

    async def schema(self, digest: str) -> Schema:
        """The schema with that digest, ready to judge.

        Raises:
            SchemaNotFound: there is none, or its code is not registered in this process.
        """
        if not isinstance(digest, str):
            raise SchemaNotFound(
                f"a schema is found by its digest, a text; found a {type(digest).__name__}"
            )
        known = self._compiled.get(digest) or self._code.get(digest)
        if known is not None:
            return known
        form = await self._form(digest)
        if form is None:
            raise _not_found(digest)
        for code in (CLASS, CHECK):
            if code in form:
                raise SchemaNotFound(
                    f"schema {digest} needs the code of {form[code]!r}, which was not registered "
                    "in this process (or says something else by now). Call "
                    "`db.schemas.register` with it after opening the database",
                    schema_hash=digest,
                    source=form[code],
                )
        compiled = JsonSchema(form)
        self._remember(form, compiled)
        return compiled

    async def resolve(self, schema: object) -> Schema:
        """The schema that a digest, or a schema as it was registered, means.

        Raises:
            SchemaNotFound: it is not registered in the database.
        """
        if isinstance(schema, str | Digest):
            return await self.schema(str(schema))
        digest = self._digest_of(schema)
        if digest not in self._code and not isinstance(schema, dict):
            if await self._form(digest) is None:
                raise _not_found(digest)
            # Another process registered it; here is its code.
            self._remember(schema, schema_of(schema))
        return await self.schema(digest)

    # --- Requirements -----------------------------------------------------------------------

    async def require(
        self, namespace: str, schema: object, *, modified_by: str | int | None = None
    ) -> None:
        """Require that every value written into a namespace, and below it, fits a schema.

        The requirement of the longest namespace wins. Writes without `schema_hash` get it; writes
        that name another schema are refused. It holds for this handle at once, for every other
        handle and process within a second. What is there already stays until it is written or
        migrated.

        Args:
            namespace: written as in keys, such as `users/active`; empty text means everywhere.
            schema: registered before; the schema or its digest.
            modified_by: who requires it.
        """
        digest = (await self.resolve(schema)).digest
        namespace = _canonical(namespace)

        def change(required: dict[str, str] | None) -> dict[str, str]:
            changed = {**(required or {}), namespace: digest}
            if len(changed) > REQUIREMENTS_MAX:
                raise InvalidInput(
                    f"at most {REQUIREMENTS_MAX} namespaces require a schema; found more. Require "
                    "it of a namespace above them"
                )
            return changed

        await self._change(change, modified_by)

    async def waive(self, namespace: str, *, modified_by: str | int | None = None) -> None:
        """Require nothing of a namespace itself any more; what one above it requires holds on."""
        namespace = _canonical(namespace)

        def change(required: dict[str, str] | None) -> dict[str, str]:
            return {one: digest for one, digest in (required or {}).items() if one != namespace}

        await self._change(change, modified_by)

    async def required(self) -> dict[str, str]:
        """What is required, of every process: digests by namespace."""
        found = await self._requirements.refresh()
        return {format_namespace(segments): digest for segments, digest in sorted(found.items())}

    # --- Migrations -------------------------------------------------------------------------

    def register_migration(self, old: object, new: object, step: Step) -> None:
        """Say how a value of one schema becomes one of another.

        `get(key, expect=...)` and `migrate` take the shortest way over such steps. They are code:
        register them in each process that migrates.

        Args:
            old: a schema or its digest; None: values that were written without a schema.
            new: a schema or its digest.
            step: called with a value of its own, returns the new one; pure, as it may run again.

        Raises:
            InvalidInput: the steps would lead in a circle.
        """
        before: Node = None if old is None else self._digest_of(old)
        self._migrations.add(before, self._digest_of(new), step)

    def upgraded(self, entry: Entry[Any], schema: Schema) -> Any:
        """The value of an entry in the shape of a schema: the same object when it fits as it is.

        Raises:
            SchemaMigrationMissing: no steps lead there.
            SchemaValidationFailed: what the steps made does not fit; or the value has no schema,
                does not fit, and there are no steps for such.
        """
        stored = entry.metadata.schema_hash
        if stored == schema.digest:
            return entry.value
        steps = self._migrations.path(stored, schema.digest)
        try:
            if stored is None:
                try:
                    schema.validate(entry.value)
                    return entry.value
                except SchemaValidationFailed:
                    if steps is None:
                        raise
            if steps is None:
                raise SchemaMigrationMissing(
                    f"{str(entry.key)!r} fits schema {stored}, and {schema.digest} was wanted; no "
                    "registered steps lead there. Register them with "
                    "`db.schemas.register_migration` in this process",
                    stored=stored,
                    expected=schema.digest,
                )
            value = entry.value
            for step in steps:
                value = step(value)
            judge(schema, value)
        except Exception as error:
            # Whoever raised it, a step of the user's too: of which entry is to be told.
            if isinstance(error, StoreError):
                error.within(key=str(entry.key))
            error.add_note(
                f"while {str(entry.key)!r} was brought from schema {stored} to {schema.digest}"
            )
            raise
        return value

    async def migrate(
        self,
        namespace: str,
        *,
        to: object,
        progress: Callable[[int, int], None] | None = None,
    ) -> Migrated:
        """Bring every entry of a namespace, and below it, to a schema, batch by batch.

        Stopped, or failed, it keeps what it did and where it stood: called again it goes on from
        there. Entries that are of the schema already are left alone. Expiry and tags stay; the
        cause in the feed is `migrated`.

        Args:
            namespace: as in keys; empty text means everywhere.
            to: a schema or its digest.
            progress: called after each batch with (entries looked at, entries written).

        Raises:
            SchemaMigrationMissing, SchemaValidationFailed: an entry cannot be brought there; its
                key is told.
            InvalidInput: the namespace requires another schema; require this one first.
        """
        schema = await self.resolve(to)
        work = Migration(self._store, self._requirements, schema, self.upgraded)
        return await work.run(_canonical(namespace), progress)

    # --- Inside -----------------------------------------------------------------------------

    def _remember(self, given: object, made: Schema) -> None:
        if isinstance(made, JsonSchema):
            if len(self._compiled) >= COMPILED_MAX:
                self._compiled.clear()
            self._compiled[made.digest] = made
            return
        if len(self._given) >= CODE_MAX and id(given) not in self._given:
            raise InvalidInput(
                f"a handle knows at most {CODE_MAX} classes and functions; found more. Register "
                "each once, not for each write"
            )
        self._code[made.digest] = made
        self._given[id(given)] = (given, made.digest)

    def _digest_of(self, schema: object) -> str:
        if isinstance(schema, str | Digest):
            return str(schema)
        if isinstance(schema, dict):
            return digest_of(schema)
        known = self._given.get(id(schema))
        return schema_of(schema).digest if known is None else known[1]

    async def _put(
        self, digest: str, form: Form, modified_by: str | int | None, comment: str | None
    ) -> None:
        if await self._store.has(_key(digest)):
            return
        # In conflict with nobody but who registers the same meanwhile.
        with suppress(Conflict):
            await self._store.set(
                _key(digest), form, modified_by=modified_by, comment=comment, if_absent=True
            )

    async def _form(self, digest: str) -> Form | None:
        if not _DIGEST.fullmatch(digest):
            return None
        entry = await self._store.get(_key(digest))
        return None if entry is None else entry.value

    async def _change(
        self,
        change: Callable[[dict[str, str] | None], dict[str, str]],
        modified_by: str | int | None,
    ) -> None:
        changed = await self._store.modify(
            REQUIRED, change, modified_by=modified_by, if_changed=True
        )
        self._requirements.use(changed.value)


def _key(digest: str) -> StoreKey:
    return StoreKey(digest, (SCHEMAS,))


def _canonical(namespace: str) -> str:
    """A namespace as it is written in keys. Raises InvalidKey, also for a reserved one."""
    text = format_namespace(parse_namespace(namespace))
    refuse_reserved(text)
    return text


def _not_found(digest: str) -> SchemaNotFound:
    return SchemaNotFound(
        f"a schema with digest {digest!r} was wanted; none is registered in this database. "
        "`db.schemas.register` stores one and returns its digest",
        schema_hash=digest,
    )
