"""What the sightings' view is asked: for the API and the command line. Every value is bound."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from projections.asking import Asking, Row
from projections.filters import After, Conditions, Search, conditions, go_on, listing, walkable
from projections.grant import among, granted
from projections.plate_lookup import LISTED_AS, PlateLookup
from projections.schema import LIVE
from projections.shown import FROM, PEOPLE, STANDING, TEXT
from projections.veil import refuse_guessing
from rules.lookup import Lookup, lookup
from rules.pseudonym import pseudonym_of
from rules.text import normalise
from rules.wildcard import like, normal

__all__ = ["After", "Changes", "Row", "Search", "SightingQueries"]

_READ = (
    "captured_at, camera_id, track_id, plate_text, plate_normalized_text, "
    "plate_confidence, plate_region, vehicle_type, vehicle_make, vehicle_model, vehicle_color, "
    "plate_image_url, vehicle_image_url, frame_image_url, latency_ms, quality_score, "
    "frame_number, site_id, host_id, roi, direction, created_at, status, revision, partition, "
    "first_seen, last_seen, camera_group, zone, lane, latitude, longitude, timezone, reads, "
    "tracks, texts, merged_into, reason, rules_version, was, alternatives, box"
)
_SAID = (
    f"{TEXT} AS plate_shown, CASE WHEN said.event_id IS NOT NULL THEN jsonb_build_object("
    "'text', said.text, 'hidden', said.hidden, 'merged_into', said.merged_into, "
    "'correction_id', said.correction_id, 'actor', said.actor, 'at', said.at, "
    "'comment', said.comment) END AS corrected"
)
LISTED = f"{', '.join(f'event.{name}' for name in _READ.split(', '))}, {_SAID}"
"""A sighting in a list, but its id; by_id adds the evidence. Of FROM, which has ``event_id``."""
_WALKED = 20_000  # sightings: some 15 ms, and as long again where it was in vain
_BY_CAPTURE = "event.captured_at DESC, event_id"


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

    # A page is a few milliseconds of one process, and starting others takes longer than that.
    SETUP = "SET max_parallel_workers_per_gather = 0"

    def __init__(
        self, url: str, schema: str = LIVE, connections: int = 8, timeout_ms: int = 5_000
    ) -> None:
        super().__init__(url, schema, "plate_events_hourly", connections, timeout_ms)
        self.plates = PlateLookup(self._all)

    def stats(self) -> Row:
        """Seeds' statistics of the sightings that stand: counts, first, last, averages.

        For somebody who may see some cameras alone they are counted from the sightings of these.
        """
        names, values = among("camera_id")
        if not names:
            return self._all("SELECT * FROM plate_events_stats")[0]
        return self._all(
            "SELECT count(*) AS total_events, "
            "count(DISTINCT plate_normalized_text) AS unique_plates, "
            "count(DISTINCT camera_id) AS active_cameras, min(captured_at) AS earliest_event, "
            "max(captured_at) AS latest_event, avg(plate_confidence) AS avg_confidence, "
            "avg(latency_ms)::double precision AS avg_latency_ms "
            f"FROM plate_events WHERE status <> 'retracted' AND {names[0]}",
            values,
        )[0]

    def recent(self, limit: int = 10, offset: int = 0, *, retracted: bool = False) -> list[Row]:
        """The latest to arrive in the log first."""
        order = "event.created_at DESC, event_id"
        return self._list(Conditions(), order, (limit, offset), retracted)

    def by_id(self, event_id: str) -> Row | None:
        """One sighting with its evidence (positions, reads), retracted or not; None if unknown."""
        try:
            key = str(UUID(event_id))
        except ValueError:
            return None
        wanted = _granted()
        wanted.add("event.event_id = %s", key)
        rows = self._all(
            f"SELECT event_id, {LISTED}, event.evidence FROM {FROM} {wanted.where()}", wanted.values
        )
        return rows[0] if rows else None

    def by_plate(
        self, text: str, limit: int = 100, offset: int = 0, *, retracted: bool = False
    ) -> list[Row]:
        """Sightings of one plate, written in any way or as its pseudonym, latest capture first."""
        named = pseudonym_of(text) or normalise(text)
        return self.search(Search(plate=named), limit, offset, retracted=retracted)

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
        self,
        search: Search,
        limit: int = 100,
        offset: int = 0,
        *,
        retracted: bool = False,
        after: After | None = None,
    ) -> list[Row]:
        """Sightings that meet every condition, latest capture first; those behind ``after``.

        Asking for the status ``retracted`` includes them, and those that a person hid. Raises
        rules.lookup.QuestionError, and Veiled where the answer would let a plate be guessed.
        """
        wanted, asked = self.wanted(search)
        if asked is not None and not wanted.impossible:
            named = self.plates.plates(asked)
            wanted.add(named.condition, *named.values)
        shown = retracted or search.status == "retracted"
        if walkable(search) and not wanted.impossible and limit + offset <= _WALKED // 10:
            rows = self._walk(search, (limit, offset), shown, after)
            if len(rows) == limit:
                return rows
        if after is not None:
            go_on(wanted, after)
        return self._list(wanted, _BY_CAPTURE, (limit, offset), shown)

    def wanted(self, search: Search) -> tuple[Conditions, Lookup | None]:
        """The conditions of a search; and what is asked of the plate, where it is not in them.

        Raises as ``search`` does.
        """
        found = conditions(search)
        if found.impossible:
            return found, None
        asked = None
        if search.plate is not None and (pseudonym := pseudonym_of(search.plate)):
            named = self.plates.of_pseudonym(pseudonym)
            found.add(named.condition, *named.values)
        else:
            asked = lookup(search.plate, search.near, search.edits, search.confusable)
            if asked is not None and asked.exact is None:
                refuse_guessing("*")
        self._name_list(search, found)
        return found, asked

    def shown(
        self, ids: Sequence[str], wanted: Conditions, asked: Lookup | None, *, retracted: bool
    ) -> list[Row]:
        """Of these sightings those that meet conditions and have a plate that is meant, in order
        of capture.
        """
        if not ids:
            return []
        only = Conditions()
        only.add("event.event_id = ANY(%s::uuid[])", list(ids))
        if asked is not None and asked.exact is not None:
            only.add(f"{TEXT} = %s", asked.exact)
            asked = None
        for condition in wanted.texts:
            only.texts.append(condition)
        only.values += wanted.values
        rows = self._list(only, _BY_CAPTURE, (len(ids), 0), retracted)
        return rows if asked is None else [row for row in rows if asked.means(row["plate_shown"])]

    def listed(self, search: Search) -> list[str] | None:
        """The plates that the search's watchlists mean; None for too many, or no condition."""
        entry = listing(search)
        return None if entry is None else self.plates.listed(entry)

    def standing(
        self, wanted: Conditions, limit: int, offset: int = 0, *, after: After | None = None
    ) -> list[Row]:
        """Sightings that stand and meet conditions, latest capture first."""
        if after is not None:
            go_on(wanted, after)
        return self._list(wanted, _BY_CAPTURE, (limit, offset), False)

    def _name_list(self, search: Search, wanted: Conditions) -> None:
        """Add that an entry of a watchlist means the plate, as it stands and at that time."""
        entry = listing(search)
        if entry is None:
            return
        texts = self.plates.listed(entry)
        if texts is not None:
            named = self.plates.of(texts)
            wanted.add(f"({named.condition})", *named.values)
        wanted.add(
            f"EXISTS (SELECT FROM {LISTED_AS} WHERE named.text = {TEXT} AND "
            f"{' AND '.join(entry.texts)} "
            "AND (entry.valid_from IS NULL OR event.captured_at >= entry.valid_from) "
            "AND (entry.valid_to IS NULL OR event.captured_at < entry.valid_to))",
            *entry.values,
        )

    def there(
        self, camera_id: str, camera_group: str | None, at: datetime, margin: timedelta
    ) -> list[Row]:
        """Sightings that stand of a camera, or of its group, whose stay, longer by ``margin`` at
        both ends, holds a moment: ``event_id``, ``plate_normalized_text``. Opened up to a day
        before, so that not the whole view is looked through.
        """
        gate = Conditions()
        if camera_group:  # as the rules take it
            gate.add("camera_group = %s", camera_group)
        else:
            gate.add("camera_id = %s AND camera_group IS NULL", camera_id)
        if gate.impossible:
            return []
        gate.add(
            "status <> 'retracted' AND captured_at BETWEEN %s - %s - interval '1 day' "
            "AND %s + 2 * %s AND first_seen <= %s + %s AND last_seen >= %s - %s",
            *(at, margin) * 4,
        )
        return self._all(
            f"SELECT event_id, plate_normalized_text FROM plate_events {gate.where()}"
            "ORDER BY captured_at, event_id",
            gate.values,
        )

    def cameras(self) -> list[Row]:
        """``camera_id``, ``site_id``, ``zone``, ``last_seen`` of each with sightings that stand."""
        names, values = among("seen.name")
        only = "".join(f" AND {name}" for name in names)
        return self._all(
            "SELECT last.camera_id, last.site_id, last.zone, last.last_seen "
            "FROM sighting_counts AS seen, LATERAL ("
            "SELECT camera_id, site_id, zone, last_seen FROM plate_events AS event "
            "WHERE event.camera_id = seen.name ORDER BY captured_at DESC LIMIT 1) AS last "
            f"WHERE seen.kind = 'camera'{only} ORDER BY last.camera_id",
            values,
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
            f"{LISTED} FROM view_state LEFT JOIN ("
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
            f"LEFT JOIN {PEOPLE}.corrected AS said ON said.event_id = numbered.event_id "
            "ORDER BY change",
            {"cursor": cursor, "limit": limit},
        )
        latest, first_known = rows[0]["latest"], rows[0]["first_known"]
        oldest = latest if first_known is None else first_known
        if not oldest <= cursor <= latest:
            return Changes([], latest, False)
        found: list[Row] = []
        allowed, last = granted(), cursor
        for row in rows:
            del row["latest"], row["first_known"]
            if row["change"] is None:
                continue
            last = row["change"]
            if allowed is not None and row["camera_id"] not in {None, *allowed}:
                continue
            gone = {"event_id": row["event_id"], "change": row["change"], "erased": True}
            found.append(gone if row["captured_at"] is None else row)
        return Changes(found, last, True)

    def _walk(
        self, search: Search, page: tuple[int, int], retracted: bool, after: After | None
    ) -> list[Row]:
        """What is found among the latest sightings that a search may mean.

        A page of what one in a hundred has is full after some thousand of them. The server does
        not know how often two values come together, so it would often collect all that have them.
        """
        wanted, back = conditions(search, row_by_row=True), Conditions()
        if isinstance(search.camera, str):
            back.add("camera_id = %s", search.camera)
        if after is not None:
            go_on(wanted, after)
            back.add("captured_at <= %s", after.captured_at)
        if search.end is not None:
            back.add("captured_at <= %s", search.end)
        walked = (
            f"(SELECT * FROM plate_events {back.where()}"
            f"ORDER BY captured_at DESC, event_id LIMIT {_WALKED})"
        )
        source = FROM.replace("plate_events", walked, 1)
        return self._list(wanted, _BY_CAPTURE, page, retracted, source, back.values)

    def _list(  # noqa: PLR0917 (a source is two of them)
        self,
        wanted: Conditions,
        order: str,
        page: tuple[int, int],
        retracted: bool,
        source: str = FROM,
        before: Sequence[Any] = (),
    ) -> list[Row]:
        if wanted.impossible:
            return []
        for condition, value in zip(*among("event.camera_id"), strict=True):
            wanted.add(condition, value)
        if not retracted:
            wanted.add(STANDING)
        return self._all(
            f"SELECT event_id, {LISTED} FROM {source} {wanted.where()}"
            f"ORDER BY {order} LIMIT %s OFFSET %s",
            [*before, *wanted.values, *page],
        )


def _granted() -> Conditions:
    """That the one who asks may see the sighting's camera."""
    found = Conditions()
    for condition, value in zip(*among("event.camera_id"), strict=True):
        found.add(condition, value)
    return found


def pattern(wildcards: str) -> str:
    """A LIKE pattern: every character that is no wildcard is normalised, so none needs escaping."""
    return like(normal(wildcards))
