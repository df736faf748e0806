"""What the sightings' view is asked of one plate: its passes, its habits, and who was near."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from projections.asking import Asking, Row, storable
from projections.grant import among
from projections.shown import FROM, PEOPLE, STANDING, TEXT, of_plates

PASSES = 300
"""The latest passes of a plate that companions are looked for at; each is an index lookup."""
CROWD = 200
"""The nearest others at one pass: a lane takes some 30 vehicles a minute."""
COMMON = 10_000
"""Sightings of a companion are counted up to here: more common, it says nothing any more."""
_COMPANIONS = 200  # that were met most often; which of them chance explains is told afterwards

_PASS = (
    f"event.event_id, {TEXT} AS plate, event.plate_normalized_text, event.camera_id, "
    "event.camera_group, event.site_id, event.zone, event.lane, event.latitude, event.longitude, "
    "event.timezone, event.direction, event.captured_at, event.first_seen, event.last_seen, "
    "event.status, event.plate_region, event.plate_confidence, event.quality_score, "
    "event.plate_image_url, event.frame_image_url, said.actor AS corrected_by"
)


@dataclass(frozen=True, slots=True)
class Span:
    """Times of capture, both ends included; None is open."""

    start: datetime | None = None
    end: datetime | None = None

    def conditions(self) -> tuple[list[str], list[datetime]]:
        """SQL on ``event``, and its values."""
        given = (("event.captured_at >= %s", self.start), ("event.captured_at <= %s", self.end))
        kept = [(condition, at) for condition, at in given if at is not None]
        return [condition for condition, _ in kept], [at for _, at in kept]


@dataclass(frozen=True, slots=True)
class Met:
    """Who was near a plate: ``rows``, and what was looked at to find them.

    ``passes`` of the plate were looked at, on ``chances`` different pairs of camera and day;
    ``crowd`` is the sum, over these, of the different plates that were near. ``cut`` passes had
    more than CROWD near. ``total`` are the sightings of all plates that the one who asks may see.
    """

    rows: list[Row]
    passes: int
    chances: int
    crowd: int
    cut: int
    total: int


class Journeys:
    """Asks the sightings' view on the connections of ``asking``; any number of threads may.

    Plates are given normalised. What a person corrected counts as corrected, what nobody may see
    is left out (projections/shown.py, projections/grant.py). Raises what Asking does.
    """

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def passes(
        self,
        plates: Sequence[str],
        span: Span = Span(),
        before: tuple[datetime, str] | None = None,
        limit: int = 100,
    ) -> list[Row]:
        """Sightings of any of these plates, the latest captured first; few columns of each.

        ``before`` is the time of capture and the id of the last one that is known already.
        ``plate`` is the text as shown, ``plate_normalized_text`` as it was read,
        ``corrected_by`` who corrected it, if anybody did.
        """
        where, values = _of(plates, span)
        if where is None:
            return []
        if before is not None:
            # Latest first, but ids ascending: as the other lists of sightings are.
            where += (
                " AND (event.captured_at < %s OR (event.captured_at = %s AND event.event_id > %s))"
            )
            values += [before[0], before[0], before[1]]
        return self._asking.ask(
            f"SELECT {_PASS} FROM {FROM} WHERE {where} "
            "ORDER BY event.captured_at DESC, event.event_id LIMIT %s",
            [*values, limit],
        )

    def cameras(self, plates: Sequence[str], span: Span = Span()) -> list[Row]:
        """``camera_id``, ``site_id``, ``sightings``, ``first_seen``, ``last_seen`` of each camera
        that saw any of these plates, most sightings first.
        """
        where, values = _of(plates, span)
        if where is None:
            return []
        return self._asking.ask(
            "SELECT event.camera_id, max(event.site_id) AS site_id, count(*) AS sightings, "
            "min(event.captured_at) AS first_seen, max(event.last_seen) AS last_seen "
            f"FROM {FROM} WHERE {where} GROUP BY 1 ORDER BY 3 DESC, 1",
            values,
        )

    def companions(
        self, plates: Sequence[str], window_s: float, times: int, span: Span = Span()
    ) -> Met:
        """Other plates captured within ``window_s`` of it at the same cameras, on ``times`` or
        more occasions: different pairs of a camera and a day (UTC).

        Rows: ``text``; ``occasions``; ``together``, the passes on which it was near; ``days``;
        ``cameras``, their ids; ``first_at`` and ``last_at``, captures of the plate asked for;
        ``behind_s``, how much later it came on average (negative: earlier); ``seen``, all
        sightings of it, COMMON at most. At most 200, most occasions first. Looked at are the
        latest PASSES passes of the plate, and at each the CROWD nearest others.
        """
        where, values = _of(plates, span)
        if where is None:
            return Met([], 0, 0, 0, 0, 0)
        granted, cameras = among("event.camera_id")
        seen = " AND ".join([STANDING, *granted])
        rows = self._asking.ask(
            "WITH passes AS MATERIALIZED ("
            "SELECT event.camera_id, event.captured_at, row_number() OVER () AS pass "
            f"FROM {FROM} WHERE {where} ORDER BY event.captured_at DESC LIMIT {PASSES}), "
            # For each pass a range of idx_camera_time, and no more than that is read.
            "near AS MATERIALIZED ("
            "SELECT pass, passes.camera_id, passes.captured_at AS at, other.* "
            f"FROM passes, LATERAL (SELECT {TEXT} AS plate_near, "
            "extract(epoch FROM event.captured_at - passes.captured_at) AS behind "
            f"FROM {FROM} WHERE event.camera_id = passes.camera_id AND event.captured_at "
            "BETWEEN passes.captured_at - %s * interval '1 s' "
            "AND passes.captured_at + %s * interval '1 s' "
            f"AND {STANDING} AND {TEXT} <> ALL(%s) "
            "ORDER BY abs(extract(epoch FROM event.captured_at - passes.captured_at)) "
            f"LIMIT {CROWD}) AS other), "
            "met AS MATERIALIZED (SELECT plate_near, "
            "count(DISTINCT (camera_id, (at AT TIME ZONE 'UTC')::date)) AS occasions, "
            "count(DISTINCT pass) AS together, "
            "count(DISTINCT (at AT TIME ZONE 'UTC')::date) AS days, "
            "array_agg(DISTINCT camera_id) AS cameras, min(at) AS first_at, max(at) AS last_at, "
            "avg(behind)::double precision AS behind_s FROM near GROUP BY 1) "
            "SELECT looked.*, plate_near AS text, occasions, together, days, cameras, first_at, "
            "last_at, behind_s, seen FROM ("
            "SELECT (SELECT count(*) FROM passes) AS passes, "
            "(SELECT count(DISTINCT (camera_id, (captured_at AT TIME ZONE 'UTC')::date)) "
            "FROM passes) AS chances, "
            "(SELECT coalesce(sum(occasions), 0)::bigint FROM met) AS crowd, "
            f"(SELECT count(*) FROM (SELECT FROM near GROUP BY pass HAVING count(*) = {CROWD}) "
            f"AS full_ones) AS cut, {_TOTAL}) AS looked LEFT JOIN ("
            "SELECT first.*, (SELECT count(*) FROM ("
            f"SELECT FROM {FROM} WHERE {seen} AND {of_plates('ARRAY[first.plate_near]')} "
            f"LIMIT {COMMON}) AS all_of_it) AS seen FROM ("
            "SELECT * FROM met WHERE occasions >= %s "
            f"ORDER BY occasions DESC, together DESC, plate_near LIMIT {_COMPANIONS}) AS first"
            ") AS chosen ON true ORDER BY occasions DESC, together DESC, plate_near",
            [*values, window_s, window_s, [*plates], *_total(), *cameras, times],
        )
        looked = rows[0]
        told = {name: looked[name] for name in ("passes", "chances", "crowd", "cut", "total")}
        found = [
            {name: value for name, value in row.items() if name not in told}
            for row in rows
            if row["text"] is not None
        ]
        return Met(found, **told)

    def zones(self) -> dict[str, str]:
        """The time zone of each camera with sightings, by its latest one."""
        granted, values = among("seen.name")
        where = " AND ".join(["seen.kind = 'camera'", *granted])
        rows = self._asking.ask(
            "SELECT seen.name, last.timezone FROM sighting_counts AS seen, LATERAL ("
            "SELECT timezone FROM plate_events AS event WHERE event.camera_id = seen.name "
            f"ORDER BY captured_at DESC LIMIT 1) AS last WHERE {where}",
            values,
        )
        return {row["name"]: row["timezone"] for row in rows}

    def places(self) -> list[Row]:
        """``camera_id``, ``latitude``, ``longitude`` of the cameras in use that have a place."""
        granted, values = among("camera_id")
        where = " AND ".join(["settings IS NOT NULL", "node ->> 'latitude' IS NOT NULL", *granted])
        return self._asking.ask(
            "SELECT camera_id, (node ->> 'latitude')::double precision AS latitude, "
            "(node ->> 'longitude')::double precision AS longitude "
            f"FROM {PEOPLE}.cameras WHERE {where} AND node ->> 'longitude' IS NOT NULL "
            "ORDER BY camera_id LIMIT 1000",
            values,
        )


# By camera where not all may be seen; the counts are moved with the sightings.
_TOTAL = (
    "(SELECT coalesce(sum(sightings), 0)::bigint FROM sighting_counts WHERE kind = 'camera' "
    "AND (%s::text[] IS NULL OR name = ANY(%s))) AS total"
)


def _total() -> list[list[str] | None]:
    _, cameras = among()
    wanted = cameras[0] if cameras else None
    return [wanted, wanted]


def _of(plates: Sequence[str], span: Span) -> tuple[str | None, list[Any]]:
    """The condition of all that stands of these plates; None where there can be nothing."""
    texts = [plate for plate in plates if plate and storable(plate)]
    if not texts:
        return None, []
    granted, cameras = among("event.camera_id")
    times, moments = span.conditions()
    conditions = [STANDING, of_plates(), *granted, *times]
    return " AND ".join(conditions), [texts, texts, *cameras, *moments]
