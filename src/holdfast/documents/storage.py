"""Documents on an engine: the rows of one collection, and how a commit changes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from holdfast.codecs import envelope
from holdfast.contract.batch import Need
from holdfast.contract.engine import NOT_NOW, Engine
from holdfast.contract.errors import Conflict, DuplicateKey, IntegrityFailed, InvalidKey
from holdfast.contract.record import THIS_COMMIT, Range, Record
from holdfast.documents.indexes.definition import Catalogue, catalogue_key, read_catalogue
from holdfast.documents.indexes.derived import IndexRows, known_rows
from holdfast.documents.indexes.holders import holders_of
from holdfast.documents.keys import require_key
from holdfast.documents.known import Known
from holdfast.documents.naming import ABOUT_ONE, name_in
from holdfast.documents.steps import KEEP, Put, Step
from holdfast.documents.vector.kept import KeptGraph
from holdfast.records.services.hashing import Sha256HashingService
from holdfast.records.services.metadata import StandardMetadataService
from holdfast.records.services.protocols import Past
from holdfast.store import layout
from holdfast.store.feed_row import Cause
from holdfast.store.plan import Derived, Plan
from holdfast.store.space import Space
from holdfast.store.transaction import TransactionEngine
from holdfast.store.versions.chunks import Values, chunk_values
from holdfast.store.versions.derived import ExpiryRows
from holdfast.store.versions.entry import Entry, PendingRevision
from holdfast.store.versions.past_rows import read_grave
from holdfast.store.versions.plan import Policies, VersionPlanner
from holdfast.store.versions.rows import Rows

#: The most bytes a key of a document can have.
KEY_BYTES_MAX: Final = 1024
_READS_MAX = 64  # How often a big document is read again that was replaced meanwhile.


class _Derived(NamedTuple):
    """What plans commits, for one row of the catalogue.

    It is handed on as a whole: a commit may plan in another thread while queries look at the
    catalogue of an earlier moment.
    """

    stored: bytes | None
    indexes: IndexRows
    planner: VersionPlanner


class DocumentStorage:
    """The documents of one collection, on the engine or on a transaction's or snapshot's view.

    Args:
        space: the keyspace.
        retention: what is kept of the past.
        values: how documents are serialised.
        metadata: the rules of versions and instants.
        pending: the revision of what is written, where that is a transaction's.
    """

    def __init__(
        self,
        space: Space,
        retention: Policies,
        values: Values,
        metadata: StandardMetadataService,
        pending: PendingRevision | None = None,
    ) -> None:
        self.space = space
        self.engine: Engine = space.engine
        self.number = space.keyspace.number
        self.rows = Rows(space.keyspace)
        self.values = values
        self._retention = retention
        self._metadata = metadata
        self._hash = Sha256HashingService().calculate_data_hash
        self._pending = pending
        self._now_ms = space.clock.now_ms
        self._data = self.rows.data
        self.catalogue_key = catalogue_key(self.number)
        if isinstance(self.engine, TransactionEngine):
            self.engine.fence((self.catalogue_key,))
        self._key_bytes_max = min(KEY_BYTES_MAX, space.engine.capabilities.key_bytes_max)
        #: By name of an index: how often queries walked it, and how often they could not.
        self.usage: dict[str, tuple[int, int]] = {}
        #: By number of a vector index: what is kept in memory for approximate search.
        self.graphs: dict[int, KeptGraph] = {}
        self.known = Known()
        self._derived = self._make_derived(None)

    def on(self, engine: Engine, pending: PendingRevision | None) -> DocumentStorage:
        """The same documents seen through a transaction or a snapshot."""
        parts = self.space.on(engine), self._retention, self.values, self._metadata
        seen = DocumentStorage(*parts, pending)
        seen.known = self.known
        return seen

    # --- Keys -------------------------------------------------------------------------------

    def data_key(self, key: str) -> bytes:
        """The row of a document. Raises InvalidKey."""
        data_key = self._data + require_key(key)
        if len(data_key) > self._key_bytes_max:
            raise InvalidKey(
                f"the key of a document has at most {self._key_bytes_max} bytes as stored; found "
                f"{len(data_key)}. Use a shorter one, and keep the long one in the document",
                limit=self._key_bytes_max,
                length=len(data_key),
            )
        return data_key

    # --- Reading ----------------------------------------------------------------------------

    async def get(self, key: str) -> Entry[Any] | None:
        """The living document under a key."""
        space = self.space
        data_key = self.data_key(key)
        space.check()
        found = space.peek(data_key)
        if found is NOT_NOW:
            [found] = await space.read((data_key,))
        if found is None:
            return None
        return await self.living(data_key, found[0], found[1])

    async def living(self, data_key: bytes, stored: bytes, revision: int) -> Entry[Any] | None:
        """The entry of a data row with its big value read; None if it has run out or is gone."""
        for _ in range(_READS_MAX):
            if self.expired(stored):
                return None
            entry = self.entry(data_key, stored, revision)
            if not stored[1] & envelope.BLOB:
                return entry
            try:
                return await self.complete(entry)
            except IntegrityFailed:
                [record] = await self.engine.read((data_key,))
                if record is not None and record.value == stored:
                    raise  # It stands there and its chunks do not: they are missing.
            if record is None:
                return None
            stored, revision = record
        raise Conflict(
            f"a big document was replaced {_READS_MAX} times while it was being read; try again, "
            "or read it from a snapshot"
        )

    def entry(self, data_key: bytes, stored: bytes, revision: int) -> Entry[Any]:
        """The entry of a data row as it stands."""
        if revision == THIS_COMMIT and self._pending is not None:
            return Entry(data_key[layout.REGION_BYTES :], stored, self._pending)
        return Entry(data_key[layout.REGION_BYTES :], stored, revision)

    async def complete(self, entry: Entry[Any], moment: Engine | None = None) -> Entry[Any]:
        """The entry with the chunks of a big value read, at its moment. Raises IntegrityFailed."""
        if entry.stored[1] & envelope.BLOB:
            records = await (moment or self.engine).read(self.rows.blob_keys(entry.stored))
            entry.attach(chunk_values(records))
        return entry

    def expired(self, stored: bytes) -> bool:
        """Whether stored bytes are of a document that has run out."""
        return bool(stored[1] & envelope.EXPIRES) and (
            envelope.expires_at_ms(stored) <= self._now_ms()
        )

    @property
    def whole(self) -> Range:
        """The rows of all documents."""
        return Range.prefix(self._data)

    async def catalogue(self) -> Catalogue:
        """The indexes there are."""
        peeked = self.space.peek(self.catalogue_key)
        if peeked is NOT_NOW:
            [peeked] = await self.space.read((self.catalogue_key,))
        return self.indexes_of(None if peeked is None else peeked[0]).catalogue

    async def catalogue_at(self, moment: Engine) -> Catalogue:
        """The indexes there are at one moment."""
        [record] = await moment.read((self.catalogue_key,))
        derived = self._derived
        if record is not None and record.value == derived.stored:
            return derived.indexes.catalogue
        return read_catalogue(None if record is None else record.value)

    @property
    def planned(self) -> IndexRows:
        """What is kept of the plans of queries, with the catalogue as it is."""
        return self._derived.indexes

    # --- Writing ----------------------------------------------------------------------------

    async def transact(self, steps: Sequence[Step]) -> int:
        """Decide and write the steps as one commit; its revision.

        Raises:
            DuplicateKey: a value of a unique index is taken; nothing was written.
            Conflict, InvalidKey, InvalidValue, StoreNotFound: likewise.
        """
        keys = [self.data_key(step.key) for step in steps]
        # It ends: each turn but the last ends a document that was in the way.
        while True:
            plans: list[Plan] = []
            try:
                return await self._transact(steps, keys, plans)
            except DuplicateKey:
                # Who has the value may have run out, and nobody has swept it yet.
                if not plans or not await self.end_holders(plans[-1]):
                    raise

    async def end_holders(self, plan: Plan, data_keys: Sequence[bytes] = ()) -> int:
        """End the documents that have run out and hold what a plan wants to be alone with.

        Args:
            plan: of a commit that was refused.
            data_keys: more rows to look at.

        Returns:
            How many were ended.
        """
        holders = await holders_of(self.engine, self._data, plan.unique)
        wanted = list(dict.fromkeys((*data_keys, *holders)))
        records = await self.engine.read(wanted)
        due = [
            key
            for key, row in zip(wanted, records, strict=True)
            if row is not None and self.expired(row.value)
        ]
        return await self.expire(due) if due else 0

    async def _transact(
        self, steps: Sequence[Step], keys: Sequence[bytes], plans: list[Plan]
    ) -> int:
        """One try; its plans are noted."""
        count = 1 + len(keys)
        asked: list[bytes] = []

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            plans[:] = (plan,)
            if len(records) == count:
                asked.clear()
            derived = self._derived_of(None if records[0] is None else records[0].value)
            rows = records[1:count]
            known = known_rows(asked, records[count:])
            need = self._needs(derived, steps, keys, rows, known)
            if need is None:
                derived.indexes.begin(known)
                step = steps[0]
                try:
                    for step, key, row in zip(steps, keys, rows, strict=True):
                        self._step(plan, derived, step, key, row, known)
                except ABOUT_ONE as error:
                    name_in(error, step.key, self.space.keyspace.name)
                    raise
                need = derived.indexes.end(plan)
            if need is not None:
                asked.extend(need.keys)
            return need

        context = steps[0].options.context(Cause.WRITE)
        receipt = await self.space.commit((self.catalogue_key, *keys), write, context)
        return receipt.revision

    async def expire(self, data_keys: list[bytes]) -> int:
        """End the documents of these rows that have run out, as one commit; how many did."""
        ended = 0
        count = 1 + len(data_keys)
        asked: list[bytes] = []

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            nonlocal ended
            if len(records) == count:
                asked.clear()
            ended = 0
            stored = None if records[0] is None else records[0].value
            _, indexes, planner = self._derived_of(stored)
            known = known_rows(asked, records[count:])
            due = [
                (key, row)
                for key, row in zip(data_keys, records[1:count], strict=True)
                if row is not None and self.expired(row.value)
            ]
            wanted = [
                one
                for key, row in due
                for one in self._wanted(planner, key, row, reads=bool(indexes.writers))
                if one not in known
            ]
            if wanted:
                asked.extend(wanted)
                return Need(wanted)
            indexes.begin(known)
            for key, row in due:
                indexes.before = self.document(row, known) if indexes.writers else None
                planner.expire(plan, key, row, _extra(planner, key, row, known), bury=True)
                ended += 1
            need = indexes.end(plan)
            if need is not None:
                asked.extend(need.keys)
            return need

        await self.space.commit((self.catalogue_key, *data_keys), write)
        return ended

    # --- Inside: deciding -------------------------------------------------------------------

    def indexes_of(self, stored: bytes | None) -> IndexRows:
        """What derives the index rows, by the row of the catalogue."""
        return self._derived_of(stored).indexes

    def _derived_of(self, stored: bytes | None) -> _Derived:
        derived = self._derived
        if stored != derived.stored:
            derived = self._derived = self._make_derived(stored)
        return derived

    def _make_derived(self, stored: bytes | None) -> _Derived:
        indexes = IndexRows(self.number, read_catalogue(stored), stored)
        rows: tuple[Derived, ...] = (ExpiryRows(),)
        if indexes.writers or indexes.counts:
            rows = (*rows, indexes)
        return _Derived(stored, indexes, VersionPlanner(self.rows, rows, self._retention))

    def _needs(
        self,
        derived: _Derived,
        steps: Sequence[Step],
        keys: Sequence[bytes],
        rows: Sequence[Record | None],
        known: dict[bytes, bytes | None],
    ) -> Need | None:
        """Graves, past rows that fall out, and chunks of big values that have to be seen."""
        indexed = bool(derived.indexes.writers)
        planner = derived.planner
        wanted = [
            one
            for step, key, row in zip(steps, keys, rows, strict=True)
            if row is not None or not planner.forgets
            for one in self._wanted(planner, key, row, reads=indexed or step.reads)
            if one not in known
        ]
        return Need(wanted) if wanted else None

    def _wanted(
        self, planner: VersionPlanner, key: bytes, row: Record | None, *, reads: bool
    ) -> Sequence[bytes]:
        wanted = planner.needs(key, row)
        if row is not None and reads and row.value[1] & envelope.BLOB:
            return [*wanted, *self.rows.blob_keys(row.value)]
        return wanted

    def document(self, row: Record, known: dict[bytes, bytes | None]) -> Any:
        """The plain document of a row, its chunks among the rows that are known."""
        entry: Entry[Any] = Entry(b"", row.value, row.revision)
        self._attach(entry, known)
        return entry.value

    def _attach(self, entry: Entry[Any], known: dict[bytes, bytes | None]) -> None:
        if entry.stored[1] & envelope.BLOB:
            chunks = [known.get(one) for one in self.rows.blob_keys(entry.stored)]
            entry.attach(chunk_values([None if one is None else Record(one, 0) for one in chunks]))

    def _standing(
        self, data_key: bytes, row: Record | None, extra: Record | None
    ) -> tuple[Entry[Any] | None, Past | None]:
        """The living entry, or what is remembered of a key without one."""
        if row is None:
            if extra is None:
                return None, None
            grave = read_grave(extra)
            return None, Past(grave.identity, grave.incarnation, grave.updated_at_ms)
        if self.expired(row.value):
            head = envelope.header_of(row.value)
            return None, Past(head.identity, head.incarnation, head.updated_at_ms)
        return self.entry(data_key, row.value, row.revision), None

    def _step(
        self,
        plan: Plan,
        derived: _Derived,
        step: Step,
        data_key: bytes,
        row: Record | None,
        known: dict[bytes, bytes | None],
    ) -> None:
        _, indexes, planner = derived
        extra = living = past = None
        if row is not None or known:
            extra = _extra(planner, data_key, row, known)
            living, past = self._standing(data_key, row, extra)
            if living is not None and (indexes.writers or step.reads):
                self._attach(living, known)
        decided = step.decide(living)
        step.before, step.after, step.written = living, None, False
        if decided is KEEP:
            return
        put = decided if type(decided) is Put else None
        if row is not None and living is None:
            # Nobody has swept it yet, so this commit tells that it ran out.
            indexes.before = self.document(row, known) if indexes.writers else None
            planner.expire(plan, data_key, row, extra, bury=put is None)
            step.written = True
            row = extra = None
        if indexes.writers:
            indexes.before = None if living is None else living.fresh().value
        if put is None:
            if row is not None:
                planner.delete(plan, data_key, row, extra)
                step.written = True
            return
        digest = self._hash(put.value.canonical)
        if living is None:
            metadata = self._metadata.generate_new_metadata(digest, put.options, past)
        else:
            metadata = self._metadata.generate_next_version(living.metadata, digest, put.options)
        if indexes.writers:
            indexes.after = put.document
        step.after = planner.set(
            plan, data_key, row, extra, metadata, put.value,
            None if living is None else living.metadata,
        )  # fmt: skip
        step.written = True


def _extra(
    planner: VersionPlanner, key: bytes, row: Record | None, known: dict[bytes, bytes | None]
) -> Record | None:
    """What the planner asked for, as it stands."""
    for one in planner.needs(key, row):
        value = known.get(one)
        return None if value is None else Record(value, 0)
    return None
