"""Points and boxes where arithmetic of the earth goes wrong: poles, date line, edges of cells."""

from hypothesis import strategies as st

from holdfast.documents.geo.shapes import Box, Point
from holdfast.documents.query import places

LATITUDES = st.sampled_from(
    [-90.0, 90.0, 0.0, 45.0, -45.0, 22.5, 89.999999, -89.999999, 1e-12, -1e-12, 5e-324]
) | st.floats(-90, 90)
LONGITUDES = st.sampled_from(
    [-180.0, 180.0, 0.0, 90.0, -90.0, 45.0, 179.999999, -179.999999, 1e-12, -1e-12]
) | st.floats(-180, 180)
POINTS = st.builds(Point, LATITUDES, LONGITUDES)
BOXES = st.builds(
    lambda one, other, west, east: Box(min(one, other), west, max(one, other), east),
    LATITUDES,
    LATITUDES,
    LONGITUDES,
    LONGITUDES,
)


def distance(one: Point, other: Point) -> float:
    """Metres, as queries measure them."""
    return places.haversine(
        places.Point(one.latitude, one.longitude), places.Point(other.latitude, other.longitude)
    )


def holds(box: Box, point: Point) -> bool:
    """Whether a point lies in a box, edges, poles and date line among it."""
    if not box.south <= point.latitude <= box.north:
        return False
    if abs(point.latitude) == 90:
        return True
    longitudes = {point.longitude}
    if abs(point.longitude) == 180:
        longitudes.add(-point.longitude)
    if box.west <= box.east:
        return any(box.west <= one <= box.east for one in longitudes)
    return any(one >= box.west or one <= box.east for one in longitudes)
