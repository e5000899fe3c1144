"""Big values: the chunks they stand in, read and written where that does not hold up a loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

from holdfast.codecs import envelope
from holdfast.codecs.text import StoreKey
from holdfast.contract.batch import Decide, Receipt
from holdfast.contract.capability import Io
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict, IntegrityFailed, StoreError
from holdfast.runtime.drive import drive
from holdfast.store.transaction import TransactionEngine
from holdfast.store.versions.chunks import Values
from holdfast.store.versions.entry import Entry
from holdfast.store.versions.rows import Rows

#: How often a big value is read again that was replaced meanwhile.
READS_MAX = 64
#: How many chunks of a big value are read at once.
CHUNKS_READ_MAX = 64
#: A value of more chunks is read away from the loop.
_CHUNKS_INLINE_MAX = 8


class BigValues:
    """The big values of a keyspace, as one engine or one view of it shows them.

    Args:
        engine: where they stand.
        rows: under which keys.
        values: runs what takes long.
        entry: the entry of a key, stored bytes and their revision.
        expired: whether stored bytes are of an entry that has run out.
    """

    def __init__(
        self,
        engine: Engine,
        rows: Rows,
        values: Values,
        entry: Callable[[StoreKey | str | bytes, bytes, int], Entry[Any]],
        expired: Callable[[bytes], bool],
    ) -> None:
        self._engine = engine
        self._read = engine.read
        self._rows = rows
        self._apart = values.apart
        self._entry = entry
        self._expired = expired

    async def current(self, entry: Entry[Any]) -> Entry[Any] | None:
        """A living entry with the chunks of its big value read.

        Its chunks may go between the two reads, where its past is not kept: then another version
        stands there, or none, and that is what is returned.
        """
        for _ in repeat(None, READS_MAX):
            try:
                return await self.complete(entry)
            except IntegrityFailed:
                [record] = await self._read((self._rows.data_key(str(entry.key)),))
                if record is not None and record.value == entry.stored:
                    raise  # It stands there and its chunks do not: they are missing.
            if record is None or self._expired(record.value):
                return None
            entry = self._entry(entry.key, *record)
        raise Conflict(
            f"the big value of {str(entry.key)!r} was replaced {READS_MAX} times while it "
            "was being read; try again, or read it from a snapshot",
            key=str(entry.key),
        )

    async def complete(self, entry: Entry[Any]) -> Entry[Any]:
        """The entry with the chunks of a big value read. Raises IntegrityFailed."""
        if entry.stored[1] & envelope.BLOB:
            try:
                entry.attach(await self.chunks(entry.stored))
            except StoreError as error:
                error.within(key=str(entry.key))
                raise
        return entry

    async def chunks(self, stored: bytes) -> list[bytes]:
        """The chunks that stored bytes refer to. Raises IntegrityFailed."""
        keys = self._rows.blob_keys(stored)
        if len(keys) > _CHUNKS_INLINE_MAX and not self._stays_here():
            return await self._apart(lambda: drive(self._chunks(keys)))
        return await self._chunks(keys)

    async def transact(self, keys: Sequence[bytes], make: Decide) -> Receipt:
        """Commit away from the loop what may write a big value.

        An engine that need not flush commits where it is asked to, and cannot see beforehand how
        much a decision will write.
        """
        engine = self._engine
        if self._stays_here():
            return await engine.transact(keys, make)  # Nothing is written here and now.
        return await self._apart(lambda: drive(engine.transact(keys, make)))

    # --- Inside -----------------------------------------------------------------------------

    def _stays_here(self) -> bool:
        """Whether the engine has to be used where the caller is: a server's, a transaction's."""
        engine = self._engine
        return isinstance(engine, TransactionEngine) or engine.capabilities.io is Io.REMOTE

    async def _chunks(self, keys: list[bytes]) -> list[bytes]:
        chunks: list[bytes] = []
        for start in range(0, len(keys), CHUNKS_READ_MAX):
            for record in await self._read(keys[start : start + CHUNKS_READ_MAX]):
                if record is None:
                    raise IntegrityFailed(
                        "a chunk of a big value is missing; run `holdfast check` on the database"
                    )
                chunks.append(record.value)
        return chunks
