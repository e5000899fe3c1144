"""Paths as keys of a store: `a/b/c` in UTF-8, with the bytes of a file as the value.

zarr and fsspec share this form, so what one wrote the other reads. A key that ends with a slash is
a directory which somebody made; other directories are there as long as something is below them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from holdfast.adapters.ranges import PAGE_KEYS
from holdfast.contract.record import after_prefix
from holdfast.sync import Store

SLASH: Final = b"/"


class Child(NamedTuple):
    """What stands directly in a directory.

    Attributes:
        name: its last part.
        is_directory: whether there is more below it.
    """

    name: bytes
    is_directory: bool


def keys_below(store: Store, prefix: bytes) -> Iterator[bytes]:
    """The keys of files that begin with a prefix, in order."""
    keys = store.keys(prefix or None, after_prefix(prefix))
    return (key for key in keys if not key.endswith(SLASH))


def children(store: Store, directory: bytes) -> Iterator[Child]:
    """What stands directly in a directory; what is below its directories is passed over.

    Args:
        store: where.
        directory: with its slash at the end, or empty for the root.
    """
    start, end = directory or None, after_prefix(directory)
    while True:
        page = list(store.keys(start, end, limit=PAGE_KEYS))
        for key in page:
            if start is not None and key < start:
                continue  # Below a directory that was told already.
            name, slash, _ = key[len(directory) :].partition(SLASH)
            if name:
                yield Child(name, bool(slash))
            start = after_prefix(directory + name + SLASH) if name and slash else key + b"\0"
        if len(page) < PAGE_KEYS:
            return
