"""Rows as they are stored: sealed under a key that their place names, and bound to that place.

    offset  bytes  field
    0       1      what the row is bound to: 1 its key and revision, 2 its key, 3 the log it is in
    1       4      number of the data key
    5       24     nonce
    29      ...    ciphertext, 16 bytes longer than the value

The first five bytes and what the row is bound to are authenticated with the value, so that no row
can stand in the place of another one, nor under another revision.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from holdfast.contract.batch import APPEND_BYTES, CheckRange
from holdfast.contract.errors import DecryptionFailed, InvalidKey
from holdfast.layers.encrypt.cipher import NONCE_BYTES, TAG_BYTES, Cipher, InvalidTag, Nonces
from holdfast.layers.encrypt.ring import DATABASE, NUMBER_BYTES, Ring

#: Bound to key and revision; to the key, where nobody knows the revision before the commit; to the
#: log alone, where not even the key is known.
REVISION: Final = 1
KEY: Final = 2
LOG: Final = 3

HEAD_BYTES: Final = 1 + NUMBER_BYTES
#: How much longer a row gets.
OVERHEAD_BYTES: Final = HEAD_BYTES + NONCE_BYTES + TAG_BYTES
_REVISION_BYTES: Final = 8
#: How many rows of the directory are remembered before the memory starts anew.
KNOWN_MAX: Final = 1024


class Again(Exception):
    """Something has to be fetched first; then the same is tried again.

    Attributes:
        number: of a data key that a row is under.
        name: of a key that a row is to be written under.
        stale: another process has changed the ring.
        directory: a keyspace is not known.
        check: the keys that stand before the ring in its range are to be counted.
    """

    def __init__(
        self,
        *,
        number: int | None = None,
        name: str | None = None,
        stale: bool = False,
        directory: bool = False,
        check: CheckRange | None = None,
    ) -> None:
        super().__init__()
        self.number = number
        self.name = name
        self.stale = stale
        self.directory = directory
        self.check = check


class Places(ABC):
    """Where rows stand, as the floor above lays them out.

    Attributes:
        system: the first byte of the keys of the system's rows.
        ring: what the keys of the ring's rows begin with; a row of the system.
        plain: the one row of the system that everybody may read.
        directory: what the rows of the system begin with that `saw` wants to see.
        gone: the names of keys that were destroyed.
    """

    gone: frozenset[str] = frozenset()

    system: int
    ring: bytes
    plain: bytes
    directory: bytes

    @abstractmethod
    def bare(self, key: bytes) -> bool:
        """Whether a row under this key says all by its key, and has no value."""

    @abstractmethod
    def saw(self, key: bytes, value: bytes) -> None:
        """A row of the directory passed by."""

    @abstractmethod
    def name_of(self, key: bytes, value: bytes) -> str:
        """The name of the key that a row is written under. Raises Again(directory=True)."""

    @abstractmethod
    def key_of(self, view: str, keyspace: str) -> str:
        """The name of the key that a new keyspace gets; empty: that of the database."""

    @abstractmethod
    def indexed_in_the_clear(self, collection: str, path: str) -> bool:
        """Whether the index of a field may hold its values."""

    @abstractmethod
    def all_seen(self) -> None:
        """Every row of the directory has passed by: what is unknown now has no name of its own."""


class Rows:
    """Seals and opens rows with the keys at hand.

    Args:
        places: where rows stand.

    Attributes:
        ciphers: by number of the data key; those that were unwrapped.
        ring: the keys there are.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._plain = places.plain
        self._system = places.system
        self._bare = places.bare
        self._name_of = places.name_of
        self.ciphers: dict[int, Cipher] = {}
        self.ring = Ring({})
        self._destroyed: frozenset[int] = frozenset()
        #: Rows of the directory as they were last opened: as stored, their revision, their value.
        self._known: dict[bytes, tuple[bytes, int, bytes]] = {}
        self._under: dict[str, tuple[bytes, Callable[[bytes, bytes, Nonces], bytes]]] = {}

    def use(self, ring: Ring) -> None:
        """Go on with these keys."""
        gone = frozenset(n for n, key in ring.keys.items() if key.state == "destroyed")
        # Forgotten before it is said: whoever reads meanwhile finds the key or its end.
        self.ciphers = {n: one for n, one in self.ciphers.items() if n not in gone}
        self.ring = ring
        # Of a name that goes on, what is under a version that was forgotten is an error.
        self._destroyed = frozenset(n for n in gone if ring.keys[n].name not in ring.active)
        self._places.gone = frozenset(key.name for key in ring.keys.values()) - ring.active.keys()
        self._under = {}

    def forget(self) -> None:
        """Have no key any more."""
        self.ciphers, self._under, self._known = {}, {}, {}

    # --- Writing ----------------------------------------------------------------------------

    def seal(self, key: bytes, value: bytes, revision: int, nonces: Nonces) -> bytes:
        """A row as it is stored by the commit of that revision, which these nonces are for."""
        if key[0] == self._system:
            if key == self._plain:
                return value
            self._look(key, value)
        elif not value and self._bare(key):
            return value
        under = self._under.get(self._name_of(key, value))
        if under is None:
            under = self._found(self._name_of(key, value))
        head, seal = under
        place = revision.to_bytes(_REVISION_BYTES, "big") + key
        return head + seal(value, head + place, nonces)

    def seal_unbound(self, key: bytes, value: bytes, kind: int, nonces: Nonces) -> bytes:
        """The same where nobody knows the revision; `key` is the log's prefix where that is LOG."""
        if key == self._plain or (not value and self._bare(key)):
            return value
        self._look(key, value)
        head, seal = self._found(self._name_of(key, value))
        head = bytes((kind,)) + head[1:]
        return head + seal(value, head + key, nonces)

    def _look(self, key: bytes, value: bytes) -> None:
        """Look at a row of the system that is written."""
        if key.startswith(self._places.ring):
            raise InvalidKey(f"keys that begin with {self._places.ring!r} are the encryption's own")
        if key.startswith(self._places.directory):
            self._places.saw(key, value)

    def _found(self, name: str) -> tuple[bytes, Callable[[bytes, bytes, Nonces], bytes]]:
        """What rows of that name are written with."""
        # Before the ring is looked at: what is found in a ring that another thread replaces
        # meanwhile goes where nobody looks any more.
        known = self._under
        active = self.ring.active.get(name)
        if active is None:
            raise Again(name=name)
        cipher = self.ciphers.get(active.number)
        if cipher is None:
            raise Again(number=active.number)
        head = bytes((REVISION,)) + active.number.to_bytes(NUMBER_BYTES, "big")
        found = known[name] = (head, cipher.seal)
        return found

    # --- Reading ----------------------------------------------------------------------------

    def open(self, key: bytes, stored: bytes, revision: int) -> bytes | None:
        """The value of a stored row; None: its key was destroyed, and so is the row.

        Raises:
            Again: its key is not at hand yet.
            DecryptionFailed: it was changed, moved, or written with another key.
        """
        cipher = self.ciphers.get(int.from_bytes(stored[1:HEAD_BYTES], "big"))
        if cipher is None or key[0] == self._system or not stored:
            return self._open_rare(key, stored, revision)
        if stored[0] == REVISION:
            place = stored[:HEAD_BYTES] + revision.to_bytes(_REVISION_BYTES, "big") + key
            try:
                return cipher.open(stored, place, HEAD_BYTES)
            except (InvalidTag, ValueError):
                pass  # Said below.
        return self._opened(cipher, key, stored, revision)

    def reseal(self, key: bytes, stored: bytes, revision: int, name: str, nonces: Nonces) -> bytes:
        """A stored row under the newest key of its name, bound to what it was bound to."""
        number = int.from_bytes(stored[1:HEAD_BYTES], "big")
        cipher = self.ciphers.get(number)
        if cipher is None:
            raise Again(number=number)
        value = self._opened(cipher, key, stored, revision)
        head, seal = self._found(name)
        head = stored[:1] + head[1:]
        return head + seal(value, head + _place(stored[0], key, revision), nonces)

    def number_of(self, key: bytes, stored: bytes) -> int:
        """The number of the data key that a stored row is under; 0: under none."""
        if key == self._plain or key.startswith(self._places.ring) or len(stored) < OVERHEAD_BYTES:
            return 0
        return int.from_bytes(stored[1:HEAD_BYTES], "big")

    def _open_rare(self, key: bytes, stored: bytes, revision: int) -> bytes | None:
        if key == self._plain or (not stored and self._bare(key)):
            return stored
        known = self._known.get(key)
        if known is not None and known[0] == stored and known[1] == revision:
            return known[2]
        if key.startswith(self._places.ring):
            return None
        if len(stored) < OVERHEAD_BYTES or not REVISION <= stored[0] <= LOG:
            raise DecryptionFailed(
                "an encrypted row was wanted; found one that is not: it was written past the "
                "encryption, or changed. Restore a backup",
                key=key,
            )
        number = int.from_bytes(stored[1:HEAD_BYTES], "big")
        if number in self._destroyed:
            return None
        cipher = self.ciphers.get(number)
        if cipher is None:
            raise Again(number=number)
        value = self._opened(cipher, key, stored, revision)
        if key.startswith(self._places.directory):
            self._places.saw(key, value)
            # Every commit of a store looks at its row of the directory.
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[key] = (stored, revision, value)
        return value

    def _opened(self, cipher: Cipher, key: bytes, stored: bytes, revision: int) -> bytes:
        kind = stored[0]
        try:
            if kind == REVISION:
                place = revision.to_bytes(_REVISION_BYTES, "big") + key
            else:
                place = _place(kind, key, revision)
            return cipher.open(stored, stored[:HEAD_BYTES] + place, HEAD_BYTES)
        except (InvalidTag, ValueError):  # The latter: it is cut off within its nonce.
            found = self.ring.keys.get(int.from_bytes(stored[1:HEAD_BYTES], "big"))
            told = DATABASE if found is None else f"{found.name}, version {found.version}"
            raise DecryptionFailed(
                f"a row that says it is under the key {told} does not open with it: it was "
                "changed, moved, or another key was put in that one's place. Restore a backup",
                key=key,
                revision=revision,
            ) from None


def _place(kind: int, key: bytes, revision: int) -> bytes:
    if kind == REVISION:
        return revision.to_bytes(_REVISION_BYTES, "big") + key
    return key if kind == KEY else key[:-APPEND_BYTES]
