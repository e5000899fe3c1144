"""How much an area may hold: `StoreBuilder.with_bound("cache", Bound(items=10_000))`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from holdfast.contract.errors import ConfigInvalid
from holdfast.state.checks import found

#: Which value goes first: the one that was not used for the longest time, the one that was used
#: the fewest times, or the one that ends first.
Order = Literal["lru", "lfu", "ttl"]

#: The areas that can be bounded: what is lost there is made again.
BOUNDED_AREAS: Final = ("kv", "cache")
ITEMS_MAX: Final = 1 << 40
BYTES_MAX: Final = 1 << 50


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that an area of a service holds, in all of its scopes together.

    Attributes:
        items: how many values; None: any number.
        bytes: how many bytes of keys and values; None: any number.
        order: which value goes first, see `Order`.
    """

    items: int | None = None
    bytes: int | None = None
    order: Order = "lru"

    def __post_init__(self) -> None:
        if self.items is None and self.bytes is None:
            raise ConfigInvalid("a bound has items or bytes, or both; found neither")
        for name, most in (("items", ITEMS_MAX), ("bytes", BYTES_MAX)):
            given = getattr(self, name)
            if given is not None and (
                not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= most
            ):
                raise ConfigInvalid(
                    f"{name} of a bound is a whole number from 1 to {most}; found "
                    f"{found(given) if isinstance(given, int | float) else type(given).__name__}",
                    parameter=name,
                )
        if self.order not in ("lru", "lfu", "ttl"):
            raise ConfigInvalid(
                "order is 'lru', 'lfu' or 'ttl'; found another word", parameter="order"
            )


def check_bounded_area(area: str) -> None:
    """Raise ConfigInvalid unless the area can be bounded."""
    if area not in BOUNDED_AREAS:
        raise ConfigInvalid(
            f"{' and '.join(BOUNDED_AREAS)} can be bounded, as what is lost there is made again; "
            f"found {area!r}",
            parameter="area",
        )
