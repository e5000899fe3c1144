"""What a user says of encryption when a database is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from holdfast.contract.engine import Engine
from holdfast.contract.errors import ConfigInvalid, DriverMissing
from holdfast.store.registry import read_encryption_place

if TYPE_CHECKING:
    from holdfast.layers.encrypt.layer import EncryptLayer
    from holdfast.layers.encrypt.providers import KeyProvider


@dataclass(frozen=True)
class Encryption:
    """Encrypts a database: `holdfast.open(url, encryption=Encryption(FileKeys("app.keys")))`.

    Attributes:
        keys: where the master keys are.
        names: which key a new keyspace gets, by its view and name as in `stores/acme` or
            `documents/people`. A name may have `*` and `?`, and `{name}` in what it leads to
            stands for the keyspace's. The first that fits counts; none: the database's key.
        plain_indexes: fields of collections whose indexes may hold their values in the clear, as
            `people.age` or `people.*`.
    """

    keys: KeyProvider
    names: Mapping[str, str] = field(default_factory=dict)
    plain_indexes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require_provider(self.keys)
        fields: object = self.plain_indexes
        # A text is made of texts too, and the `*` in it would stand for every field.
        if not isinstance(fields, tuple | list) or not all(isinstance(one, str) for one in fields):
            raise ConfigInvalid(
                "plain_indexes is a tuple of fields such as ('people.age',); found a "
                f"{type(fields).__name__}",
                parameter="encryption",
            )
        if not isinstance(self.names, Mapping):
            raise ConfigInvalid(
                "names of keys are a mapping such as {'stores/acme': 'acme'}; found a "
                f"{type(self.names).__name__}",
                parameter="encryption",
            )
        pattern: object
        name: object
        for pattern, name in self.names.items():
            if not (isinstance(pattern, str) and isinstance(name, str) and name) or (
                "/" not in pattern
            ):
                raise ConfigInvalid(
                    "names of keys read {'view/keyspace': 'name of the key'}, such as "
                    f"{{'stores/acme': 'acme'}}; found {{{pattern!r}: {name!r}}}",
                    parameter="encryption",
                )

    def __call__(self, engine: Engine) -> EncryptLayer:
        """The layer, as `stack` makes it."""
        from holdfast.layers.encrypt.layer import EncryptLayer
        from holdfast.store.encryption.places import DatabasePlaces

        return EncryptLayer(
            engine, self.keys, DatabasePlaces(self.name_of, self.indexed_in_the_clear)
        )

    def name_of(self, view: str, name: str) -> str:
        """The key that a new keyspace gets; empty: that of the database."""
        whole = f"{view}/{name}"
        for pattern, key in self.names.items():
            if fnmatchcase(whole, pattern):
                return key.replace("{name}", name)
        return ""

    def indexed_in_the_clear(self, collection: str, path: str) -> bool:
        """Whether the index of a field may hold its values."""
        return any(fnmatchcase(f"{collection}.{path}", one) for one in self.plain_indexes)


def encryption_asked(address: object, given: object) -> Encryption | None:
    """The encryption that an argument asks for, or else a URL; None: neither does.

    Raises:
        ConfigInvalid: it cannot be used.
        DriverMissing: the package cryptography is not installed.
    """
    if given is None and isinstance(address, str):
        given = read_encryption_place(address)
    if given is None or isinstance(given, Encryption):
        return given
    if isinstance(given, str):
        return read_encryption(given)
    raise ConfigInvalid(
        f"encryption is an Encryption, file:PATH or env:VARIABLE; found a {type(given).__name__}",
        parameter="encryption",
    )


def read_encryption(text: str) -> Encryption:
    """The encryption that a text names: `file:PATH` or `env:VARIABLE`. Never holds a key.

    Raises:
        ConfigInvalid: it names something else.
        DriverMissing: the package cryptography is not installed.
    """
    kind, colon, place = text.partition(":")
    if not colon or not place or kind not in ("file", "env"):
        # What was found is not shown: somebody may have given the key itself.
        raise ConfigInvalid(
            "encryption reads file:PATH or env:VARIABLE, the place of the keys and never a key; "
            "found something else",
            parameter="encryption",
        )
    try:
        from holdfast.layers.encrypt.key_file import FileKeys
        from holdfast.layers.encrypt.providers import EnvironmentKeys
    except ImportError as error:
        raise missing(error) from error
    return Encryption(FileKeys(place) if kind == "file" else EnvironmentKeys(place))


def _require_provider(keys: object) -> None:
    """Raise ConfigInvalid unless it keeps keys."""
    try:
        from holdfast.layers.encrypt.providers import KeyProvider
    except ImportError as error:
        raise missing(error) from error
    if not isinstance(keys, KeyProvider):
        # Not what it is: somebody may have given the key itself.
        found = f"the class {keys.__name__}" if isinstance(keys, type) else type(keys).__name__
        raise ConfigInvalid(
            "Encryption(keys) takes a KeyProvider, such as FileKeys(path) or "
            f"EnvironmentKeys(variable); found {found}. A place such as file:PATH goes to "
            "`holdfast.open(..., encryption=...)` as it is",
            parameter="encryption",
        )


def missing(error: ImportError) -> DriverMissing:
    """What to say when there is no cipher; raises the error where something else is missing."""
    if (error.name or "").partition(".")[0] != "cryptography":
        raise error
    return DriverMissing(
        "encryption needs the package cryptography: pip install 'holdfast-db[encryption]'",
        extra="encryption",
    )
