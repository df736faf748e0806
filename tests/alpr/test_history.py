"""History through today's settings: what would differ is told, nothing is written."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alpr.changes import Change, Comparison
from alpr.cli import main
from alpr.history import COMMIT, THEN, History, Span
from alpr.settings import load
from alpr.wiring import open_codec, open_log
from dataflows.dedup import Dedup
from eventlog.log import Append, Log
from rules.grammar import grammar
from rules.settings import DedupSettings
from schemas.codec import Codec
from schemas.topics import DETECTED, DLQ, RAW, REJECTED
from tests.rules.cities import city
from tests.rules.world import SECOND, START, at, ended, read

PLATES = grammar()
HOUR = 3600.0
LONG_AGO, FAR_AHEAD = -1e9, 1e9


class Site:
    """A log on which dedup has worked, with the defaults unless said otherwise."""

    def __init__(self, home: Path) -> None:
        settings = load({"ALPR_HOME": str(home)}, None)
        self.home = home
        self.log: Log = open_log(settings)
        self.codec: Codec = open_codec(settings)
        self.codec.register()

    def give(self, *records: tuple[str, Any, int]) -> None:
        values = [Append(b"k", self.codec.encode(RAW.name, *r[:2]), {}, r[2]) for r in records]
        self.log.append(RAW.name, 0, values)

    def reads(self, *reads: dict[str, Any]) -> None:
        """Reads that arrive at once, then the end of their source."""
        self.give(*(("PlateRead", r, r["captured_at"]) for r in reads))
        last = (reads[-1]["captured_at"] - START) / SECOND
        self.give(("SourceEnded", ended(last), reads[-1]["captured_at"]))

    def dedup(self, upto: int = 1 << 40, **changes: Any) -> None:
        """What dedup says, appended when its cause was."""
        dedup = Dedup(self.codec, DedupSettings(**changes), PLATES)
        out: dict[str, list[Append]] = {DETECTED.name: [], REJECTED.name: [], DLQ.name: []}
        for entry in self.log.read(RAW.name, 0, self.log.lowest(RAW.name, 0), 1 << 30):
            if entry.offset < upto:
                decided = dedup.batch([entry])
                for kept, said in zip(out.values(), decided, strict=True):
                    kept += [replace(one, appended_at=entry.appended_at) for one in said]
        for topic, records in out.items():
            self.log.append(topic, 0, records)

    def diff(
        self, since: float = -HOUR, until: float = 24 * HOUR, told: Any = None, **changes: Any
    ) -> list[Change]:
        """The differences, with settings that differ from the defaults as given."""
        span = Span(at(since), at(until))
        settings = DedupSettings(**changes)
        path = self.home / "scratch.db"
        history = History(self.log, self.codec, settings, PLATES, span=span, path=path)
        done = False
        try:
            covered = history.replay((0,), told or (lambda *_: None))
            self.covered = covered[0]
            compared = Comparison(history, covered, span, settings.similarity)
            self.standing = compared.standing(THEN)
            found = list(compared.changes())
            done = True
        finally:
            history.close(done=done)
        assert not path.exists()
        return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def told(changes: list[Change]) -> list[tuple[str, str | None, str | None]]:
    return [(c.kind, c.then and c.then.text, c.now and c.now.text) for c in changes]


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Hours of a city in which all happens that can."""
    site = Site(tmp_path_factory.mktemp("city"))
    items = city(7, cameras=2, hours=2.75)
    site.begin = items[0].appended_at  # type: ignore[attr-defined]
    site.give(*((item.name, item.record, item.appended_at) for item in items))
    site.dedup()
    return site


@pytest.mark.parametrize("since", [-1.0, 1.25, 2.25])
def test_with_the_same_settings_nothing_differs_wherever_one_begins(eventful: Site, since: float):
    begin = (eventful.begin - START) / SECOND  # type: ignore[attr-defined]
    assert told(eventful.diff(begin + since * HOUR, FAR_AHEAD)) == []
    assert eventful.standing > 20
    if since == 2.25:
        assert eventful.covered.first > 0  # only the hour before was folded, too


