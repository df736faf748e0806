"""What is asked of corrections: those of a sighting, all of them, and what they tell of reading."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from projections.asking import Asking, Row, storable
from projections.grant import among
from projections.schema import LIVE
from projections.shown import PEOPLE
from projections.veil import lifted

_SAID = (
    "said.correction_id, said.event_id, said.at, said.actor, said.kind, said.text, said.other, "
    "said.comment, said.undone_by"
)
_LATEST = "said.at DESC, said.event_id, said.correction_id"


@dataclass(frozen=True, slots=True)
class CorrectionSearch:
    """Conditions that must all hold; None does not matter.

    ``since`` and ``until`` are times of the correction, both included. With ``standing`` neither
    undos are told nor what was undone.
    """

    kind: str | None = None
    actor: str | None = None
    camera: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    standing: bool = False


class PeopleQueries(Asking):
    """Reads what people said of sightings; any number of threads may share it. Raises as Asking."""

    def __init__(self, url: str, connections: int = 4, timeout_ms: int = 5_000) -> None:
        super().__init__(url, LIVE, f"{PEOPLE}.corrected", connections, timeout_ms)

    def of_sighting(self, event_id: str) -> list[Row]:
        """All that was said of a sighting (its UUID), in the order in which it was said."""
        return self._all(
            f"SELECT {_SAID} FROM {PEOPLE}.corrections AS said WHERE said.event_id = %s "
            "ORDER BY said.partition, said.log_offset",
            [event_id],
        )

    def correction(self, event_id: str, correction_id: str) -> Row | None:
        """One thing that was said of a sighting; None if it was not, or is not in view yet."""
        rows = self._all(
            f"SELECT {_SAID} FROM {PEOPLE}.corrections AS said "
            "WHERE said.event_id = %s AND said.correction_id = %s",
            [event_id, correction_id],
        )
        return rows[0] if rows else None

    def leads_to(self, event_id: str, other: str) -> bool:
        """Whether what a sighting was merged into, and so on, comes to another one."""
        rows = self._all(
            "WITH RECURSIVE way AS (SELECT %s::uuid AS event_id UNION "
            f"SELECT said.merged_into FROM {PEOPLE}.corrected AS said "
            "JOIN way USING (event_id) WHERE said.merged_into IS NOT NULL) "
            "SELECT event_id FROM way WHERE event_id = %s",
            [event_id, other],
        )
        return bool(rows)

    def corrections(
        self,
        search: CorrectionSearch = CorrectionSearch(),
        limit: int = 100,
        offset: int = 0,
    ) -> list[Row]:
        """What was said, the latest first, with the sighting's ``camera_id``, ``captured_at``,
        ``timezone`` and ``plate_normalized_text``, as it was read.
        """
        conditions, values = among("event.camera_id")
        given = [
            ("said.kind = %s", search.kind),
            ("said.actor = %s", search.actor),
            ("event.camera_id = %s", search.camera),
            ("said.at >= %s", search.since),
            ("said.at <= %s", search.until),
        ]
        bound: list[object] = [*values]
        for condition, value in given:
            if value is not None:
                if not storable(value):
                    return []
                conditions.append(condition)
                bound.append(value)
        if search.standing:
            conditions.append("said.undone_by IS NULL AND said.kind <> 'undo'")
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        return self._all(
            f"SELECT {_SAID}, event.camera_id, event.captured_at, event.timezone, "
            f"event.plate_normalized_text FROM {PEOPLE}.corrections AS said "
            f"JOIN plate_events AS event USING (event_id) {where}"
            f"ORDER BY {_LATEST} LIMIT %s OFFSET %s",
            [*bound, limit, offset],
        )

    def judged(self, start: datetime | None, end: datetime | None) -> Iterator[Row]:
        """What stands of each corrected sighting captured in a time, for rules.confusions.

        ``event_id``, ``read``, ``said`` or None, ``hidden``, ``merged_into``, ``camera_id``,
        ``region``, ``reader``, ``second``: whether what was said stood among the vote's
        alternatives. Plates as they are: nothing of them is to be told but letters.
        """
        wanted, values = self._captured(start, end)
        with lifted():
            rows = self._all(
                "SELECT event_id, event.plate_normalized_text AS read, said.text AS said, "
                "said.hidden, said.merged_into, event.camera_id, "
                "coalesce(event.plate_region, '') AS region, "
                "coalesce(event.evidence -> 'reads' -> 0 ->> 'reader', '') AS reader, "
                "EXISTS (SELECT FROM jsonb_array_elements(event.alternatives) AS other "
                "WHERE other ->> 'text' = said.text) AS second "
                f"FROM {PEOPLE}.corrected AS said JOIN plate_events AS event USING (event_id) "
                f"{wanted}ORDER BY event.captured_at, event_id",
                values,
            )
        yield from rows

    def sightings(self, start: datetime | None, end: datetime | None) -> dict[str, int]:
        """How many sightings that the rules let stand each camera has, by hours of capture."""
        conditions, values = among("camera_id")
        bound: list[object] = [*values]
        if start is None and end is None:
            conditions, values = among("name")
            rows = self._all(
                "SELECT name AS camera_id, sightings FROM sighting_counts "
                f"WHERE {' AND '.join(['kind = %s', *conditions])}",
                ["camera", *values],
            )
        else:
            for condition, value in (("hour >= %s", start), ("hour < %s", end)):
                if value is not None:
                    conditions.append(condition)
                    bound.append(value)
            rows = self._all(
                "SELECT camera_id, sum(sightings)::bigint AS sightings FROM plate_events_hourly "
                f"WHERE {' AND '.join(conditions)} GROUP BY camera_id",
                bound,
            )
        return {row["camera_id"]: row["sightings"] for row in rows}

    @staticmethod
    def _captured(start: datetime | None, end: datetime | None) -> tuple[str, list[object]]:
        conditions, values = among("event.camera_id")
        bound: list[object] = [*values]
        for condition, value in (
            ("event.captured_at >= %s", start),
            ("event.captured_at < %s", end),
        ):
            if value is not None:
                conditions.append(condition)
                bound.append(value)
        return (f"WHERE {' AND '.join(conditions)} " if conditions else ""), bound
