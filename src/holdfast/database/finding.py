"""`find_engines`: which engines can do what is needed, before a database is made."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from holdfast.contract.capability import Capabilities, Isolation
from holdfast.contract.config import PathConfig
from holdfast.contract.errors import InvalidInput, StoreError
from holdfast.runtime.system import system_components
from holdfast.store.registry import engine_class, engine_names

#: What a database can do on an engine, beside the fields of `Capabilities`.
ABILITIES: Final = ("transactions", "versioning", "range_queries", "persistence", "compression")


def find_engines(**wanted: object) -> list[str]:
    """The names of the engines that can do all of it, in order.

    Args:
        wanted: fields of `Capabilities`, or `transactions`, `versioning`, `range_queries`,
            `persistence`, `compression`. A number is the least that is needed, anything else what
            the engine has to say. An engine whose driver is missing is left out.

    Raises:
        InvalidInput: there is no such capability.
    """
    known = {*Capabilities.__dataclass_fields__, *ABILITIES}
    for name in wanted:
        if name not in known:
            raise InvalidInput(
                f"an engine has no capability {name!r}; there are {', '.join(sorted(known))}"
            )
    found = []
    for engine in engine_names():
        capabilities = _capabilities(engine)
        if capabilities is not None and all(
            _has(capabilities, name, value) for name, value in wanted.items()
        ):
            found.append(engine)
    return found


def _capabilities(engine: str) -> Capabilities | None:
    """What an engine can do in its default configuration; None: it cannot be used here."""
    try:
        kind = engine_class(engine)
        config_type = kind.config_type
        config = (
            config_type(path=Path("example"))
            if issubclass(config_type, PathConfig)
            else config_type()
        )
        return kind(config, system_components()).capabilities
    except StoreError:
        return None


def _has(capabilities: Capabilities, name: str, wanted: object) -> bool:
    has: object
    match name:
        case "transactions":
            has = capabilities.isolation is not Isolation.NONE
        case "persistence":
            has = capabilities.persistent
        case "versioning" | "range_queries" | "compression":
            has = True  # By the floors above, on every engine.
        case _:
            has = getattr(capabilities, name)
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        return has is None or (isinstance(has, int | float) and has >= wanted)
    return has == wanted
