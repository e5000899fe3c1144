"""Whether the files that are open are still those that the path leads to, and who else has them."""

from __future__ import annotations

import os
from io import FileIO

from holdfast.contract.errors import StoreNotFound
from holdfast.contract.runtime import Clock
from holdfast.engines.lmdb import byte_locks
from holdfast.engines.lmdb.files import keep_open, let_close
from holdfast.engines.lmdb.place import Place

#: How often it is looked whether the path still leads to the file that is open.
LOOK_INTERVAL_S = 0.05


class Watched:
    """The files of an open database.

    Args:
        place: the directory.
        clock: for the next look at the path.
    """

    def __init__(self, place: Place, clock: Clock) -> None:
        self._place = place
        self._now = clock.monotonic
        self._look_at = 0.0
        self._files: list[FileIO] = []
        self._file: int | None = None
        self._readers_file: int | None = None
        self._identity: tuple[int, int] | None = None

    def open(self, *, with_readers: bool) -> None:
        """Remember which files are open now."""
        self.close()
        keep_open(self._place.file, self._files, writable=False)
        self._file = self._files[-1].fileno()
        if byte_locks.TELLS_HOLDERS and with_readers:
            # Closed after the environment only: that would take the driver's locks with it.
            keep_open(self._place.readers_file, self._files, writable=False)
            self._readers_file = self._files[-1].fileno()
        self._identity = self._place.identity()

    def close(self) -> None:
        """Forget them; twice does nothing."""
        self._file = self._readers_file = None
        let_close(self._files)

    @property
    def replaced(self) -> bool:
        """Whether the path leads to another file by now, or to none."""
        return self._place.identity() != self._identity

    @property
    def alone(self) -> bool:
        """Whether no other process has the database open, with Holdfast or without.

        One without takes no turns, so that a write may wait for it without an end.
        """
        return self._readers_file is not None and not byte_locks.held_elsewhere(self._readers_file)

    def looks_due(self) -> bool:
        """Whether `LOOK_INTERVAL_S` has passed since this was last True.

        A file that was removed shows at once; that the path leads elsewhere (a folder was moved),
        which costs twice as much to ask for, when this is True.

        Raises:
            StoreNotFound: the file was removed, or the path leads to another one.
        """
        gone = self._file is not None and not os.fstat(self._file).st_nlink
        now = self._now()
        due = now >= self._look_at
        if due and not gone:
            self._look_at = now + LOOK_INTERVAL_S
            gone = self.replaced
        if gone:
            self._look_at = 0.0
            directory = self._place.directory
            raise StoreNotFound(
                f"the files of the database at {directory} were removed or replaced while it was "
                "open, so what is written here would be gone; nothing was written. Close this "
                "handle and open the database again",
                path=str(directory),
            )
        return due
