"""Ways through a spatial index: what lies in a box, or in a circle around a point."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from holdfast.documents.geo import index as geo
from holdfast.documents.geo.shapes import Box, Point, circle_box
from holdfast.documents.indexes.definition import IndexDefinition, index_prefix
from holdfast.documents.planner.predicates import ByPath
from holdfast.documents.planner.way import Access, below
from holdfast.documents.query.nodes import Near, Within
from holdfast.documents.query.paths import path_text
from holdfast.documents.query.places import Box as Area
from holdfast.documents.query.places import Point as Place
from holdfast.documents.query.places import meters_from


def spatial(index: IndexDefinition, prefix: bytes, by_path: ByPath) -> Access | None:
    for one in by_path.get(index.fields[0].path, ()):
        node = one.node
        if isinstance(node, Within):
            box = Box(node.box.south, node.box.west, node.box.north, node.box.east)
            told = f"within {tuple(node.box)}"
        elif isinstance(node, Near) and node.meters is not None:
            center = Point(node.point.latitude, node.point.longitude)
            box = circle_box(center, node.meters)
            told = f"at most {node.meters:g} m from {tuple(node.point)}"
        else:
            continue
        access = Access(index, prefix, [below(prefix, span) for span in geo.ranges(box)])
        if one.whole:
            access.places, access.asked = {one.place}, {one.place}
        access.holds = in_box(node.box) if isinstance(node, Within) else _near(node)
        access.bounded = 1
        access.bounds = {path_text(one.path): partial(list, (told,))}
        return access
    return None


def _near(node: Near) -> Callable[[bytes], bool]:
    """What tells whether a place of a row is as near as the condition wants."""
    metres = math.inf if node.meters is None else node.meters
    away = meters_from(node.point)
    return lambda value: any(away(*one) <= metres for one in geo.places_in(value))


def in_box(box: Area) -> Callable[[bytes], bool]:
    """What tells whether a place of a row lies in a box."""
    west, south, east, north = box

    def holds(value: bytes) -> bool:
        for latitude, longitude in geo.places_in(value):
            # Most that are not wanted are told by one comparison; the date line takes more.
            if south <= latitude <= north and (
                west <= longitude <= east or box.holds(Place(latitude, longitude))
            ):
                return True
        return False

    return holds


def around_point(keyspace: int, index: IndexDefinition, center: Point, metres: float) -> Access:
    """The spans of a spatial index that hold what lies at most so far from a point."""
    prefix = index_prefix(keyspace, index.number)
    spans = [below(prefix, span) for span in geo.ranges(circle_box(center, metres))]
    return Access(index, prefix, spans, bounded=1)
