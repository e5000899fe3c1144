"""Encryption at rest: what to give to `holdfast.open(..., encryption=...)`.

from holdfast.encryption import Encryption, FileKeys

async with holdfast.open("lmdb:///app", encryption=Encryption(FileKeys("app.keys"))) as db:
    ...
"""

from holdfast.store.encryption.settings import Encryption, missing

try:
    from holdfast.layers.encrypt.key_file import FileKeys
    from holdfast.layers.encrypt.providers import (
        CallableKeys,
        EnvironmentKeys,
        KeyProvider,
        LocalKeys,
        Wrapped,
    )
except ImportError as error:
    raise missing(error) from error

__all__ = [
    "CallableKeys",
    "Encryption",
    "EnvironmentKeys",
    "FileKeys",
    "KeyProvider",
    "LocalKeys",
    "Wrapped",
]
