"""Making, building and dropping indexes, while writes go on.

An index is in the catalogue, as `building`, before its first row: from that commit on every writer
keeps it for what it writes. Meanwhile the builder walks the documents in the order of keys, some
hundred in a commit, and each commit notes how far it came. So a build goes on where it was broken
off, by whoever asks for the same index again, and several builders do not disturb each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from holdfast.codecs import envelope
from holdfast.contract.batch import Draft, Need
from holdfast.contract.errors import (
    DuplicateKey,
    IndexExists,
    IndexNotFound,
    InvalidValue,
    QuotaExceeded,
    StoreError,
    Unsupported,
)
from holdfast.contract.record import Range, Record
from holdfast.documents.indexes.definition import (
    INDEX_NUMBER_MAX,
    Catalogue,
    IndexDefinition,
    build_key,
    index_prefix,
    pack_catalogue,
    read_catalogue,
)
from holdfast.documents.indexes.derived import IndexRows, known_rows
from holdfast.documents.storage import DocumentStorage
from holdfast.store.plan import Plan, RowChange
from holdfast.store.snapshot import SnapshotEngine
from holdfast.store.transaction import TransactionEngine

#: How many documents one commit of a build takes in.
BUILD_ROWS: Final = 512
#: How many bytes of documents it takes in at most, so that big ones do not hold others up.
BUILD_BYTES: Final = 1024 * 1024
#: How many index rows one commit of a drop removes.
DROP_ROWS: Final = 1000
#: How many indexes a collection has at most.
INDEXES_MAX: Final = 64

#: Called now and then with how many documents were taken in.
Progress = Callable[[int], None]


async def create(
    storage: DocumentStorage, wanted: IndexDefinition, progress: Progress | None = None
) -> None:
    """Make an index and build it.

    Raises:
        IndexExists: there is one of that name, and it is not this one half built.
        DuplicateKey: two documents share values that are to be unique.
        InvalidValue: a document has a value there that the index cannot hold.
        Unsupported: inside a transaction.
    """
    _require_outside(storage)
    storage.space.check()
    await finish_drops(storage)
    index = await _announce(storage, wanted)
    if index.state == "building":
        await build(storage, index, progress)


async def build(
    storage: DocumentStorage, index: IndexDefinition, progress: Progress | None = None
) -> None:
    """Take every document into an index that is being built, from where that stands."""
    looked_at = 0
    try:
        while True:
            [row] = await storage.engine.read((build_key(storage.number, index.number),))
            start = storage.rows.data if row is None else row.value + b"\0"
            page = await storage.engine.scan(Range(start, storage.whole.end, limit=BUILD_ROWS))
            data_keys = _some(page.rows)
            rows = {key: record.value for key, record in page.rows}
            if index.unique:
                # What has run out and was not swept is not to hold a value.
                due = [key for key in data_keys if storage.expired(rows[key])]
                if due:
                    await storage.expire(due)
            if not await _take_in_all(storage, index, data_keys):
                return  # Somebody else finished or dropped it.
            looked_at += len(data_keys)
            if progress is not None:
                progress(looked_at)
            if not data_keys:
                storage.known.documents = max(storage.known.documents, looked_at)
                return
    except (DuplicateKey, InvalidValue) as error:
        await _fail(storage, index, error)
        raise


async def drop(storage: DocumentStorage, name: str) -> None:
    """Remove an index. Raises IndexNotFound."""
    _require_outside(storage)

    def change(catalogue: Catalogue) -> Catalogue:
        index = catalogue.get(name)
        if index is None:
            raise no_index(name)
        return catalogue.without(index)

    await _change(storage, change)
    await finish_drops(storage)


async def rebuild(storage: DocumentStorage, name: str) -> None:
    """Make the rows of an index anew from the documents.

    One commit drops the old rows and announces the index again. So it is never gone: broken off
    later it is one that is being built, which `create` goes on with.

    Raises:
        IndexNotFound: there is none of that name.
        DuplicateKey, InvalidValue, QuotaExceeded, Unsupported: as `create` does.
    """
    _require_outside(storage)

    def change(catalogue: Catalogue) -> Catalogue:
        standing = catalogue.get(name)
        if standing is None:
            raise no_index(name)
        number = _next_number(catalogue)
        anew = msgspec.structs.replace(standing, state="building", arrays=(), number=number)
        return catalogue.without(standing).with_index(anew)

    index = (await _change(storage, change)).get(name)
    assert index is not None
    await finish_drops(storage)
    await build(storage, index)


def no_index(name: str) -> IndexNotFound:
    """The error of a name that no index has."""
    return IndexNotFound(
        f"an index {name!r} was wanted; the collection has none. `list_indexes` tells which there "
        "are",
        name=name,
    )


async def finish_drops(storage: DocumentStorage) -> None:
    """Remove the rows of dropped indexes, those of a drop that was broken off among them."""
    for number in (await storage.catalogue()).dropping:
        rest: Range | None = Range.prefix(index_prefix(storage.number, number), limit=DROP_ROWS)
        while rest is not None:
            page = await storage.engine.scan(rest)
            draft = Draft()
            for key, _ in page.rows:
                draft.rows[key] = None
            if draft.rows:
                await storage.engine.transact(
                    [],
                    lambda _records, _revision, draft=draft: draft,  # type: ignore[misc]
                )
            rest = page.resume

        def forget(catalogue: Catalogue, number: int = number) -> Catalogue:
            kept = tuple(one for one in catalogue.dropping if one != number)
            return msgspec.structs.replace(catalogue, dropping=kept)

        await _change(storage, forget, delete=build_key(storage.number, number))


# --- Inside -----------------------------------------------------------------------------------


async def _announce(storage: DocumentStorage, wanted: IndexDefinition) -> IndexDefinition:
    """Put the index into the catalogue, as building; or find it there, half built."""

    def change(catalogue: Catalogue) -> Catalogue:
        standing = catalogue.get(wanted.name)
        if standing is not None:
            if standing.state == "building" and standing.same_as(wanted):
                return catalogue
            raise IndexExists(
                f"a new name was wanted; the collection has an index {wanted.name!r} "
                f"({standing.state}). Drop it first, or choose another name",
                name=wanted.name,
            )
        if len(catalogue.indexes) >= INDEXES_MAX:
            raise _too_many()
        number = _next_number(catalogue)
        return catalogue.with_index(msgspec.structs.replace(wanted, number=number))

    catalogue = await _change(storage, change)
    index = catalogue.get(wanted.name)
    assert index is not None
    return index


def _next_number(catalogue: Catalogue) -> int:
    if catalogue.last >= INDEX_NUMBER_MAX:
        raise _too_many()
    return catalogue.last + 1


def _too_many() -> QuotaExceeded:
    return QuotaExceeded(
        f"a collection has at most {INDEXES_MAX} indexes; drop one that `list_indexes` shows "
        "without hits",
        limit=INDEXES_MAX,
    )


async def _change(
    storage: DocumentStorage, change: Callable[[Catalogue], Catalogue], delete: bytes | None = None
) -> Catalogue:
    """Change the catalogue as one commit; what became of it."""
    changed = Catalogue()

    def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
        nonlocal changed
        [record] = records
        before = read_catalogue(None if record is None else record.value)
        changed = change(before)
        if changed != before:
            plan.put(storage.catalogue_key, pack_catalogue(changed))
        if delete is not None:
            plan.delete(delete)
        return None

    await storage.space.commit((storage.catalogue_key,), write)
    return changed


def _some(rows: list[tuple[bytes, Record]]) -> list[bytes]:
    """The keys of the first rows, up to some size."""
    keys, size = [], 0
    for key, record in rows:
        keys.append(key)
        size += len(record.value)
        if size > BUILD_BYTES:
            break
    return keys


async def _take_in_all(
    storage: DocumentStorage, index: IndexDefinition, data_keys: list[bytes]
) -> bool:
    """As `_take_in`; what runs out meanwhile is ended where its value is another document's."""
    while True:
        plans: list[Plan] = []
        try:
            return await _take_in(storage, index, data_keys, plans)
        except DuplicateKey:
            if not plans or not await storage.end_holders(plans[-1], data_keys):
                raise


