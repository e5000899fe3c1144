"""XAES-256-GCM: AES-256-GCM with nonces of 24 bytes, which can be drawn at random for good.

The algorithm is that of the C2SP specification. The first 12 bytes of a nonce and the key make a
key of their own (NIST SP 800-108r1 with CMAC); the last 12 are the nonce of AES-256-GCM under it.

A process draws the first half once and uses it for some messages, so the derivation costs nothing.
The second half is drawn from the system for every commit, and the rows of the commit count on from
there. So a nonce does not come again after a fork, a restore or a step of the clock: nothing that
is kept from one commit to the next, copied with the process or told by a clock is part of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher as Raw
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = [
    "HALF_BYTES",
    "KEY_BYTES",
    "NONCE_BYTES",
    "TAG_BYTES",
    "Cipher",
    "InvalidTag",
    "Nonces",
    "new_key",
    "new_nonces",
]

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
HALF_BYTES: Final = NONCE_BYTES // 2
TAG_BYTES: Final = 16
#: How many messages have the first half of their nonces in common. Two of them have the same
#: second half too with a chance of 2 to the power of -49, with 256 rows in each commit.
SESSION_MESSAGES_MAX: Final = 1 << 20
#: How many derived keys are remembered for reading before the memory starts anew.
SESSIONS_MAX: Final = 4096

_BLOCK: Final = 16
#: The system's own generator, which a fork or a copy of this process does not repeat.
_urandom = os.urandom  # noqa: TID251 - ids are not fit for nonces


def new_key() -> bytes:
    """32 bytes that nobody can guess."""
    return AESGCM.generate_key(8 * KEY_BYTES)


#: The second halves of nonces, as numbers that count on from a random one.
Nonces = Iterator[int]


def new_nonces() -> Nonces:
    """Nonces for the rows of one commit, and for nothing else."""
    return count(int.from_bytes(_urandom(HALF_BYTES), "big"))


class Cipher:
    """Encrypts and decrypts under one key. Threads may share it.

    Args:
        key: 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes; found {len(key)}")
        self._block = Raw(algorithms.AES(key), modes.ECB())  # noqa: S305 - single blocks, see `_derive`
        self._mask = _doubled(self._encrypted(bytes(_BLOCK)))
        self._sessions: dict[bytes, AESGCM] = {}
        self._begin()

    def seal(self, plain: bytes, associated: bytes, nonces: Nonces | None = None) -> bytes:
        """Nonce, ciphertext and tag: `NONCE_BYTES` + `TAG_BYTES` longer than what was given.

        Args:
            plain: what is encrypted.
            associated: authenticated with it, and not stored.
            nonces: those of the commit that the message is part of; None: it stands alone.
        """
        half, encrypt, number = self._session
        if next(number) >= SESSION_MESSAGES_MAX:
            self._begin()
        # One byte more than a half, for a count that runs over.
        nonce = next(nonces or new_nonces()).to_bytes(HALF_BYTES + 1, "big")[1:]
        return half + nonce + encrypt(nonce, plain, associated)

    def open(self, sealed: bytes, associated: bytes, offset: int = 0) -> bytes:
        """What was given to `seal` with the same associated bytes.

        Args:
            sealed: holds nonce, ciphertext and tag from `offset` on.
            associated: likewise authenticated, and not stored.
            offset: where the nonce begins.

        Raises:
            InvalidTag: another key, other associated bytes, or the bytes were changed.
        """
        middle = offset + HALF_BYTES
        half = sealed[offset:middle]
        session = self._sessions.get(half)
        if session is None:
            session = self._remember(half)
        end = middle + HALF_BYTES
        return session.decrypt(sealed[middle:end], sealed[end:], associated)

    # --- Inside -----------------------------------------------------------------------------

    def _begin(self) -> None:
        """Go on with another first half."""
        half = _urandom(HALF_BYTES)
        self._session = (half, self._remember(half).encrypt, count())

    def _remember(self, half: bytes) -> AESGCM:
        if len(half) != HALF_BYTES:
            raise InvalidTag
        session = AESGCM(self._derive(half))
        if len(self._sessions) >= SESSIONS_MAX:
            self._sessions.clear()
        self._sessions[half] = session
        return session

    def _derive(self, half: bytes) -> bytes:
        """The key that a first half leads to: two blocks of CMAC, each of one message block."""
        blocks = [b"\0" + bytes((index,)) + b"X\0" + half for index in (1, 2)]
        mask = int.from_bytes(self._mask, "big")
        return b"".join(
            self._encrypted((int.from_bytes(block, "big") ^ mask).to_bytes(_BLOCK, "big"))
            for block in blocks
        )

    def _encrypted(self, block: bytes) -> bytes:
        encryptor = self._block.encryptor()
        return encryptor.update(block) + encryptor.finalize()


def _doubled(block: bytes) -> bytes:
    """The block doubled in GF(2^128): the first subkey of CMAC."""
    doubled = int.from_bytes(block, "big") << 1
    if doubled >> 128:
        doubled ^= (1 << 128) | 0x87
    return doubled.to_bytes(_BLOCK, "big")
