"""The writer of what people said and did: corrections, cameras' settings, who looked at what.

A correction that changes what stands of a sighting is a change of that sighting too: it takes a
number in the sightings' feed, so that who follows it is told.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast
from uuid import UUID

import orjson
from psycopg2.extensions import cursor as Cursor

from eventlog.log import Entry
from projections.people_schema import COMMAND, channel, migrate_people
from projections.position import Reader
from projections.schema import LIVE
from projections.shown import PEOPLE
from projections.topic_view import Change, TopicView, Write, check_texts, held_change, put, time_of
from projections.view import CHANNEL, KEPT_CHANGES
from rules.corrections import Standing, checked, fold
from schemas.codec import Codec
from schemas.records import Correction
from schemas.topics import AUDIT, CAMERAS, CORRECTIONS

PEOPLE_TOPICS = (CORRECTIONS.name, AUDIT.name, CAMERAS.name)
"""The topics that the view shows."""

_SAID = (
    "correction_id::text, event_id::text, (extract(epoch FROM at) * 1000000)::bigint AS at, "
    "actor, kind, text, other::text, comment"
)
_CAMERA = "(camera_id) DO UPDATE SET " + ", ".join(
    f"{column} = excluded.{column}"
    for column in ("effective_from", "camera_group", "node", "settings", "actor")
)


def people_change_of(entry: Entry, codec: Codec) -> Change:
    """What a record does to the view. Raises DecodeError; only corrections can be erased."""
    return held_change(entry, codec, CORRECTIONS.name)


class PeopleView(TopicView):
    """Writes the corrections, cameras and audit of one log to one schema; for one thread.

    Makes the tables if there are none. Raises ViewMismatch (another log's view, a newer version,
    a server that is too old) and ViewUnavailable, here and in every method; after the latter the
    next call connects anew.
    """

    def __init__(self, url: str, log_uuid: str, schema: str = PEOPLE) -> None:
        writers: Mapping[str, Write] = {
            CORRECTIONS.name: partial(_corrections, told=schema == PEOPLE),
            AUDIT.name: _audit,
            CAMERAS.name: _cameras,
        }
        super().__init__(url, Reader(schema, log_uuid, COMMAND), writers, channel(schema))
        migrate_people(url, schema, log_uuid)


def announce(cursor: Cursor, event_ids: Sequence[str]) -> None:
    """Give sightings a new number in the live feed of their view, where there is one.

    A sighting that is not there yet needs none: it will be joined with its correction when it
    comes. The lock keeps a swap of the views from taking the numbers over meanwhile, the state's
    row keeps a sighting from coming unseen; see projections/rebuild.py.
    """
    if not event_ids or not _feed(cursor):
        return
    cursor.execute(f"SELECT FROM {LIVE}.view_state FOR UPDATE")
    cursor.execute(
        f"SELECT DISTINCT event_id::text FROM {LIVE}.plate_events "
        "WHERE event_id = ANY(%s::uuid[]) ORDER BY 1",
        (list(event_ids),),
    )
    there = [event_id for (event_id,) in cursor.fetchall()]
    if not there:
        return
    cursor.execute(
        f"UPDATE {LIVE}.view_state SET changes = changes + %s RETURNING changes", (len(there),)
    )
    ((last,),) = cursor.fetchall()
    cursor.execute(
        f"INSERT INTO {LIVE}.view_changes VALUES (%s, %s::uuid[]); "
        f"DELETE FROM {LIVE}.view_changes WHERE last_change < %s; "
        "SELECT pg_notify(%s, %s)",
        (last, there, last - KEPT_CHANGES, f"{CHANNEL}_{LIVE}", str(last)),
    )


def reset_feed(cursor: Cursor) -> None:
    """Who follows the sightings is to load anew: what was said of them may be another."""
    if _feed(cursor):
        cursor.execute(
            f"DELETE FROM {LIVE}.view_changes; "
            f"UPDATE {LIVE}.view_state SET changes = changes + 1 RETURNING changes"
        )
        ((last,),) = cursor.fetchall()
        cursor.execute("SELECT pg_notify(%s, %s)", (f"{CHANNEL}_{LIVE}", str(last)))


def _feed(cursor: Cursor) -> bool:
    """Whether there is a sightings' view; it is not swapped until the transaction ends."""
    cursor.execute("SELECT to_regclass(%s)", (f"{LIVE}.view_changes",))
    if cursor.fetchall() == [(None,)]:
        return False
    cursor.execute(f"LOCK TABLE {LIVE}.view_positions IN ROW EXCLUSIVE MODE")
    return True


