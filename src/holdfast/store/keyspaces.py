"""The directory of keyspaces: which number a view's name has, with what settings.

A name of any length becomes four bytes in every key below it, and dropping a keyspace is deleting
one range. Every change of the directory also writes the row of the highest number, so that one
look at that row tells whether another process changed anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from holdfast.codecs.keys import pack_text
from holdfast.contract.batch import Draft
from holdfast.contract.engine import Engine
from holdfast.contract.errors import (
    Conflict,
    IntegrityFailed,
    InvalidName,
    QuotaExceeded,
    StoreExists,
    StoreNotFound,
)
from holdfast.contract.record import Range, Record
from holdfast.store import layout
from holdfast.store.encrypted import encryption_of
from holdfast.store.feed_row import NO_CONTEXT, Act, WriteContext
from holdfast.store.plan import Plan

NAME_BYTES_MAX: Final = 255
#: How many rows one commit of a drop removes.
DROP_ROWS: Final = 1000

History = Literal["values", "versions", "none"]
State = Literal["living", "dropping", "dropped"]
#: The rows that a keyspace begins with, by its number.
Begins = Callable[[int], Mapping[bytes, bytes]]


class KeyspaceSettings(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """How the rows of a keyspace are written. Fixed when it is made, unless its view says not.

    Attributes:
        history: what is kept of the past: `values`, `versions` without values, or `none`.
        feed: whether changes are told in the feed.
        hashing: name of the hash service whose digests its values carry; empty: they carry none.
        value_format: name of the serializer of values written from now on; empty: the handle's.
        compression: likewise.
        cipher: names the keys that encrypt its values; empty: they are not encrypted.
        of_view: what the view itself remembers of the keyspace, as it encodes it.
    """

    history: History = "values"
    feed: bool = True
    hashing: str = ""
    value_format: str = ""
    compression: str = ""
    cipher: str = ""
    of_view: bytes = b""


class Keyspace(msgspec.Struct, frozen=True, array_like=True):
    """A named region of the database.

    Attributes:
        view: which view writes it: `entries`, `stores`, ...
        name: as given.
        number: what stands in its keys; never given out twice.
        settings: how its rows are written.
        state: `dropping` while its rows are being removed; `dropped` once they are, as long as
            the feed tells of it.
    """

    view: str
    name: str
    number: int
    settings: KeyspaceSettings = KeyspaceSettings()
    state: State = "living"

    @property
    def directory_key(self) -> bytes:
        """Its row in the directory: a fence for writes while the keyspace may be dropped."""
        return _key(self.view, self.name)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Keyspace).decode


class Keyspaces:
    """Finds, makes and drops keyspaces."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Replaced, never cleared: what is read while another thread forgets goes into the old ones.
        self._known: dict[tuple[str, str], Keyspace] = {}
        self._numbers: dict[int, Keyspace | None] = {}
        #: The revision of the directory that is known.
        self._seen = -1

    async def get(self, view: str, name: str) -> Keyspace | None:
        """The living keyspace of that name, as last read. Raises InvalidName: that is none."""
        if not isinstance(name, str) or not isinstance(view, str):
            wrong = view if isinstance(name, str) else name
            raise InvalidName(f"a name is a text; found a {type(wrong).__name__}")
        known, numbers = self._known.get((view, name)), self._numbers
        if known is None:
            [record] = await self._engine.read([_key(view, name)])
            if record is None:
                return None
            known = _read(record)
            if numbers is self._numbers:
                self._remember(known)
        return known if known.state == "living" else None

    def known(self, view: str, name: str) -> Keyspace | None:
        """The same without a wait, if it was read before; None also where there may be one."""
        known = self._known.get((view, name))
        return known if known is not None and known.state == "living" else None

    async def require(self, view: str, name: str, settings: KeyspaceSettings) -> Keyspace:
        """The keyspace of that name, made if it does not exist.

        Raises:
            InvalidName: the name cannot be one, or it has other digests than `settings` says.
            ReadOnly: it does not exist and the database is read-only.
        """
        found = await self.get(view, name)
        if found is None:
            found, _ = await self._make(view, name, settings)
        if found.settings.hashing != settings.hashing:
            raise InvalidName(
                f"the values of {view} {name!r} carry {found.settings.hashing or 'no'} digests; "
                f"it cannot be opened with {settings.hashing or 'none'}. Choose another name",
                name=name,
                hashing=found.settings.hashing,
            )
        return found

    async def create(
        self, view: str, name: str, settings: KeyspaceSettings, begins: Begins | None = None
    ) -> Keyspace:
        """A new keyspace, with the rows that it begins with in the same commit.

        Raises:
            StoreExists: there is one of that name.
        """
        found, made = await self._make(view, name, settings, begins)
        if not made:
            raise StoreExists(
                f"a new name was wanted; {view} {name!r} exists. Get it, or choose another name",
                name=name,
            )
        return found

    async def change(self, keyspace: Keyspace, settings: KeyspaceSettings) -> Keyspace:
        """The keyspace with other settings; whoever has it with the old ones cannot write.

        Raises:
            StoreNotFound: it was dropped.
            Conflict: its settings were changed meanwhile.
        """
        changed = msgspec.structs.replace(keyspace, settings=settings)
        key = keyspace.directory_key

        def decide(records: list[Record | None], _revision: int) -> Draft:
            record, last = records
            fence_of(keyspace, record)
            draft = Draft()
            draft.rows[key] = _encode(changed)
            draft.rows[layout.SYSTEM_KEYSPACE_LAST] = _last(last)
            return draft

        await self._engine.transact([key, layout.SYSTEM_KEYSPACE_LAST], decide)
        return self._remember(changed)

    async def drop(self, view: str, name: str, context: WriteContext = NO_CONTEXT) -> None:
        """Remove a keyspace with all its rows.

        It is gone for every reader and writer with the first commit, which tells the feed; its
        rows follow in steps; housekeeping deletes the rest if this call ends in the middle.

        Raises:
            StoreNotFound: there is none.
        """
        key = _key(view, name)
        now = self._engine.components.clock.now_ms()
        dropped: Keyspace | None = None

        def decide(records: list[Record | None], _revision: int) -> Draft | None:
            nonlocal dropped
            record, last = records
            dropped = _read(record) if record is not None else None
            if record is None or dropped is None or dropped.state != "living":
                dropped = None
                return None
            plan = Plan(now, context)
            dropped = msgspec.structs.replace(dropped, state="dropping")
            plan.put(key, _encode(dropped))
            plan.put(layout.SYSTEM_KEYSPACE_LAST, _last(last))
            if dropped.settings.feed:
                plan.tell(dropped.number, Act.DROP, b"", record.revision, now)
            return plan.draft

        await self._engine.transact([key, layout.SYSTEM_KEYSPACE_LAST], decide)
        if dropped is None:
            raise _not_found(view, name)
        self._remember(dropped)
        await self.clear(dropped)

    async def clear(self, keyspace: Keyspace) -> None:
        """Remove the rows of a keyspace that is being dropped, then its row in the directory."""
        await self._clear_expiry(keyspace.number)
        rest: Range | None = layout.keyspace_range(keyspace.number)
        while rest is not None:
            page = await self._engine.scan(Range(rest.start, rest.end, limit=DROP_ROWS))
            draft = Draft()
            for key, _ in page.rows:
                draft.rows[key] = None
            if draft.writes:
                await self._engine.transact([], lambda _records, _revision, draft=draft: draft)  # type: ignore[misc]
            rest = page.resume
        key = keyspace.directory_key

        def decide(records: list[Record | None], _revision: int) -> Draft | None:
            record, last, oldest = records
            if record is None or _read(record).number != keyspace.number:
                return None
            draft = Draft()
            draft.rows[key] = None
            draft.rows[layout.SYSTEM_KEYSPACE_LAST] = _last(last)
            begins = 0 if oldest is None else int.from_bytes(oldest.value, "big")
            if keyspace.settings.feed and begins <= record.revision:
                # The feed still tells of it: its name is needed for that.
                gone = msgspec.structs.replace(keyspace, state="dropped")
                draft.rows[dropped_key(keyspace.number)] = _encode(gone)
            return draft

        keys = [key, layout.SYSTEM_KEYSPACE_LAST, layout.SYSTEM_FEED_OLDEST]
        await self._engine.transact(keys, decide)
        self._forget()

    async def by_number(self, number: int) -> Keyspace | None:
        """The keyspace with that number, also one that is being dropped, or was."""
        numbers = self._numbers
        if number not in numbers:
            found = None
            async for one in self.list(every=True):
                numbers[one.number] = one
                if one.number == number:
                    found = one
            if found is None:
                [record] = await self._engine.read([dropped_key(number)])
                found = None if record is None else _read(record)
            numbers[number] = found
        return numbers[number]

    async def list(
        self, view: str | None = None, *, every: bool = False
    ) -> AsyncIterator[Keyspace]:
        """The keyspaces of a view, or of all, by view and name; `every`: also those that go."""
        prefix = layout.SYSTEM_KEYSPACES + (b"" if view is None else pack_text(view))
        rest: Range | None = Range.prefix(prefix)
        while rest is not None:
            page = await self._engine.scan(rest)
            for _, record in page.rows:
                found = _read(record)
                if every or found.state == "living":
                    yield found
            rest = page.resume

    async def refresh(self) -> bool:
        """Notice what another process changed; whether it changed anything."""
        [record] = await self._engine.read([layout.SYSTEM_KEYSPACE_LAST])
        seen = record.revision if record is not None else 0
        if seen == self._seen:
            return False
        self._forget()
        self._seen = seen
        return True

    # --- Inside -----------------------------------------------------------------------------

    async def _clear_expiry(self, number: int) -> None:
        """Remove the rows that say when values of a keyspace expire."""
        rest: Range | None = Range.prefix(layout.EXPIRY)
        while rest is not None:
            page = await self._engine.scan(Range(rest.start, rest.end, limit=DROP_ROWS))
            draft = Draft()
            for key, _ in page.rows:
                if layout.keyspace_of(layout.expiry_of(key)[1]) == number:
                    draft.rows[key] = None
            if draft.writes:
                await self._engine.transact([], lambda _records, _revision, draft=draft: draft)  # type: ignore[misc]
            rest = page.resume

    async def _make(
        self, view: str, name: str, settings: KeyspaceSettings, begins: Begins | None = None
    ) -> tuple[Keyspace, bool]:
        key = _key(view, name)
        name = str.__str__(name)  # It may be of a class of its own.
        encryption = encryption_of(self._engine)
        cipher = settings.cipher or (encryption.places.key_of(view, name) if encryption else "")
        standing: Keyspace | None = None
        made = False

        def decide(records: list[Record | None], _revision: int) -> Draft | None:
            nonlocal standing, made
            existing, last = records
            made = existing is None
            if existing is not None:
                standing = _read(existing)
                return None
            number = int.from_bytes(_last(last), "big") + 1
            if number > layout.NUMBER_MAX:
                raise QuotaExceeded(
                    f"a database gives out at most {layout.NUMBER_MAX} keyspaces; all are taken. "
                    "Export it into a new one"
                )
            named = msgspec.structs.replace(settings, cipher=cipher) if cipher else settings
            standing = Keyspace(view, name, number, named)
            draft = Draft()
            draft.rows[key] = _encode(standing)
            draft.rows[layout.SYSTEM_KEYSPACE_LAST] = number.to_bytes(layout.NUMBER_BYTES, "big")
            if begins is not None:
                draft.rows.update(begins(number))
            return draft

        while True:
            await self._engine.transact([key, layout.SYSTEM_KEYSPACE_LAST], decide)
            assert standing is not None
            if standing.state == "living":
                return self._remember(standing), made
            await self.clear(standing)  # A drop that was broken off; then the name is free.

    def _remember(self, keyspace: Keyspace) -> Keyspace:
        self._known[keyspace.view, keyspace.name] = keyspace
        self._numbers[keyspace.number] = keyspace
        return keyspace

    def _forget(self) -> None:
        self._known, self._numbers = {}, {}


