"""Signed heads: who keeps a feed vouches for its root at a size (Ed25519).

`cryptography` is imported when the first head is signed or verified.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from holdfast.contract.errors import DriverMissing, IntegrityFailed, InvalidInput

KEY_BYTES = 32
_PURPOSE = b"holdfast feed head v1\x00"


class SignedHead(Struct, frozen=True):
    """A root over the first `size` rows of a feed, and the signature of both."""

    size: int
    root: bytes
    signature: bytes


class Ed25519Signer:
    """Signs heads with a private key of 32 bytes, which never shows in messages."""

    def __init__(self, private_key: bytes) -> None:
        if len(private_key) != KEY_BYTES:
            raise InvalidInput(
                f"a private key of Ed25519 has {KEY_BYTES} bytes; found {len(private_key)}"
            )
        self._key = _ed25519().Ed25519PrivateKey.from_private_bytes(private_key)

    @property
    def public_key(self) -> bytes:
        """What others verify with, 32 bytes."""
        key: bytes = self._key.public_key().public_bytes_raw()
        return key

    def sign(self, size: int, root: bytes) -> SignedHead:
        """The signed head of a log."""
        return SignedHead(size, root, self._key.sign(_message(size, root)))


def verify_head(head: SignedHead, public_key: bytes) -> None:
    """Raise IntegrityFailed unless the owner of the key signed this head."""
    ed25519 = _ed25519()
    if len(public_key) != KEY_BYTES:
        raise InvalidInput(
            f"a public key of Ed25519 has {KEY_BYTES} bytes; found {len(public_key)}"
        )
    from cryptography.exceptions import InvalidSignature

    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(head.signature, _message(head.size, head.root))
    except (InvalidSignature, OverflowError):  # a size that no signed message can hold
        raise IntegrityFailed(
            f"the head of {head.size} rows is not signed with that key. Ask who keeps the feed "
            "for its key",
            size=head.size,
        ) from None


def _message(size: int, root: bytes) -> bytes:
    return _PURPOSE + size.to_bytes(8, "big") + root


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise DriverMissing(
            "signatures need the package cryptography: pip install 'holdfast-db[encryption]'"
        ) from error
    return ed25519
