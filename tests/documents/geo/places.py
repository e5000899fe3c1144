"""Points and boxes where arithmetic of the earth goes wrong: poles, date line, edges of cells."""

from hypothesis import strategies as st

from holdfast.documents.geo.shapes import Box, Point

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