async def _take_in(
    storage: DocumentStorage, index: IndexDefinition, data_keys: list[bytes], plans: list[Plan]
) -> bool:
    """Put the rows of some documents; without any, the index is ready. False: it is not wanted."""
    progress_key = build_key(storage.number, index.number)
    count = 1 + len(data_keys)
    asked: list[bytes] = []
    wanted = True

    def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
        nonlocal wanted
        plans[:] = (plan,)
        if len(records) == count:
            asked.clear()
        catalogue = read_catalogue(None if records[0] is None else records[0].value)
        standing = catalogue.get(index.name)
        wanted = (
            standing is not None
            and standing.number == index.number
            and standing.state == "building"
        )
        if not wanted or standing is None:
            return None
        if not data_keys:
            ready = msgspec.structs.replace(standing, state="ready")
            plan.put(storage.catalogue_key, pack_catalogue(catalogue.with_index(ready)))
            plan.delete(progress_key)
            return None
        known = known_rows(asked, records[count:])
        need = _chunks_needed(storage, records[1:count], known)
        if need is None:
            only = IndexRows(storage.number, catalogue, only=index.number)
            only.begin(known)
            for key, row in zip(data_keys, records[1:count], strict=True):
                if row is not None:
                    only.after = storage.document(row, known)
                    only.plan(plan, RowChange(key, None, row.value))
            need = only.end(plan)
        if need is None:
            plan.put(progress_key, data_keys[-1])
        else:
            asked.extend(need.keys)
        return need

    await storage.space.commit((storage.catalogue_key, *data_keys), write)
    return wanted


