"""Stores within stores: a part of one seen as a store, and one store under a prefix of another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec.structs import replace

from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict, InvalidInput, InvalidKey, Unsupported
from holdfast.contract.record import Range, after_prefix
from holdfast.store.feed_row import NO_CONTEXT, WriteContext
from holdfast.store.space import Writer, commit
from holdfast.stores.content import (
    WRITE_ATTEMPTS,
    Bounds,
    Content,
    Moved,
    Pair,
    Prepared,
    Wish,
    Written,
    moving,
    told_revision,
)
from holdfast.stores.limits import KEY_BYTES_MAX
from holdfast.stores.verbs import Verbs

Page = tuple[list[tuple[bytes, bytes, int]], Range | None]

_NO_MOUNTS: Final[Mapping[bytes, Verbs]] = MappingProxyType({})


class PrefixContent(Content):
    """The keys of a store that begin with a prefix, without it.

    Args:
        inner: the store.
        prefix: what the keys begin with.
    """

    def __init__(self, inner: Content, prefix: bytes) -> None:
        self.space = inner.space
        self._inner = inner
        self._prefix = prefix

    def on(self, engine: Engine) -> PrefixContent:
        return PrefixContent(self._inner.on(engine), self._prefix)

    async def value(self, key: bytes) -> bytes | None:
        return await self._inner.value(self._whole(key))

    async def has(self, key: bytes) -> bool:
        return await self._inner.has(self._whole(key))

    async def length(self, key: bytes) -> int | None:
        return await self._inner.length(self._whole(key))

    async def part(self, key: bytes, offset: int, length: int | None) -> bytes | None:
        return await self._inner.part(self._whole(key), offset, length)

    async def walk(self, bounds: Bounds) -> AsyncIterator[Pair]:
        skip = len(self._prefix)
        async for key, value in self._inner.walk(self._bounds(bounds)):
            yield key[skip:], value

    async def walk_keys(self, bounds: Bounds) -> AsyncIterator[bytes]:
        skip = len(self._prefix)
        async for key in self._inner.walk_keys(self._bounds(bounds)):
            yield key[skip:]

    async def page(self, range: Range) -> Page:
        raise Unsupported("changes are told by the store itself; watch that one")

    async def count(self, bounds: Bounds) -> int:
        return await self._inner.count(self._bounds(bounds))

    async def prepared(self, wishes: Sequence[Wish]) -> Prepared:
        return await self._inner.prepared(
            [replace(wish, key=self._whole(wish.key)) for wish in wishes]
        )

    def _whole(self, key: bytes) -> bytes:
        whole = self._prefix + key
        if len(whole) > KEY_BYTES_MAX:
            raise InvalidKey(
                f"a key of a store has at most {KEY_BYTES_MAX} bytes with its prefix; found "
                f"{len(whole)}",
                limit=KEY_BYTES_MAX,
                found=len(whole),
            )
        return whole

    def _bounds(self, bounds: Bounds) -> Bounds:
        end = after_prefix(self._prefix) if bounds.end is None else self._prefix + bounds.end
        return bounds._replace(start=self._prefix + (bounds.start or b""), end=end)


class _Part(NamedTuple):
    """A part of a mounted store: which content has it, and what its keys begin with."""

    content: Content
    prefix: bytes
    bounds: Bounds


class MountedContent(Content):
    """A store with others under prefixes of its keys. What it has there itself is hidden.

    Args:
        base: the store.
        mounts: prefixes, none of which begins with another, and what stands there.
    """

    def __init__(self, base: Content, mounts: dict[bytes, Content]) -> None:
        self.space = base.space
        self.base = base
        self.mounts = dict(sorted(mounts.items()))

    def on(self, engine: Engine) -> MountedContent:
        mounts = {prefix: content.on(engine) for prefix, content in self.mounts.items()}
        return MountedContent(self.base.on(engine), mounts)

    async def value(self, key: bytes) -> bytes | None:
        content, rest = self._of(key)
        return await content.value(rest)

    async def has(self, key: bytes) -> bool:
        content, rest = self._of(key)
        return await content.has(rest)

    async def length(self, key: bytes) -> int | None:
        content, rest = self._of(key)
        return await content.length(rest)

    async def part(self, key: bytes, offset: int, length: int | None) -> bytes | None:
        content, rest = self._of(key)
        return await content.part(rest, offset, length)

    async def walk(self, bounds: Bounds) -> AsyncIterator[Pair]:
        left = bounds.limit
        for part in self._parts(bounds):
            async for key, value in part.content.walk(part.bounds._replace(limit=left)):
                yield part.prefix + key, value
                if left is not None:
                    left -= 1
            if left is not None and left <= 0:
                return

    async def walk_keys(self, bounds: Bounds) -> AsyncIterator[bytes]:
        left = bounds.limit
        for part in self._parts(bounds):
            if left is not None and left <= 0:
                return
            async for key in part.content.walk_keys(part.bounds._replace(limit=left)):
                yield part.prefix + key
                if left is not None:
                    left -= 1

    async def page(self, range: Range) -> Page:
        raise Unsupported("changes are told by the stores themselves; watch those")

    async def count(self, bounds: Bounds) -> int:
        return sum([await part.content.count(part.bounds) for part in self._parts(bounds)])

    async def prepared(self, wishes: Sequence[Wish]) -> Prepared:
        raise Unsupported("a write into several stores has several parts")

    async def write(self, wishes: Sequence[Wish], context: WriteContext = NO_CONTEXT) -> Written:
        by_content: dict[int, tuple[Content, list[tuple[int, Wish]]]] = {}
        for place, wish in enumerate(wishes):
            content, rest = self._of(wish.key)
            by_content.setdefault(id(content), (content, []))[1].append(
                (place, replace(wish, key=rest))
            )
        for _ in range(WRITE_ATTEMPTS):
            parts = [
                (content, placed, await content.prepared([wish for _, wish in placed]))
                for content, placed in by_content.values()
            ]
            writers = [
                Writer(content.space, prepared.keys, prepared.write)
                for content, _, prepared in parts
            ]
            try:
                receipt = await commit(writers, context)
            except Moved:
                continue
            existed = [False] * len(wishes)
            for _, placed, prepared in parts:
                for (place, _), there in zip(placed, prepared.existed, strict=True):
                    existed[place] = there
            return Written(told_revision(receipt.revision), tuple(existed))
        raise moving()

    def _of(self, key: bytes) -> tuple[Content, bytes]:
        """Which content has a key, and the key there."""
        for prefix, content in self.mounts.items():
            if key.startswith(prefix):
                rest = key[len(prefix) :]
                if not rest:
                    raise InvalidKey(
                        "the key is the prefix under which another store is mounted; a key of that "
                        "store has at least one byte more"
                    )
                return content, rest
        return self.base, key

    def _parts(self, bounds: Bounds) -> Iterator[_Part]:
        """The parts of the key space in the order of the walk."""
        parts = [part for part in self._all_parts(bounds) if not _is_empty(part.bounds)]
        return iter(reversed(parts) if bounds.reverse else parts)

    def _all_parts(self, bounds: Bounds) -> Iterator[_Part]:
        start = bounds.start
        for prefix, content in self.mounts.items():
            behind = after_prefix(prefix)
            yield _Part(
                self.base, b"", bounds._replace(start=start, end=_least(bounds.end, prefix))
            )
            inside = _inside(bounds, prefix, behind)
            if inside is not None:
                yield _Part(content, prefix, inside)
            if behind is None:
                return
            start = behind if start is None else max(start, behind)
        yield _Part(self.base, b"", bounds._replace(start=start))


def _inside(bounds: Bounds, prefix: bytes, behind: bytes | None) -> Bounds | None:
    """Bounds as they are under a prefix; None when they do not touch it."""
    start, end = bounds.start, bounds.end
    if (start is not None and behind is not None and start >= behind) or (
        end is not None and end <= prefix
    ):
        return None
    skip = len(prefix)
    return bounds._replace(
        start=start[skip:] or None if start is not None and start > prefix else None,
        end=end[skip:] if end is not None and end.startswith(prefix) else None,
    )


def _least(end: bytes | None, other: bytes) -> bytes:
    return other if end is None else min(end, other)


def _is_empty(bounds: Bounds) -> bool:
    return bounds.end is not None and bounds.end <= (bounds.start or b"")


class MountedStore(Verbs):
    """A part of a store, or a store with others under prefixes; made by `under` and `mount`.

    It has the verbs of a store for keys and values; versions and transactions are those of the
    stores themselves. A write that concerns several stores is one commit.
    """

    def __init__(
        self, owner: Verbs, prefix: bytes = b"", mounts: Mapping[bytes, Verbs] = _NO_MOUNTS
    ) -> None:
        self._owner = owner
        self._prefix = prefix
        self._mounts = mounts
        super().__init__(self._now(), owner.config, owner._home)  # noqa: SLF001 - ours

    def __repr__(self) -> str:
        return f"<MountedStore {self.name!r}>"

    def mount(self, prefix: bytes, store: Verbs) -> MountedStore:
        """The same with one more store under a prefix; see `Store.mount`."""
        return mounted(self, prefix, store)

    # --- Inside -----------------------------------------------------------------------------

    @property
    def _stores(self) -> list[Verbs]:
        return [self._owner, *self._mounts.values()]

    def _now(self) -> Content:
        """What stands there, of the stores as they are now. Raises when one of them is closed."""
        content = self._owner._open()  # noqa: SLF001 - ours
        if self._prefix:
            return PrefixContent(content, self._prefix)
        mounts = {prefix: store._open() for prefix, store in self._mounts.items()}  # noqa: SLF001 - ours
        return MountedContent(content, mounts)

    def _open(self) -> Content:
        return self._now()

    async def _renew(self, conflict: Conflict) -> bool:
        return any([await store._renew(conflict) for store in self._stores])  # noqa: SLF001 - ours


def mounted(owner: Verbs, prefix: bytes, store: Verbs) -> MountedStore:
    """A store with another one under a prefix of its keys.

    Raises:
        InvalidInput: the prefix is empty, or another mount stands in its way.
        Unsupported: the stores are not of one database, or not of one transaction.
    """
    _require_prefix(prefix)
    if not isinstance(store, Verbs):
        raise InvalidInput(f"a store is mounted; found a {type(store).__name__}")
    mounts: Mapping[bytes, Verbs] = {}
    if isinstance(owner, MountedStore) and not owner._prefix:  # noqa: SLF001 - ours
        mounts = owner._mounts  # noqa: SLF001 - ours
        owner = owner._owner  # noqa: SLF001 - ours
    here, there = owner._open(), store._open()  # noqa: SLF001 - ours
    if there.space.engine is not here.space.engine:
        raise Unsupported("stores are mounted into stores of the same database and transaction")
    for other in mounts:
        if other.startswith(prefix) or prefix.startswith(other):
            raise InvalidInput(
                f"a store is mounted under {other!r}, so none can be under {prefix!r}; mount it "
                "into that store instead"
            )
    if isinstance(there, MountedContent):
        raise InvalidInput("a store with mounts cannot be mounted; mount its stores one by one")
    return MountedStore(owner, mounts={**mounts, prefix: store})


def part_of(owner: Verbs, prefix: bytes) -> MountedStore:
    """The keys of a store that begin with a prefix, as a store. Raises InvalidInput."""
    _require_prefix(prefix)
    return MountedStore(owner, prefix)


def _require_prefix(prefix: object) -> None:
    if type(prefix) is not bytes or not prefix:
        raise InvalidInput(f"a prefix is bytes, at least one; found {prefix!r}")
