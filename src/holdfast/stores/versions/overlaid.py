"""Walking a store with a tree: its saved version and its unsaved changes, merged by key.

One page is of one moment, as it is with every store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Protocol, TypeVar

from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict, IntegrityFailed, VersionNotFound
from holdfast.contract.record import Page, Range, after_prefix
from holdfast.store.snapshot import SnapshotEngine
from holdfast.store.space import Space
from holdfast.stores.content import Bounds, Pair
from holdfast.stores.iavl import walking
from holdfast.stores.iavl.loading import NodeStore
from holdfast.stores.iavl.nodes import Link, Node
from holdfast.stores.versions.state import State, state_of

T = TypeVar("T")

#: How many pairs a page has at most.
PAGE_PAIRS: Final = 1_000
ATTEMPTS: Final = 16


class Overlaid(Protocol):
    """A saved version with unsaved rows over it; see `trees.TreeContent`."""

    space: Space
    data: bytes
    state_key: bytes

    @property
    def nodes(self) -> NodeStore: ...
    async def state(self) -> State: ...
    async def asked(self, question: Callable[[], T]) -> T: ...
    def root(self, state: State) -> Link | None: ...
    def value_of(self, stored: bytes) -> bytes | None: ...


async def overlaid_page(content: Overlaid, bounds: Bounds) -> tuple[list[Pair], Bounds | None]:
    """The first pairs within bounds, and the bounds of the rest; None: there is no rest."""
    if bounds.start is not None and bounds.end is not None and bounds.start >= bounds.end:
        return [], None
    engine = content.space.engine
    for attempt in range(ATTEMPTS):
        if engine.capabilities.snapshots:
            with await engine.snapshot() as moment:
                state, page = await _read(content, SnapshotEngine(engine, moment), bounds)
        else:
            state, page = await _read(content, engine, bounds)
        try:
            found = await content.asked(lambda: _merged(content, bounds, state, page))  # noqa: B023 - runs now
        except (IntegrityFailed, VersionNotFound):
            if attempt < ATTEMPTS - 1 and await content.state() != state:
                continue  # Pruned or rolled back, because another version is below by now.
            raise
        if engine.capabilities.snapshots or await content.state() == state:
            return found
    raise Conflict("versions of the store were saved or loaded during each read; try again")


async def _read(content: Overlaid, engine: Engine, bounds: Bounds) -> tuple[State, Page]:
    """The state, and the unsaved rows of a page, of one moment."""
    [record] = await engine.read((content.state_key,))
    end = after_prefix(content.data) if bounds.end is None else content.data + bounds.end
    limit = None if bounds.limit is None else max(bounds.limit, 1)
    range = Range(content.data + (bounds.start or b""), end, bounds.reverse, limit)
    return state_of(record), await engine.scan(range)


def _merged(
    content: Overlaid, bounds: Bounds, state: State, page: Page
) -> tuple[list[Pair], Bounds | None]:
    """Unsaved rows over saved pairs, as far as the page of unsaved rows speaks for."""
    skip = len(content.data)
    unsaved = [(key[skip:], record.value) for key, record in page.rows]
    # Behind the last row of a page that goes on there may be more unsaved ones.
    covered = bounds
    if page.resume is not None and unsaved:
        last = unsaved[-1][0]
        covered = (
            bounds._replace(start=last) if bounds.reverse else bounds._replace(end=last + b"\0")
        )
    wanted = PAGE_PAIRS if bounds.limit is None else min(bounds.limit, PAGE_PAIRS)
    saved = walking.leaves(
        content.nodes, content.root(state), covered.start, covered.end, reverse=bounds.reverse
    )
    pairs: list[Pair] = []
    full = False
    for key, value in _by_key(content, unsaved, saved, reverse=bounds.reverse):
        if len(pairs) == wanted:
            full = True
            break
        pairs.append((key, value))
    if full:
        return pairs, _behind(bounds, pairs[-1][0])
    if page.resume is not None and unsaved:
        return pairs, _behind(bounds, unsaved[-1][0])
    return pairs, None


def _by_key(
    content: Overlaid,
    unsaved: list[tuple[bytes, bytes]],
    saved: Iterator[Node],
    *,
    reverse: bool,
) -> Iterator[Pair]:
    leaf = next(saved, None)
    for key, stored in unsaved:
        while leaf is not None and (leaf.key > key if reverse else leaf.key < key):
            assert leaf.value is not None  # a leaf has one
            yield leaf.key, leaf.value
            leaf = next(saved, None)
        if leaf is not None and leaf.key == key:
            leaf = next(saved, None)
        value = content.value_of(stored)
        if value is not None:
            yield key, value
    while leaf is not None:
        assert leaf.value is not None  # a leaf has one
        yield leaf.key, leaf.value
        leaf = next(saved, None)


def _behind(bounds: Bounds, key: bytes) -> Bounds:
    """What is left of bounds once the walk has passed a key."""
    return bounds._replace(end=key) if bounds.reverse else bounds._replace(start=key + b"\0")
