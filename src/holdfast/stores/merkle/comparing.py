"""Two content trees side by side: what differs, and which nodes only the older one has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from holdfast.stores.iavl.nodes import Link, link_hash, link_version
from holdfast.stores.merkle.nodes import Node

Load: TypeAlias = Callable[[Link], Node]
#: What is still to be walked: a subtree by its link, or one node without its subtrees.
Pending: TypeAlias = "list[Link | Node]"


class DigestChange(NamedTuple):
    """A key whose digest differs; None where the key is absent."""

    key: bytes
    before: bytes | None
    after: bytes | None


def differences(load: Load, before: Link | None, after: Link | None) -> Iterator[DigestChange]:
    """The changes that lead from one tree to another, in the order of their keys.

    Where both walks stand before the same subtree, it is skipped; elsewhere the subtree with the
    greater priority is taken apart, for the other can only be a part of it.
    """
    old: Pending = [] if before is None else [before]
    new: Pending = [] if after is None else [after]
    while old and new:
        left, right = old[-1], new[-1]
        if isinstance(left, Node) and isinstance(right, Node):
            yield from _compared(old, new, left, right)
        elif isinstance(left, bytes) and isinstance(right, bytes):
            if link_hash(left) == link_hash(right):
                old.pop()
                new.pop()
                continue
            one, other = load(left), load(right)
            if one.priority >= other.priority:
                _take_apart(old, one)
            if other.priority >= one.priority:
                _take_apart(new, other)
        elif isinstance(left, bytes):
            _take_apart(old, load(left))
        else:
            assert isinstance(right, bytes)  # the three other cases are above
            _take_apart(new, load(right))
    for node in _rest(load, old):
        yield DigestChange(node.key, node.digest, None)
    for node in _rest(load, new):
        yield DigestChange(node.key, None, node.digest)


def orphans(load: Load, version: int, root: Link | None, next_root: Link | None) -> Iterator[Link]:
    """The nodes below a version's root that the next version does not share."""
    kept = _kept(load, version, next_root)
    expected = next(kept, None)
    pending = [root]
    while pending:
        link = pending.pop()
        if link is None:
            continue
        if link == expected:
            expected = next(kept, None)
            continue
        yield link
        node = load(link)
        pending += (node.right, node.left)  # type: ignore[arg-type]  # saved nodes have links


def _kept(load: Load, version: int, root: Link | None) -> Iterator[Link]:
    """The highest nodes below `root` that `version` has too, from left to right."""
    pending = [root]
    while pending:
        link = pending.pop()
        if link is None:
            continue
        if link_version(link) <= version:
            yield link
            continue
        node = load(link)
        pending += (node.right, node.left)  # type: ignore[arg-type]  # saved nodes have links


def _compared(old: Pending, new: Pending, left: Node, right: Node) -> Iterator[DigestChange]:
    key = min(left.key, right.key)
    was = now = None
    if left.key == key:
        old.pop()
        was = left.digest
    if right.key == key:
        new.pop()
        now = right.digest
    if was != now:
        yield DigestChange(key, was, now)


def _take_apart(pending: Pending, node: Node) -> None:
    parts = (node.right, node, node.left)
    pending[-1:] = [part for part in parts if part is not None]


def _rest(load: Load, pending: Pending) -> Iterator[Node]:
    while pending:
        top = pending[-1]
        if isinstance(top, Node):
            pending.pop()
            yield top
        else:
            _take_apart(pending, load(top))
