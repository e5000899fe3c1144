"""Where backups lie: paths, and URLs of whatever fsspec reaches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from holdfast.contract.config import masked
from holdfast.contract.errors import DriverMissing


def is_url(place: object) -> bool:
    """Whether it is a URL, and no path."""
    return isinstance(place, str) and "://" in place


def shown(place: Path | str) -> str:
    """A place as errors name it: secrets in a URL are masked."""
    return masked(place) if isinstance(place, str) and is_url(place) else str(place)


def reaches(scheme: str) -> bool:
    """Whether fsspec knows URLs of that scheme."""
    try:
        import fsspec
    except ImportError:
        return False
    return scheme in fsspec.available_protocols()


def fsspec_for(url: str) -> ModuleType:
    """The package that reaches a URL. Raises DriverMissing."""
    try:
        import fsspec
    except ImportError as error:
        raise DriverMissing(
            f"backups at {shown(url)} need the package fsspec; install it, or write a single "
            "backup to a path, which does not need it",
            extra="fsspec",
        ) from error
    module: ModuleType = fsspec
    return module


def file_system(place: Path | str) -> tuple[Any, str]:
    """A file system of fsspec, and what the place is called on it.

    Raises:
        DriverMissing: fsspec, or the package that it needs for this URL, is not installed.
    """
    url = str(place)
    fsspec = fsspec_for(url)
    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise DriverMissing(
            f"fsspec does not reach {shown(url)}: {type(error).__name__}. Install the package "
            "that it needs for URLs of this kind (s3fs for s3://, gcsfs for gs://)",
            extra="fsspec",
        ) from error
    return found


@contextmanager
def written(system: Any, path: str) -> Iterator[Any]:
    """A stream to a new object of a file system of fsspec; it is given up where the work fails."""
    with suppress(PermissionError):  # What may write objects may not always make their folder.
        system.makedirs(system._parent(path), exist_ok=True)  # noqa: SLF001 - as its `open` does
    stream = system.open(path, "wb")
    try:
        yield stream
        stream.close()
    except BaseException:
        _give_up(system, stream, path)
        raise


def _give_up(system: Any, stream: Any, path: str) -> None:
    """Leave nothing behind, as far as the store lets us; a torn object is noticed later.

    What a store has against it is not told: the failure that led here is, and matters more.
    """
    discard = getattr(stream, "discard", None)
    if discard is None or getattr(system, "local_file", False):
        with suppress(OSError):
            stream.close()
        # A file system that can only add files, such as a ZIP archive, raises NotImplementedError
        # here. The torn object stays there, and whoever reads it as a backup is refused.
        with suppress(OSError, NotImplementedError):
            system.rm_file(path)
        return
    with suppress(OSError):
        discard()
    # An upload that was discarded would be finished when the stream is collected. Files whose
    # `closed` cannot be set close by themselves, and upload nothing.
    with suppress(AttributeError):
        stream.closed = True


def open_backup(place: Path | str) -> IO[bytes]:
    """A backup, opened for reading. Raises OSError."""
    if not is_url(place):
        return Path(place).open("rb")
    system, path = file_system(place)
    stream: IO[bytes] = system.open(path, "rb")
    return stream