def test_with_other_settings_all_that_differs_is_found(eventful: Site):
    """Applied to what was said, the differences give what is said now."""
    other = {"window_s": 60.0, "min_confidence": 0.85}
    changes = eventful.diff(LONG_AGO, FAR_AHEAD, **other)
    kinds = {change.kind for change in changes}
    assert kinds >= {"changes", "splits", "vanishes"}

    def standing(**settings: Any) -> set[tuple[str, str, str, int]]:
        dedup = Dedup(eventful.codec, DedupSettings(**settings), PLATES)
        rows: dict[str, Any] = {}
        said = dedup.batch(eventful.log.read(RAW.name, 0, 0, 1 << 30)).detected
        for append in said:
            name, event = eventful.codec.decode(append.value or b"")
            if name == "PlateEvent":
                rows[event["event_id"]] = event
        return {
            (e["event_id"], e["plate"]["normalized_text"], e["status"], e["last_seen"])
            for e in rows.values()
            if e["status"] != "retracted"
        }

    before, after = standing(), standing(**other)
    for change in changes:
        if change.then is not None and change.kind in ("changes", "vanishes", "merges"):
            s = change.then
            before.discard((s.event_id, s.text, s.status, s.last_seen))
        if change.now is not None and change.kind in ("changes", "appears", "splits"):
            s = change.now
            before.add((s.event_id, s.text, s.status, s.last_seen))
    assert before == after


def stay(text: str, first: float, last: float, **changes: Any) -> list[dict[str, Any]]:
    count = 4
    step = (last - first) / (count - 1)
    return [read(first + n * step, text, **changes) for n in range(count)]


def test_a_shorter_window_splits_and_a_longer_one_merges(site: Site):
    site.reads(*stay("KAX1234", 0, 1), *stay("KAX1234", 100, 101, track_id="t2"))
    site.dedup()
    split = site.diff(window_s=30)
    assert told(split) == [("changes", "KAX1234", "KAX1234"), ("splits", "KAX1234", "KAX1234")]
    assert split[0].differing == ("last_seen",)


def test_two_that_would_be_one_merge(site: Site):
    site.reads(*stay("KAX1234", 0, 1), *stay("KAX1234", 400, 401, track_id="t2"))
    site.dedup()
    assert told(site.diff(window_s=600)) == [
        ("changes", "KAX1234", "KAX1234"),
        ("merges", "KAX1234", "KAX1234"),
    ]


def test_a_higher_bar_makes_sightings_vanish_and_a_lower_one_appear(site: Site):
    site.reads(*stay("KAX1234", 0, 1, confidence=0.75), *stay("LOW5678", 50, 51, confidence=0.6))
    site.dedup()
    assert told(site.diff(min_confidence=0.9)) == [("vanishes", "KAX1234", None)]
    assert told(site.diff(min_confidence=0.5)) == [("appears", None, "LOW5678")]


def test_a_sighting_opened_by_another_read_is_the_same_one_changed(site: Site):
    site.reads(read(0, "KAX1234", confidence=0.75), *stay("KAX1234", 1, 3))
    site.dedup()
    (change,) = site.diff(min_confidence=0.9)
    assert (change.kind, change.differing) == ("changes", ("event_id", "first_seen"))


def test_an_erased_sighting_is_left_out(site: Site):
    site.reads(*stay("KAX1234", 0, 1))
    site.dedup()
    entry = site.log.read(DETECTED.name, 0, 0, 1)[0]
    site.log.append(DETECTED.name, 0, [Append(entry.key, None, {}, at(90))])
    assert told(site.diff()) == []
    assert told(site.diff(min_confidence=0.99)) == []


def test_what_dedup_has_not_read_yet_is_no_difference(site: Site):
    site.reads(*stay("KAX1234", 0, 1))
    site.reads(*stay("NEW5678", 10, 11))
    site.dedup(upto=5)
    assert told(site.diff()) == []
    assert site.covered.stop == 5


def test_where_raw_does_not_go_back_far_enough_it_begins_later(site: Site):
    site.reads(*stay("OLD1234", 0, 10))
    site.reads(*stay("MID1234", 12, 20))
    site.reads(*stay("NEW1234", 7200, 7201))
    site.dedup()
    site.log.trim(RAW.name, at(13))
    assert told(site.diff()) == []  # of MID1234 the opener is gone
    assert site.covered.since > at(3600)
    assert told(site.diff(min_confidence=0.99)) == [("vanishes", "NEW1234", None)]


def test_only_what_was_captured_in_the_time_asked_for_counts(site: Site):
    site.reads(*stay("KAX1234", 0, 1), *stay("LOW5678", 1000, 1001, confidence=0.75))
    site.dedup()
    assert told(site.diff(until=900, min_confidence=0.9)) == []
    assert told(site.diff(since=900, min_confidence=0.9)) == [("vanishes", "LOW5678", None)]
    assert told(site.diff(since=2000, min_confidence=0.9)) == []


