"""The directory of keyspaces: which number a name has, kept in the database.

A name of any length becomes two bytes in every key below it, and dropping a keyspace is deleting
one range.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from holdfast.contract.batch import Batch, Put
from holdfast.contract.engine import Engine
from holdfast.contract.errors import IntegrityFailed, InvalidName, QuotaExceeded
from holdfast.contract.record import Range, Record
from holdfast.store import layout

NAME_BYTES_MAX = 255
KEYSPACES_MAX = 0xFFFF


class Keyspace(msgspec.Struct, frozen=True, array_like=True):
    """A named region of the database.

    Attributes:
        name: as given.
        number: what stands in its keys.
        view: which view wrote it (`entries`, `collection`, …); another view is refused.
        hashing: name of the hash service whose digests its entries carry.
    """

    name: str
    number: int
    view: str
    hashing: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Keyspace).decode


class Keyspaces:
    """Finds and makes keyspaces."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[str, Keyspace] = {}

    async def get(self, name: str) -> Keyspace | None:
        """The keyspace of that name, if it was ever made."""
        known = self._known.get(name)
        if known is None:
            [record] = await self._engine.read([_key(name)])
            if record is not None:
                known = self._known[name] = _read(record)
        return known

    async def require(self, name: str, *, view: str, hashing: str) -> Keyspace:
        """The keyspace of that name, made if it does not exist.

        Raises:
            InvalidName: the name cannot be one, or another view or hash service owns it.
            ReadOnly: it does not exist and the database is read-only.
        """
        found = await self.get(name)
        if found is None:
            found = await self._make(name, view, hashing)
        if found.view != view or found.hashing != hashing:
            raise InvalidName(
                f"the keyspace {name!r} was made by {found.view} with {found.hashing} digests; "
                f"it cannot be opened by {view} with {hashing}. Choose another name",
                name=name,
                view=found.view,
                hashing=found.hashing,
            )
        return found

    async def by_number(self, number: int) -> Keyspace | None:
        """The keyspace with that number."""
        for known in self._known.values():
            if known.number == number:
                return known
        async for found in self.list():
            if found.number == number:
                self._known[found.name] = found
                return found
        return None

    async def list(self) -> AsyncIterator[Keyspace]:
        """Every keyspace, by name."""
        rest: Range | None = Range.prefix(layout.SYSTEM_KEYSPACES)
        while rest is not None:
            page = await self._engine.scan(rest)
            for _, record in page.rows:
                yield _read(record)
            rest = page.resume

    async def _make(self, name: str, view: str, hashing: str) -> Keyspace:
        key = _key(name)
        made: Keyspace | None = None

        def decide(records: list[Record | None], _revision: int) -> Batch | None:
            nonlocal made
            existing, last = records
            if existing is not None:
                made = _read(existing)
                return None
            number = int.from_bytes(last.value, "big") + 1 if last is not None else 1
            if number > KEYSPACES_MAX:
                raise QuotaExceeded(
                    f"a database holds at most {KEYSPACES_MAX} keyspaces; all are taken"
                )
            made = Keyspace(name, number, view, hashing)
            return Batch(
                [
                    Put(key, _encode(made)),
                    Put(layout.SYSTEM_KEYSPACE_LAST, number.to_bytes(2, "big")),
                ]
            )

        await self._engine.transact([key, layout.SYSTEM_KEYSPACE_LAST], decide)
        assert made is not None
        self._known[name] = made
        return made


def _key(name: str) -> bytes:
    if not isinstance(name, str) or not name:
        raise InvalidName(f"a keyspace has a name of at least one character; found {name!r}")
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:
        raise InvalidName("the name of a keyspace holds a lone surrogate") from error
    if len(encoded) > NAME_BYTES_MAX:
        raise InvalidName(
            f"the name of a keyspace has at most {NAME_BYTES_MAX} bytes; found {len(encoded)}"
        )
    return layout.SYSTEM_KEYSPACES + encoded


def _read(record: Record) -> Keyspace:
    try:
        return _decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityFailed(
            "a row of the keyspace directory cannot be read; run `holdfast check`"
        ) from error
