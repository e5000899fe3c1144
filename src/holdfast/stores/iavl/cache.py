"""A cache of nodes with two generations, for trees whose nodes are named by links.

What is used moves to the young generation; when that has half the limit, it becomes the old one,
and what was still in the old one is forgotten. A link has the hash in it, so a node is right in
whatever tree it is met again, and several trees over one store may share a cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from holdfast.contract.errors import InvalidInput
from holdfast.stores.iavl.nodes import Link

#: How many nodes a tree keeps in memory unless told otherwise: about 400 bytes each, keys of 16
#: and values of 40 bytes included.
CACHE_NODES = 400_000
_CACHE_NODES_MIN = 2


class Linked(Protocol):
    """A node that knows the link by which others refer to it."""

    link: Link


N = TypeVar("N", bound=Linked)


class NodeCache(Generic[N]):
    """At most `nodes_max` nodes by link.

    Attributes:
        young: looked at directly where speed counts.
    """

    __slots__ = ("_half", "_old", "young")

    def __init__(self, nodes_max: int = CACHE_NODES) -> None:
        if nodes_max < _CACHE_NODES_MIN:
            raise InvalidInput(
                f"cache_nodes is at least {_CACHE_NODES_MIN}; found {nodes_max}",
                cache_nodes=nodes_max,
            )
        self.young: dict[Link, N] = {}
        self._old: dict[Link, N] = {}
        self._half = nodes_max // 2

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def __contains__(self, link: Link) -> bool:
        return link in self.young or link in self._old

    def older(self, link: Link) -> N | None:
        """A node of the old generation, which is young from now on."""
        node = self._old.pop(link, None)
        if node is not None:
            self.keep(node)
        return node

    def keep(self, node: N) -> None:
        """Remember a node that is known to be right."""
        if len(self.young) >= self._half:
            self._old, self.young = self.young, {}
        self.young[node.link] = node

    def keep_all(self, nodes: Sequence[N]) -> None:
        """Remember many nodes."""
        if len(self.young) + len(nodes) > self._half:
            for node in nodes:
                self.keep(node)
            return
        young = self.young
        for node in nodes:
            young[node.link] = node

    def forget_all(self, links: Iterable[Link]) -> None:
        """Make room: these nodes are hardly needed any more."""
        young, old = self.young.pop, self._old.pop
        for link in links:
            if young(link, None) is None:
                old(link, None)
