"""Where plates stand in a picture: how their boxes lie to one another, in pixels."""

from schemas.records import Box


def middle(box: Box) -> tuple[float, float]:
    """Centre of a box in pixels."""
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def overlap(one: Box, other: Box) -> float:
    """Share of the smaller of two boxes that lies within the other, 0 to 1."""
    width = min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"])
    height = min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min(one["width"] * one["height"], other["width"] * other["height"])


def beside(one: Box, other: Box) -> bool:
    """Whether two boxes may be on the same vehicle: not further apart than four plates.

    A box without width says nothing of where its plate stands.
    """
    (x, y), (other_x, other_y) = middle(one), middle(other)
    reach = 4 * max(one["width"], other["width"])
    return reach > 0 and abs(x - other_x) <= reach and abs(y - other_y) <= reach
