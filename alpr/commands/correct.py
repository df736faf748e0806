"""``alpr correct``: say what a sighting really was, or take that back."""

import argparse
import time
from contextlib import closing
from uuid import NAMESPACE_URL, uuid5

from alpr.errors import AlprError, ConfigError
from alpr.person import actor
from alpr.settings import Settings
from alpr.wiring import open_codec, open_database, open_log, open_people_queries, open_queries
from projections.people_queries import PeopleQueries
from projections.queries import SightingQueries
from projections.statements import Statements
from rules.corrections import MERGE, NO_PLATE, TEXT, UNDO, CorrectionError, checked
from schemas.records import Correction

_PATIENCE_S = 5.0
_PAUSE_S = 0.05


class Refused(AlprError):
    """What was said does not fit what there is."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Which sighting, and one thing to say of it."""
    parser.add_argument("event_id", metavar="EVENT_ID", help="the sighting, as its page names it")
    said = parser.add_mutually_exclusive_group(required=True)
    said.add_argument("--text", metavar="PLATE", help="what the plate really was")
    said.add_argument("--no-plate", action="store_true", help="it is no plate at all")
    said.add_argument("--same-as", metavar="EVENT_ID", help="it is part of another sighting")
    said.add_argument("--undo", metavar="CORRECTION_ID", help="take back what was said before")
    parser.add_argument("--comment", default="", help="why")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Say it in the OS user's name and wait until it is in view; exit code 0."""
    now = time.time_ns() // 1000
    said = _said(arguments, now)
    database = open_database(settings)
    try:
        with (
            closing(open_queries(database)) as sightings,
            closing(open_people_queries(database)) as people,
            closing(open_log(settings)) as log,
        ):
            _check(said, sightings, people)
            Statements(log, open_codec(settings), lambda: now).correction(said)
            shown = _wait(people, said)
    finally:
        database.stop()
    print(f"Said of {said['event_id']}: {_words(said)}.")
    print(f"To take it back: alpr correct {said['event_id']} --undo {said['correction_id']}")
    if not shown:
        print("It is on the log and not in view yet: is `alpr flow project` running?")
    return 0


def _said(arguments: argparse.Namespace, now: int) -> Correction:
    kind, text, other = NO_PLATE, None, None
    if arguments.text is not None:
        kind, text = TEXT, arguments.text
    elif arguments.same_as is not None:
        kind, other = MERGE, arguments.same_as
    elif arguments.undo is not None:
        kind, other = UNDO, arguments.undo
    who = actor()
    try:
        return checked(
            {
                "correction_id": str(uuid5(NAMESPACE_URL, f"{arguments.event_id} {who} {now}")),
                "event_id": arguments.event_id,
                "at": now,
                "actor": who,
                "kind": kind,
                "text": text,
                "other": other,
                "comment": arguments.comment.strip(),
            }
        )
    except CorrectionError as error:
        raise ConfigError(str(error)) from None


def _check(said: Correction, sightings: SightingQueries, people: PeopleQueries) -> None:
    event_id, other = said["event_id"], said["other"]
    if sightings.by_id(event_id) is None:
        raise Refused(f"there is no sighting {event_id}: copy the id from its page")
    if other is None:
        return
    if said["kind"] == UNDO:
        found = people.correction(event_id, other)
        if found is None or found["kind"] == UNDO or found["undone_by"] is not None:
            raise Refused(
                f"there is no correction {other} of this sighting to take back: "
                f"GET /sightings/{event_id}/corrections lists them"
            )
    elif sightings.by_id(other) is None:
        raise Refused(f"there is no sighting {other} to be one with: look at its neighbours")
    elif people.leads_to(other, event_id):
        raise Refused(f"{other} was merged into this sighting already: undo that first")


def _wait(people: PeopleQueries, said: Correction) -> bool:
    until = time.monotonic() + _PATIENCE_S
    while people.correction(said["event_id"], said["correction_id"]) is None:
        if time.monotonic() > until:
            return False
        time.sleep(_PAUSE_S)
    return True


def _words(said: Correction) -> str:
    if said["kind"] == TEXT:
        return f"it is {said['text']}"
    if said["kind"] == MERGE:
        return f"it is part of {said['other']}"
    return "it is no plate" if said["kind"] == NO_PLATE else f"{said['other']} is taken back"
