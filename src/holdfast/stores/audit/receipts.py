"""Proofs about the feed, as JSON that a few lines of any language check.

RFC 6962: a leaf is sha256(0x00 row), a pair sha256(0x01 left right), a tree of n leaves is split at
the largest power of two below n. The row of a receipt is the change's place in the feed (revision
u64, index u32, big-endian), then the change as it is stored.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Self

import msgspec
from msgspec import Struct

from holdfast.contract.errors import DeserializationFailed, IntegrityFailed
from holdfast.stores.merkle.log import leaf_hash
from holdfast.stores.merkle.log_proofs import consistency_holds, inclusion_holds

#: Longer texts are no proof.
JSON_BYTES_MAX = 64 << 20


class _Exported(Struct, frozen=True):
    """A proof whose byte strings are hex digits in JSON."""

    def to_json(self) -> str:
        """The proof as JSON; byte strings are hex digits."""
        return msgspec.json.encode(_plain(msgspec.structs.asdict(self))).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The proof in JSON. Raises DeserializationFailed."""
        if len(text) > JSON_BYTES_MAX:
            raise DeserializationFailed(
                f"a proof has at most {JSON_BYTES_MAX} characters; found {len(text)}",
                limit=JSON_BYTES_MAX,
                found=len(text),
            )
        try:
            fields = msgspec.json.decode(text, type=dict[str, int | str | list[str]])
            found = {
                name: content if isinstance(content, int) else _bytes_of(content)
                for name, content in fields.items()
            }
            return msgspec.convert(found, type=cls, builtin_types=(bytes,))
        except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
            raise DeserializationFailed(f"the text is no {cls.__name__}: {error}") from None


class Receipt(_Exported, frozen=True, forbid_unknown_fields=True):
    """A change is below a head.

    Attributes:
        revision, index: where the change stands in the feed.
        row: its place and what is stored of it.
        number: of its row in the log, from 0.
        size, root: the head.
        path: the hashes beside the way from the row to the root.
    """

    revision: int
    index: int
    row: bytes
    number: int
    size: int
    root: bytes
    path: tuple[bytes, ...]

    def require(self) -> None:
        """Raise IntegrityFailed unless the receipt holds."""
        place: bytes | None = None
        with suppress(OverflowError):  # Numbers that no place in a feed has.
            place = self.revision.to_bytes(8, "big") + self.index.to_bytes(4, "big")
        if (
            place is None
            or not self.row.startswith(place)
            or not inclusion_holds(
                leaf_hash(self.row), self.number, self.size, self.path, self.root
            )
        ):
            raise IntegrityFailed(
                f"the receipt does not show that change {self.index} of revision {self.revision} "
                "is below its head. Ask for another one"
            )


class Consistency(_Exported, frozen=True, forbid_unknown_fields=True):
    """The changes under an earlier head are the beginning of those under a later one.

    Attributes:
        old_size, old_root: the earlier head.
        size, root: the later one.
        path: the hashes that lead from one to the other.
    """

    old_size: int
    size: int
    old_root: bytes
    root: bytes
    path: tuple[bytes, ...]

    def require(self) -> None:
        """Raise IntegrityFailed unless the proof holds."""
        if not consistency_holds(self.old_size, self.size, self.old_root, self.root, self.path):
            raise IntegrityFailed(
                f"the proof does not show that {self.old_size} changes are the beginning of "
                f"{self.size}. Ask for another one"
            )


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value


def _bytes_of(digits: str | list[str]) -> Any:
    """Hex digits, or several of them, as bytes. Raises ValueError."""
    if isinstance(digits, str):
        return bytes.fromhex(digits)
    return tuple(bytes.fromhex(one) for one in digits)
