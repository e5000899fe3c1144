"""The default key service: the path form, remembered."""

from __future__ import annotations

from holdfast.codecs.text import StoreKey

#: How many keys are remembered in each direction before the memory starts anew.
CACHE_KEYS_MAX = 100_000


class PathKeyService:
    """`users/active:123` and its parts; see `codecs/text.py` for the rules."""

    def __init__(self) -> None:
        self._texts: dict[StoreKey | str, str] = {}

    def serialize(self, key: StoreKey | str) -> str:
        try:
            return self._texts[key]
        except (KeyError, TypeError):
            text = str(StoreKey.of(key))
        if len(self._texts) >= CACHE_KEYS_MAX:
            self._texts = {}
        self._texts[key] = text
        return text

    def parse(self, serialized: str) -> StoreKey:
        return StoreKey.parse(serialized)

    def namespace(self, serialized: str) -> str:
        return serialized.partition(":")[0] if ":" in serialized else ""
