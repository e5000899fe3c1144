"""Imports a rival, which only the dependency group `bench` installs."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


class PeerMissing(Exception):
    """A rival is not installed."""


def driver(name: str) -> ModuleType:
    """The module of that name.

    Raises:
        PeerMissing: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise PeerMissing(
            f"the rival {name} is needed and is not installed ({error}). Install the dependency "
            "group `bench` (`make bench` does), or pass --without-peers"
        ) from error
