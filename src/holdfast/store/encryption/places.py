"""Where rows stand, told to the layer that encrypts them; and which key a keyspace has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from holdfast.layers.encrypt.ring import DATABASE
from holdfast.layers.encrypt.rows import Again, Places
from holdfast.store import layout
from holdfast.store.keyspaces import read_keyspace

_FEED: Final = layout.FEED[0]
_KEYSPACE: Final = layout.KEYSPACE[0]
_EXPIRY: Final = layout.EXPIRY[0]
_REGION_AT: Final = layout.REGION_BYTES - 1


class _Told(msgspec.Struct, array_like=True):
    """What a change in the feed begins with."""

    act: int
    keyspace: int


_decode = msgspec.msgpack.Decoder(_Told).decode


class DatabasePlaces(Places):
    """The places of format 2: the keyspace in a row's key says which key the row is under.

    A change in the feed is under the key of the keyspace that it tells of; all else under that of
    the database.

    Args:
        key_of: the name of the key that a new keyspace gets, by its view and name.
        in_the_clear: whether an index may hold values, by collection and field.
    """

    system = layout.SYSTEM[0]
    ring = layout.SYSTEM_ENCRYPTION
    plain = layout.SYSTEM_FORMAT
    directory = layout.SYSTEM_KEYSPACES

    def __init__(
        self, key_of: Callable[[str, str], str], in_the_clear: Callable[[str, str], bool]
    ) -> None:
        self._key_of = key_of
        self._in_the_clear = in_the_clear
        self._names: dict[int, str] = {}
        #: Whether any keyspace has a key of its own.
        self._several = False
        self._all = False

    def bare(self, key: bytes) -> bool:
        if key[0] == _EXPIRY:
            return True
        return key[0] == _KEYSPACE and key[_REGION_AT : _REGION_AT + 1] == layout.TAG

    def saw(self, key: bytes, value: bytes) -> None:
        keyspace = read_keyspace(value)
        name = keyspace.settings.cipher or DATABASE
        if name != DATABASE:
            self._several = True
        self._names[keyspace.number] = name

    def key_of(self, view: str, keyspace: str) -> str:
        return self._key_of(view, keyspace)

    def indexed_in_the_clear(self, collection: str, path: str) -> bool:
        return self._in_the_clear(collection, path)

    def all_seen(self) -> None:
        self._all = True

    def name_of(self, key: bytes, value: bytes) -> str:
        first = key[0]
        if first == _KEYSPACE:
            number = int.from_bytes(key[1:_REGION_AT], "big")
        elif first == _FEED and self._several:
            # Rows of a keyspace are sealed before its changes, so it is known by now.
            number = _told_of(value)
        else:
            return DATABASE
        name = self._names.get(number)
        if name is None:
            if not self._all:
                raise Again(directory=True)
            return DATABASE
        # That a keyspace went is told although its key is gone.
        return DATABASE if first == _FEED and name in self.gone else name


def _told_of(value: bytes) -> int:
    """The number of the keyspace that a change tells of; 0: of none."""
    try:
        return _decode(value).keyspace
    except msgspec.DecodeError:
        return 0
