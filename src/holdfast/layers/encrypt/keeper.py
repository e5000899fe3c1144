"""Fetches keys for the rows: reads the ring, unwraps and makes data keys, changes the ring."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Literal, NamedTuple, TypeVar

from holdfast.contract.batch import Batch, CheckRange, Draft, Operation, Put
from holdfast.contract.engine import Engine
from holdfast.contract.errors import (
    Conflict,
    DecryptionFailed,
    InvalidInput,
    InvalidName,
    QuotaExceeded,
    ReadOnly,
)
from holdfast.contract.record import Range, Record
from holdfast.layers.encrypt.asking import Asking
from holdfast.layers.encrypt.cipher import Cipher, new_key
from holdfast.layers.encrypt.providers import KeyProvider
from holdfast.layers.encrypt.ring import (
    DATABASE,
    KEYS_MAX,
    NAME_BYTES_MAX,
    DataKey,
    Ring,
    Rotation,
    mac_key_of,
    read_ring,
    verify,
)
from holdfast.layers.encrypt.rows import Again, Places, Rows

T = TypeVar("T")

#: How often the ring is read or changed again when others change it meanwhile.
ATTEMPTS_MAX: Final = 64

#: What a change of the ring makes of it: the keys that are new or changed, and the walk under way.
Change = tuple[Sequence[DataKey], Rotation | Literal["same"] | None]
#: Decides a change on the ring as it is; None: nothing is to be changed.
Make = Callable[[Ring], Awaitable[Change | None]]


class Pending(NamedTuple):
    """What a database begins with that has no ring yet.

    Attributes:
        rows: seals with its one key.
        stored: the rows of the ring.
    """

    rows: Rows
    stored: dict[bytes, bytes]


class Keeper:
    """The ring of an engine, and the data keys that were unwrapped.

    Args:
        engine: below the layer.
        provider: wraps and unwraps.
        places: where rows stand.
        rows: gets the keys.
    """

    def __init__(self, engine: Engine, provider: KeyProvider, places: Places, rows: Rows) -> None:
        self.asking = Asking(provider, engine.components.host)
        self._engine = engine
        self._places = places
        self._rows = rows
        self._mac_keys: dict[int, bytes] = {}
        self._pending: Pending | None = None
        self._turn = threading.Lock()
        #: The revision of the ring's head that is known; None: it is not stored yet.
        self.revision: int | None = None

    async def open(self) -> None:
        """Read the ring; in an empty database make one, which the first write stores."""
        if not await self.refresh():
            await self._require_empty()
            await self._begin()

    @property
    def pending(self) -> Pending:
        """What a database begins with that has no ring yet."""
        assert self._pending is not None
        return self._pending

    async def store(self) -> None:
        """Have the ring in the database."""
        while self.revision is None and not await self.refresh():
            head = await self._engine.head()
            await self._require_empty()
            rows = self.pending.stored
            nothing: list[Operation] = [CheckRange(Range(), head, 0)]
            with suppress(Conflict):  # Another process was faster.
                await self._engine.commit(Batch([*nothing, *(Put(*row) for row in rows.items())]))

    async def load(self) -> None:
        """Store the ring by `load`, before all other rows."""
        if self.revision is None:
            rows = sorted(self.pending.stored.items())
            await self._engine.load([(key, Record(value, 1)) for key, value in rows])
            await self.refresh()

    async def refresh(self) -> bool:
        """Read the ring, and go on with it; whether there is one."""
        prefix = self._places.ring
        for _ in range(ATTEMPTS_MAX):
            [head] = await self._engine.read([prefix])
            if head is None:
                return False
            rows: list[bytes] = []
            rest: Range | None = Range.prefix(prefix + b" key ")
            while rest is not None:
                page = await self._engine.scan(rest)
                rows += [record.value for _, record in page.rows]
                rest = page.resume
            [after] = await self._engine.read([prefix])
            if after != head:
                continue
            ring = read_ring(head.value, rows)
            active = ring.active.get(DATABASE)
            if active is None:
                raise DecryptionFailed(
                    "the database has no key of its own any more: it was destroyed, and with it "
                    "all that was encrypted",
                    name=DATABASE,
                )
            await self._unwrap(active.number, ring)
            verify(head.value, self._mac_key(ring))
            if self._go_on(ring, head.revision):
                return True
        raise Conflict(
            f"the keys of the database were changed by others {ATTEMPTS_MAX} times while they were "
            "read; try again"
        )

    async def settle(self, again: Again) -> None:
        """Fetch what was missing. Raises what cannot be mended."""
        if again.stale:
            await self.refresh()
        if again.directory:
            await self._see_directory()
        if again.number is not None:
            await self._unwrap(again.number)
        if again.name is not None:
            await self._require(again.name)

    async def change(self, make: Make) -> Ring:
        """Change the ring; `make` is asked again when somebody else was faster.

        Raises:
            Conflict: others changed it every time.
        """
        if not self._engine.capabilities.writable:
            raise ReadOnly("the database was opened for reading only; open it to change its keys")
        await self.store()
        for _ in range(ATTEMPTS_MAX):
            await self.refresh()
            before = self._rows.ring
            made = await make(before)
            if made is None:
                return before
            keys, rotation = made
            after = before.changed(*keys, rotation=rotation)
            if len(after.keys) > KEYS_MAX:
                raise QuotaExceeded(
                    f"a database has at most {KEYS_MAX} data keys, destroyed ones included; it has "
                    "them all. Copy it into a new one"
                )
            await self._unwrap(after.active[DATABASE].number, after)
            rows = after.rows(self._places.ring, before, self._mac_key(after))
            if await self._write(rows, self.revision):
                await self.refresh()
                return self._rows.ring
        raise Conflict(
            f"the keys of the database were changed by others {ATTEMPTS_MAX} times meanwhile; try "
            "again"
        )

    async def make(self, name: str, ring: Ring) -> DataKey:
        """A data key with the next version and number; not part of the ring yet."""
        made, _ = await self._made(name, ring)
        return made

    async def rewrapped(self, key: DataKey) -> DataKey:
        """The data key, wrapped by the newest master key."""
        return await self.asking.wrapped(key, await self.asking.unwrapped(key))

    # --- Inside -----------------------------------------------------------------------------

    def _go_on(self, ring: Ring, revision: int) -> bool:
        """Go on with a ring, unless a later one is known; whether it does.

        Another thread may have read a later one while this one asked for a key.
        """
        with self._turn:
            if self.revision is not None and revision < self.revision:
                return False
            self._rows.use(ring)
            self.revision = revision
            return True

    async def _made(self, name: str, ring: Ring) -> tuple[DataKey, bytes]:
        """The same with its 32 bytes."""
        number = ring.next_number()
        version = max((key.version for key in ring.of_name(name)), default=0) + 1
        now = self._engine.components.clock.now_ms()
        data_key = new_key()
        key = DataKey(number, name, version, "active", now, "", b"")
        return await self.asking.wrapped(key, data_key), data_key

    async def _require_empty(self) -> None:
        if (await self._engine.scan(Range(limit=1))).rows:
            raise InvalidInput(
                f"{self._engine.config.url} is not encrypted, and would be half so from now on. "
                "Open it without encryption and copy it: `await db.copy_to(address, "
                "encryption=...)`; then remove the old files"
            )

    async def _begin(self) -> None:
        """Make the ring of a new database, of one key."""
        first, data_key = await self._made(DATABASE, Ring({}))
        ring, rows = Ring({}).changed(first), Rows(self._places)
        rows.ciphers[first.number] = Cipher(data_key)
        rows.use(ring)
        stored = ring.rows(self._places.ring, None, mac_key_of(data_key))
        self._pending = Pending(rows, stored)

    async def _see_directory(self) -> None:
        rest: Range | None = Range.prefix(self._places.directory)
        while rest is not None:
            page = await self._engine.scan(rest)
            for key, (stored, revision) in page.rows:
                while True:
                    try:
                        self._rows.open(key, stored, revision)
                        break
                    except Again as again:
                        await self._unwrap(again.number or 0)
            rest = page.resume
        self._places.all_seen()

    async def _require(self, name: str) -> None:
        """Have an active key of that name."""
        await self.refresh()
        ring = self._rows.ring
        if name in ring.active:
            return
        if ring.of_name(name):
            raise DecryptionFailed(
                f"nothing can be written under the key {name!r}: it was destroyed. Drop what was "
                "under it, and give what comes in its place another name",
                name=name,
            )
        if not name or len(name.encode(errors="replace")) > NAME_BYTES_MAX:
            raise InvalidName(f"a key's name has 1 to {NAME_BYTES_MAX} bytes; found {name!r}")

        async def add(ring: Ring) -> Change | None:
            return None if name in ring.active else ([await self.make(name, ring)], "same")

        await self.change(add)

    async def _unwrap(self, number: int, ring: Ring | None = None) -> None:
        """Have the cipher of a data key."""
        if self.revision is None and ring is None:
            await self.refresh()
        if number in self._rows.ciphers:
            return
        key = (ring or self._rows.ring).keys.get(number)
        if key is None and ring is None:
            await self.refresh()
            key = self._rows.ring.keys.get(number)
        if key is None:
            raise DecryptionFailed(
                f"a row is under the data key {number}, which the database does not list: the row "
                "was changed, or its keys are older than it. Restore a backup",
                number=number,
            )
        if key.state == "destroyed":
            raise DecryptionFailed(
                f"what is under the key {key.name!r}, version {key.version}, cannot be read: "
                "that version was destroyed after a rotation. Use a backup, or a snapshot, from "
                "after it",
                name=key.name,
                versions=[key.version],
            )
        try:
            data_key = await self.asking.unwrapped(key)
        except DecryptionFailed as error:
            raise self._lost(key, ring or self._rows.ring, error) from error
        # First, as an interrupt may come between the two: whoever finds the cipher finds this.
        if key.name == DATABASE:
            self._mac_keys[number] = mac_key_of(data_key)
        self._rows.ciphers[number] = Cipher(data_key)

    def _lost(self, key: DataKey, ring: Ring, error: DecryptionFailed) -> DecryptionFailed:
        """What cannot be read, said with the provider's reason."""
        same = [one for one in ring.of_name(key.name) if one.master == key.master]
        versions = [one.version for one in same if one.state != "destroyed"]
        told = ", ".join(map(str, versions))
        return DecryptionFailed(
            f"what is under the key {key.name!r}, version {told}, cannot be read: {error.message}",
            name=key.name,
            versions=versions,
        )

    def _mac_key(self, ring: Ring) -> bytes:
        return self._mac_keys[ring.active[DATABASE].number]

    async def _write(self, rows: dict[bytes, bytes], known: int | None) -> bool:
        """Write rows of the ring, if nobody changed it; whether they are written."""
        wrote = False

        def decide(records: list[Record | None], _revision: int) -> Draft | None:
            nonlocal wrote
            found = None if records[0] is None else records[0].revision
            wrote = found == known
            if not wrote:
                return None
            draft = Draft()
            draft.rows.update(rows)
            return draft

        await self._engine.transact([self._places.ring], decide)
        return wrote
