"""Rules over HTTP: written as versions on the log, checked, switched, tried on history."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest

from projections.access import AccessKeys, Role
from projections.queries import SightingQueries
from rules.alerts.parse import parse
from rules.alerts.rule import Rule
from schemas.topics import RULES
from tests.api.conftest import served
from tests.api.watched import Watched
from tests.api.world import World
from tests.projections import alerts as made

HOUR = timedelta(hours=1)
STOLEN = {"severity": "critical", "conditions": {"watchlist": "stolen"}}
FILE = """
rules:
  - name: night
    conditions:
      time: {from: "22:00", to: "06:00"}
  - name: first
    first_seen: true
"""
RESULT = {"records": 5, "rules": []}
gate = threading.Event()
tried: list[tuple[Sequence[Rule] | None, int]] = []


def BACKTEST(
    rules: Sequence[Rule] | None, since: int, progress: Callable[[float, str], None]
) -> dict[str, Any]:
    tried.append((rules, since))
    while not gate.wait(0.01):
        progress(0.5, "half of it")
    return RESULT


def put(watch: httpx.Client, name: str, rule: Any = None) -> httpx.Response:
    return watch.put(f"/rules/{name}", json=STOLEN if rule is None else rule)


# --- writing


def test_what_a_channel_would_refuse_is_told_before_it_is_written(
    watch: httpx.Client, watched: Watched
):
    rule = {**STOLEN, "actions": [{"type": "email", "to": "a@example.com", "subject": "{plat}"}]}
    refused = put(watch, "stolen cars", rule)
    assert refused.status_code == 422
    assert "plat" in refused.json()["detail"]
    assert refused.json()["problems"][0]["message"].startswith("rule 'stolen cars': ")
    assert watched.records(RULES.name) == []


def test_a_rule_is_written_as_a_version_of_the_log_and_read_back(
    watch: httpx.Client, watched: Watched
):
    written = put(watch, "stolen cars").json()
    assert [one["name"] for one in written["written"]] == ["stolen cars"]
    record = watched.records(RULES.name)[-1]
    assert (record["name"], record["actor"]) == ("stolen cars", "local")
    watched.settle()
    there = watch.get("/rules/stolen cars").json()
    assert there["version"] == written["written"][0]["version"]
    assert there["definition"]["severity"] == "critical"
    # What is read can be written again, and says the same.
    again = put(watch, "stolen cars", there["definition"]).json()
    assert (again["written"], again["same"]) == ([], ["stolen cars"])


def test_every_version_stays_with_who_wrote_it(watch: httpx.Client, watched: Watched):
    put(watch, "versions")
    put(watch, "versions", {**STOLEN, "severity": "info"})
    watched.settle()
    there = watch.get("/rules/versions").json()
    assert [one["severity"] for one in there["history"]] == ["info", "critical"]
    assert {one["actor"] for one in there["history"]} == {"local"}


def test_a_rule_can_be_written_as_yaml_and_a_file_as_a_whole(watch: httpx.Client, watched: Watched):
    told = watch.post("/rules", content=FILE)
    assert told.status_code == 201
    assert [one["name"] for one in told.json()["written"]] == ["night", "first"]
    yaml = {"content-type": "application/yaml"}
    one = watch.put(
        "/rules/first", content="rules: [{name: first, first_seen: true}]", headers=yaml
    )
    assert one.json() == {"written": [], "same": ["first"]}
    other = watch.put("/rules/first", content=FILE, headers=yaml)
    assert other.status_code == 422
    assert "a rule keeps its name" in other.json()["detail"]
    watched.settle()
    names = [rule["name"] for rule in watch.get("/rules").json()["rules"]]
    assert {"night", "first"} <= set(names)
    assert names == sorted(names)


@pytest.mark.parametrize(
    ("body", "field", "told"),
    [
        ({"severity": "bad"}, "severity", "must be info, warning or critical"),
        ({"conditons": {}}, "conditons", "did you mean conditions"),
        (
            {"conditions": {"plate_patterns": [{"pattern": "(", "match_type": "regex"}]}},
            "conditions.plate_patterns[0].pattern",
            "RE2 does not take",
        ),
        ({**STOLEN, "name": "other"}, "", "a rule keeps its name"),
        ([], "", "no JSON object"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_by_field(
    watch: httpx.Client, watched: Watched, body: Any, field: str, told: str
):
    there = len(watched.records(RULES.name))
    answer = put(watch, "wrong", body)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]
    if field:
        assert answer.json()["problems"][0]["field"] == field
        assert answer.json()["problems"][0]["line"] is None  # JSON has none to speak of
    assert len(watched.records(RULES.name)) == there


def test_a_name_that_is_an_address_is_refused(watch: httpx.Client):
    for name in ("schema", "backtest/1", "a/%2E%2E/b", "%20", "%E2%80%8B"):
        assert put(watch, name).status_code == 422, name
    assert "an address of the API" in put(watch, "schema").json()["detail"]


def test_a_rule_is_switched_and_removed_and_each_is_a_version(
    watch: httpx.Client, watched: Watched
):
    put(watch, "gate A/B")
    assert watch.post("/rules/gate A%2FB/disable").json()["written"][0]["name"] == "gate A/B"
    assert watch.post("/rules/gate A%2FB/disable").json()["same"] == ["gate A/B"]
    watched.settle()
    assert watch.get("/rules/gate A%2FB").json()["enabled"] is False
    watch.post("/rules/gate A%2FB/enable")
    assert watch.delete("/rules/gate A%2FB").status_code == 200
    assert watched.records(RULES.name)[-1]["definition"] is None
    watched.settle()
    assert watch.get("/rules/gate A%2FB").json()["removed"] is True
    for answer in (
        watch.delete("/rules/gate A%2FB"),
        watch.post("/rules/gate A%2FB/enable"),
        watch.get("/rules/never there"),
    ):
        assert answer.status_code == 404


def test_who_turns_a_rule_off_keeps_what_somebody_changed_a_moment_ago(
    watch: httpx.Client, watched: Watched
):
    put(watch, "race")
    put(watch, "race", {**STOLEN, "severity": "info"})
    watch.post("/rules/race/disable")  # before any view can have the change
    definition = watched.records(RULES.name)[-1]["definition"]
    assert '"info"' in definition
    assert '"enabled":false' in definition.replace(" ", "")


def test_alerts_of_the_last_day_are_counted_by_rule(watch: httpx.Client, watched: Watched):
    put(watch, "counted")
    now = time.time_ns() // 1000
    watched.say(
        "AlertEvent",
        *[made.alert(n, rule="counted", at=now - n) for n in range(3)],
        made.alert(9, rule="counted", at=now - 2 * 86_400_000_000),
    )
    assert watch.get("/rules/counted").json()["alerts_last_day"] == 3


# --- checking


def test_the_schema_is_served(watch: httpx.Client):
    assert "rules" in watch.get("/rules/schema").json()["properties"]


def test_a_text_is_checked_with_its_examples_and_nothing_is_written(
    watch: httpx.Client, watched: Watched
):
    there = len(watched.records(RULES.name))
    text = """
