"""Files that stay open as long as their database does."""

from __future__ import annotations

from io import FileIO

#: The collector may end an object that only garbage knows before the engine of that garbage, which
#: still needs it to close.
_kept: set[OpenFile] = set()


class OpenFile(FileIO):
    """A file that closes with the last reference to it, and says nothing about that."""

    def __del__(self) -> None:
        self.close()


def keep(file: OpenFile) -> None:
    """Keep the file open until `let_close` or `release`."""
    _kept.add(file)


def release(file: OpenFile) -> None:
    """Let the file close with the last who uses it."""
    _kept.discard(file)


def let_close(file: OpenFile) -> None:
    """Close the file; twice does nothing."""
    file.close()
    _kept.discard(file)
