"""Whether the files that are open are still those that lie at their paths.

A file that was removed or replaced stays usable for whoever has it open, and nobody else will ever
find what is written there. So each commit asks. The folder's own time of change answers for almost
all of them, because a folder changes whenever a name in it comes or goes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from holdfast.contract.errors import StoreNotFound
from holdfast.engines.sqlite.room import log_of

#: File systems step their clocks in ticks. A change within one tick of another cannot be told from
#: it, so the time of a folder says something only once it has stood for longer than any tick.
_TICK_S = 0.1

#: Device and number of a file.
File = tuple[int, int]


class Identity:
    """The files of one open database.

    Args:
        path: of the database.
        monotonic: the clock for durations.

    Attributes:
        lost: they were found missing or replaced, so nothing at their paths may be touched.
    """

    def __init__(self, path: Path, monotonic: Callable[[], float]) -> None:
        self._path = path
        self._folder = path.parent
        self._monotonic = monotonic
        self._files: dict[Path, File] = {}
        self._changed: tuple[int, int] | None = None
        self._changed_at = 0.0
        self._settled: tuple[int, int] | None = None
        self.lost = False
        self.renew()

    def renew(self) -> None:
        """Take what lies there now for the files of the database; the log may not exist yet."""
        self._files = {}
        self._settled = None
        for path in (self._path, log_of(self._path)):
            file = file_at(path)
            if file is not None:
                self._files[path] = file

    @property
    def file(self) -> File | None:
        """Which file the database is."""
        return self._files.get(self._path)

    def renew_log(self) -> None:
        """Take the log that lies there now for that of the database, which began a new one."""
        self._settled = None
        log = log_of(self._path)
        file = file_at(log)
        self._files.pop(log, None)
        if file is not None:
            self._files[log] = file

    @property
    def replaced(self) -> bool:
        """Whether the path of the database leads to another file by now, or to none."""
        return file_at(self._path) != self._files.get(self._path)

    def verify(self) -> None:
        """Raise StoreNotFound if the database or its log was removed or replaced."""
        try:
            folder = self._folder.stat()
        except FileNotFoundError:
            raise self._lose(self._path, None) from None
        changed = (folder.st_ino, folder.st_mtime_ns)
        if changed == self._settled:
            return
        now = self._monotonic()
        if changed != self._changed:
            self._changed, self._changed_at = changed, now
        for path, file in self._files.items():
            found = file_at(path)
            if found != file:
                raise self._lose(path, found)
        if now - self._changed_at > _TICK_S:
            self._settled = changed

    def _lose(self, path: Path, found: File | None) -> StoreNotFound:
        self.lost = True
        how = "was removed" if found is None else "was replaced by another file"
        return StoreNotFound(
            f"{path} {how} while the database was open, so that nobody would find what is written "
            "now. Nothing was written. Close this handle and open the database again",
            path=str(path),
        )


def file_at(path: Path) -> File | None:
    """Which file lies at the path, if any."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
