"""What the sightings' view is asked: for the API and the command line. Every value is bound."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from projections.asking import Asking, Row, storable
from projections.schema import LIVE
from rules.text import normalise

# A sighting in a list; by_id adds the evidence.
_LISTED = (
    "event_id, captured_at, camera_id, track_id, plate_text, plate_normalized_text, "
    "plate_confidence, plate_region, vehicle_type, vehicle_make, vehicle_model, vehicle_color, "
    "plate_image_url, vehicle_image_url, frame_image_url, latency_ms, quality_score, "
    "frame_number, site_id, host_id, roi, direction, created_at, status, revision, partition, "
    "first_seen, last_seen, camera_group, zone, lane, latitude, longitude, timezone, reads, "
    "tracks, texts, merged_into, reason, rules_version, was, alternatives, box"
)
_STANDING = "status <> 'retracted'"
_BY_CAPTURE = "captured_at DESC, event_id"


@dataclass(frozen=True, slots=True)
class Search:
    """Conditions that must all hold; None does not matter.

    ``plate`` may hold ``*`` (any characters) and ``?`` (one). ``start`` and ``end`` are times of
    capture, both included.
    """

    plate: str | None = None
    camera: str | None = None
    site: str | None = None
    zone: str | None = None
    status: str | None = None
    min_confidence: float | None = None
    start: datetime | None = None
    end: datetime | None = None
    direction: str | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed after a cursor, and the cursor to ask with next.

    Each row carries ``change``, its number; an erased sighting is a row of ``event_id``,
    ``change`` and ``erased`` alone. ``complete`` is False when it is not known what changed since
    (the cursor is too old, the view was rebuilt differently): load the list anew.
    """

    rows: list[Row]
    cursor: int
    complete: bool


