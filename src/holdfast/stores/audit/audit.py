"""`Audit`: the feed of a database as a log that proves itself (RFC 6962).

    head = await db.audit.seal()            # every change up to now is under one hash
    receipt = await db.audit.receipt(17)    # the first change of revision 17 is below it
    proof = await db.audit.consistency(120) # the first 120 changes are what they were

Sealing reads the changes since it was last done. Whoever keeps a head, or got a receipt, notices
later whether a change was altered, removed or put in between. What was not sealed yet is not
protected, so seal as often as that matters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from msgspec import Struct

from holdfast.contract.batch import Draft
from holdfast.contract.engine import Engine
from holdfast.contract.errors import (
    Conflict,
    IntegrityFailed,
    InvalidInput,
    KeyNotFound,
    ReadOnly,
)
from holdfast.contract.record import Range, Record, after_prefix
from holdfast.runtime.drive import drive
from holdfast.runtime.gate import Gate
from holdfast.store import layout
from holdfast.store.feed.feed import Feed
from holdfast.stores.audit.places import (
    PLACE_BYTES,
    SEALED,
    Place,
    Places,
    feed_key,
    read_sealed,
)
from holdfast.stores.audit.receipts import Consistency, Receipt
from holdfast.stores.audit.verifying import Finding, first_fault
from holdfast.stores.merkle.log import HEAD, FeedLog
from holdfast.stores.merkle.signing import Ed25519Signer, SignedHead
from holdfast.stores.versions.base import moment_of
from holdfast.stores.versions.rows import PrefixRows

T = TypeVar("T")

#: How many changes one commit seals at most.
SEAL_ROWS: Final = 4_000
_ATTEMPTS: Final = 64


class Head(Struct, frozen=True):
    """The hash over all sealed changes.

    Attributes:
        size: how many changes it is over.
        root: the hash, 32 bytes.
        revision: of the last commit that is sealed.
    """

    size: int
    root: bytes
    revision: int


class Audit:
    """The feed as a log that proves itself; made by `db.audit`.

    Args:
        engine: the database.
        feed: its changes.
        gate: of the handle.
    """

    def __init__(self, engine: Engine, feed: Feed, gate: Gate) -> None:
        self._engine = engine
        self._feed = feed
        self._gate = gate

    async def seal(self) -> Head:
        """Put every change up to now under the hash.

        Changes that retention gave up before anybody sealed them are left out, and `verify` says
        how often that happened.

        Raises:
            ReadOnly: the handle was opened for reading.
            Conflict: others sealed all the time.
        """
        self._gate.check()
        if not self._engine.capabilities.writable:
            raise ReadOnly("sealing writes the hashes; this handle was opened for reading only")
        goal = await self._engine.head()
        for _ in range(_ATTEMPTS):
            try:
                while not await self._seal_part(goal):
                    pass
            except _Raced:
                continue
            return await self.head()
        raise Conflict("others sealed the feed all the time; try again later")

    async def head(self) -> Head:
        """The hash over all changes that are sealed."""
        log, places = await self._opened()
        return Head(log.head.size, log.head.root, places.sealed.revision)

    async def sign(self, signer: Ed25519Signer) -> SignedHead:
        """The present head with a signature of size and hash (Ed25519).

        Raises:
            DriverMissing: the package cryptography is not installed.
        """
        head = await self.head()
        return signer.sign(head.size, head.root)

    async def receipt(self, revision: int, index: int = 0) -> Receipt:
        """The proof that a change is below the present head.

        Args:
            revision: of its commit.
            index: its place among the changes of the commit.

        Raises:
            KeyNotFound: there is no such change, it is not sealed, or it was given up.
        """
        if type(revision) is not int or type(index) is not int or revision < 1 or index < 0:
            raise InvalidInput(
                f"a change has a revision from 1 and an index from 0; found {revision!r}, {index!r}"
            )
        packed = Place(revision, index).packed
        log, places = await self._opened()
        number = await self._asked(lambda: places.find(packed))
        [record] = await self._engine.read((feed_key(packed),))
        if number is None or record is None:
            what = "there, or was given up" if number is not None else "sealed; `seal` does it"
            raise KeyNotFound(f"change {index} of revision {revision} is not {what}", key=packed)
        path = await self._asked(lambda: log.prove_inclusion(number))
        return Receipt(
            revision, index, packed + record.value, number, log.head.size, log.head.root,
            tuple(path),
        )  # fmt: skip

    async def consistency(self, old_size: int, size: int | None = None) -> Consistency:
        """The proof that the first `old_size` changes are the beginning of those under a hash.

        Args:
            old_size: how many changes an earlier head was over.
            size: that of a later head; left out, of the present one.

        Raises:
            InvalidInput: so many changes are not sealed.
        """
        log, _ = await self._opened()

        def prove() -> Consistency:
            wanted = log.head.size if size is None else size
            path = log.prove_consistency(old_size, wanted)
            return Consistency(old_size, wanted, log.root(old_size), log.root(wanted), tuple(path))

        return await self._asked(prove)

    async def verify(self, known: Head | SignedHead | None = None) -> Finding:
        """Compare every change that is still there with what was sealed.

        Args:
            known: a head that was kept elsewhere: what is sealed now has to begin with it. Without
                one, somebody who rewrites feed and hashes together is not found out.

        Raises:
            IntegrityFailed: the hashes themselves are damaged, or are not those of `known`.
        """
        self._gate.check()
        async with moment_of(self._engine) as moment:
            engine = moment.engine
            oldest = await Feed(engine).oldest()
            runtime = self._engine.components.host.runtime()
            log, places = await runtime.offload(lambda: _open(engine))
            if known is not None:
                await runtime.offload(lambda: _require_known(log, known))
            return await runtime.offload(lambda: first_fault(engine, log, places, oldest))

    # --- Inside -----------------------------------------------------------------------------

    async def _seal_part(self, goal: int) -> bool:
        """Seal some more changes; whether all up to the goal are."""
        keys = (layout.SYSTEM_AUDIT + HEAD, layout.SYSTEM_AUDIT + SEALED)
        seen = await self._engine.read(keys)
        log, places = await self._opened()
        after = places.sealed.revision
        if after >= goal:
            return True
        oldest = await self._feed.oldest()
        page = await self._engine.scan(
            Range(
                layout.FEED + (after + 1).to_bytes(8, "big"),
                after_prefix(layout.FEED + goal.to_bytes(8, "big")),
                limit=SEAL_ROWS,
            )
        )
        changes = [
            (key[1 : 1 + PLACE_BYTES], record.value)
            for key, record in page.rows
            if int.from_bytes(key[1:9], "big") >= oldest
        ]
        last = goal
        if page.resume is not None:
            # The last commit may go on behind the page: it comes with the next one, whole.
            last = Place.of(changes[-1][0]).revision - 1 if changes else oldest - 1
            whole = [one for one in changes if Place.of(one[0]).revision <= last]
            if not whole and changes:
                whole, last = await self._one_commit(Place.of(changes[0][0]).revision)
            changes = whole
        skipped = int(oldest > after + 1 and oldest > 1)
        if not changes and not skipped and last >= goal:
            return True  # Nothing has changed, so nothing is written.
        head, batch = log.append([packed + row for packed, row in changes])
        _, puts = places.extended([packed for packed, _ in changes], last, skipped)

        def decide(records: list[Record | None], _revision: int) -> Draft:
            if [_revision_of(one) for one in records] != [_revision_of(one) for one in seen]:
                raise _Raced
            draft = Draft()
            for key, value in (*batch.puts, *puts):
                draft.rows[layout.SYSTEM_AUDIT + key] = value
            return draft

        await self._engine.transact(keys, decide)
        assert head.size == places.sealed.size + len(changes)
        return last >= goal

    async def _one_commit(self, revision: int) -> tuple[list[tuple[bytes, bytes]], int]:
        """All changes of one commit, which is bigger than a part."""
        rows: list[tuple[bytes, bytes]] = []
        rest: Range | None = Range.prefix(layout.FEED + revision.to_bytes(8, "big"))
        while rest is not None:
            page = await self._engine.scan(rest)
            rows += [(key[1 : 1 + PLACE_BYTES], record.value) for key, record in page.rows]
            rest = page.resume
        return rows, revision

    async def _opened(self) -> tuple[FeedLog, Places]:
        self._gate.check()
        return await self._asked(lambda: _open(self._engine))

    async def _asked(self, question: Callable[[], T]) -> T:
        return await self._engine.components.host.runtime().offload(question)


class _Raced(Exception):
    """Somebody else sealed meanwhile."""


def _open(engine: Engine) -> tuple[FeedLog, Places]:
    """The log and the places of its rows, as of one moment."""
    rows = PrefixRows(engine, layout.SYSTEM_AUDIT)
    keys = (layout.SYSTEM_AUDIT + HEAD, layout.SYSTEM_AUDIT + SEALED)
    head, sealed = drive(engine.read(keys))
    log = FeedLog(_Begun(rows, None if head is None else head.value))
    places = Places(rows, read_sealed(None if sealed is None else sealed.value))
    if log.head.size != places.sealed.size:
        raise IntegrityFailed(
            f"the log of the feed has {log.head.size} rows; the places of {places.sealed.size} are "
            "known. Seal the feed anew"
        )
    return log, places


class _Begun:
    """Rows of which the head was read already: others may seal more meanwhile."""

    def __init__(self, rows: PrefixRows, head: bytes | None) -> None:
        self._rows = rows
        self._head = head

    def get(self, key: bytes) -> bytes | None:
        return self._head if key == HEAD else self._rows.get(key)


def _require_known(log: FeedLog, known: Head | SignedHead) -> None:
    if known.size > log.head.size or log.root(known.size) != known.root:
        raise IntegrityFailed(
            f"the head over {known.size} changes that was kept is not the beginning of what is "
            f"sealed now, {log.head.size} changes: the feed was rewritten, or the head is of "
            "another database"
        )


def _revision_of(record: Record | None) -> int:
    return 0 if record is None else record.revision
