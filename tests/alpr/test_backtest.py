"""Rules tried on history: the log's own give its own alerts, others what they would have given."""

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from alpr.backtest import BacktestResult, Stopped, backtest
from alpr.cli import main
from alpr.two_sides import RuleResult
from dataflows.alerts import LOOK_S, Following, Match
from eventlog.log import Append, Log
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from projections.rulebook import RulebookFollower
from projections.statements import Statements
from rules.alerts.parse import parse
from rules.alerts.raising import Raising
from rules.alerts.rule import Rule
from rules.alerts.signals import BUCKETS, Signal
from rules.alerts.watch_entry import entry
from schemas.codec import Codec
from schemas.topics import ALERTS, DETECTED, TOPICS, partition_of
from tests.projections.sightings import sighting

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
BASE = 1_750_000_000 * SECOND
PARTITIONS = 3
CAMERAS = ("north", "south", "east")
"""One for each partition."""


class Site:
    """A log whose time is ours, and the alert engine over it, run by hand."""

    def __init__(self, home: Path) -> None:
        self.now = BASE
        self.begin(
            SqliteLog(home / "log", PARTITIONS, clock=lambda: self.now),
            Codec(SqliteRegistry(home / "log")),
        )

    def begin(self, log: Log, codec: Codec) -> None:
        self.seconds = 0.0
        self.log, self.codec = log, codec
        self.codec.register()
        self.statements = Statements(self.log, self.codec, lambda: self.now)
        self.number = 0
        self.following = Following(
            RulebookFollower(self.log, self.codec), clock=lambda: self.seconds
        )
        self.match = [Match(self.codec, self.following, None) for _ in range(PARTITIONS)]
        self.raising = [Raising(self.following.book, PARTITIONS) for _ in range(BUCKETS)]
        self.read = [0] * PARTITIONS

    def wait(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

    # What happens

    def sees(self, plate: str, camera: int = 0, **changed: Any) -> Any:
        """A new sighting, a fifth of a second after its capture."""
        self.number += 1
        given = {
            "text": plate, "at": self.now - 200_000, "camera_id": CAMERAS[camera],
            "partition": camera, "alternatives": [],
        }  # fmt: skip
        event = sighting(self.number, 1, **(given | changed))
        self.append(camera, "PlateEvent", event, event["event_id"])
        return event

    def says(self, event: Any, **changed: Any) -> Any:
        """Another revision of a sighting."""
        event = event | {"revision": event["revision"] + 1} | changed
        self.append(event["partition"], "PlateEvent", event, event["event_id"])
        return event

    def time(self) -> None:
        """Event time comes up to two seconds before now, everywhere."""
        for partition in range(PARTITIONS):
            told = {
                "partition": partition, "revision": 0, "watermark": self.now - 2 * SECOND,
                "clock": self.now, "cameras": 1,
            }  # fmt: skip
            self.append(partition, "Progress", told, f"progress-{partition}")

    def append(self, partition: int, name: str, record: Any, key: str) -> None:
        value = None if record is None else self.codec.encode(DETECTED.name, name, record)
        self.log.append(DETECTED.name, partition, [Append(key.encode(), value)])

    def rule(self, text: str, who: str = "test") -> None:
        for rule in rules(text):
            self.statements.rule(rule, who)

    def watch(self, plate: str, **changed: Any) -> None:
        self.statements.watch([entry("police", plate, actor="test", at=self.now, **changed)])

    # What the engine makes of it

    def run(self, order: Sequence[int] = range(PARTITIONS), *, look: bool = True) -> None:
        """Process what is new, one partition after the other, with today's rules or stale ones."""
        if look:
            self.seconds += LOOK_S
        for partition in order:
            entries = self.log.read(DETECTED.name, partition, self.read[partition], 100_000)
            if not entries:
                continue
            self.read[partition] = entries[-1].offset + 1
            matched = self.match[partition].batch(entries)
            assert not matched.dead
            for bucket, signals in matched.signals:
                self._raise(self.raising[int(bucket)], signals)

    def _raise(self, raising: Raising, signals: list[Signal]) -> None:
        for signal in signals:
            for event in raising.fold(signal):
                key = event["alert_id"].encode()
                value = self.codec.encode(ALERTS.name, "AlertEvent", event)
                self.log.append(ALERTS.name, partition_of(key, PARTITIONS), [Append(key, value)])

    # What a backtest tells

    def tried(
        self, text: str | None = None, since: int = BASE - DAY, until: int | None = None
    ) -> BacktestResult:
        given = None if text is None else rules(text)
        until = self.now + 1 if until is None else until
        return backtest(self.log, self.codec, given, since, until)

    def ends(self) -> list[int]:
        return [
            self.log.end(topic, partition)
            for topic in TOPICS
            for partition in range(self.log.partitions(topic))
        ]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("ALPR_HOME", str(tmp_path))
    monkeypatch.setenv("ALPR_LOG_PARTITIONS", str(PARTITIONS))
    monkeypatch.chdir(tmp_path)
    site = Site(tmp_path)
    with closing(site.log):
        yield site


def rules(text: str) -> tuple[Rule, ...]:
    return parse(text, "test.yaml").rules


def rule(name: str, cooldown: str = "5m", **conditions: Any) -> str:
    told = {"name": name, "cooldown": cooldown, "conditions": conditions}
    return json.dumps({"rules": [told]})


def counts(result: RuleResult) -> dict[str, int]:
    names = ("raised", "recorded", "same", "new", "gone", "same_marked", "new_marked")
    told = {name: getattr(result, name) for name in (*names, "gone_marked", "withdrawn")}
    return {name: count for name, count in told.items() if count}


# The log's own rules


@pytest.mark.parametrize("seed", range(3))
def test_the_logs_own_rules_give_the_logs_own_alerts(site: Site, seed: int):
    """Lists and rules change, votes change, partitions are processed at their own pace."""
    chance = random.Random(seed)
    names = ("listed", "gates", "both")
    texts = [
        rule("listed", watchlist="police"),
        rule("listed", cooldown="1m", watchlist={"lists": ["police"], "kinds": ["deny"]}),
        rule("gates", camera_ids=["north"], plates=["A1", "B2"]),
        rule("gates", camera_ids=["north", "east"], plates=["A1"]),
        rule("both", plate_patterns=[{"pattern": "C", "match_type": "prefix"}]),
    ]
    plates = ["A1", "B2", "C3", "C4", "D5"]
    open_: list[Any] = []
    site.rule(texts[0])
    site.wait(10)
    for _ in range(120):
        for _ in range(chance.randrange(3)):
            event = site.sees(chance.choice(plates), chance.randrange(PARTITIONS))
            open_.append(event)
            site.wait(chance.random())
        if open_ and chance.random() < 0.4:
            event = open_.pop(chance.randrange(len(open_)))
            plate = {**event["plate"], "normalized_text": chance.choice(plates)}
            ends = chance.choice(["revised", "ended", "retracted"])
            event = site.says(event, plate=plate, status=ends)
            if ends == "revised":
                open_.append(event)
        site.time()
        if chance.random() < 0.1:
            # Long enough before and after for the engine to know of it in time.
            site.run()
            site.wait(3)
            if chance.random() < 0.5:
                site.watch(chance.choice(plates), kind=chance.choice(["deny", "notify"]))
            elif chance.random() < 0.8:
                site.rule(chance.choice(texts))
            else:
                site.statements.remove_rule(chance.choice(names), "test")
            site.wait(3)
        if chance.random() < 0.6:
            site.run(chance.sample(range(PARTITIONS), chance.randrange(1, PARTITIONS + 1)))
        site.wait(chance.random() * 30)
    site.run()
    before = site.ends()
    result = site.tried()
    for one in result.rules:
        assert (one.raised, one.same, one.differing) == (one.recorded, one.recorded, 0)
    assert result.agrees
    assert sum(one.recorded for one in result.rules) > 5
    assert site.ends() == before


PATTERNS = """
rules:
  - {name: often, count: {at_least: 3, within: 5m}}
  - {name: crowd, count: {at_least: 3, within: 3m, by: camera_id, distinct: plates}}
  - {name: back again, not_seen_for: 4m}
  - {name: first, first_seen: true}
  - {name: route, sequence: {within: 10m, steps: [{camera_ids: north}, {camera_ids: east}]}}
  - name: stays
    dwell: {enter: {camera_ids: north}, leave: {camera_ids: south}, longer_than: 10m}
  - {name: together, convoy: {plates: 2, cameras: 2, apart: 1m, within: 10m}}
  - {name: silence, silent_for: 2m}
"""


@pytest.mark.parametrize("seed", range(2))
def test_rules_over_several_sightings_agree_as_well(site: Site, seed: int):
    chance = random.Random(seed)
    site.rule(PATTERNS)
    site.wait(10)
    open_: list[Any] = []
    for _ in range(120):
        open_.append(
            site.sees(chance.choice(["A1", "B2", "C3", "D4"]), chance.randrange(PARTITIONS))
        )
        if chance.random() < 0.5:
            event = open_.pop(chance.randrange(len(open_)))
            site.says(event, status=chance.choice(["ended", "ended", "retracted"]))
        site.wait(chance.random() * 40)
        site.time()
        if chance.random() < 0.05:
            camera = chance.randrange(PARTITIONS)
            told = {
                "camera_id": CAMERAS[camera], "camera_group": None, "at": site.now,
                "state": chance.choice(["silent", "live"]), "heard_at": site.now - 30 * SECOND,
                "partition": camera, "revision": site.number,
            }  # fmt: skip
            site.append(camera, "CameraState", told, f"camera-{CAMERAS[camera]}")
        if chance.random() < 0.3:
            site.run(chance.sample(range(PARTITIONS), chance.randrange(1, PARTITIONS + 1)))
    site.run()
    result = site.tried()
    assert {one.rule: one.differing for one in result.rules} == dict.fromkeys(
        [one.rule for one in result.rules], 0
    )
    assert all(one.recorded for one in result.rules), {r.rule: r.recorded for r in result.rules}
    # As a file, they are in force from the beginning, as they were.
    assert site.tried(PATTERNS, since=BASE - DAY).agrees


def test_what_a_late_look_at_the_rules_made_otherwise_is_marked(site: Site, capsys):
    site.rule(rule("a", plates=["A1", "A2"], cooldown="0s"))
    site.wait(10)
    site.sees("A1")
    site.run()
    site.wait(10)
    site.statements.remove_rule("a", "test")
    site.wait(1)
    site.sees("A2")
    site.run(look=False)  # not known yet
    site.wait(10)
    site.rule(rule("a", plates=["A1", "A2"], cooldown="0s"))
    site.wait(1)
    site.sees("A1")
    site.run()
    site.wait(10)
    result = site.tried()
    told = {"raised": 2, "recorded": 3, "same": 1, "same_marked": 1, "gone_marked": 1}
    assert counts(result.rules[0]) == told
    assert result.agrees
    assert result.rules[0].lost[0].near_change
    assert main(["rules", "backtest", "--in-force", "--since", "2025-06-01"]) == 0
    out = capsys.readouterr().out
    assert " ~- 2025-06-15 15:07:" in out
    assert "The log's own rules give the log's own alerts." in out


def test_what_a_rule_that_was_removed_too_late_did_is_marked_as_well(site: Site):
    """The engine could not know that it would be removed within two seconds."""
    site.rule(rule("a", plates=["A1"], cooldown="0s"))
    site.wait(10)
    site.sees("A1")
    site.run()
    site.statements.remove_rule("a", "test")  # in the same microsecond
    site.wait(10)
    result = site.tried()
    assert counts(result.rules[0]) == {"recorded": 1, "gone_marked": 1}
    assert result.agrees


def test_what_follows_from_a_marked_difference_is_marked_too(site: Site):
    """The engine missed a car; so of the same car's cooldown, all of it is shifted."""
    site.following.look()
    site.rule(rule("a", plates=["A1", "B2"], cooldown="2m"))
    site.wait(1)
    site.sees("A1")
    site.run(look=False)
    for _ in range(5):
        site.wait(80)
        site.sees("A1")
        site.sees("B2")
        site.run()
    site.wait(10)
    result = site.tried()
    (told,) = result.rules
    assert (told.new_marked, told.gone_marked) == (3, 3)
    assert (told.same, told.new, told.gone) == (3, 0, 0)
    assert result.agrees


def test_alerts_that_the_engine_never_made_are_new_and_leave_exit_code_3(site: Site, capsys):
    site.rule(rule("a", plates=["A1"]))
    site.wait(10)
    site.sees("A1")
    site.wait(10)
    result = site.tried()
    assert counts(result.rules[0]) == {"raised": 1, "new": 1}
    assert not result.agrees
    arguments = ["rules", "backtest", "--in-force", "--since", "2025-06-01"]
    assert main([*arguments, "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["agrees"] is False
    assert told["rules"][0]["news"][0]["plate"] == "A1"
    assert main([*arguments, "--rule", "b"]) == 1


# Other rules


def test_a_rule_is_tried_as_if_it_had_always_been_there(site: Site):
    for plate in ("A1", "B2", "A1", "A3"):
        site.sees(plate)
        site.wait(3600)
    (result,) = site.tried(
        rule("a", plate_patterns=[{"pattern": "A", "match_type": "prefix"}])
    ).rules
    assert counts(result) == {"raised": 3, "new": 3}
    assert result.plates == (("A1", 2), ("A3", 1))
    hour = 3600 * SECOND
    first = (BASE - 200_000) // hour * hour
    assert result.by_time == ((first, 1), (first + 2 * hour, 1), (first + 3 * hour, 1))
    assert result.in_force_since is None


def test_a_stretch_of_days_is_told_by_the_day(site: Site):
    for _ in range(3):
        site.sees("A1")
        site.wait(86_400)
    (result,) = site.tried(rule("a", plates=["A1"]), since=BASE - 5 * DAY).rules
    assert [count for _, count in result.by_time] == [1, 1, 1]
    assert all(at % DAY == 0 for at, _ in result.by_time)


def test_the_difference_to_the_rule_in_force_is_told_by_alert(site: Site):
    site.rule(rule("a", plates=["A1", "B2"]))
    site.wait(10)
    kept, lost, won = site.sees("A1"), site.sees("B2"), site.sees("C3")
    site.run()
    site.wait(10)
    (result,) = site.tried(rule("a", plates=["A1", "C3"])).rules
    assert counts(result) == {"raised": 2, "recorded": 2, "same": 1, "new": 1, "gone": 1}
    assert [one.plate for one in result.news] == [won["plate"]["text"]]
    assert [one.plate for one in result.lost] == [lost["plate"]["text"]]
    assert kept["plate"]["text"] == "A1"


def test_watchlists_are_as_they_were(site: Site):
    site.sees("A1")
    site.wait(60)
    site.watch("A1")
    site.wait(60)
    site.sees("A1")
    site.wait(60)
    site.watch("A1", removed=True)
    site.wait(60)
    site.sees("A1")
    site.wait(60)
    (result,) = site.tried(rule("listed", cooldown="0s", watchlist="police")).rules
    assert result.raised == 1


def test_a_disabled_rule_is_tried_too_and_told(site: Site, capsys):
    site.sees("A1")
    site.wait(10)
    text = json.dumps(
        {"rules": [{"name": "a", "enabled": False, "type": "plate_match", "plates": ["A1"]}]}
    )
    (result,) = site.tried(text).rules
    assert (result.raised, result.enabled) == (1, False)
    Path("a.yaml").write_text(text)
    assert main(["rules", "backtest", "a.yaml", "--since", "2025-06-01"]) == 0
    assert "a (disabled)  1 " in capsys.readouterr().out


def test_what_was_before_counts_for_what_is_asked(site: Site):
    """The cooldown of an alert before `since` holds, and it is not told itself."""
    site.sees("A1")
    site.wait(60)
    since = site.now
    site.sees("A1")
    site.wait(600)
    until = site.now
    site.sees("A1")
    site.wait(10)
    text = rule("a", plates=["A1"], cooldown="5m")
    assert site.tried(text, since=since, until=until).rules[0].raised == 0
    assert site.tried(text, since=since).rules[0].raised == 1


def test_a_sighting_that_was_retracted_or_erased_raises_nothing_in_the_end(site: Site):
    gone, erased = site.sees("A1"), site.sees("A2")
    site.wait(10)
    site.says(gone, status="retracted")
    site.append(0, "", None, erased["event_id"])
    site.wait(10)
    (result,) = site.tried(rule("a", plates=["A1", "A2"])).rules
    assert counts(result) == {"withdrawn": 2}


def test_records_that_cannot_be_read_are_passed_over_and_counted(site: Site):
    site.log.append(DETECTED.name, 0, [Append(b"x", b"nonsense")])
    site.sees("A1")
    site.wait(10)
    result = site.tried(rule("a", plates=["A1"]))
    assert (result.records, result.unreadable, result.rules[0].raised) == (2, 1, 1)


def test_a_replay_says_how_far_it_is_and_stops_when_told_to(site: Site):
    for _ in range(50):
        site.sees("A1")
    told: list[tuple[int, int]] = []
    given = rules(rule("a", plates=["A1"]))
    backtest(site.log, site.codec, given, BASE - DAY, site.now + 1, lambda *at: told.append(at))
    assert told == [(0, 50), (50, 50)]
    with pytest.raises(Stopped):
        backtest(site.log, site.codec, given, BASE, site.now, stop=lambda: True)


def test_a_rule_that_looks_back_further_than_is_replayed_is_told(site: Site, capsys):
    site.sees("A1")
    site.wait(30 * 86_400)
    site.sees("A1")
    site.wait(10)
    Path("a.yaml").write_text('rules: [{name: new here, not_seen_for: "30d"}]')
    assert main(["rules", "backtest", "a.yaml", "--since", "2025-07-14"]) == 0
    out = capsys.readouterr().out
    assert "looks back over " in out
    assert "it may raise what it would not have then" in out


def test_a_log_that_begins_after_since_is_told(site: Site, capsys):
    site.sees("A1")
    site.wait(10)
    Path("a.yaml").write_text('rules: [{name: here, conditions: {plates: ["A1"]}}]')
    assert main(["rules", "backtest", "a.yaml", "--since", "2020-01-01"]) == 0
    out = capsys.readouterr().out
    assert ", where the log begins, in " in out
    assert "looks back over " not in out


def test_the_command_tells_rule_by_rule(site: Site, capsys):
    site.rule(rule("a", plates=["A1", "B2"]))
    site.wait(10)
    for plate in ("A1", "B2", "C3"):
        site.sees(plate)
    site.run()
    site.wait(10)
    Path("a.yaml").write_text(rule("a", plates=["A1", "C3"]))
    assert main(["rules", "backtest", "a.yaml", "--since", "2025-06-15"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("3 records from 2025-06-15 15:06:")
    assert lines[2].split() == [
        *("RULE", "RAISED", "WITHDRAWN", "RECORDED", "SAME", "NEW", "GONE", "MARKED"),
    ]
    assert lines[3].split() == ["a", "2", "0", "2", "1", "1", "1", "0"]
    assert "  plates: A1 1, C3 1" in lines
    signs = [line.split()[0] + line.split()[3] for line in lines if " north (" in line]
    assert sorted(signs) == ["+C3", "-B2"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--since", "1d"], "give a FILE of rules, or --in-force"),
        (["a.yaml", "--in-force", "--since", "1d"], "one of both"),
        (["a.yaml", "--since", "1d", "--until", "2d"], "--since 1d is not before 2d"),
        (["a.yaml", "--since", "soon"], "--since 'soon' is no time"),
        (["a.yaml", "--since", "1d", "--rule", "b"], "a.yaml has no rule 'b'; it has 'a'"),
        (["none.yaml", "--since", "1d"], "none.yaml cannot be read"),
    ],
)
def test_what_cannot_be_tried_is_a_usage_error(site: Site, capsys, arguments, told):
    Path("a.yaml").write_text(rule("a", plates=["A1"]))
    assert main(["rules", "backtest", *arguments]) == 2
    assert told in capsys.readouterr().err
