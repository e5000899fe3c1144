"""The directory of a database: what lies in it, whether it may be there, and its ballast.

manifest.json    which segments belong to it
00000001.jsonl   segments of the journal (`.msgpack` in the other format)
lock             locked while open; says who writes
ballast          disk space kept aside for deletes
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from holdfast.contract.errors import IntegrityFailed, NotADatabase
from holdfast.contract.files import flush_directory
from holdfast.engines.embedded.ballast import Ballast
from holdfast.engines.file import manifest as manifests
from holdfast.engines.file.failures import damaged
from holdfast.engines.file.manifest import Manifest
from holdfast.engines.file.segment import is_segment

_OWN = frozenset((manifests.NAME, manifests.NAME + ".new", "lock", "ballast"))

#: Device and number of a file.
Identity = tuple[int, int]


class Place:
    """Where one database lies.

    Attributes:
        directory: made absolute.
    """

    def __init__(self, path: Path) -> None:
        self.directory = path.absolute()
        self.manifest = self.directory / manifests.NAME
        self.lock = self.directory / "lock"
        self.ballast = Ballast(self.directory / "ballast")

    def refuse_foreign(self) -> None:
        """Raise NotADatabase where something else lies."""
        if not os.path.lexists(self.directory):
            return
        if not self.directory.is_dir():
            raise NotADatabase(
                f"{self.directory} is a file, and a database of this engine is a directory; "
                "point the URL at another path",
                path=str(self.directory),
            )
        names = sorted(path.name for path in self.directory.iterdir())
        # Asked last: another process may be making it right now.
        if self.manifest.exists():
            return
        segments = [name for name in names if is_segment(name)]
        own = {*_OWN, *segments, *(name for name in names if is_segment(name.removesuffix(".new")))}
        foreign = [name for name in names if name not in own]
        if foreign:
            raise NotADatabase(
                f"the directory {self.directory} holds other files ({foreign[0]!r} and so on) and "
                "no database; point the URL at a new or empty one",
                path=str(self.directory),
            )
        if segments:
            raise self.without_manifest(segments)

    def without_manifest(self, segments: list[str]) -> IntegrityFailed:
        """The refusal of segments that nothing lists."""
        return damaged(
            self.manifest, f"it is missing, and there are segments ({segments[0]} and so on)"
        )

    def make(self) -> None:
        """Make the directory, for its owner alone, and make sure that it survives a crash."""
        if not self.directory.exists():
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                self.directory.mkdir(mode=0o700)
            flush_directory(self.directory.parent)

    def read_manifest(self) -> Manifest | None:
        """What the manifest says; None where there is none."""
        try:
            return manifests.read(self.manifest)
        except FileNotFoundError:
            return None

    def write_manifest(self, manifest: Manifest) -> None:
        """Put the manifest in the place of the old one; a crash leaves either of them."""
        beside = self.directory / (manifests.NAME + ".new")
        beside.unlink(missing_ok=True)
        with open(beside, "xb", buffering=0, opener=_private) as file:
            file.write(manifest.encode())
            os.fsync(file.fileno())
        beside.replace(self.manifest)
        flush_directory(self.directory)

    def segments(self) -> list[str]:
        """The names of the segments that lie there, listed or not."""
        return sorted(path.name for path in self.directory.iterdir() if is_segment(path.name))


def identity_of(path: Path) -> Identity | None:
    """Which file lies at the path, if any."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
