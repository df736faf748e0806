"""How far two places are apart."""

from math import asin, cos, radians, sin, sqrt

EARTH_KM = 6371.0088
"""Mean radius: R1 of the International Union of Geodesy and Geophysics."""


def kilometres(
    latitude: float, longitude: float, other_latitude: float, other_longitude: float
) -> float:
    """Along the great circle, by the haversine formula; degrees in, never more than half around.

    >>> round(kilometres(52.52, 13.405, 48.137, 11.575))  # Berlin to Munich
    504
    """
    north, south = radians(latitude), radians(other_latitude)
    half = sin((south - north) / 2) ** 2 + cos(north) * cos(south) * (
        sin(radians(other_longitude - longitude) / 2) ** 2
    )
    return 2 * EARTH_KM * asin(sqrt(min(1.0, half)))
