"""Where backups lie: paths, and URLs of whatever fsspec reaches."""

from __future__ import annotations

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


def open_backup(place: Path | str) -> IO[bytes]:
    """A backup, opened for reading. Raises OSError."""
    if not is_url(place):
        return Path(place).open("rb")
    system, path = file_system(place)
    stream: IO[bytes] = system.open(path, "rb")
    return stream
