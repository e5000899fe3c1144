"""Who keeps the keys: master keys that wrap the data keys of a database.

A database holds its data keys only wrapped. A provider wraps and unwraps them under master keys
that stand elsewhere: in a file, in the environment, behind a function, in a key management service.
Each name of a key has a master key of its own where the provider can, so that destroying that one
makes unreadable whatever was written under the name, in every copy and every backup.
"""

from __future__ import annotations

import base64
import binascii
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple, NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from holdfast.contract.errors import ConfigInvalid, DecryptionFailed, Unsupported
from holdfast.layers.encrypt.cipher import KEY_BYTES, Cipher, InvalidTag

#: How many versions of a key a provider may hold.
VERSIONS_MAX: Final = 1000


class Wrapped(NamedTuple):
    """A data key as it is stored.

    Attributes:
        version: of the master key, as its provider names it.
        blob: what only the provider can unwrap.
    """

    version: str
    blob: bytes


class KeyProvider(ABC):
    """Wraps and unwraps data keys; a key management service is one in thirty lines.

    Calls may hold their thread: they are made where that holds up no event loop.

    Attributes:
        at_hand: calls take no longer than a look into a file, and are made at once.
    """

    at_hand: ClassVar[bool] = False

    @abstractmethod
    def wrap(self, name: str, data_key: bytes, context: bytes) -> Wrapped:
        """Wrap a data key under the newest master key of that name, made if there is none.

        Args:
            name: of the key: `database`, or a name that keyspaces were given.
            data_key: 32 bytes.
            context: what has to be the same when it is unwrapped.
        """

    @abstractmethod
    def unwrap(self, name: str, wrapped: Wrapped, context: bytes) -> bytes:
        """The data key. Raises DecryptionFailed when the master key is lost, or another one."""

    def renew(self, name: str) -> None:
        """Make a new version of a master key. Raises Unsupported where that is done elsewhere."""
        raise Unsupported(
            f"{type(self).__name__} makes no new master keys; add a version where it has them "
            "from, then wrap the data keys anew",
        )

    def destroy(self, name: str) -> None:
        """Destroy every version of a master key for good. Raises Unsupported."""
        raise Unsupported(
            f"{type(self).__name__} destroys no master keys, so whoever has a backup and the "
            "master key could still read it; destroy it where it is kept, or use FileKeys or a key "
            "management service",
        )


class LocalKeys(KeyProvider):
    """A provider that has the bytes of master keys at hand."""

    at_hand = True

    @abstractmethod
    def newest(self, name: str) -> tuple[str, bytes]:
        """(version, 32 bytes) of the master key that wraps from now on."""

    @abstractmethod
    def version(self, name: str, version: str) -> bytes | None:
        """The 32 bytes of a version; None: it is not there."""

    def wrap(self, name: str, data_key: bytes, context: bytes) -> Wrapped:
        version, key = self.newest(name)
        return Wrapped(version, Cipher(key).seal(data_key, _bound(name, version, context)))

    def unwrap(self, name: str, wrapped: Wrapped, context: bytes) -> bytes:
        key = self.version(name, wrapped.version)
        if key is None:
            raise DecryptionFailed(
                f"the master key {name!r} in version {wrapped.version} was wanted; {self!r} does "
                "not have it. Put it back from your copy; without it, what was written under it "
                "cannot be read",
                name=name,
                versions=[wrapped.version],
            )
        try:
            return Cipher(key).open(wrapped.blob, _bound(name, wrapped.version, context))
        except InvalidTag:
            raise DecryptionFailed(
                f"the master key {name!r} in version {wrapped.version} that {self!r} has is not "
                "the one that this database was written with; give that one",
                name=name,
                versions=[wrapped.version],
            ) from None


