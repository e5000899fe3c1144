"""The default hashing service: SHA-256 of the value's deterministic MessagePack."""

from __future__ import annotations

from hashlib import sha256


class Sha256HashingService:
    """One digest for one value, whatever format, compression or cipher stores it."""

    name = "sha256"

    def calculate_data_hash(self, canonical: list[bytes]) -> bytes:
        if len(canonical) == 1:
            return sha256(canonical[0]).digest()
        digest = sha256()
        for piece in canonical:
            digest.update(piece)
        return digest.digest()
