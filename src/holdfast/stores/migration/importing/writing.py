"""From a source to entries or documents: in batches, compared, and resumed by doing it again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct

from holdfast.codecs.serializers import ExtendedSerializer
from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import IntegrityFailed, InvalidInput, InvalidKey
from holdfast.contract.runtime import Clock, SystemClock
from holdfast.records.calls import EntryCalls
from holdfast.store.instants import instant, milliseconds
from holdfast.stores.migration.copying import Migrated, migrate
from holdfast.stores.migration.importing.source import Item, Source
from holdfast.stores.store import Store

#: How many items one commit writes.
BATCH_ITEMS: Final = 500
#: About how many bytes of values one commit writes; a single value may have more.
BATCH_BYTES: Final = 2 * 1024 * 1024
#: How far apart expiries may be that are the same, in milliseconds: servers tell what is left.
EXPIRY_SLACK_MS: Final = 2_000

_encode: Final = ExtendedSerializer().encode


class Imported(Struct, frozen=True):
    """What an import did.

    Attributes:
        kind: of the source.
        items: how many were read.
        written: how many were not there yet, or different.
        verified: whether the source was read again, and compared.
    """

    kind: str
    items: int
    written: int
    verified: bool


class Documents(Protocol):
    """What an import needs of a collection."""

    async def get_many(self, keys: Any) -> dict[str, Any]: ...
    async def set_many(self, documents: Mapping[str, Any], *, comment: str | None) -> None: ...


async def import_entries(
    source: Source,
    entries: EntryCalls[Any],
    namespace: Sequence[str] = (),
    *,
    verify: bool = True,
    progress: Callable[[int], object] | None = None,
    clock: Clock | None = None,
) -> Imported:
    """Write every item of a source as an entry, with its expiry.

    What is there already is left alone, so an import that was broken off is done again, and
    completes. Entries of other keys stay.

    Args:
        source: open.
        entries: where to, such as `db.entries`; `serializer="extended"` keeps tuples, sets,
            decimals and UUIDs.
        namespace: the segments before each name; the name of a table comes after them.
        verify: read the source again, and compare.
        progress: called now and then with how many items were looked at.
        clock: tells what expired meanwhile; None: the machine's.

    Raises:
        InvalidKey: a key is no text, or two keys become one.
        SerializationFailed: a value is none that entries hold.
        IntegrityFailed: the source changed meanwhile, or is damaged.
    """
    return await _run(
        source, _Entries(entries, tuple(namespace)), verify, progress, clock or SystemClock()
    )


async def import_documents(
    source: Source,
    collection: Documents,
    *,
    verify: bool = True,
    progress: Callable[[int], object] | None = None,
    clock: Clock | None = None,
) -> Imported:
    """Write every item of a source as a document of a collection; see `import_entries`.

    Raises:
        InvalidInput: an item expires, or the source has several tables: name one.
    """
    return await _run(source, _Documents(collection), verify, progress, clock or SystemClock())


async def import_pairs(
    source: Source,
    store: Store,
    *,
    verify: bool = True,
    progress: Callable[[int], object] | None = None,
) -> Migrated:
    """Write every item of a source into a store, as bytes; see `migrate`.

    Raises:
        InvalidInput: an item is not bytes, or expires.
        IntegrityFailed: the source changed meanwhile, or the store held other keys before.
    """
    look = source.look()
    done = await migrate(source.pairs, store, verify=verify, progress=progress)
    if source.look() != look:
        raise _changed(source, "its files are not what they were")
    return done


class _Target(ABC):
    """Where items go."""

    @abstractmethod
    def key(self, item: Item) -> str:
        """The key that an item is to have there."""

    @abstractmethod
    async def there(self, keys: list[str]) -> dict[str, tuple[Any, int | None]]:
        """Values and expiries of those keys that are there."""

    @abstractmethod
    async def write(self, items: dict[str, Item]) -> None:
        """Write them as one commit."""


class _Entries(_Target):
    def __init__(self, entries: EntryCalls[Any], namespace: tuple[str, ...]) -> None:
        self._entries, self._namespace = entries, namespace

    def key(self, item: Item) -> str:
        within = (*self._namespace, item.table) if item.table else self._namespace
        return StoreKey(_name(item), within)

    async def there(self, keys: list[str]) -> dict[str, tuple[Any, int | None]]:
        return {
            key: (
                entry.value,
                None if entry.metadata.expires_at is None
                else milliseconds(entry.metadata.expires_at),
            )
            for key, entry in (await self._entries.get_many(keys)).items()
        }  # fmt: skip

    async def write(self, items: dict[str, Item]) -> None:
        await self._entries.set_many(
            [
                (key, item.value, {} if item.expires_at is None
                 else {"expires_at": instant(item.expires_at)})
                for key, item in items.items()
            ],
            comment="imported",
        )  # fmt: skip


class _Documents(_Target):
    def __init__(self, collection: Documents) -> None:
        self._collection = collection

    def key(self, item: Item) -> str:
        if item.table or item.expires_at is not None:
            raise InvalidInput(
                f"documents of one table that stay were wanted; found {item.shown} "
                + (f"of the table {item.table!r}: name one table (table=, --table)" if item.table
                   else "that expires: import into entries, which keep that")
            )  # fmt: skip
        return _name(item)

    async def there(self, keys: list[str]) -> dict[str, tuple[Any, int | None]]:
        found = await self._collection.get_many(keys)
        return {key: (value, None) for key, value in found.items()}

    async def write(self, items: dict[str, Item]) -> None:
        documents = {key: item.value for key, item in items.items()}
        await self._collection.set_many(documents, comment="imported")


async def _run(
    source: Source,
    target: _Target,
    verify: bool,
    progress: Callable[[int], object] | None,
    clock: Clock,
) -> Imported:
    look = source.look()
    read = lasting = written = 0
    for batch in _batches(source, target):
        wanted = {
            key: item
            for key, item in (await _different(target, batch)).items()
            if not _ends(item, clock)
        }
        if wanted:
            await target.write(wanted)
        read += len(batch)
        lasting += _lasting(batch)
        written += len(wanted)
        if progress is not None:
            progress(read)
    if verify:
        await _verify(source, target, lasting, clock)
    if source.look() != look:
        raise _changed(source, "its files are not what they were")
    return Imported(source.kind, read, written, verify)


async def _verify(source: Source, target: _Target, lasting: int, clock: Clock) -> None:
    again = 0
    for batch in _batches(source, target):
        again += _lasting(batch)
        for item in (await _different(target, batch)).values():
            if not _ends(item, clock):
                raise _changed(source, f"the key {item.shown} reads otherwise now")
    if again != lasting:
        raise _changed(source, f"{lasting:,} items that stay were read first, and {again:,} then")


def _lasting(batch: dict[str, Item]) -> int:
    """How many items do not go by themselves."""
    return sum(item.expires_at is None for item in batch.values())


def _ends(item: Item, clock: Clock) -> bool:
    """Whether an item has expired, or may have before anybody looks."""
    return item.expires_at is not None and item.expires_at <= clock.now_ms() + EXPIRY_SLACK_MS


async def _different(target: _Target, batch: dict[str, Item]) -> dict[str, Item]:
    """The items that are not there as they should be."""
    there = await target.there(list(batch))
    return {key: item for key, item in batch.items() if not _same(item, there.get(key))}


def _same(item: Item, there: tuple[Any, int | None] | None) -> bool:
    if there is None:
        return False
    value, expires_at = there
    if (expires_at is None) != (item.expires_at is None):
        return False
    if (
        expires_at is not None
        and item.expires_at is not None
        and abs(expires_at - item.expires_at) > EXPIRY_SLACK_MS
    ):
        return False
    # Equal for Python is not enough: 1 == True.
    return _encode(value) == _encode(item.value)


def _batches(source: Source, target: _Target) -> Iterator[dict[str, Item]]:
    batch: dict[str, Item] = {}
    weight = 0
    for item in source.items():
        key = target.key(item)
        before = batch.get(key)
        if before is not None and before.key != item.key:
            raise InvalidKey(
                f"two keys of the source are {item.shown} as text. Rename one of them there",
                key=item.shown,
            )
        batch[key] = item
        weight += len(item.value) if isinstance(item.value, bytes | str) else item.size
        if len(batch) >= BATCH_ITEMS or weight >= BATCH_BYTES:
            yield batch
            batch, weight = {}, 0
    if batch:
        yield batch


def _name(item: Item) -> str:
    if isinstance(item.key, str):
        return item.key
    try:
        return item.key.decode()
    except UnicodeDecodeError:
        raise InvalidKey(
            f"keys of entries and documents are text in UTF-8; found {item.shown}. Import into a "
            "store, whose keys are bytes",
            key=item.shown,
        ) from None


def _changed(source: Source, what: str) -> IntegrityFailed:
    return IntegrityFailed(
        f"the {source.kind} source changed while it was imported: {what}; or two of its keys are "
        "one as text. Stop who writes there, and do it again: what is there already is left alone"
    )
