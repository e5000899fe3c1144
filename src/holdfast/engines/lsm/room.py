"""The room on the medium: what is kept aside, and what may be written when nothing else is left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from holdfast.engines.embedded.ballast import Ballast
from holdfast.engines.embedded.file_failures import full
from holdfast.engines.lsm.driver import Change

#: A write that deletes something and takes no more than this may use the reserve of a full medium.
RESERVE_BYTES_MAX = 64 * 1024
#: Room beyond the ballast that has to be free before a full medium counts as restored.
ROOM_BYTES = 256 * 1024
#: With so much room beyond the ballast, it is looked for again only after so much was written.
PLENTY_BYTES, LOOK_BYTES = 64 * 2**20, 256 * 1024
#: On a full medium compaction is worth it after so much was written.
GARBAGE_LEAST = 64 * 1024
#: What a delete is taken to free.
GARBAGE_OF_DELETE = 256


class Room:
    """The room that a database has.

    Args:
        ballast: disk space kept aside.
        size: of the ballast, in bytes.
        directory: of the database, for messages.

    Attributes:
        scarce: the ballast was given up; only what deletes may be written until it is back.
    """

    def __init__(self, ballast: Ballast, size: int, directory: Path) -> None:
        self.scarce = False
        self._looks_at = 0
        self._ballast = ballast
        self._size = size
        self._directory = directory
        self._written = 0

    def look(self) -> None:
        """See whether there is little left; where there is plenty, now and then."""
        if self.scarce or self._written < self._looks_at:
            return
        room = self._ballast.room_bytes()
        if room < self._size:
            self.give_up()
        plenty = room > self._size + PLENTY_BYTES
        self._looks_at = self._written + LOOK_BYTES if plenty else 0

    def give_up(self) -> None:
        """Have the ballast's room for what must be done now."""
        self.scarce = True
        self._ballast.release()

    def restored(self) -> bool:
        """Put the ballast back if there is room for it and more; whether it is there."""
        if self._ballast.room_bytes() < 2 * self._size + ROOM_BYTES:
            return False
        self.scarce = not self._ballast.make(self._size, margin=1)
        return not self.scarce

    def refuse(self, changes: Sequence[Change]) -> None:
        """Raise StorageFull unless these changes delete something, and are few."""
        deletes = any(value is None for _, value in changes)
        size = sum(len(key) + len(value or b"") for key, value in changes)
        if not deletes or size > RESERVE_BYTES_MAX:
            raise full(self._directory, "what is kept aside is for deletes")

    def wrote(self, changes: Sequence[Change]) -> None:
        """Note changes: what they replace is garbage."""
        for key, value in changes:
            self._written += len(key) + (GARBAGE_OF_DELETE if value is None else len(value))

    def compaction_due(self) -> bool:
        """Whether so much was written since this was asked that compaction may free something."""
        due = self._written >= GARBAGE_LEAST
        if due:
            self._written = self._looks_at = 0
        return due
