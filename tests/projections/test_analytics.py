"""The same analytics from roll-ups in PostgreSQL and from aggregations of OpenSearch."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from projections import analytics_rollups
from projections.analytics import Analytics, Scope
from projections.analytics_rollups import RollupAnalytics
from projections.analytics_search import SearchAnalytics
from projections.grant import grant
from projections.rollups import Rollups, _mark
from projections.search_index import ALIAS, refresh
from projections.search_server import SearchServer
from projections.search_view import SearchView
from projections.view import DAY, SightingsView
from rules.local_time import days, hours
from rules.spread import MEASURES
from schemas.records import PlateEvent
from tests.projections.sightings import LOG, NOON, event_id, sighting
from tests.projections.test_rollups import ask, caught_up, corrected

START = datetime(2025, 6, 14, tzinfo=UTC)
END = datetime(2025, 6, 22, tzinfo=UTC)
Made = Callable[[list[PlateEvent]], Analytics]


@pytest.fixture(params=["rollups", "opensearch"])
def made(request: pytest.FixtureRequest, url: str, view: SightingsView) -> Iterator[Made]:
    """Writes sightings, and answers from one of the two views."""
    opened: list[Analytics] = []

    def make(events: list[PlateEvent]) -> Analytics:
        view.apply(0, 0, events, len(events))
        with closing(Rollups(url, clock=lambda: 0.0)) as rollups:
            caught_up(rollups)
        analytics: Analytics = RollupAnalytics(url)
        if request.param == "opensearch":
            server = request.getfixturevalue("search")
            with closing(SearchView(server, LOG)) as index:
                index.apply(0, 0, events, len(events))
            analytics = SearchAnalytics(SearchServer(server), RollupAnalytics(url))
            with closing(SearchServer(server)) as asked:
                refresh(asked, ALIAS)
        opened.append(analytics)
        return analytics

    yield make
    grant(None)
    for analytics in opened:
        analytics.close()


def scene(seed: int = 1, number: int = 400) -> list[PlateEvent]:
    """A week of sightings of a few plates, among them all that must not count."""
    chance = random.Random(seed)
    events: list[PlateEvent] = []
    for n in range(number):
        at = NOON + chance.randrange(0, 6 * DAY)
        stay = chance.choice([0, 999_999, 1_000_000, 7_999_000, 8_000_000, 90_000_000])
        retracted = chance.random() < 0.1
        event = sighting(
            n,
            at=at,
            first_seen=at - chance.choice([0, 500]),
            last_seen=at + stay,
            text=f"P{int(chance.paretovariate(0.5)) % 60}",
            camera_id=f"CAM-{chance.randrange(4)}",
            site=f"S{chance.randrange(2)}",
            region=chance.choice(["DE", "DE", "FR", None]),
            confidence=chance.choice([0.1, 0.58, 0.9, 0.979, 0.98, 1.0]),
            latency_ms=chance.choice([-20, 0, 1, 8, 250, 9_999_999]),
            reads=chance.choice([1, 2, 9, 5000]),
            was=chance.choice([[], [], ["OLD1"]]),
            status="retracted" if retracted else "ended",
            merged_into=event_id(0) if retracted and chance.random() < 0.5 else None,
        )
        event["vehicle"] = event["vehicle"] | {"type": chance.choice(["car", "truck", None])}
        events.append(event)
    return events


def standing(events: list[PlateEvent], hidden: set[int], said: dict[int, str]) -> list[tuple]:
    """(time, camera, plate, event) of what counts, found without any view."""
    return [
        (
            datetime.fromtimestamp(event["captured_at"] / 1e6, UTC),
            event["camera_id"],
            said.get(n, event["plate"]["normalized_text"]),
            event,
        )
        for n, event in enumerate(events)
        if event["status"] != "retracted" and n not in hidden
    ]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/New_York"])
@pytest.mark.parametrize("bucketed", [hours, days])
def test_sightings_are_counted_by_local_hours_and_days(made, zone, bucketed):
    events = scene()
    analytics = made(events)
    marks = bucketed(START, END, ZoneInfo(zone))
    counts = analytics.counts(marks, Scope(), "camera", 2)
    expected: dict[str, list[int]] = {}
    for at, camera, *_ in standing(events, set(), {}):
        bucket = sum(mark <= at for mark in marks) - 1
        expected.setdefault(camera, [0] * (len(marks) - 1))[bucket] += 1
    order = sorted(expected, key=lambda name: (-sum(expected[name]), name))
    assert list(counts.groups) == order[:2]
    assert counts.groups == {name: expected[name] for name in order[:2]}
    assert counts.other == [
        sum(expected[name][n] for name in order[2:]) for n in range(len(marks) - 1)
    ]


@pytest.mark.parametrize(
    ("by", "name"),
    [
        ("all", lambda e: ""),
        ("site", lambda e: e["node"]["site"]),
        ("type", lambda e: e["vehicle"]["type"] or ""),
        ("region", lambda e: e["plate"]["region"] or ""),
    ],
)
def test_sightings_are_told_apart_by_what_they_have(made, by, name):
    events = scene(2)
    counts = made(events).counts([START, END], Scope(camera="CAM-1"), by, 10)
    expected: dict[str, int] = {}
    for _, camera, _, event in standing(events, set(), {}):
        if camera == "CAM-1":
            expected[name(event)] = expected.get(name(event), 0) + 1
    assert {group: total for group, (total,) in counts.groups.items()} == expected
    assert counts.other == [0]


def test_what_people_said_counts_and_nothing_else(made, url):
    events = scene(3)
    standing_numbers = [n for n, event in enumerate(events) if event["status"] != "retracted"]
    hidden, said = set(standing_numbers[:40]), dict.fromkeys(standing_numbers[40:90], "P59")
    analytics = made(events)
    for n in hidden:
        corrected(url, n, None, hidden=True)
    for n, text in said.items():
        corrected(url, n, text, hidden=False)
    with closing(Rollups(url, clock=lambda: 0.0)) as rollups:
        caught_up(rollups)
    counted = standing(events, hidden, said)
    assert sum(analytics.counts([START, END], Scope(), "all", 1).groups[""]) == len(counted)
    for limit in (1, 3, 100):
        expected: dict[str, list[datetime]] = {}
        for at, _, plate, _ in counted:
            expected.setdefault(plate, []).append(at)
        ranked = sorted(expected, key=lambda plate: (-len(expected[plate]), plate))[:limit]
        found = analytics.top(START, END, Scope(), limit)
        assert [row["plate"] for row in found] == ranked
        for row in found:
            times = expected[row["plate"]]
            assert row["sightings"] == len(times)
            assert timedelta(0) <= min(times) - row["first_seen"] < timedelta(milliseconds=1)
            assert timedelta(0) <= max(times) - row["last_seen"] < timedelta(milliseconds=1)
    quality = {row["camera_id"]: row for row in analytics.quality(START, END, Scope())}
    assert sum(row["hidden"] for row in quality.values()) == 40
    assert sum(row["corrected"] for row in quality.values()) == 50
    for camera, row in quality.items():
        mine = [event for _, at, _, event in counted if at == camera]
        gone = [e for e in events if e["camera_id"] == camera and e["status"] == "retracted"]
        assert row["sightings"] == len(mine)
        assert row["read_total"] == sum(event["reads"] for event in mine)
        assert row["revised"] == sum(bool(event["was"]) for event in mine)
        assert row["merged"] == sum(event["merged_into"] is not None for event in gone)
        assert row["retracted"] == len(gone) - row["merged"]


@pytest.mark.parametrize("name", list(MEASURES))
def test_histograms_have_each_sighting_in_its_bin(made, name):
    events = scene(4)
    measure = MEASURES[name]
    value = {
        "dwell": lambda e: (e["last_seen"] - e["first_seen"]) / 1e6,
        "latency": lambda e: e["latency_ms"],
        "confidence": lambda e: e["plate"]["confidence"],
        "reads": lambda e: e["reads"],
    }[name]
    expected: dict[str, list[int]] = {}
    for _, camera, _, event in standing(events, set(), {}):
        counts = expected.setdefault(camera, [0] * measure.bins)
        counts[sum(edge <= value(event) for edge in measure.edges)] += 1
    assert made(events).spread(name, START, END, Scope()) == expected


@pytest.mark.parametrize("hours", [0, 7, 31])
def test_top_plates_are_those_of_the_sightings_whatever_is_counted_yet(
    url, view, hours, monkeypatch
):
    """By days that are counted, days that are counted again, and changes that nobody counted."""
    monkeypatch.setattr(analytics_rollups, "_FIRST", 3)
    events = scene(8)
    start, end = START + timedelta(hours=hours), END - timedelta(hours=hours)
    counted, late = events[: len(events) // 2], events[len(events) // 2 :]
    with (
        closing(RollupAnalytics(url)) as analytics,
        closing(Rollups(url, clock=lambda: 0.0)) as kept,
    ):
        for place, some in enumerate((counted, late[::2], late[1::2])):
            view.apply(0, place, some, place + 1)
            if place == 0:
                caught_up(kept)
            elif place == 1:
                with kept._following.turn() as turn:
                    _mark(turn, kept._following.view)  # and no further
            known = [one for one in (counted, late[::2], late[1::2])[: place + 1] for one in one]
            times = Counter(
                plate for at, _, plate, _ in standing(known, set(), {}) if start <= at < end
            )
            expected = sorted(times.items(), key=lambda one: (-one[1], one[0]))[:3]
            found = analytics.top(start, end, Scope(), 3)
            assert [(row["plate"], row["sightings"]) for row in found] == expected


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Pacific/Chatham", "America/New_York"])
@pytest.mark.parametrize("scope", [Scope(), Scope(camera="CAM-2"), Scope(site="S1")])
def test_plates_are_new_once_and_return_on_other_days(made, url, zone, scope):
    events = scene(5)
    marks = days(START + timedelta(days=3), END, ZoneInfo(zone))
    expected = [(0, 0)] * (len(marks) - 1)
    seen: set[str] = set()
    there: dict[int, set[str]] = {}
    for at, camera, plate, event in sorted(standing(events, set(), {}), key=lambda one: one[0]):
        if scope.camera not in {None, camera} or scope.site not in {None, event["node"]["site"]}:
            continue
        bucket = sum(mark <= at for mark in marks) - 1
        if 0 <= bucket < len(expected):
            there.setdefault(bucket, set()).add(plate)
            new = expected[bucket][1]
            expected[bucket] = (len(there[bucket]), new + (plate not in seen))
        seen.add(plate)
    analytics = made(events)
    assert analytics.plates(marks, scope) == expected
    for forgotten in ("day = (SELECT min(day) FROM alpr_derived.plate_marks)", "true"):
        ask(url, f"DELETE FROM alpr_derived.plate_marks WHERE {forgotten}")
        assert analytics.plates(marks, scope) == expected


def test_days_are_told_by_the_marks_of_their_plates_alone(made, url):
    analytics = made(scene(5))
    marks = days(START, END, ZoneInfo("Asia/Kolkata"))
    found = analytics.plates(marks, Scope())
    ask(url, "UPDATE alpr_derived.plate_days SET before = NULL, first_at = now(), last_at = now()")
    assert analytics.plates(marks, Scope()) == found
    assert max(found) > (1, 0)


def test_there_is_no_top_plate_where_nothing_is_counted_yet(url, view):
    with closing(RollupAnalytics(url)) as analytics, closing(Rollups(url)) as rollups:
        caught_up(rollups)
        assert analytics.top(START, END, Scope(), 10) == []
        view.apply(0, 0, [sighting(1, at=NOON, text="AAA111")], 1)
        before, after = START - timedelta(days=900), START + timedelta(days=900)
        assert [row["plate"] for row in analytics.top(before, after, Scope(), 1)] == ["AAA111"]


def test_only_cameras_that_are_granted_count(made):
    events = scene(6)
    analytics = made(events)
    grant(frozenset({"CAM-1", "CAM-9"}))
    mine = [one for one in standing(events, set(), {}) if one[1] == "CAM-1"]
    assert list(analytics.counts([START, END], Scope(), "camera", 10).groups) == ["CAM-1"]
    assert sum(row["sightings"] for row in analytics.top(START, END, Scope(), 100)) == len(mine)
    assert list(analytics.spread("reads", START, END, Scope())) == ["CAM-1"]
    assert [row["camera_id"] for row in analytics.quality(START, END, Scope())] == ["CAM-1"]
    assert analytics.plates([START, END], Scope()) == [
        (len({plate for _, _, plate, _ in mine}),) * 2
    ]
    assert analytics.top(START, END, Scope(camera="CAM-0"), 9) == []


def test_plates_by_day_are_right_where_a_day_of_utc_holds_two_midnights(made):
    midnight = datetime(2025, 3, 30, tzinfo=UTC)  # in London; the next is 23 hours later
    times = {"A": [-2, 1, 22.5], "B": [22.9, 23.1], "C": [23.5, 47.2], "D": [-1, 23.2]}
    at = [(p, midnight + timedelta(hours=h)) for p, found in times.items() for h in found]
    events = [
        sighting(n, at=int(moment.timestamp() * 1_000_000), text=plate)
        for n, (plate, moment) in enumerate(at)
    ]
    marks = days(
        midnight - timedelta(hours=3), midnight + timedelta(hours=48), ZoneInfo("Europe/London")
    )
    assert [(b - a) / timedelta(hours=1) for a, b in pairwise(marks)] == [24, 23, 24, 24]
    assert made(events).plates(marks, Scope()) == [(2, 2), (2, 1), (3, 1), (1, 0)]