rules:
  - name: gate
    conditions: {camera_ids: [CAM-001]}
    examples:
      - {name: passes, events: [{plate: ABC1, camera_id: CAM-001}], alerts: 1}
      - {name: fails, events: [{plate: ABC1, camera_id: CAM-002}], alerts: 1}
"""
    told = watch.post("/rules/test", content=text).json()
    assert (told["ok"], told["problems"]) == (False, [])
    assert told["rules"][0]["words"][0] == "when the camera is CAM-001"
    assert {one["example"]: one["passed"] for one in told["examples"]} == {
        "passes": True,
        "fails": False,
    }
    wrong = watch.post("/rules/test", content="rules:\n  - name: x\n    severity: bad\n").json()
    assert (wrong["ok"], wrong["problems"][0]["line"]) == (False, 3)
    assert len(watched.records(RULES.name)) == there


def test_examples_that_take_too_long_end(watch: httpx.Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.rules._LONGEST_TEST_S", 0)
    text = """
rules:
  - name: gate
    conditions: {camera_ids: [CAM-001]}
    examples:
      - {name: passes, events: [{plate: ABC1, camera_id: CAM-001}], alerts: 1}
"""
    answer = watch.post("/rules/test", content=text)
    assert (answer.status_code, "take longer than 0 s" in answer.json()["detail"]) == (422, True)


def test_while_many_wait_for_what_never_comes_others_are_answered(watch: httpx.Client):
    def missing(number: int) -> int:
        return watch.get(f"/rules/never {number}").status_code

    with ThreadPoolExecutor(60) as pool:
        asked = [pool.submit(missing, number) for number in range(60)]
        began = time.monotonic()
        assert watch.get("/rules").status_code == 200
        assert time.monotonic() - began < 1.5
        assert {one.result() for one in asked} == {404}


def test_a_large_file_of_rules_holds_up_nobody(watch: httpx.Client):
    rules = "".join(f"  - {{name: r{n}, conditions: {{nothing: {n}}}}}\n" for n in range(5_000))
    slowest = 0.0
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(watch.post, "/rules", content=f"rules:\n{rules}")
        while not answer.done():
            began = time.monotonic()
            assert watch.get("/health").status_code == 200
            slowest = max(slowest, time.monotonic() - began)
    assert answer.result().status_code == 422
    assert slowest < 0.5


def test_a_body_that_is_too_large_is_not_read(watch: httpx.Client):
    assert watch.post("/rules/test", content=b"#" * (5 << 20)).status_code == 413


# --- roles


def test_rules_are_an_administrators_and_trying_them_an_operators(
    queries: SightingQueries, world: World, watched: Watched, keys: AccessKeys
):
    by = {role: keys.create(role.value, role, HOUR)[1] for role in Role}
    with served(queries, world.pictures, keys=keys, watching=watched.watching) as address:

        def ask(method: str, path: str, role: Role) -> int:
            headers = {"x-api-key": by[role]}
            return httpx.request(
                method, f"{address}{path}", headers=headers, content=FILE, timeout=10
            ).status_code

        def answers(method: str, path: str) -> dict[str, int]:
            return {role.value: ask(method, path, role) for role in Role}

        nobody = dict.fromkeys(("ingest", "viewer", "operator", "investigator", "admin"), 403)
        operators = dict.fromkeys(("operator", "investigator", "admin"), 200)
        assert answers("GET", "/rules") == {**nobody, "viewer": 200, **operators}
        assert answers("POST", "/rules/test") == nobody | operators
        assert answers("POST", "/rules") == nobody | {"admin": 201}
        assert answers("POST", "/rules/night/disable") == nobody | {"admin": 200}


# --- backtests


def wait(watch: httpx.Client, number: str) -> dict[str, Any]:
    for _ in range(500):
        told = watch.get(f"/rules/backtest/{number}").json()
        if told["state"] != "running":
            return told
        time.sleep(0.01)
    raise AssertionError(told)


def test_a_backtest_runs_beside_and_tells_how_far_it_is(watch: httpx.Client):
    gate.clear()
    begun = watch.post("/rules/backtest", json={"rules": FILE, "since": "7d"})
    assert begun.status_code == 202
    number = begun.json()["id"]
    assert begun.headers["location"] == f"/rules/backtest/{number}"
    for _ in range(200):
        told = watch.get(f"/rules/backtest/{number}").json()
        if told["progress"] == 0.5:
            break
        time.sleep(0.01)
    assert (told["state"], told["told"]) == ("running", "half of it")
    second = watch.post("/rules/backtest", json={"rules": FILE})
    assert second.status_code == 409
    gate.set()
    done = wait(watch, number)
    assert (done["state"], done["result"]) == ("done", RESULT)
    rules, since = tried[-1]
    assert rules == parse(FILE, "").rules
    assert abs(time.time() - 7 * 86_400 - since / 1e6) < 60


def test_a_backtest_can_be_stopped(watch: httpx.Client):
    gate.clear()
    number = watch.post("/rules/backtest", json={}).json()["id"]
    watch.delete(f"/rules/backtest/{number}")
    told = wait(watch, number)
    assert (told["state"], told["told"]) == ("failed", "it was stopped")
    assert tried[-1][0] is None  # the log's own rules


def test_a_backtest_that_nobody_asks_for_ends(watched: Watched):
    from api.backtests import Backtests

    gate.clear()
    now = [0.0]
    jobs = Backtests(BACKTEST, patience=20, longest=100, clock=lambda: now[0])
    number = jobs.start(None, 0)["id"]
    for at in (15.0, 30.0, 45.0, 60.0):
        now[0] = at
        time.sleep(0.03)
        assert jobs.look(number)["state"] == "running"
    now[0] = 81.0
    time.sleep(0.2)
    told = jobs.look(number)
    assert (told["state"], told["told"]) == ("failed", "nobody asked for it any more")
    number = jobs.start(None, 0)["id"]
    for _ in range(12):
        now[0] += 10
        time.sleep(0.03)
        told = jobs.look(number)
    assert "longer than 100 s" in told["told"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"rules": "rules: [{}]"}, "lacks name"),
        ({"rules": FILE, "since": "soon"}, "since='soon' is no time"),
        ({"rules": FILE, "since": "1999-01-01"}, "not within the last 366 days"),
        ({"rules": 5}, "another kind"),
    ],
)
def test_a_backtest_that_cannot_be_run_is_refused(watch: httpx.Client, body: Any, told: str):
    answer = watch.post("/rules/backtest", json=body)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]
    assert watch.get("/rules/backtest/nothing").status_code == 404
