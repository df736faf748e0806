"""A plate is forgotten: by real processes, proved by the bytes of the log and by a rebuild."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpr.settings import Settings, load
from alpr.ticker import retention, trim
from alpr.wiring import open_codec, open_database, open_images, open_log, open_pseudonyms
from eventlog.span import span
from rules.forgetting import pictures, says, tracks
from schemas.topics import ALERTS, AUDIT, DAY_US, DETECTED, RAW
from tests.alpr.system import alpr, flows, process
from tests.alpr.town import MINUTE, SECOND, Town

WANTED, OTHER = "34A36837", "GD706PW"
REASON = "the owner asked"


@pytest.mark.slow
def test_nothing_of_a_forgotten_plate_is_left_and_nothing_brings_it_back(home: Settings):
    images = open_images(home)
    with closing(open_log(home)) as log:
        codec = open_codec(home)
        town = Town(log, codec, {"gate-a": {}, "gate-b": {}})
        code, told = alpr(home, "watchlist", "add", "34A-368.37", "--kind", "deny")
        assert code == 0, told
        alpr(home, "rules", "apply", str(home.home / "rules.yaml"))
        addresses: list[str] = []

        def shot(name: str) -> dict[str, str]:
            url = images.put(f"2026-11-21/gate-a/{name}-plate.jpg", b"\xff\xd8 a picture")
            addresses.append(url)
            return {"plate_url": url, "vehicle_url": "", "frame_url": ""}

        town.passes("gate-a", WANTED, -20 * MINUTE, images=shot("one"))
        town.passes("gate-b", WANTED, -10 * MINUTE, images=shot("two"))
        town.passes("gate-a", OTHER, -5 * MINUTE, images=shot("other"))
        # Misread on the way, by the same track: what was read is of the same car.
        town.passes("gate-a", WANTED, -3 * MINUTE, images=shot("three"))
        town.live()
        with flows(home, "dedup", "alerts", "project"), process(home, "keep"):
            view = View(home)
            wait(lambda: view.plates() >= {WANTED, OTHER} and view.count(WANTED) == 3)
            wait(view.alerts)
            sighting = view.ids(OTHER)[0]
            mistaken = view.ids(WANTED)[0]
            for given_id, text in ((sighting, "X1"), (mistaken, WANTED)):
                code, told = alpr(home, "correct", given_id, "--text", text, "--comment", "a look")
                assert code == 0, told
            assert spelt(home, WANTED)

            code, told = alpr(home, "forget", "34a 36837", "--yes", "--reason", REASON)
            assert code == 0, told
            assert "3 sightings" in told

            wait(lambda: view.count(WANTED) == 0)
            wait(lambda: not view.says(WANTED))
            assert view.plates() == {OTHER}
            assert images.get(addresses[2])
            for url in (*addresses[:2], addresses[3]):
                with pytest.raises(Exception, match="there is no picture"):
                    images.get(url)
            # It still stands there: dedup goes on with its sighting, which is gone all the same.
            town.passes("gate-a", OTHER, -1 * SECOND, reads=2)
            time.sleep(3)
            assert view.count(WANTED) == 0
        town.close()
        # Compaction, as it comes after ninety days: tombstones go as well.
        kept = {topic: days for topic, days in retention(home).items() if topic != RAW.name}
        trim(log, kept, time.time_ns() // 1000 + 100 * DAY_US)
        assert not spelt(home, WANTED)
        assert spelt(home, OTHER)
        assert not any(entry.value and WANTED.encode() in entry.value for entry in every(log))

        name = open_pseudonyms(home).of(WANTED)
        audited = [codec.decode(e.value or b"")[1] for e in every(log) if e.topic == AUDIT.name]
        forgot = [one for one in audited if one["action"] == "forget"]
        assert [(one["subject"], one["reason"]) for one in forgot] == [(f"plate:{name}", REASON)]
    for which in ((), ("--view", "alerts"), ("--view", "people")):
        code, told = alpr(home, "replay", *which)
        assert code == 0, told
        assert WANTED not in told
    assert View(home).plates() == {OTHER}
    code, told = alpr(home, "forget", WANTED, "--yes")
    assert code == 0
    assert "0 sightings" in told


@pytest.mark.slow
def test_a_camera_may_keep_what_it_sees_for_fewer_days(home: Settings):
    cameras = home.home / "cameras.yaml"
    cameras.write_text(
        "cameras:\n  - {id: gate-a, source: rtsp://127.0.0.1:9/none, retention_days: 2}\n"
        "  - {id: gate-b, source: rtsp://127.0.0.1:9/none}\n"
    )
    settings = home.changed(cameras=cameras)
    images = open_images(settings)
    with closing(open_log(settings)) as log:
        codec = open_codec(settings)
        town = Town(log, codec, {"gate-a": {}, "gate-b": {}})
        url = images.put("2020-01-01/gate-a/x-plate.jpg", b"\xff\xd8")
        shots = {"plate_url": url, "vehicle_url": "", "frame_url": ""}
        for camera in ("gate-a", "gate-b"):
            town.passes(camera, "0LD1234", -3 * 24 * 60 * MINUTE, images=shots)
            town.passes(camera, "NEW1234", -20 * MINUTE)
        town.live()
        with (
            flows(settings, "dedup", "project"),
            process(settings, "edge"),
            process(settings, "ticker"),
        ):
            view = View(settings)
            wait(lambda: len(view.rows("SELECT 1 FROM alpr.plate_events")) == 4)
            wait(lambda: len(view.rows("SELECT 1 FROM alpr_people.cameras")) == 2)
            with process(settings, "keep"):
                wait(lambda: len(view.rows("SELECT 1 FROM alpr.plate_events")) == 3)
        town.close()
        found = view.rows("SELECT camera_id, plate_normalized_text FROM alpr.plate_events")
        assert sorted(found) == [
            ("gate-a", "NEW1234"),
            ("gate-b", "0LD1234"),
            ("gate-b", "NEW1234"),
        ]
        with pytest.raises(Exception, match="there is no picture"):
            images.get(url)
    code, told = alpr(settings, "replay")
    assert code == 0, told


@given(plate=st.text("ABC123", min_size=4, max_size=8), mark=st.sampled_from(" -.\n·"))
def test_a_plate_is_found_however_it_is_written(plate: str, mark: str):
    written = plate[:2] + mark + plate[2:]
    assert says(written.lower(), plate)
    assert says({"text": written, "box": {"x": 1}}, plate)
    assert says({"value": b"\x00\x10" + plate.encode() + b"\x02", "key": None}, plate)
    assert says([{"message": f"Wanted: {plate}, seen at the gate (lane 1)"}], plate)
    assert not says({"text": plate + "9", "was": ["9" + plate], "confidence": 0.5}, plate)


def test_pictures_and_tracks_of_a_record_are_found_wherever_they_stand():
    read = {
        "camera_id": "A", "track_id": "t1",
        "images": {"plate_url": "images/a.jpg", "vehicle_url": "", "frame_url": "images/b.jpg"},
    }  # fmt: skip
    event = {
        "camera_id": "A", "track_id": "t0", "images": {}, "evidence": {"reads": [read]},
        "first_seen": 10 * MINUTE, "last_seen": 11 * MINUTE,
    }  # fmt: skip
    assert pictures(event) == {"images/a.jpg", "images/b.jpg"}
    assert tracks(event).keys() == {("A", "t0"), ("A", "t1")}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Settings]:
    settings = load({"ALPR_HOME": str(tmp_path), "ALPR_LOG_PARTITIONS": "2"}, None)
    (tmp_path / "rules.yaml").write_text(
        "rules:\n  - {name: Stolen, conditions: {watchlist: {kinds: [deny]}}}\n"
    )
    with closing(Held(open_database(settings))):
        yield settings


class Held:
    """A database that stays up for the length of a test."""

    def __init__(self, database: Any) -> None:
        self._database = database

    def close(self) -> None:
        self._database.stop()


class View:
    """What the database says."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        database = open_database(self._settings)
        try:
            with closing(psycopg2.connect(database.url)) as connection:
                cursor = connection.cursor()
                try:
                    cursor.execute(statement, values)
                except psycopg2.errors.UndefinedTable:
                    return []
                return cursor.fetchall()
        finally:
            database.stop()

    def plates(self) -> set[str]:
        return {
            text for (text,) in self.rows("SELECT plate_normalized_text FROM alpr.plate_events")
        }

    def ids(self, plate: str) -> list[str]:
        sql = "SELECT event_id FROM alpr.plate_events WHERE plate_normalized_text = %s ORDER BY 1"
        return [str(one) for (one,) in self.rows(sql, plate)]

    def count(self, plate: str) -> int:
        return len(self.ids(plate))

    def alerts(self) -> int:
        return len(self.rows("SELECT 1 FROM alpr_alerts.alerts"))

    def says(self, plate: str) -> list[str]:
        """The tables in which some row holds the plate."""
        tables = self.rows(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_schema LIKE 'alpr%%' AND table_type = 'BASE TABLE'"
        )
        return [
            f"{schema}.{table}"
            for schema, table in tables
            if self.rows(
                f'SELECT 1 FROM "{schema}"."{table}" AS t WHERE t::text LIKE %s LIMIT 1',
                f"%{plate}%",
            )
        ]


def every(log: Any) -> Iterator[Any]:
    for topic in (RAW, DETECTED, ALERTS, AUDIT):
        for partition in range(log.partitions(topic.name)):
            end = log.end(topic.name, partition)
            yield from span(log, topic.name, partition, 0, end)


def spelt(settings: Settings, plate: str) -> list[str]:
    """The files of the log that hold the plate's letters."""
    files = sorted(settings.log_folder.iterdir())
    return [file.name for file in files if plate.encode() in file.read_bytes()]


def wait(what: Callable[[], Any], seconds: float = 60) -> Any:
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.2)
    return found
