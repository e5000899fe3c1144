"""Settings under their older names, as the parameters and configurations they are now."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from holdfast.stores.config import StoreConfig

#: The older name, where it belongs now, and its name there.
NAMES: Final[dict[str, tuple[str, str]]] = {
    "syncWrites": ("engine", "durability"),
    "sync_writes": ("engine", "durability"),
    "readOnly": ("engine", "read_only"),
    "read_only": ("engine", "read_only"),
    "compression": ("store", "compression"),
    "maxVersions": ("store", "max_versions"),
    "max_versions": ("store", "max_versions"),
    "format": ("store", "format"),
}


class OldConfig(Struct, frozen=True):
    """What older settings mean now.

    Attributes:
        engine: parameters of the URL.
        store: of the store.
    """

    engine: dict[str, str | bool]
    store: StoreConfig


def from_old_names(settings: Mapping[str, Any]) -> OldConfig:
    """Older settings as they are now; what is left out has today's default.

    An unknown name is warned about and left out.

    Raises:
        ConfigInvalid: a value cannot be.
    """
    engine: dict[str, str | bool] = {}
    store: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in NAMES:
            warnings.warn(
                f"the setting {name!r} has no meaning any more and is left out; there are "
                f"{', '.join(sorted(NAMES))}",
                stacklevel=2,
            )
            continue
        where, now = NAMES[name]
        if now == "durability":
            engine[now] = "full" if value else "relaxed"
        elif where == "engine":
            engine[now] = bool(value)
        else:
            store[now] = _compression(value) if now == "compression" else value
    return OldConfig(engine, StoreConfig.of(store))


def _compression(value: Any) -> Any:
    """Older settings switch it on and off."""
    if value is True:
        return "zstd"
    return "none" if value in (False, None, "") else value
