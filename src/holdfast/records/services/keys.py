"""The default key service: the path form, remembered."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.codecs.text import StoreKey

#: How many keys are remembered before the memory starts anew: some 50 MB when full.
CACHE_KEYS_MAX = 250_000


class _Texts(dict[str, str]):
    """Canonical texts by key as given, remembered: a look-up is one step in C."""

    def __missing__(self, key: StoreKey | str) -> str:
        text = str(StoreKey.of(key))
        if len(self) >= CACHE_KEYS_MAX:
            self.clear()
        self[key] = text
        return text


class PathKeyService:
    """`users/active:123` and its parts; see `codecs/text.py` for the rules."""

    def __init__(self) -> None:
        #: `serialize` without its word on what cannot be a key: a TypeError.
        self.known: Callable[[StoreKey | str], str] = _Texts().__getitem__

    def serialize(self, key: StoreKey | str) -> str:
        try:
            return self.known(key)
        except TypeError:
            return str(StoreKey.of(key))  # Says what a key is.

    def parse(self, serialized: str) -> StoreKey:
        return StoreKey.parse(serialized)

    def namespace(self, serialized: str) -> str:
        return serialized.partition(":")[0] if ":" in serialized else ""