def dropped_key(number: int) -> bytes:
    """The row that keeps the name of a dropped keyspace, as long as the feed tells of it."""
    return layout.SYSTEM_KEYSPACES_DROPPED + number.to_bytes(layout.NUMBER_BYTES, "big")


def fence_of(keyspace: Keyspace, record: Record | None) -> None:
    """Raise unless the keyspace still is what a writer believes, by its row in the directory.

    Raises:
        StoreNotFound: it was dropped.
        Conflict: its settings were changed; open it again.
    """
    found = None if record is None else _read(record)
    if found is None or found.state != "living" or found.number != keyspace.number:
        raise StoreNotFound(
            f"{keyspace.view} {keyspace.name!r} was dropped meanwhile; get it again, or make it "
            "anew, and repeat the write",
            name=keyspace.name,
        )
    if found.settings != keyspace.settings:
        raise Conflict(
            f"the settings of {keyspace.view} {keyspace.name!r} were changed meanwhile; "
            "get it again and repeat the write",
            name=keyspace.name,
        )


def _not_found(view: str, name: str) -> StoreNotFound:
    return StoreNotFound(f"{view} {name!r} was wanted; there is none. Create it first", name=name)


def _last(record: Record | None) -> bytes:
    return record.value if record is not None else bytes(layout.NUMBER_BYTES)


def _key(view: str, name: Any) -> bytes:
    if not isinstance(name, str) or not name:
        raise InvalidName(f"a name has at least one character; found {name!r}")
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:
        raise InvalidName("a name is Unicode text; found a lone surrogate in it") from error
    if len(encoded) > NAME_BYTES_MAX:
        raise InvalidName(f"a name has at most {NAME_BYTES_MAX} bytes; found {len(encoded)}")
    return layout.SYSTEM_KEYSPACES + pack_text(view) + pack_text(name)


def _read(record: Record) -> Keyspace:
    return read_keyspace(record.value)


def read_keyspace(stored: bytes) -> Keyspace:
    """The keyspace in its row of the directory. Raises IntegrityFailed."""
    try:
        return _decode(stored)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityFailed(
            "a row of the keyspace directory cannot be read; run `holdfast check`"
        ) from error