def _chunks_needed(
    storage: DocumentStorage, rows: Sequence[Record | None], known: dict[bytes, bytes | None]
) -> Need | None:
    wanted = [
        key
        for row in rows
        if row is not None and row.value[1] & envelope.BLOB
        for key in storage.rows.blob_keys(row.value)
        if key not in known
    ]
    return Need(wanted) if wanted else None


async def _fail(storage: DocumentStorage, index: IndexDefinition, error: StoreError) -> None:
    """Note that a build failed: nobody keeps the index from then on, and its rows go."""
    failure = f"{error.code}: {type(error).__name__}"

    def change(catalogue: Catalogue) -> Catalogue:
        standing = catalogue.get(index.name)
        if standing is None or standing.number != index.number:
            return catalogue
        # Under a new number, so that the rows there are can go like those of a dropped one.
        number = catalogue.last + 1
        failed = msgspec.structs.replace(standing, number=number, state="failed", failure=failure)
        return catalogue.without(standing).with_index(failed)

    await _change(storage, change)
    await finish_drops(storage)


def _require_outside(storage: DocumentStorage) -> None:
    if isinstance(storage.engine, TransactionEngine | SnapshotEngine):
        raise Unsupported(
            "an index is made and dropped outside of transactions and snapshots; do it on the "
            "database, before or after"
        )


async def facts_of(storage: DocumentStorage, index: IndexDefinition) -> tuple[int, int]:
    """(rows, bytes of keys and values) of an index."""
    count = size = 0
    rest: Range | None = Range.prefix(index_prefix(storage.number, index.number))
    while rest is not None:
        page = await storage.engine.scan(rest)
        count += len(page.rows)
        size += sum(len(key) + len(record.value) for key, record in page.rows)
        rest = page.resume
    return count, size
