"""Master keys in a file that only its owner may read.

    {"keys": {"database": {"1": "<Base64>"}, "acme": {"1": "<Base64>", "2": "<Base64>"}}}

The file is replaced as a whole, under a lock, so that several processes may make and destroy keys.
"""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from holdfast.contract.errors import (
    ConfigInvalid,
    DecryptionFailed,
    StorageFull,
    StoreError,
    StoreExists,
)
from holdfast.contract.files import NO_ROOM, flush_directory
from holdfast.layers.encrypt.cipher import new_key
from holdfast.layers.encrypt.providers import VERSIONS_MAX, LocalKeys, decoded_key

#: How many bytes a key file may have.
FILE_BYTES_MAX: Final = 16 * 1024 * 1024

_Keys = dict[str, dict[str, str]]


@dataclass(frozen=True)
class FileKeys(LocalKeys):
    """Master keys in a file. A name that is wanted for writing and is not there is made.

    Args:
        path: of the file; make it with `FileKeys.create(path)`, or with
            `holdfast encryption new`.
    """

    path: Path | str

    @classmethod
    def create(cls, path: Path | str) -> FileKeys:
        """A new file with no keys in it yet. Raises StoreExists."""
        made = cls(path)
        with made._locked():
            if Path(path).exists():
                raise StoreExists(f"{path} exists; a key file is never written over")
            made._replace({})
        return made

    def newest(self, name: str) -> tuple[str, bytes]:
        versions = self._read().get(name)
        if not versions:
            self._add(name, only_if_missing=True)
            versions = self._read()[name]
        version = max(versions, key=int)
        return version, decoded_key(versions[version], str(self.path))

    def version(self, name: str, version: str) -> bytes | None:
        text = self._read().get(name, {}).get(version)
        return None if text is None else decoded_key(text, str(self.path))

    def renew(self, name: str) -> None:
        """Make a new version of a master key, which wraps from now on."""
        self._add(name, only_if_missing=False)

    def destroy(self, name: str) -> None:
        """Remove every version of a master key from the file.

        The file is written anew; whether the blocks of the old one are gone is up to the file
        system and the medium.
        """
        with self._locked():
            keys = self._read()
            if keys.pop(name, None) is not None:
                self._replace(keys)

    # --- Inside -----------------------------------------------------------------------------

    def _add(self, name: str, *, only_if_missing: bool) -> None:
        with self._locked():
            keys = self._read()
            versions = keys.setdefault(name, {})
            if versions and only_if_missing:
                return
            if len(versions) >= VERSIONS_MAX:
                raise ConfigInvalid(
                    f"a key has at most {VERSIONS_MAX} versions; {name!r} has them all. Remove "
                    f"from {self.path} those that wrap nothing any more"
                )
            version = str(max(map(int, versions), default=0) + 1)
            versions[version] = base64.b64encode(new_key()).decode()
            self._replace(keys)

    def _read(self) -> _Keys:
        try:
            with Path(self.path).open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                data = file.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            raise DecryptionFailed(
                f"a key file was wanted at {self.path}; it cannot be read: {error.strerror}. Put "
                "it back, or make a new one for a new database with `holdfast encryption new`",
            ) from error
        if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigInvalid(
                f"a key file is its owner's alone; {self.path} can be read or written by others. "
                f"chmod 600 {self.path}"
            )
        keys = _parsed(data)
        if keys is None:
            raise ConfigInvalid(
                f'a key file holds {{"keys": {{name: {{version: key in Base64}}}}}}; {self.path} '
                "holds something else. Put the right file there"
            )
        return keys

    def _replace(self, keys: _Keys) -> None:
        path = Path(self.path)
        # One name for all: what a process that was killed left there goes with the next change,
        # and with it the keys that are destroyed by then.
        partial = path.with_name(f"{path.name}.partial")
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"keys": keys}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        flush_directory(path.parent)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone with the file, where the system can say so. Says why it cannot be written."""
        try:
            with self._flocked():
                yield
        except StoreError:
            raise  # Some of ours are errors of the system too.
        except OSError as error:
            if error.errno in NO_ROOM:
                raise StorageFull(
                    f"there is no room for the key file {self.path}; make some and try again. The "
                    "file is as it was"
                ) from error
            raise ConfigInvalid(
                f"the key file {self.path} cannot be written: {error.strerror}. Give a path in a "
                "directory that is there and that this program may write to"
            ) from error

    @contextmanager
    def _flocked(self) -> Iterator[None]:
        try:
            import fcntl
        except ImportError:
            yield
            return
        lock = Path(self.path).with_name(Path(self.path).name + ".lock")
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _parsed(data: bytes) -> _Keys | None:
    """The keys in a file; None: it is none. Its text is in no error: it holds keys."""
    try:
        found: Any = json.loads(data)
    except ValueError:
        return None
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, dict) or len(data) > FILE_BYTES_MAX:
        return None
    for versions in keys.values():
        if not isinstance(versions, dict) or not all(
            version.isascii() and version.isdigit() and isinstance(key, str)
            for version, key in versions.items()
        ):
            return None
    return keys