class SightingQueries(Asking):
    """Reads the sightings' view; any number of threads may share it.

    Every method raises ViewUnavailable, and QueryTimeout after ``timeout_ms``. At most
    ``connections`` are open; who finds none free waits for one, no longer than the timeout.
    """

    def __init__(
        self, url: str, schema: str = LIVE, connections: int = 8, timeout_ms: int = 5_000
    ) -> None:
        super().__init__(url, schema, "plate_events_hourly", connections, timeout_ms)

    def stats(self) -> Row:
        """Seeds' statistics of the sightings that stand: counts, first, last, averages."""
        return self._all("SELECT * FROM plate_events_stats")[0]

    def recent(self, limit: int = 10, offset: int = 0, *, retracted: bool = False) -> list[Row]:
        """The latest to arrive in the log first."""
        return self._list([], [], "created_at DESC, event_id", (limit, offset), retracted)

    def by_id(self, event_id: str) -> Row | None:
        """One sighting with its evidence (positions, reads), retracted or not; None if unknown."""
        try:
            key = str(UUID(event_id))
        except ValueError:
            return None
        rows = self._all(f"SELECT {_LISTED}, evidence FROM plate_events WHERE event_id = %s", [key])
        return rows[0] if rows else None

    def by_plate(
        self, text: str, limit: int = 100, offset: int = 0, *, retracted: bool = False
    ) -> list[Row]:
        """Sightings of one plate, written in any way, latest capture first."""
        condition = "plate_normalized_text = %s"
        return self._list([condition], [normalise(text)], _BY_CAPTURE, (limit, offset), retracted)

    def by_camera(
        self,
        camera_id: str,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 100,
        offset: int = 0,
        *,
        retracted: bool = False,
    ) -> list[Row]:
        """Sightings of one camera between two times of capture, latest first."""
        wanted = Search(camera=camera_id, start=start, end=end)
        return self.search(wanted, limit, offset, retracted=retracted)

    def search(
        self, search: Search, limit: int = 100, offset: int = 0, *, retracted: bool = False
    ) -> list[Row]:
        """Sightings that meet every condition, latest capture first.

        Asking for the status ``retracted`` includes them.
        """
        conditions: list[str] = []
        values: list[Any] = []

        def where(condition: str, value: Any) -> None:
            if value is not None:
                conditions.append(condition)
                values.append(value)

        if search.plate is not None:
            if "*" in search.plate or "?" in search.plate:
                where("plate_normalized_text LIKE %s", pattern(search.plate))
            else:
                where("plate_normalized_text = %s", normalise(search.plate))
        where("camera_id = %s", search.camera)
        where("site_id = %s", search.site)
        where("zone = %s", search.zone)
        where("status = %s", search.status)
        where("plate_confidence >= %s", search.min_confidence)
        where("captured_at >= %s", search.start)
        where("captured_at <= %s", search.end)
        where("direction = %s", search.direction)
        where("plate_region = %s", search.region)
        shown = retracted or search.status == "retracted"
        return self._list(conditions, values, _BY_CAPTURE, (limit, offset), shown)

    def there(
        self, camera_id: str, camera_group: str | None, at: datetime, margin: timedelta
    ) -> list[Row]:
        """Sightings that stand of a camera, or of its group, whose stay, longer by ``margin`` at
        both ends, holds a moment: ``event_id``, ``plate_normalized_text``. Opened up to a day
        before, so that not the whole view is looked through.
        """
        group = camera_group or None  # as the rules take it
        gate, name = "camera_group = %(gate)s", group
        if name is None:
            gate, name = "camera_id = %(gate)s AND camera_group IS NULL", camera_id
        if not storable(name):
            return []
        return self._all(
            f"SELECT event_id, plate_normalized_text FROM plate_events WHERE {gate} "
            f"AND {_STANDING} AND captured_at BETWEEN %(at)s - %(margin)s - interval '1 day' "
            "AND %(at)s + 2 * %(margin)s "
            "AND first_seen <= %(at)s + %(margin)s AND last_seen >= %(at)s - %(margin)s "
            "ORDER BY captured_at, event_id",
            {"gate": name, "at": at, "margin": margin},
        )

    def cameras(self) -> list[Row]:
        """``camera_id``, ``site_id``, ``zone``, ``last_seen`` of each with sightings that stand."""
        return self._all(
            "SELECT last.camera_id, last.site_id, last.zone, last.last_seen "
            "FROM sighting_counts AS seen, LATERAL ("
            "SELECT camera_id, site_id, zone, last_seen FROM plate_events AS event "
            "WHERE event.camera_id = seen.name ORDER BY captured_at DESC LIMIT 1) AS last "
            "WHERE seen.kind = 'camera' ORDER BY last.camera_id"
        )

    def hourly(self, start: datetime, end: datetime, camera_id: str | None = None) -> list[Row]:
        """Sightings by hour of capture and camera, from the hour of ``start`` to before ``end``.

        ``hour``, ``camera_id``, ``sightings``, ``unique_plates``. With TimescaleDB hours that
        were over when they changed may be ten minutes late.
        """
        return self._all(
            "SELECT * FROM plate_events_hourly WHERE hour >= date_trunc('hour', %(start)s) "
            "AND hour < %(end)s AND (%(camera)s::text IS NULL OR camera_id = %(camera)s) "
            "ORDER BY hour, camera_id",
            {"start": start, "end": end, "camera": camera_id},
        )

    def positions(self) -> list[Row]:
        """How far each partition is read: topic, partition, next_offset, watermark (us) or None."""
        return self._all(
            "SELECT topic, partition, next_offset, watermark FROM view_positions "
            "ORDER BY topic, partition"
        )

    def latest_change(self) -> int:
        """The cursor of now: changes after it are yet to come."""
        return self._all("SELECT changes FROM view_state")[0]["changes"]

    def changes_since(self, cursor: int, limit: int = 100) -> Changes:
        """What changed after a cursor, oldest first, each event as it is now and once.

        Cursors grow with every applied change of any partition and go on over a rebuild. The
        latest 10,000 changes are known. To be woken: LISTEN on ``channel``.
        """
        rows = self._all(
            "SELECT changes AS latest, first_known, change, numbered.event_id, "
            f"{_after_id(_LISTED)} FROM view_state LEFT JOIN ("
            "SELECT last_change - cardinality(event_ids) AS first_known "
            "FROM view_changes ORDER BY last_change LIMIT 1) AS known ON true LEFT JOIN ("
            "SELECT max(before + place) AS change, event_id FROM ("
            "SELECT last_change - cardinality(event_ids) AS before, event_ids "
            # OFFSET 0: computed once a batch and not, with the whole array read, for each event
            "FROM view_changes WHERE last_change > %(cursor)s OFFSET 0) AS batch, "
            "unnest(event_ids) WITH ORDINALITY AS named (event_id, place) "
            "WHERE before + place > %(cursor)s "
            "GROUP BY event_id ORDER BY change LIMIT %(limit)s) AS numbered ON true "
            "LEFT JOIN plate_events AS event ON event.event_id = numbered.event_id "
            "ORDER BY change",
            {"cursor": cursor, "limit": limit},
        )
        latest, first_known = rows[0]["latest"], rows[0]["first_known"]
        oldest = latest if first_known is None else first_known
        if not oldest <= cursor <= latest:
            return Changes([], latest, False)
        found: list[Row] = []
        for row in rows:
            del row["latest"], row["first_known"]
            if row["change"] is None:
                continue
            gone = {"event_id": row["event_id"], "change": row["change"], "erased": True}
            found.append(gone if row["captured_at"] is None else row)
        return Changes(found, found[-1]["change"] if found else cursor, True)

    def _list(
        self,
        conditions: Sequence[str],
        values: Sequence[Any],
        order: str,
        page: tuple[int, int],
        retracted: bool,
    ) -> list[Row]:
        if not all(map(storable, values)):
            return []
        chosen = [*conditions] if retracted else [*conditions, _STANDING]
        where = f"WHERE {' AND '.join(chosen)} " if chosen else ""
        return self._all(
            f"SELECT {_LISTED} FROM plate_events {where}ORDER BY {order} LIMIT %s OFFSET %s",
            [*values, *page],
        )


def pattern(wildcards: str) -> str:
    """A LIKE pattern: every character that is no wildcard is normalised, so none needs escaping."""
    return "".join(
        {"*": "%", "?": "_"}.get(character) or normalise(character) for character in wildcards
    )


def _after_id(columns: str) -> str:
    """The listed columns of ``event`` without its id, which another relation gives."""
    return ", ".join(f"event.{name}" for name in columns.split(", ") if name != "event_id")
