"""What an adapter says when the library it adapts to is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.contract.errors import DriverMissing


@contextmanager
def requires(*packages: str) -> Iterator[None]:
    """Import the other library inside; raises DriverMissing, an ImportError, without it.

    Args:
        packages: what `pip install` calls it and what it needs for this, with the oldest versions
            that will do.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        wanted = " ".join(f"'{package}'" for package in packages)
        raise DriverMissing(
            f"this adapter needs a package that is not installed: the module {error.name} is not "
            f"there. Next: pip install {wanted}",
            driver=packages[0],
        ) from error
