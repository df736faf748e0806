"""The system's page: every part tells of itself, and none that is away blanks the others."""

import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from alpr.settings import Settings, load
from alpr.system import open_system, processes, rates, storage
from alpr.wiring import Server
from api.system import Part, System
from api.system_view import seconds, size, span, spark
from eventlog.log import Append, LogUnavailable
from eventlog.sqlite import wall_clock
from projections.queries import SightingQueries
from schemas.topics import METRICS
from tests.api.conftest import served
from tests.api.looking import eyes
from tests.api.watched import Watched
from tests.api.world import HTML, World

MINUTE = 60_000_000
PARTS = ["processes", "lag", "rates", "storage", "servers", "versions", "retention", "settings"]


@pytest.fixture
def settings(tmp_path: Path, world: World) -> Settings:
    given = {"ALPR_HOME": str(tmp_path), "ALPR_DATABASE_URL": world.url, "ALPR_LOG_PARTITIONS": "1"}
    return load(given | {"ALPR_JWT_SECRET": "a secret that nobody may see, 32 bytes"}, None)


def count(watched: Watched, name: str, minute: int, number: int, **labels: str) -> None:
    point: Any = {"node": "n", "name": name, "labels": labels, "minute": minute, "count": number}
    point |= {"sum": number * 0.2, "maximum": 0.5}
    value = watched.codec.encode(METRICS.name, "MetricPoint", point)
    watched.log.append(METRICS.name, 0, [Append(b"n", value)])


def test_every_part_is_told_and_no_secret(
    queries: SightingQueries, world: World, settings: Settings
):
    whole = open_system(settings, Server(world.url), wall_clock)
    with served(queries, world.pictures, whole=whole) as address:
        told = httpx.get(f"{address}/system", timeout=20)
        parts = told.json()["parts"]
        assert list(parts) == PARTS
        assert {name for name, part in parts.items() if part.get("error")} == set()
        assert parts["storage"]["told"]["database_bytes"] > 1_000_000
        assert {one["topic"] for one in parts["storage"]["told"]["topics"]} >= {METRICS.name}
        assert parts["processes"]["told"]["here"] is False
        assert "nobody may see" not in told.text
        page = httpx.get(f"{address}/system", headers={"accept": "text/html"}, timeout=20).text
        assert "nobody may see" not in page


def test_a_part_that_is_away_or_broken_or_slow_is_told_beside_the_others():
    let_go = threading.Event()

    def away() -> None:
        raise LogUnavailable("the broker at h:1\n does not answer: start it")

    def broken() -> None:
        raise ZeroDivisionError

    parts = [Part("a", away), Part("b", broken), Part("c", let_go.wait), Part("d", lambda: [1])]
    system = System(parts, (LogUnavailable,), patience=0.3)
    told = system.told()
    assert told["a"] == {"error": "the broker at h:1 does not answer: start it"}
    assert told["b"] == {"error": "it could not be asked: the cause is in the server's log"}
    assert "has not answered for" in told["c"]["error"]
    assert told["d"] == {"told": [1]}
    let_go.set()
    assert System([Part("c", let_go.wait)], ()).told() == {"c": {"told": True}}
    system.close()


def test_a_part_is_asked_once_by_all_who_look_at_about_the_same_time():
    asked: list[int] = []
    system = System([Part("a", lambda: asked.append(1))], ())
    for _ in range(5):
        system.told()
    assert len(asked) == 1
    system.close()


def test_the_last_hour_is_what_its_minutes_counted(watched: Watched):
    now = wall_clock()
    this = now // MINUTE * MINUTE
    count(watched, "alpr_read_latency_seconds", this, 4, camera="A")
    count(watched, "alpr_read_latency_seconds", this - MINUTE, 6, camera="A")
    count(watched, "alpr_reads_rejected", this - MINUTE, 2, camera="A", reason="late")
    count(watched, "alpr_read_latency_seconds", this - 61 * MINUTE, 9, camera="A")
    told = rates(watched.log, watched.codec, now)
    assert told["minutes"]["reads"][-2:] == [6, 4]
    assert told["totals"]["reads"] == 10
    assert told["cameras"] == [{"camera_id": "A", "reads": 10, "rejected": 2}]
    latency = told["latency"]["alpr_read_latency_seconds"]
    assert (round(latency["mean"], 3), latency["maximum"]) == (0.2, 0.5)


def test_what_alpr_up_wrote_is_told_and_that_it_is_gone(settings: Settings):
    file = settings.home / "up.json"
    one = '{"state": "running", "pid": 1, "restarts": 2, "resident_bytes": 5}'
    file.write_text(
        f'{{"pid": 999999999, "at": 5, "processes": {{"edge": {one}}}, "others": {{}}, '
        '"failure": null}'
    )
    told = processes(settings, wall_clock())
    assert told["here"] is False
    assert told["processes"][0]["name"] == "edge"
    file.write_text("{")
    assert processes(settings, wall_clock())["processes"] == []


def test_disks_are_told_also_of_folders_that_are_not_there_yet(world: World, settings: Settings):
    told = storage(settings.changed(images_url="file:///nowhere/at/all"), Server(world.url), {})
    assert told["disks"]["pictures"]["free"] > 0


def test_numbers_are_told_as_people_say_them():
    assert [size(n) for n in (0, 1023, 1536, 250 << 20)] == [
        "0 bytes",
        "1023 bytes",
        "1.5 KiB",
        "250 MiB",
    ]
    assert [seconds(n) for n in (0.003, 1.25, 240)] == ["3 ms", "1.2 s", "4 min"]
    assert span(7 * 86_400_000_000) == "7 days"
    assert spark([0, 2]) == "0.0,23.0 100.0,1.0"


@pytest.mark.parametrize(("size", "scheme"), [("wide", "dark"), ("phone", "light")])
def test_the_page_renews_itself(
    chromium: Browser, queries: SightingQueries, world: World, size: str, scheme: str
):
    numbers = iter(range(1000))
    parts = [Part("versions", lambda: {"program": f"v{next(numbers)}", **_VERSIONS}, 0.0)]

    def broken() -> None:
        raise LogUnavailable(f"away {HTML}")

    whole = System([*parts, Part("lag", broken)], (LogUnavailable,))
    with (
        served(queries, world.pictures, whole=whole) as address,
        eyes(chromium, size, scheme, base_url=address) as seen,
    ):
        seen.see("/system")
        first = seen.page.locator("#part-versions dd").first.text_content()
        expect(seen.page.locator("#part-lag")).to_contain_text(f"cannot be told: away {HTML}")
        expect(seen.page.locator("#part-versions dd").first).not_to_have_text(
            first or "", timeout=8000
        )
        assert seen.problems() == []


_VERSIONS = {"rules": "abc", "python": "3", "packages": {}, "schemas": {"PlateRead": 1}}