def _corrections(cursor: Cursor, changes: Sequence[Change], *, told: bool) -> bool:
    touched = sorted({_sighting(change) for change in changes})
    cursor.execute(
        f"SELECT {_SAID}, partition, log_offset FROM corrections "
        "WHERE event_id = ANY(%s::uuid[]) ORDER BY partition, log_offset",
        (touched,),
    )
    names = [column.name for column in cursor.description or ()]
    before: dict[str, dict[str, Any]] = {event_id: {} for event_id in touched}
    for row in cursor.fetchall():
        one = dict(zip(names, row, strict=True))
        before[one["event_id"]][one["correction_id"]] = one
    after = {event_id: dict(said) for event_id, said in before.items()}
    for change in changes:
        said = after[_sighting(change)]
        if change.record is None:
            said.pop(_correction(change), None)
        else:
            one = checked(change.record)
            check_texts(one)
            time_of(one["at"])
            place = {"partition": change.entry.partition, "log_offset": change.entry.offset}
            said.setdefault(one["correction_id"], {**one, **place})
    changed = [event_id for event_id in touched if after[event_id] != before[event_id]]
    cursor.execute(
        "DELETE FROM corrections WHERE event_id = ANY(%(ids)s::uuid[]); "
        "DELETE FROM corrected WHERE event_id = ANY(%(ids)s::uuid[])",
        {"ids": changed},
    )
    shown: list[str] = []
    for event_id in changed:
        folded = fold(_said(after[event_id]))
        rows = [
            one | {"at": time_of(one["at"]), "undone_by": folded.undone.get(one["correction_id"])}
            for one in after[event_id].values()
        ]
        put(cursor, "corrections", rows)
        if folded.standing is not None:
            put(cursor, "corrected", [_standing(event_id, folded.standing)])
        if folded.standing != fold(_said(before[event_id])).standing:
            shown.append(event_id)
    if told:
        announce(cursor, shown)
    return bool(changed)


def _said(rows: Mapping[str, Mapping[str, Any]]) -> list[Correction]:
    return [cast("Correction", one) for one in rows.values()]


def _standing(event_id: str, standing: Standing) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "text": standing.text,
        "hidden": standing.hidden,
        "merged_into": standing.merged_into,
        "correction_id": standing.correction_id,
        "actor": standing.actor,
        "at": time_of(standing.at),
        "comment": standing.comment,
    }


def _sighting(change: Change) -> str:
    if change.record is not None:
        return str(UUID(change.record["event_id"]))
    return str(UUID((change.entry.key or b"").decode("utf-8", "replace").partition("/")[0]))


def _correction(change: Change) -> str:
    return str(UUID((change.entry.key or b"").decode("utf-8", "replace").partition("/")[2]))


def _audit(cursor: Cursor, changes: Sequence[Change]) -> bool:
    rows: list[dict[str, Any]] = []
    for _, entry in changes:
        check_texts(entry)
        rows.append({"found": []} | entry | {"at": time_of(entry["at"])})
    return put(cursor, "audit", rows)


def _cameras(cursor: Cursor, changes: Sequence[Change]) -> bool:
    versions: list[dict[str, Any]] = []
    for entry, record in changes:
        check_texts(record)
        settings = record["settings"]
        versions.append(
            {
                **record,
                "effective_from": time_of(record["effective_from"]),
                "settings": None if settings is None else orjson.loads(settings),
                "log_offset": entry.offset,
            }
        )
    put(cursor, "camera_versions", versions)
    latest = {version["camera_id"]: version for version in versions}
    put(cursor, "cameras", list(latest.values()), _CAMERA)
    return bool(versions)
