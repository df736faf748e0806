"""``alpr correct`` and ``alpr cameras list``: in the OS user's name, and what is wrong is named."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from alpr.camera_versions import tell_cameras
from alpr.cli import main
from alpr.settings import load
from alpr.wiring import open_codec, open_log
from edge.cameras import Camera
from projections.people_view import PeopleView, people_change_of
from projections.view import SightingsView
from schemas.topics import CORRECTIONS
from tests.projections.sightings import NOON, event_id, sighting


class Home:
    """A log with its views of two sightings; a thread follows the corrections."""

    def __init__(self, url: str, environ: dict[str, str]) -> None:
        settings = load(environ, None)
        self.log, self.codec = open_log(settings), open_codec(settings)
        with closing(SightingsView(url, self.log.uuid)) as view:
            view.apply(0, 0, [sighting(1), sighting(2)], 2)
        self._people = PeopleView(url, self.log.uuid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def said(self) -> list[dict[str, Any]]:
        """Every correction on the log, by time."""
        entries = [
            entry
            for partition in range(self.log.partitions(CORRECTIONS.name))
            for entry in self.log.read(CORRECTIONS.name, partition, 0, 99)
        ]
        return sorted(
            (self.codec.decode(entry.value or b"")[1] for entry in entries),
            key=lambda one: one["at"],
        )

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._people.close()
        self.log.close()

    def _follow(self) -> None:
        while not self._ended.wait(0.02):
            for partition in range(self.log.partitions(CORRECTIONS.name)):
                at = self._people.positions(CORRECTIONS.name).get(partition, 0)
                entries = self.log.read(CORRECTIONS.name, partition, at, 99)
                if entries:
                    given = [people_change_of(entry, self.codec) for entry in entries]
                    end = entries[-1].offset + 1
                    self._people.apply(CORRECTIONS.name, partition, at, given, end)


@pytest.fixture
def home(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    with closing(psycopg2.connect(postgres_url)) as connection, connection:
        connection.cursor().execute("DROP SCHEMA IF EXISTS alpr, alpr_people, alpr_derived CASCADE")
    environ = {"ALPR_HOME": str(tmp_path / "home"), "ALPR_DATABASE_URL": postgres_url}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    with closing(Home(postgres_url, environ)) as made:
        yield made


def test_a_text_is_said_and_taken_back(home: Home, capsys: pytest.CaptureFixture[str]):
    assert main(["correct", event_id(1), "--text", "34 a-1", "--comment", "mud"]) == 0
    (said,) = home.said()
    assert (said["text"], said["comment"]) == ("34A1", "mud")
    assert said["actor"].startswith("cli:")
    told = capsys.readouterr().out
    assert "it is 34A1" in told
    assert "not in view" not in told
    assert main(["correct", event_id(1), "--undo", said["correction_id"]]) == 0
    assert home.said()[-1]["other"] == said["correction_id"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["none", "--no-plate"], 2, "is no UUID"),
        ([event_id(1), "--text", "-"], 2, "no letter and no digit"),
        ([event_id(1)], 2, "required"),
        ([event_id(9), "--no-plate"], 1, "there is no sighting"),
        ([event_id(1), "--same-as", event_id(9)], 1, "to be one with"),
        ([event_id(1), "--same-as", event_id(1)], 2, "itself"),
        ([event_id(1), "--undo", event_id(1)], 1, "there is no correction"),
    ],
)
def test_what_cannot_be_is_named_and_not_said(home: Home, capsys, arguments, code, told):
    assert main(["correct", *arguments]) == code
    assert told in capsys.readouterr().err
    assert home.said() == []


def test_two_are_never_merged_into_each_other(home: Home, capsys):
    assert main(["correct", event_id(1), "--same-as", event_id(2)]) == 0
    assert main(["correct", event_id(2), "--same-as", event_id(1)]) == 1
    assert "merged into this sighting already" in capsys.readouterr().err


def test_the_cameras_of_the_log_are_listed_without_secrets(home: Home, capsys):
    camera = Camera("GATE-1", "rtsp://me:secret@192.0.2.1/s", site="DC1", zone="entrance")
    tell_cameras(home.log, home.codec, [camera], "edge-1", "cli:ayse", NOON)
    assert main(["cameras", "list"]) == 0
    told = capsys.readouterr().out
    assert "GATE-1" in told
    assert "rtsp://192.0.2.1/s" in told
    assert "secret" not in told
    tell_cameras(home.log, home.codec, [], "edge-1", "cli:ayse", NOON + 1)
    assert main(["cameras", "list"]) == 0
    assert "GATE-1" not in capsys.readouterr().out
