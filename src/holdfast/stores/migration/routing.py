"""`Router`: each component of a program on the old or the new store, by a flag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from holdfast.contract.errors import InvalidInput

Side = Literal["old", "new"]
_SIDES = ("old", "new")


class Router:
    """Hands each component the store that its flag names, at every call anew.

    Args:
        old, new: the stores.
        flags: `old` or `new` for each component.
        default: for a component without a flag.

    Attributes:
        calls: how many calls each component made, by (component, side).
    """

    def __init__(
        self, old: Any, new: Any, flags: Mapping[str, Side], *, default: Side = "old"
    ) -> None:
        self._stores: dict[str, Any] = {"old": old, "new": new}
        self._flags: dict[str, Side] = {}
        self._default: Side = default
        self.calls: Counter[tuple[str, str]] = Counter()
        for component, side in flags.items():
            self.flip(component, side)

    def flip(self, component: str, side: Side) -> None:
        """Send a component to a side from its next call on. Raises InvalidInput."""
        if side not in _SIDES:
            raise InvalidInput(f"a component is on 'old' or 'new'; found {side!r}")
        self._flags[component] = side

    def side(self, component: str) -> Side:
        """Where a component is."""
        return self._flags.get(component, self._default)

    def store(self, component: str) -> Any:
        """The store of a component: every call on it goes where the flag says at that moment."""
        return _Routed(self, component)

    def routed(self, component: str) -> Any:
        """The store that a component's next call goes to; the call is counted."""
        side = self.side(component)
        self.calls[component, side] += 1
        return self._stores[side]


class _Routed:
    """The store of one component."""

    def __init__(self, router: Router, component: str) -> None:
        self._router = router
        self._component = component

    def __getattr__(self, verb: str) -> Any:
        if verb.startswith("_"):
            raise AttributeError(verb)

        def call(*arguments: Any, **options: Any) -> Any:
            return getattr(self._router.routed(self._component), verb)(*arguments, **options)

        return call
