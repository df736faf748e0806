"""Who is told of sightings by webhook: over HTTP and at the command line."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from alpr.cli import main
from alpr.settings import load
from alpr.wiring import open_database, open_subscribing
from api.subscriptions import Subscribing
from images.links import secret_of
from notify.sightings import secret_for
from projections.queries import SightingQueries
from tests.api.conftest import served
from tests.api.world import World

URL = "https://parking.example/sightings?token=hidden"


@pytest.fixture(scope="module")
def environ(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("home")
    return {"ALPR_DATABASE_URL": postgres_url, "ALPR_HOME": str(home)}


@pytest.fixture(autouse=True)
def settings(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def subscribing(environ: dict[str, str]) -> Iterator[Subscribing]:
    found = load(environ)
    database = open_database(found)
    try:
        made = open_subscribing(found, database)
        with closing(made.store):
            yield made
    finally:
        database.stop()


@pytest.fixture(scope="module")
def client(
    queries: SightingQueries, world: World, subscribing: Subscribing
) -> Iterator[httpx.Client]:
    with (
        served(queries, world.pictures, subscribing=subscribing) as address,
        httpx.Client(base_url=address, timeout=20) as made,
    ):
        yield made


def created(client: httpx.Client, **given: Any) -> dict[str, Any]:
    answer = client.post("/subscriptions", json={"url": URL, **given})
    assert answer.status_code == 201, answer.text
    return answer.json()


def listed(client: httpx.Client, key: str) -> dict[str, Any] | None:
    found = client.get("/subscriptions").json()
    assert found["count"] == len(found["subscriptions"])
    return next((one for one in found["subscriptions"] if one["subscription_id"] == key), None)


def test_a_subscription_is_told_with_its_secret_this_once(
    client: httpx.Client, environ: dict[str, str]
):
    made = created(client, name="parking", cameras=["B", "A"], sites=["DC1"], plate="34a*")
    key = made["subscription_id"]
    assert made["secret"] == secret_for(secret_of(load(environ).link_secret_file), key)
    told = listed(client, key)
    assert told is not None
    assert "secret" not in told
    assert told["url"].startswith("https://parking.example")
    assert "hidden" not in client.get("/subscriptions").text, "an address may hold a secret"
    assert (told["name"], told["changes"], told["cameras"], told["sites"], told["plate"]) == (
        *("parking", "ended", ["A", "B"], ["DC1"]),
        "34A*",
    )
    assert (told["state"], told["sent"], told["waiting"]) == ("active", 0, 0)


def test_it_is_paused_resumed_and_removed(client: httpx.Client):
    key = created(client, changes="all")["subscription_id"]
    paused = client.post(f"/subscriptions/{key}/pause").json()
    assert (paused["state"], paused["changes"]) == ("paused", "all")
    assert paused["why"].startswith("by ")
    assert client.post(f"/subscriptions/{key}/resume").json()["state"] == "active"
    assert client.delete(f"/subscriptions/{key}").json()["removed"] is True
    assert listed(client, key) is None
    assert client.delete(f"/subscriptions/{key}").status_code == 404


@pytest.mark.parametrize("how", ["pause", "resume", "remove"])
def test_one_that_does_not_exist_is_told(client: httpx.Client, how: str):
    method, rest = ("DELETE", "") if how == "remove" else ("POST", f"/{how}")
    answer = client.request(method, f"/subscriptions/{uuid4()}{rest}")
    assert answer.status_code == 404
    assert "GET /subscriptions lists them" in answer.text
    assert client.request(method, f"/subscriptions/parking{rest}").status_code == 422


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"url": "ftp://parking.example/"},
        {"url": "parking"},
        {"url": URL, "changes": "some"},
        {"url": URL, "cameras": "GATE-1"},
        {"url": URL, "cameras": [""]},
        {"url": URL, "plate": "A" * 1000},
        {"url": URL, "name": "a\0b"},
        {"url": URL, "more": 1},
        [URL],
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(client: httpx.Client, given: Any):
    before = client.get("/subscriptions").json()["count"]
    answer = client.post("/subscriptions", json=given)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]
    assert client.get("/subscriptions").json()["count"] == before


def test_an_api_without_a_store_says_so(queries: SightingQueries, world: World):
    with served(queries, world.pictures) as address:
        assert httpx.get(f"{address}/subscriptions").status_code == 503


def test_at_the_command_line_the_secret_is_printed_alone(
    client: httpx.Client, subscribing: Subscribing, capsys: pytest.CaptureFixture[str]
):
    asked = ["subscriptions", "add", URL, "--name", "gate", "--camera", "CAM-1", "--camera"]
    assert main([*asked, "CAM-2", "--plate", "zz*", "--all"]) == 0
    shown = capsys.readouterr()
    found = re.match(r"(\S{36}): keep the secret now", shown.err)
    assert found, shown.err
    key = found[1]
    assert shown.out.strip() == subscribing.secret(key)
    told = listed(client, key)
    assert told is not None
    assert (told["name"], told["cameras"], told["plate"], told["changes"]) == (
        *("gate", ["CAM-1", "CAM-2"], "ZZ*"),
        "all",
    )

    def line() -> str:
        assert main(["subscriptions", "list"]) == 0
        shown = capsys.readouterr().out
        assert "hidden" not in shown
        return next((one for one in shown.splitlines() if key in one), "")

    assert "active" in line()
    assert main(["subscriptions", "pause", key]) == 0
    assert "paused" in line()
    assert main(["subscriptions", "resume", key]) == 0
    assert "active" in line()
    assert main(["subscriptions", "remove", key]) == 0
    assert line() == ""
    assert main(["subscriptions", "remove", key]) == 1
    assert "`alpr subscriptions list` shows them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "ftp://parking.example/"], "URL: "),
        (["add"], "URL"),
        (["pause", "parking"], "no id of a subscription"),
        ([], "list|add|remove"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
):
    assert main(["subscriptions", *arguments]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
