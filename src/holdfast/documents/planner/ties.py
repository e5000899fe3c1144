"""Documents that an index does not tell apart, put in order as they are met."""

from __future__ import annotations

from typing import Any, Final

from holdfast.documents.entries import COMPONENT_BYTES_MAX, Note
from holdfast.documents.query.ordering import Arrangement, Keyed, OrderBy, Row

#: Cut components that share fewer bytes are in order.
_CUT_SHARED: Final = COMPONENT_BYTES_MAX - 17
_CUT: Final = int(Note.CUT)


class Ties:
    """Documents that an index does not tell apart, until the next one is another.

    They sort alike, or their keys in the index were cut at the same place.
    """

    def __init__(self, order: tuple[OrderBy, ...], wanted: int | None) -> None:
        self._order = order
        self._wanted = wanted
        self._held: Arrangement | None = None
        self._key: tuple[Any, ...] = ()
        self._entry, self._cut = b"", False

    def belongs(self, key: tuple[Any, ...], entry: bytes, *, cut: bool) -> bool:
        """Whether a document belongs to those that are held."""
        if self._held is None:
            return False
        return key == self._key or (
            cut and self._cut and _shared(self._entry, entry) >= _CUT_SHARED
        )

    def begin(self, row: Keyed, entry: bytes, *, cut: bool) -> None:
        """Hold the first of some."""
        self._held = Arrangement(self._order, self._wanted)
        self.hold(row, entry, cut=cut)

    def hold(self, row: Keyed, entry: bytes, *, cut: bool) -> None:
        """Hold another one."""
        assert self._held is not None
        self._held.add([row])
        self._key, self._entry, self._cut = row[0][:-1], entry, cut

    def release(self) -> list[Row]:
        """Those that are held, in order; none are from then on."""
        held, self._held = self._held, None
        return [] if held is None else [row for _, row in held.rows()]


def is_cut(value: bytes) -> bool:
    """Whether a component of an entry with this note was cut."""
    return bool(value[0] & _CUT)


def _shared(one: bytes, other: bytes) -> int:
    """How many bytes two keys have in common at their beginning."""
    for at, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return at
    return min(len(one), len(other))
