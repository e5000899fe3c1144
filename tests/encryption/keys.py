"""Master keys for tests."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from holdfast.encryption import LocalKeys


@dataclass
class SeededKeys(LocalKeys):
    """Keys that follow from their names: every process that makes them has the same.

    Attributes:
        seed: two providers of one seed have the same keys.
        versions: how many there are of each.
        lost: names whose keys are not there.
    """

    seed: str = ""
    versions: int = 1
    lost: tuple[str, ...] = ()

    def newest(self, name: str) -> tuple[str, bytes]:
        version = str(self.versions)
        return version, sha256(f"{self.seed}/{name}/{version}".encode()).digest()

    def version(self, name: str, version: str) -> bytes | None:
        if int(version) > self.versions or name in self.lost:
            return None
        return sha256(f"{self.seed}/{name}/{version}".encode()).digest()
