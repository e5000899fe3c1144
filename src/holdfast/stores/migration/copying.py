"""Copying older data into a store: in batches, verified, and resumed by doing it again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Final

from msgspec import Struct

from holdfast.contract.errors import IntegrityFailed
from holdfast.stores.content import Pair
from holdfast.stores.store import Store

#: How many pairs one commit writes.
BATCH_PAIRS: Final = 500
#: About how many bytes; a single pair may have more.
BATCH_BYTES: Final = 8 * 1024 * 1024


class Migrated(Struct, frozen=True):
    """What a copy did.

    Attributes:
        pairs: how many there are in the source.
        written: how many were not there yet, or different.
        digest: SHA-256 over all pairs in the order of their keys; empty when not verified.
    """

    pairs: int
    written: int
    digest: str = ""


async def migrate(
    source: Mapping[bytes, bytes] | Callable[[], Iterable[Pair]],
    store: Store,
    *,
    verify: bool = True,
    progress: Callable[[int], object] | None = None,
) -> Migrated:
    """Copy every pair of a source into a store.

    What is there already is left alone, so a copy that was broken off is done again, and completes.

    Args:
        source: a mapping such as a `dbm` file, or a function that gives the pairs, each time anew.
        store: where to.
        verify: read both sides again, and compare.
        progress: called now and then with how many pairs were looked at.

    Raises:
        IntegrityFailed: the sides differ, because one of them changed meanwhile.
    """
    pairs = written = 0
    rest = _pairs(source)
    while part := _part(rest):
        wanted = {key: value for key, value in part.items() if await store.get(key, None) != value}
        if wanted:
            await store.set_many(wanted, comment="migrated")
        pairs += len(part)
        written += len(wanted)
        if progress is not None:
            progress(pairs)
    if not verify:
        return Migrated(pairs, written)
    again = differing = 0
    rest = _pairs(source)
    while part := _part(rest):
        again += len(part)
        differing += sum([await store.get(key, None) != value for key, value in part.items()])
    # In the order of the store, as a source may have another: neither is held in memory.
    ours = sha256()
    held = 0
    async for key, value in store.iterate():
        held += 1
        _add(ours.update, key, value)
    if differing or not pairs == again == held:
        raise IntegrityFailed(
            f"the store {store.name!r} does not hold what its source does: one of them changed "
            "meanwhile, or the store held other keys before. Do it again into an empty store"
        )
    return Migrated(pairs, written, ours.hexdigest())


def _part(rest: Iterator[Pair]) -> dict[bytes, bytes]:
    part: dict[bytes, bytes] = {}
    weight = 0
    for key, value in rest:
        part[key] = value
        weight += len(key) + len(value)
        if len(part) >= BATCH_PAIRS or weight >= BATCH_BYTES:
            break
    return part


def _pairs(source: Mapping[bytes, bytes] | Callable[[], Iterable[Pair]]) -> Iterator[Pair]:
    if callable(source):
        yield from source()
        return
    for key in source:
        yield key, source[key]


def _add(update: Callable[[bytes], None], key: bytes, value: bytes) -> None:
    for part in (key, value):
        update(len(part).to_bytes(8, "big"))
        update(part)
