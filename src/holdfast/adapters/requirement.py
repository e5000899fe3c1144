"""What an adapter says when the library it adapts to is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.contract.errors import DriverMissing


@contextmanager
def requires(package: str) -> Iterator[None]:
    """Import the other library inside; raises DriverMissing, an ImportError, without it.

    Args:
        package: what `pip install` calls it, with the oldest version that will do.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise DriverMissing(
            f"this adapter needs the package {package}; the module {error.name} is not there: "
            f"pip install '{package}'",
            driver=package,
        ) from error