def test_an_interrupted_run_goes_on_where_it_was(eventful: Site, monkeypatch):
    monkeypatch.setattr("alpr.history.COMMIT", COMMIT // 10)
    whole = told(eventful.diff(LONG_AGO, FAR_AHEAD, window_s=60.0))
    passed: list[int] = []

    def interrupt(at: int, total: int) -> None:
        passed.append(at)
        if len(passed) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        eventful.diff(LONG_AGO, FAR_AHEAD, window_s=60.0, told=interrupt)
    resumed: list[int] = []
    assert (
        told(
            eventful.diff(LONG_AGO, FAR_AHEAD, window_s=60.0, told=lambda at, _: resumed.append(at))
        )
        == whole
    )
    assert resumed[0] > passed[-1]


def test_records_that_cannot_be_read_are_counted_and_passed_over(site: Site):
    site.log.append(RAW.name, 0, [Append(b"k", b"junk", {}, at(0)), Append(b"k", None, {}, at(0))])
    site.reads(*stay("KAX1234", 0, 1))
    site.dedup()
    assert told(site.diff()) == []


# The command


def alpr(site: Site, monkeypatch: pytest.MonkeyPatch, *arguments: str, **environ: str) -> int:
    monkeypatch.chdir(site.home)
    monkeypatch.setenv("ALPR_HOME", str(site.home))
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return main(["replay", "--flow", "dedup", *arguments])


SPAN = ("--since", "2027-01-15T07:00", "--until", "2027-01-15T10:00")


def test_the_command_tells_what_would_change_and_how_and_writes_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, capfd
):
    site.reads(*stay("KAX1234", 0, 1), *stay("KAX1234", 100, 101, track_id="t2"))
    site.dedup()
    ends = {topic: site.log.end(topic, 0) for topic in (RAW.name, DETECTED.name, REJECTED.name)}
    assert alpr(site, monkeypatch, "--diff", *SPAN) == 0
    assert "1 sightings were said" in capfd.readouterr().out

    assert alpr(site, monkeypatch, "--diff", *SPAN, ALPR_DEDUP_WINDOW_S="30") == 3
    out = capfd.readouterr().out
    assert "~ 2027-01-15 08:00:00.000Z gate KAX1234" in out
    assert "last_seen -100.000 s" in out
    assert "would be its own, was part of KAX1234" in out
    assert "1 changes, 1 splits" in out

    assert alpr(site, monkeypatch, "--diff", "--json", *SPAN) == 3
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["kind"] for line in lines[:-1]] == ["changes", "splits"]
    assert lines[-1]["differences"] == {"changes": 1, "splits": 1}
    assert ends == {topic: site.log.end(topic, 0) for topic in ends}
    assert not list((site.home / "replay").iterdir())


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--since", "2h"], "--flow dedup needs --diff"),
        (["--diff"], "--flow dedup needs --since"),
        (["--diff", "--since", "soon"], "--since 'soon' is no time"),
        (["--diff", "--since", "1h", "--until", "2h"], "--since 1h is not before 2h"),
    ],
)
def test_what_it_needs_is_said(site: Site, monkeypatch, capfd, arguments, why):
    assert alpr(site, monkeypatch, *arguments) == 2
    assert why in capfd.readouterr().err


@pytest.mark.parametrize(("age_s", "left"), [(60, True), (7200, False)])
def test_what_was_left_of_another_hour_is_not_gone_on_with(
    site: Site, monkeypatch, capfd, age_s: int, left: bool
):
    site.reads(*stay("KAX1234", 0, 1))
    site.dedup()
    begun: list[bool] = []

    def interrupted(history: History, *_: Any) -> Any:
        begun.append(bool(history.db.execute("SELECT count(*) FROM part").fetchone()[0]))
        history._cover(0)
        raise KeyboardInterrupt

    monkeypatch.setattr("alpr.commands.history._replayed", interrupted)
    assert alpr(site, monkeypatch, "--diff", "--since", "2h") == 130
    (file,) = (site.home / "replay").glob("*.db")
    os.utime(file, (time.time() - age_s,) * 2)
    assert alpr(site, monkeypatch, "--diff", "--since", "2h") == 130
    assert begun == [False, left]
    assert "the same command goes on" in capfd.readouterr().err
