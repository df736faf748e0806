"""The counts behind ``plate_events_stats``, moved by what a transaction changes."""

from collections import Counter
from collections.abc import Iterable

from psycopg2.extensions import cursor as Cursor

# What is counted of a row, in SQL, so that a row taken away subtracts what it had added.
COUNTED = (
    "camera_id, plate_normalized_text, status, "
    "(round(least(1, greatest(0, plate_confidence)) * 1e9))::bigint, latency_ms"
)

Counted = tuple[str, str, str, int, int]


class Counts:
    """The difference that some rows make; ``write`` adds it to the view's state."""

    def __init__(self) -> None:
        self._names: Counter[tuple[str, str]] = Counter()
        self._rows = self._confidence = self._latency = 0

    def add(self, rows: Iterable[Counted], sign: int = 1) -> None:
        """Count rows of ``COUNTED``; with ``sign`` -1 no longer. Retracted ones never count."""
        for camera, plate, status, confidence, latency in rows:
            if status == "retracted":
                continue
            self._names["camera", camera] += sign
            self._names["plate", plate] += sign
            self._rows += sign
            self._confidence += sign * confidence
            self._latency += sign * latency

    def take_older(self, cursor: Cursor, before: str) -> None:
        """Count no longer the rows captured before a time."""
        cursor.execute(
            "SELECT kind, name, count(*) FROM plate_events, LATERAL ("
            "VALUES ('camera', camera_id), ('plate', plate_normalized_text)) AS named (kind, name) "
            "WHERE status <> 'retracted' AND captured_at < %s GROUP BY kind, name",
            (before,),
        )
        for kind, name, rows in cursor.fetchall():
            self._names[kind, name] -= rows
        cursor.execute(
            "SELECT count(*), coalesce(sum(confidence), 0)::numeric, coalesce(sum(latency), 0) "
            f"FROM (SELECT {COUNTED} FROM plate_events WHERE status <> 'retracted' "
            "AND captured_at < %s) AS counted (camera, plate, status, confidence, latency)",
            (before,),
        )
        rows, confidence, latency = cursor.fetchall()[0]
        self._rows -= rows
        self._confidence -= int(confidence)
        self._latency -= int(latency)

    def write(self, cursor: Cursor, changes: int) -> int:
        """Add the difference, and ``changes`` to the number of changes, which is returned."""
        moved = {key: by for key, by in self._names.items() if by}
        new = self._move(cursor, moved) if moved else Counter[str]()
        cursor.execute(
            "UPDATE view_state SET changes = changes + %s, sightings = sightings + %s, "
            "plates = plates + %s, cameras = cameras + %s, confidence = confidence + %s, "
            "latency_ms = latency_ms + %s RETURNING changes",
            (changes, self._rows, new["plate"], new["camera"], self._confidence, self._latency),
        )
        row = cursor.fetchone()
        return row[0] if row else 0

    @staticmethod
    def _move(cursor: Cursor, moved: dict[tuple[str, str], int]) -> Counter[str]:
        """Add to the counts by name; how many names there are more than before, by kind."""
        # In one order, or two writers that see the same plates would wait for each other.
        keys = sorted(moved)
        cursor.execute(
            "INSERT INTO sighting_counts AS counted SELECT * FROM "
            "unnest(%s::text[], %s::text[], %s::bigint[]) "
            "ON CONFLICT (kind, name) DO UPDATE "
            "SET sightings = counted.sightings + excluded.sightings "
            "RETURNING kind, name, sightings",
            ([kind for kind, _ in keys], [name for _, name in keys], [moved[key] for key in keys]),
        )
        new: Counter[str] = Counter()
        none: list[tuple[str, str]] = []
        for kind, name, sightings in cursor.fetchall():
            if sightings == moved[kind, name]:  # there was no row: one of none is deleted
                new[kind] += 1
            elif sightings == 0:
                new[kind] -= 1
                none.append((kind, name))
        if none:
            cursor.execute(
                "DELETE FROM sighting_counts USING unnest(%s::text[], %s::text[]) "
                "AS gone (kind, name) WHERE sighting_counts.kind = gone.kind "
                "AND sighting_counts.name = gone.name",
                ([kind for kind, _ in none], [name for _, name in none]),
            )
        return new


def recount(cursor: Cursor, schema: str) -> None:
    """Count a whole view anew, where rows were copied into it."""
    cursor.execute(
        f"TRUNCATE {schema}.sighting_counts; INSERT INTO {schema}.sighting_counts "
        f"SELECT kind, name, count(*) FROM {schema}.plate_events, LATERAL ("
        "VALUES ('camera', camera_id), ('plate', plate_normalized_text)) AS named (kind, name) "
        "WHERE status <> 'retracted' GROUP BY kind, name; "
        f"UPDATE {schema}.view_state SET (sightings, plates, cameras, confidence, latency_ms) = ("
        "SELECT count(*), count(DISTINCT plate), count(DISTINCT camera), "
        "coalesce(sum(confidence), 0), coalesce(sum(latency), 0) "
        f"FROM (SELECT {COUNTED} FROM {schema}.plate_events WHERE status <> 'retracted') "
        "AS counted (camera, plate, status, confidence, latency))"
    )
