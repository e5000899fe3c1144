"""Whether two paths of a tree have nothing between them, and whether one runs along its edge."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.stores.ics23.proofs import InnerOp, InnerSpec


def is_leftmost(spec: InnerSpec, path: Sequence[InnerOp]) -> bool:
    """Whether nothing is left of the leaf that a path begins at."""
    return all(branch_of(spec, step) == 0 or are_empty(spec, step, left=True) for step in path)


def is_rightmost(spec: InnerSpec, path: Sequence[InnerOp]) -> bool:
    """Whether nothing is right of the leaf that a path begins at."""
    last = len(spec.child_order) - 1
    return all(branch_of(spec, step) == last or are_empty(spec, step, left=False) for step in path)


def are_neighbours(spec: InnerSpec, left: Sequence[InnerOp], right: Sequence[InnerOp]) -> bool:
    """Whether two leaves follow each other: their paths part once, and lead along that gap."""
    same = 0
    shorter = min(len(left), len(right))
    while same < shorter and _is_same(left[-1 - same], right[-1 - same]):
        same += 1
    if same == shorter:
        return False  # one of them would be above the other
    low, high = branch_of(spec, left[-1 - same]), branch_of(spec, right[-1 - same])
    return (
        low is not None
        and high == low + 1
        and is_rightmost(spec, left[: -1 - same])
        and is_leftmost(spec, right[: -1 - same])
    )


def branch_of(spec: InnerSpec, step: InnerOp) -> int | None:
    """Which of its parent's children a step comes from, by the room around it; None if neither."""
    children = len(spec.child_order)
    for branch in spec.child_order:
        place = spec.child_order.index(branch)
        before = len(step.prefix) - place * spec.child_size
        after = (children - 1 - place) * spec.child_size
        fits = spec.min_prefix_length <= before <= spec.max_prefix_length
        if fits and len(step.suffix) == after:
            return branch
    return None


def _is_same(one: InnerOp, other: InnerOp) -> bool:
    return one.prefix == other.prefix and one.suffix == other.suffix


def are_empty(spec: InnerSpec, step: InnerOp, *, left: bool) -> bool:
    """Whether all children on one side of a step are the empty child, where a tree has one."""
    branch = branch_of(spec, step)
    if branch is None or not spec.empty_child:
        return False
    size = spec.child_size
    if left:
        start, count, content = len(step.prefix) - branch * size, branch, step.prefix
        branches = range(branch)
    else:
        start, count, content = 0, len(spec.child_order) - 1 - branch, step.suffix
        branches = range(branch + 1, len(spec.child_order))
    if count == 0 or start < 0:
        return False
    # Children stand in the order of the spec; those on one side are together.
    return all(
        content[start + place * size : start + (place + 1) * size] == spec.empty_child
        for place in range(len(branches))
    )
