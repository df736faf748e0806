"""Alerts over HTTP: what there is, what people do about it, and who may."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest

from projections.access import AccessKeys, Role
from projections.queries import SightingQueries
from schemas.topics import ALERTS
from tests.api.conftest import served
from tests.api.watched import Watched
from tests.api.world import World
from tests.projections import alerts as made
from tests.projections.sightings import NOON

HOUR = timedelta(hours=1)
MINUTE = 60_000_000  # microseconds


@pytest.fixture(scope="module", autouse=True)
def some(watched: Watched) -> None:
    watched.say(
        "AlertEvent",
        *[made.alert(n, severity=("critical", "warning", "info")[n % 3]) for n in range(1, 10)],
        made.alert(
            20, rule="Silence", plate=None, subject="CAM-009", camera_id="CAM-009", watched=None
        ),
        made.alert(21, "raised", at=NOON + 60 * MINUTE),
        made.alert(21, "withdrawn", at=NOON + 61 * MINUTE, revision=1, reason="the vote changed"),
    )
    watched.say("NotificationAttempt", made.attempt(1, 1, outcome="failed"), made.attempt(2, 1))


@pytest.fixture(scope="module")
def locked(
    queries: SightingQueries, world: World, watched: Watched, keys: AccessKeys
) -> Iterator[str]:
    """Where the same is served to those with a key."""
    with served(queries, world.pictures, keys=keys, watching=watched.watching) as found:
        yield found


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["alert_id"] for one in answer.json()["alerts"]]


# --- asking


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({"rule": "Silence"}, [20]),
        ({"plate": "abc 0003"}, [3]),
        ({"plate": "ABC000?", "severity": "warning"}, [7, 4, 1]),
        ({"camera": "CAM-009"}, [20]),
        ({"state": "withdrawn"}, [21]),
        ({"state": "open", "severity": "info"}, [8, 5, 2]),
        ({"since": "2025-06-15T16:00:00Z"}, [21]),
        ({"limit": 2, "rule": "Wanted", "state": "open", "offset": 1}, [8, 7]),
        ({"plate": "'; DROP TABLE alerts; --"}, []),
    ],
)
def test_alerts_are_found_by_state_severity_rule_plate_camera_and_time(
    watch: httpx.Client, asked: dict[str, str], numbers: list[int]
):
    assert ids(watch.get("/alerts", params=asked)) == [made.alert_id(n) for n in numbers]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("state=shut", "state='shut' is unknown"),
        ("sate=open", "there is no parameter 'sate'"),
        ("since=soon", "since='soon' is no time"),
        ("since=2025-02-01&until=2025-01-01", "exchange them"),
        ("limit=5000", "beyond the maximum"),
        ("plate=%00", "NUL"),
    ],
)
def test_what_cannot_be_asked_is_told(watch: httpx.Client, asked: str, told: str):
    answer = watch.get(f"/alerts?{asked}")
    assert answer.status_code == 422
    assert told in answer.json()["detail"]


def test_one_alert_comes_with_its_history_and_every_attempt_to_tell_of_it(watch: httpx.Client):
    alert = watch.get(f"/alerts/{made.alert_id(1)}").json()
    assert alert["plate"] == "ABC0001"
    assert [line["kind"] for line in alert["history"]] == ["raised"]
    assert [one["outcome"] for one in alert["notifications"]] == ["failed", "sent"]


@pytest.mark.parametrize("id_", [str(uuid4()), "nothing", "1"])
def test_an_alert_that_is_not_there_is_told(watch: httpx.Client, id_: str):
    code = 404 if len(id_) == 36 else 422
    assert watch.get(f"/alerts/{id_}").status_code == code
    assert watch.post(f"/alerts/{id_}/resolve").status_code == code


# --- doing


def test_what_somebody_does_is_an_event_of_the_log_and_the_alert_follows(
    watch: httpx.Client, watched: Watched
):
    address = f"/alerts/{made.alert_id(2)}"
    done = watch.post(f"{address}/acknowledge", json={"comment": "on my way"}).json()
    assert (done["state"], done["written"]["actor"]) == ("acknowledged", "local")
    last = watched.records(ALERTS.name)[-1]
    assert (last["kind"], last["alert_id"], last["comment"]) == (
        *("acknowledged", made.alert_id(2), "on my way"),
    )
    watched.settle()
    assert watch.get(address).json()["acknowledged_by"] == "local"
    assert watch.post(f"{address}/comment", json={"comment": "seen"}).json()["written"]
    assert watch.post(f"{address}/resolve").json()["state"] == "resolved"
    watched.settle()
    kinds = [line["kind"] for line in watch.get(address).json()["history"]]
    assert kinds == ["raised", "acknowledged", "commented", "resolved"]


def test_what_was_done_before_is_not_written_again(watch: httpx.Client, watched: Watched):
    address = f"/alerts/{made.alert_id(3)}"
    watch.post(f"{address}/resolve")
    watched.settle()
    there = len(watched.records(ALERTS.name))
    for deed in ("resolve", "acknowledge"):
        answer = watch.post(f"{address}/{deed}").json()
        assert (answer["state"], answer["written"]) == ("resolved", None)
    assert len(watched.records(ALERTS.name)) == there
    said = watch.post(f"{address}/resolve", json={"comment": "once more"}).json()
    assert said["written"]["kind"] == "commented"


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        (b"{}", 422, "the comment is empty"),
        (b'{"comment": "  "}', 422, "the comment is empty"),
        (b'{"comment": 5}', 422, "another kind"),
        (b'{"coment": "x"}', 422, "there is no field 'coment'"),
        (b"[]", 422, "no JSON object"),
        (b"{", 422, "no JSON"),
        (json.dumps({"comment": "x" * 2001}).encode(), 422, "longer than 2,000"),
        (b'{"comment": "\\u0000"}', 422, "NUL"),
        (b" " * 20_000, 413, "larger than"),
    ],
)
def test_a_comment_that_cannot_be_kept_is_refused(
    watch: httpx.Client, body: bytes, code: int, told: str
):
    answer = watch.post(f"/alerts/{made.alert_id(4)}/comment", content=body)
    assert answer.status_code == code
    assert told in answer.json()["detail"]


def test_only_a_key_that_may_act_acts_and_its_id_is_the_actor(
    locked: str, keys: AccessKeys, watched: Watched
):
    address = f"{locked}/alerts/{made.alert_id(5)}"
    _, reader = keys.create("reader", Role.VIEWER, HOUR)
    key, operator = keys.create("guard", Role.OPERATOR, HOUR)
    assert httpx.get(address, headers={"x-api-key": reader}).status_code == 200
    refused = httpx.post(f"{address}/acknowledge", headers={"x-api-key": reader})
    assert refused.status_code == 403
    assert "operator is needed" in refused.json()["detail"]
    assert httpx.post(f"{address}/acknowledge").status_code == 401
    done = httpx.post(f"{address}/acknowledge", headers={"x-api-key": operator})
    assert done.json()["written"]["actor"] == key.key_id
    assert watched.records(ALERTS.name)[-1]["actor"] == key.key_id


def test_a_page_of_elsewhere_cannot_act_even_without_keys(watch: httpx.Client):
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        answer = watch.post(f"/alerts/{made.alert_id(6)}/resolve", headers=headers)
        assert answer.status_code == 403


# --- the stream


def test_an_alert_that_is_raised_or_changes_comes_by_the_stream(
    watch_address: str, watch: httpx.Client, watched: Watched
):
    seen: list[tuple[str, str]] = []
    begun, first = threading.Event(), threading.Event()

    def listen() -> None:
        with httpx.stream("GET", f"{watch_address}/alerts/stream", timeout=20) as answer:
            kind = ""
            for line in answer.iter_lines():
                begun.set()
                if line.startswith("event: "):
                    kind = line[7:]
                if line.startswith("data: "):
                    told = json.loads(line[6:])
                    seen.append((kind, f"{told['plate']} {told['state']}"))
                    first.set()
                if len(seen) == 2:
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    assert begun.wait(10)
    watched.say("AlertEvent", made.alert(40))
    assert first.wait(10)
    watch.post(f"/alerts/{made.alert_id(40)}/acknowledge")
    thread.join(10)
    assert seen == [("alert", "ABC0040 open"), ("alert", "ABC0040 acknowledged")]
