"""What versions of a store are, whatever its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple, NoReturn

from msgspec import Struct

from holdfast.contract.engine import Engine
from holdfast.contract.errors import Unsupported, VersionNotFound
from holdfast.store.snapshot import SnapshotEngine
from holdfast.store.views import Report


class SavedVersion(Struct, frozen=True):
    """A saved version.

    Attributes:
        number: of the version.
        root: the root hash of what stood there, 32 bytes.
    """

    number: int
    root: bytes


class KeyChange(NamedTuple):
    """A key that differs between two versions.

    Attributes:
        key: which.
        before, after: its values; None where the key is absent. Of a plain store, whose versions
            keep no values, their SHA-256 digests.
    """

    key: bytes
    before: bytes | None
    after: bytes | None


class Moment(NamedTuple):
    """A state of the database that is read from.

    Attributes:
        engine: of that state; of the newest one, where the engine keeps no moments.
        revision: of the last commit that it is known to contain.
        fixed: whether nothing later shows in it.
    """

    engine: Engine
    revision: int
    fixed: bool


@asynccontextmanager
async def moment_of(engine: Engine) -> AsyncIterator[Moment]:
    """The present moment of an engine, held until the block ends."""
    if not engine.capabilities.snapshots:
        yield Moment(engine, await engine.head(), False)
        return
    with await engine.snapshot() as snapshot:
        yield Moment(SnapshotEngine(engine, snapshot), snapshot.revision, True)


class Versions(ABC):
    """The saved versions of one store."""

    @abstractmethod
    async def save(self) -> SavedVersion:
        """Save what stands in the store as the next version."""

    @abstractmethod
    async def numbers(self) -> list[int]:
        """The numbers of all saved versions, ascending."""

    @abstractmethod
    async def current(self) -> int:
        """The version that unsaved changes stand on; 0 when none is saved."""

    @abstractmethod
    async def root(self, version: int | None) -> SavedVersion:
        """A saved version with its root; the current one for None. Raises VersionNotFound."""

    @abstractmethod
    async def content_root(self, version: int | None) -> bytes:
        """The history-independent root of a saved version."""

    @abstractmethod
    def diff(self, before: int, after: int) -> AsyncIterator[KeyChange]:
        """The keys that differ between two versions, in order."""

    @abstractmethod
    async def prove(self, key: bytes, version: int | None) -> bytes:
        """The proof of a key's value, or of its absence, below the root of a version."""

    @abstractmethod
    async def verify(self, version: int | None) -> int:
        """Read versions whole, or all; how many nodes there are. Raises IntegrityFailed."""

    @abstractmethod
    async def prune(self, to: int) -> int:
        """Drop the versions up to and with `to`; how many went."""

    @abstractmethod
    async def check(self, moment: Engine, report: Report) -> None:
        """Report what is wrong with versions, and whether they agree with what stands there."""

    async def load(self, version: int) -> SavedVersion:
        """Make a saved version what stands in the store."""
        _refuse_values(version)

    async def rollback(self, version: int) -> SavedVersion:
        """Drop all versions after this one, and unsaved changes."""
        _refuse_values(version)

    async def build_index(self) -> int:
        """Make the fast index of the latest version anew; how many rows it has."""
        raise _refuse_index()

    async def drop_index(self) -> int:
        """Remove the fast index; how many rows it had."""
        raise _refuse_index()


def not_found(version: int, versions: list[int]) -> VersionNotFound:
    """The error that tells which versions there are."""
    there = "no version is" if not versions else f"versions {versions[0]} to {versions[-1]} are"
    return VersionNotFound(
        f"version {version} is not there: {there} saved",
        version=version,
        first=versions[0] if versions else 0,
        latest=versions[-1] if versions else 0,
    )


def _refuse_index() -> Unsupported:
    return Unsupported(
        "a plain store has one row for each value anyway; a fast index is for a store of kind "
        "'iavl'"
    )


def _refuse_values(version: int) -> NoReturn:
    raise Unsupported(
        f"the versions of a plain store keep roots and proofs, not values, so that {version} "
        "cannot be brought back. Create the store with kind='iavl'"
    )
