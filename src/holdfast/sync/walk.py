"""The twin of a walk."""

from __future__ import annotations

from types import TracebackType
from typing import Self, TypeVar

from holdfast.records.walk import Walk as AsyncWalk
from holdfast.runtime.drive import DrivenIterator
from holdfast.store.versions.shown import Listed

T = TypeVar("T")


class Walk(DrivenIterator[T]):
    """An iterator over what matches, in order; also a context manager."""

    def __init__(self, inner: AsyncWalk[T]) -> None:
        super().__init__(inner)
        self._inner = inner

    @property
    def cursor(self) -> str | None:
        """What `after` takes to go on behind the items given so far; None: nothing is left.

        It is a text, fit to be kept outside the process. Writes meanwhile shift nothing: it names a
        place in the order and not a number of items. It belongs to the same pattern, tag or key,
        and to the same direction.
        """
        # What an interrupted caller did not get goes to the next one.
        return self._inner.cursor_before(len(self._kept))

    def to_list(self) -> Listed[T]:
        """What is left of the walk, as a list; a notebook shows it as a table."""
        return Listed(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
