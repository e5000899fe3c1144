"""What reads go to while there is no driver: it is being opened anew, or cannot be."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.contract.errors import StoreError
from holdfast.engines.lsm.driver import View, Walk


class Unavailable(View):
    """Fails every read.

    Args:
        failure: why there is no driver; None: there will be one soon.
    """

    def __init__(self, failure: StoreError | None = None) -> None:
        self.soon = failure is None
        self._failure = failure or StoreError(
            "the database is being opened anew after a failure; try again"
        )

    def get(self, key: bytes) -> bytes | None:
        raise self._failure

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        raise self._failure

    def walk(self, end: bytes) -> Walk:
        raise self._failure

    def snapshot(self) -> View:
        return self

    def disown(self) -> None:
        """Nothing is shared."""
