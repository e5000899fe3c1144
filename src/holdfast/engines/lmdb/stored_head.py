"""The newest revision in the file, which whoever waits asks for often."""

from __future__ import annotations

from collections.abc import Callable

import lmdb

from holdfast.engines.lmdb import facts
from holdfast.engines.lmdb.medium import Medium


class StoredHead:
    """Reads it again only when LMDB counts another transaction."""

    def __init__(self) -> None:
        self._known = (0, 0, 0)

    def forget(self) -> None:
        """The file is another one."""
        self._known = (0, 0, 0)

    def read(
        self,
        medium: Medium,
        reading: Callable[[Callable[[lmdb.Transaction[bytes]], tuple[int, int]]], tuple[int, int]],
    ) -> int:
        """The newest revision.

        Args:
            reading: runs a function in a transaction of the medium.
        """
        environment, transaction_id = id(medium.env), medium.last_transaction_id()
        known = self._known
        if transaction_id >= 0 and known[:2] == (environment, transaction_id):
            return known[2]
        # LMDB's header tells of a commit before its readers see it, so what was read is kept under
        # the id of the transaction that read it.
        read_id, head = reading(
            lambda transaction: (transaction.id(), facts.read_head(transaction).revision)
        )
        self._known = (environment, read_id, head)
        return head