@dataclass(frozen=True)
class EnvironmentKeys(LocalKeys):
    """Master keys in a variable of the environment.

    It holds one key in Base64, or several as `1:KEY,2:KEY`, of which the last wraps. The keys of
    other names than `database` are derived from these, so none of them can be destroyed alone.

    Args:
        variable: its name.
    """

    variable: str

    def newest(self, name: str) -> tuple[str, bytes]:
        version, key = list(self._all().items())[-1]
        return version, _derived(key, name)

    def version(self, name: str, version: str) -> bytes | None:
        key = self._all().get(version)
        return None if key is None else _derived(key, name)

    def _all(self) -> dict[str, bytes]:
        text = os.environ.get(self.variable, "").strip()
        if not text:
            raise DecryptionFailed(
                f"a key was wanted in the variable {self.variable}; it is not set. Set it to 32 "
                "random bytes in Base64",
                variable=self.variable,
            )
        parts = text.split(",")
        if len(parts) > VERSIONS_MAX:
            raise ConfigInvalid(
                f"at most {VERSIONS_MAX} versions of a key were wanted; {self.variable} has more"
            )
        keys: dict[str, bytes] = {}
        for index, part in enumerate(parts, 1):
            version, colon, encoded = part.rpartition(":")
            keys[version.strip() if colon else str(index)] = decoded_key(encoded, self.variable)
        return keys


#: Gives (version, 32 bytes) of a master key by its name and version, the newest for None; None:
#: there is none.
FetchKey = Callable[[str, str | None], "tuple[str, bytes] | None"]


@dataclass(frozen=True)
class CallableKeys(LocalKeys):
    """Master keys that a function gives; it may take its time.

    Args:
        fetch: called with the name of the key and a version, or None for the newest.
        destroyed: called with the name of a key to destroy it; None: that cannot be done.
    """

    at_hand: ClassVar[bool] = False

    fetch: FetchKey
    destroyed: Callable[[str], None] | None = None

    def __repr__(self) -> str:
        return f"CallableKeys({getattr(self.fetch, '__name__', type(self.fetch).__name__)})"

    def newest(self, name: str) -> tuple[str, bytes]:
        found = self.fetch(name, None)
        if found is None:
            raise DecryptionFailed(
                f"a master key named {name!r} was wanted; {self!r} gave none. Make one there first",
                name=name,
            )
        return self._checked(name, found)

    def version(self, name: str, version: str) -> bytes | None:
        found = self.fetch(name, version)
        return None if found is None else self._checked(name, found)[1]

    def destroy(self, name: str) -> None:
        if self.destroyed is None:
            super().destroy(name)
        else:
            self.destroyed(name)

    def _checked(self, name: str, found: object) -> tuple[str, bytes]:
        if isinstance(found, tuple) and len(found) == 2:  # noqa: PLR2004 - a pair
            version, key = found
            if isinstance(version, str) and isinstance(key, bytes) and len(key) == KEY_BYTES:
                return version, key
        raise ConfigInvalid(
            f"{self!r} gives (version, {KEY_BYTES} bytes) or None for the key {name!r}; found "
            f"a {type(found).__name__} of another shape"
        )


def decoded_key(text: str, place: str) -> bytes:
    """The bytes of a key in Base64. Never shows it. Raises ConfigInvalid."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        _refuse_key(place, "something that is no Base64")
    if len(key) != KEY_BYTES:
        _refuse_key(place, f"{len(key)} bytes")
    return key


def _refuse_key(place: str, found: str) -> NoReturn:
    raise ConfigInvalid(
        f"a key is {KEY_BYTES} bytes in Base64; found {found} in {place}. Make one with "
        "`holdfast encryption new FILE`, or from 32 bytes of a generator fit for cryptography"
    )


def _bound(name: str, version: str, context: bytes) -> bytes:
    return b"\0".join((b"holdfast data key", name.encode(), version.encode(), context))


def _derived(key: bytes, name: str) -> bytes:
    info = b"holdfast master key\0" + name.encode()
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=info).derive(key)
