"""Whose picture a picture is: what one who may see some cameras alone may be shown."""

import re
from datetime import date, timedelta

import orjson

from projections.asking import Asking, storable
from projections.grant import among, granted

_COLUMNS = ("plate_image_url", "vehicle_image_url", "frame_image_url")
_KINDS = ("plate_url", "vehicle_url", "frame_url")
_DAY = re.compile(r"images/(\d{4}-\d\d-\d\d)/")


def may_see(queries: Asking, url: str) -> bool:
    """Whether a picture, ``images/…``, is of a camera that the one who asks may see.

    The edge names pictures ``images/DAY/CAMERA/FILE``: then the name says it. Any other is looked
    for among the sightings of their cameras, those of its day where its name begins with one.
    Raises ViewUnavailable, QueryTimeout.
    """
    cameras = granted()
    if cameras is None:
        return True
    parts = url.split("/")
    if len(parts) == 4 and _DAY.match(url) and parts[2] in cameras:
        return True
    if not storable(url):
        return False
    conditions, values = among("camera_id")
    days, spans = _of_day(url)
    shown = [f"{column} = %s" for column in _COLUMNS] + ["evidence @> %s::jsonb"] * len(_KINDS)
    reads = [orjson.dumps({"reads": [{"images": {kind: url}}]}).decode() for kind in _KINDS]
    rows = queries.ask(
        "SELECT EXISTS (SELECT FROM plate_events WHERE "
        f"{' AND '.join([*conditions, *days])} AND ({' OR '.join(shown)})) AS there",
        [*values, *spans, *[url] * len(_COLUMNS), *reads],
    )
    return bool(rows[0]["there"])


def _of_day(url: str) -> tuple[list[str], list[date]]:
    """A sighting may have begun the day before its picture was taken, or after a late read."""
    found = _DAY.match(url)
    if found is None:
        return [], []
    try:
        day = date.fromisoformat(found[1])
    except ValueError:
        return [], []
    span = [day - timedelta(days=1), day + timedelta(days=2)]
    return ["captured_at >= %s", "captured_at < %s"], span
