"""A run of forgetting that is cut off anywhere: done again it leaves nothing."""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from alpr.commands import forget as forget_command
from alpr.errors import ConfigError
from alpr.forget import Forgetting
from alpr.settings import Settings, load
from alpr.wiring import open_codec, open_images, open_log
from eventlog.log import Append, Log
from eventlog.span import span
from rules.forgetting import says, without
from rules.pseudonym import Pseudonyms
from schemas.codec import Codec
from schemas.topics import (
    ALERTS,
    AUDIT,
    CORRECTIONS,
    DETECTED,
    NOTIFICATIONS,
    RAW,
    TOPICS,
    WATCHLIST,
    correction_key,
)
from tests.projections import alerts as alerts_made
from tests.projections.people import correction
from tests.projections.sightings import event_id, sighting
from tests.rules.world import read

PLATE, READ_AS, SAID_AS, OTHER = "34A36837", "34A36B37", "ZZ999Z", "GD706PW"
NAMES = Pseudonyms(b"k" * 32)
DAY = 86_400_000_000


class CutOff(Exception):
    """As a kill."""


class Dying:
    """A log that breaks off before its nth change, the audit's entry not counted."""

    def __init__(self, log: Log, after: int) -> None:
        self._log, self._left = log, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def append(self, topic: str, *given: Any) -> Any:
        if topic != AUDIT.name:
            self._count()
        return self._log.append(topic, *given)

    def erase(self, *given: Any) -> bool:
        self._count()
        return self._log.erase(*given)

    def compact(self, *given: Any) -> bool:
        self._count()
        return self._log.compact(*given)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise CutOff


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return load({"ALPR_HOME": str(tmp_path), "ALPR_LOG_PARTITIONS": "1"}, None)


@pytest.fixture
def log(home: Settings) -> Iterator[Log]:
    with closing(open_log(home)) as log:
        yield log


@pytest.fixture
def codec(home: Settings) -> Codec:
    return open_codec(home)


def test_what_was_cut_off_anywhere_is_found_by_the_next_run(home: Settings, log: Log, codec: Codec):
    cuts = 0
    while True:
        begin(log, codec)
        with suppress(CutOff):
            forget(home, Dying(log, cuts), codec)
            break
        forget(home, log, codec)
        left = [entry for entry in every(log) if entry.value and about(codec, entry)]
        assert not left, f"cut off after {cuts} changes: {left}"
        cuts += 1
    assert cuts > 10


def test_who_is_to_watch_over_sightings_knows_them_before_anything_goes(
    home: Settings, log: Log, codec: Codec
):
    begin(log, codec)
    told: list[dict[int, set[str]]] = []
    with suppress(CutOff):
        forget(home, Dying(log, 0), codec, watch=told.append)
    assert told == [{0: {event_id(0), event_id(1)}}]


def test_a_track_of_the_same_name_on_another_day_is_another_vehicle(
    home: Settings, log: Log, codec: Codec
):
    begin(log, codec)
    forget(home, log, codec)
    kept = [codec.decode(entry.value)[1] for entry in every(log, RAW.name) if entry.value]
    assert [one["text"] for one in kept] == [OTHER]


def test_the_reason_that_stays_does_not_say_the_plate(home: Settings, log: Log, codec: Codec):
    forget(home, log, codec, reason="the owner of 34A 368.37 asked, 34a36837 is sold")
    entry = next(e for e in every(log, AUDIT.name))
    name = NAMES.of(PLATE)
    assert codec.decode(entry.value or b"")[1]["reason"] == (
        f"the owner of {name} asked, {name} is sold"
    )


def test_a_pseudonym_is_refused_as_it_would_forget_nothing(home: Settings):
    given = Namespace(plate=NAMES.of(PLATE), yes=True, reason="")
    with pytest.raises(ConfigError, match="is a pseudonym: give the plate as it is"):
        forget_command.run(given, home)


def test_a_plate_in_a_sentence_is_found_however_it_is_spaced():
    for said in ("34A 368.37 is mine", "(34-A-36837)", "sold: 34a36837."):
        assert says({"comment": said}, PLATE)
        assert PLATE not in without(said, PLATE, "~").upper()
        assert not says(without(said, PLATE, "~"), PLATE)
    for said in ("134A36837", "34A368370", "34A 368 3", "34A 36838"):
        assert not says({"comment": said}, PLATE)
        assert without(said, PLATE, "~") == said


def forget(home: Settings, log: Any, codec: Codec, reason: str = "asked", **more: Any) -> None:
    Forgetting(log, codec, open_images(home), NAMES, clock=lambda: 0).forget(
        PLATE, "cli:me", reason, **more
    )


def begin(log: Log, codec: Codec) -> None:
    """A sighting of the plate that a person corrected to another; one of another plate that was
    corrected to it; alerts of both; reads; an entry of a list; and a sighting of somebody else.
    """

    def put(topic: str, name: str, key: str | bytes, record: Any) -> None:
        raw = key.encode() if isinstance(key, str) else key
        log.append(topic, 0, [Append(raw, codec.encode(topic, name, record))])

    seen = (sighting(0, text=PLATE), sighting(1, text=READ_AS), sighting(2, text=OTHER))
    for number, event in enumerate(seen):
        put(DETECTED.name, "PlateEvent", event["event_id"], event)
        for day in (0, 2) if number == 0 else (0,):
            text = OTHER if day else f"{event['plate']['text'][:-1]}X"
            made = read(
                0, text, camera_id="CAM-001", track_id=event["track_id"],
                captured_at=event["captured_at"] + day * DAY,
            )  # fmt: skip
            if number < 2:
                put(RAW.name, "PlateRead", "CAM-001", made)
        alert = alerts_made.alert(number, plate=event["plate"]["text"], subject="a car")
        put(ALERTS.name, "AlertEvent", alert["alert_id"], alert)
        attempt = alerts_made.attempt(number, number)
        put(NOTIFICATIONS.name, "NotificationAttempt", attempt["alert_id"], attempt)
    said = (
        correction(0, 0, text=SAID_AS, comment="a friend's"),
        correction(1, 1, text=PLATE),
        correction(2, 1, "undo", undoes=9, comment="no"),
        correction(3, 2, text="GD707PW"),
    )
    for one in said:
        key = correction_key(one["event_id"], one["correction_id"])
        put(CORRECTIONS.name, "Correction", key, one)
    put(WATCHLIST.name, "WatchlistEntry", f"stolen/{PLATE}", alerts_made.entry(plate=PLATE))


def every(log: Log, *topics: str) -> Iterator[Any]:
    for topic in topics or (*TOPICS,):
        for partition in range(log.partitions(topic)):
            yield from span(log, topic, partition, 0, log.end(topic, partition))


def about(codec: Codec, entry: Any) -> bool:
    """Whether a record tells something of the plate, or of a sighting of it."""
    record = codec.decode(entry.value)[1]
    gone = {event_id(0), event_id(1)}
    if entry.topic == RAW.name:
        return record["text"] != OTHER
    if entry.topic == NOTIFICATIONS.name:
        return record["alert_id"] in {alerts_made.alert_id(0), alerts_made.alert_id(1)}
    return says(record, PLATE) or record.get("event_id") in gone
