"""Packages of others, imported on first use."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from holdfast.contract.errors import DriverMissing


def require(module: str, package: str) -> ModuleType:
    """The module. Raises DriverMissing, with the package to install, when it is not there."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # It is there, and lacks something itself.
        raise missing(package) from error


def missing(package: str) -> DriverMissing:
    """The error for a package that is not installed."""
    return DriverMissing(
        f"the package {package} was wanted; it is not installed. Run: pip install {package}",
        driver=package,
    )
