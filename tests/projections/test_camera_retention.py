"""What cameras that keep for fewer days saw is erased: whatever their settings say."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from eventlog.sqlite import SqliteLog
from projections.camera_retention import CameraRetention
from projections.people_view import PeopleView
from projections.view import DAY, SightingsView
from schemas.topics import CAMERAS, CORRECTIONS, DETECTED, correction_key
from tests.projections.alerts import changes
from tests.projections.people import changed, correction
from tests.projections.sightings import LOG, NOON, event_id, progress, sighting


class Pictures:
    """A store that holds nothing."""

    def delete(self, url: str) -> None: ...

    def delete_folder(self, url: str) -> int:
        return 0


@pytest.fixture
def people(url: str) -> Iterator[PeopleView]:
    with closing(PeopleView(url, LOG)) as made:
        yield made


@pytest.fixture
def erased(url: str, view: SightingsView, people: PeopleView, log: SqliteLog) -> Any:
    """Sightings of CAM-001, 0 of ten days ago and 1 of today, and its settings, one after another:
    the keys that a look erases.
    """

    def look(*settings: str | None, wall: int = NOON + DAY) -> dict[str, list[bytes]]:
        people.apply(
            CAMERAS.name,
            0,
            0,
            changes(CAMERAS.name, *(changed("CAM-001", one) for one in settings)),
            len(settings),
        )
        chore = CameraRetention(url, log, Pictures(), clock=lambda: 0.0, wall=lambda: wall)
        with closing(chore) as retention:
            retention.step()
        return {
            topic: [entry.key or b"" for entry in log.read(topic, 0, 0, 100)]
            for topic in (DETECTED.name, CORRECTIONS.name)
        }

    view.apply(0, 0, [sighting(0, at=NOON - 10 * DAY), sighting(1), progress(NOON)], 3)
    return look


def test_what_people_said_of_a_sighting_goes_with_it(erased: Any, people: PeopleView):
    said = (correction(0, 0), correction(1, 1))
    people.apply(CORRECTIONS.name, 0, 0, changes(CORRECTIONS.name, *said), 2)
    gone = erased('{"retention_days": 7}')
    assert gone[DETECTED.name] == [event_id(0).encode()]
    first = said[0]
    assert gone[CORRECTIONS.name] == [correction_key(first["event_id"], first["correction_id"])]


@pytest.mark.parametrize("after", [None, '{"fps": 5}', '{"retention_days": 7}'])
def test_the_last_settings_hold_also_for_a_camera_that_was_taken_away(
    erased: Any, after: str | None
):
    gone = erased('{"retention_days": 7}', after)[DETECTED.name]
    assert bool(gone) == (after != '{"fps": 5}')


@pytest.mark.parametrize(
    "days", ['"seven"', "1e30", "-7", "0", "true", "[7]", '{"days": 7}', "null", "999999999"]
)
def test_what_is_no_number_of_days_erases_nothing_and_stops_nothing(erased: Any, days: str):
    assert erased(f'{{"retention_days": {days}}}')[DETECTED.name] == []


def test_a_log_whose_clock_was_ahead_does_not_make_all_sightings_old(
    erased: Any, view: SightingsView
):
    view.apply(0, 3, [progress(NOON + 4000 * DAY, 1)], 4)
    gone = erased('{"retention_days": 7}', wall=NOON)[DETECTED.name]
    assert gone == [event_id(0).encode()]
