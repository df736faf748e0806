"""What could not be processed is listed, looked into, mended and sent again, once."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from alpr.cli import main
from alpr.dlq import DeadLetters, DlqError, Redrive, Wanted
from alpr.settings import Settings, load
from alpr.wiring import open_codec, open_log
from dataflows.dead_letters import CUT, NOTE, Place, dead_letter
from dataflows.dedup import Dedup
from eventlog.log import Append, Log, LogUnavailable
from eventlog.span import BATCH
from projections.view import SightingsView
from rules.grammar import grammar
from rules.settings import DedupSettings
from schemas.codec import Codec
from schemas.topics import DETECTED, DLQ, RAW, REJECTED, TOPICS
from tests.projections.sightings import LOG, event_id, sighting
from tests.rules.world import at, read

NOW = time.time_ns() // 1000


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("ALPR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return load({"ALPR_HOME": str(tmp_path / "home")}, None)


@pytest.fixture
def log(settings: Settings) -> Log:
    return open_log(settings)


@pytest.fixture
def codec(settings: Settings) -> Codec:
    codec = open_codec(settings)
    codec.register()
    return codec


class Site:
    """A log with a dedup that is run by hand."""

    def __init__(self, log: Log, codec: Codec, partition: int = 1) -> None:
        self.log, self.codec, self.partition = log, codec, partition
        self.dedup = Dedup(codec, DedupSettings(), grammar())
        self.at = 0

    def give(self, *values: bytes | None, headers: dict[str, bytes] | None = None) -> None:
        records = [Append(b"gate", value, headers or {"h": b"1"}) for value in values]
        self.log.append(RAW.name, self.partition, records)

    def run(self) -> None:
        entries = self.log.read(RAW.name, self.partition, self.at, 10_000)
        self.at += len(entries)
        decided = self.dedup.batch(entries)
        for topic, records in zip((DETECTED, REJECTED, DLQ), decided, strict=True):
            self.log.append(topic.name, self.partition, records)

    def records(self, topic: str) -> list[Any]:
        entries = self.log.read(topic, self.partition, 0, 10_000)
        return [self.codec.decode(entry.value)[1] for entry in entries]

    def read(self, text: str = "KAX1234", **changes: Any) -> bytes:
        changes = {"captured_at": NOW} | changes
        return self.codec.encode(RAW.name, "PlateRead", read(0, text, **changes))


@pytest.fixture
def site(log: Log, codec: Codec) -> Site:
    return Site(log, codec)


def spoilt(value: bytes, at: int, byte: int = 0xFF) -> bytes:
    return value[:at] + bytes([byte]) + value[at + 1 :]


def dlq(*arguments: str) -> int:
    return main(["dlq", *arguments])


def test_a_record_spoilt_by_one_byte_is_listed_shown_and_redriven_after_repair(
    site: Site, capfd: pytest.CaptureFixture[str], tmp_path: Path
):
    good = site.read()
    where = good.index(b"\x0eKAX1234")  # the text's length
    site.give(spoilt(good, where, 0x7E))
    site.run()
    assert site.records(DETECTED.name) == []

    assert dlq("list") == 0
    (line,) = capfd.readouterr().out.splitlines()
    assert "alpr.reads.raw/1/0  decode/unreadable: PlateRead: " in line

    assert dlq("show", "alpr.reads.raw/1/0") == 0
    told = capfd.readouterr().out
    assert "It cannot be read: unreadable: PlateRead: " in told
    assert "track_id (string)" in told
    assert "\n> " in told
    assert "key       gate" in told
    assert "header    h: 1" in told

    assert dlq("redrive", "alpr.reads.raw/1/0") == 1
    assert "not sent, cannot be read" in capfd.readouterr().err

    assert dlq("show", "alpr.reads.raw/1/0", "--json") == 0
    (tmp_path / "shown.json").write_text(capfd.readouterr().out)
    assert dlq("redrive", "alpr.reads.raw/1/0", "--json", str(tmp_path / "shown.json")) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "only as far as it can be read: mend its bytes" in line
    assert "`alpr dlq show alpr.reads.raw/1/0 --raw`, and send them with --value" in line

    mended = tmp_path / "mended"
    mended.write_bytes(good)
    assert dlq("redrive", "alpr.reads.raw/1/0", "--value", str(mended)) == 0
    assert "alpr.reads.raw/1/0: sent as alpr.reads.raw/1/1" in capfd.readouterr().out
    site.run()
    assert [e["plate"]["text"] for e in site.records(DETECTED.name)] == ["KAX1234"]
    (_, sent) = site.log.read(RAW.name, 1, 0, 10)
    assert (sent.key, sent.value) == (b"gate", good)
    assert sent.headers == {"h": b"1", "redriven": b"1 alpr.reads.raw/1/0"}

    assert dlq("list") == 0
    assert "sent again as alpr.reads.raw/1/1" in capfd.readouterr().out


@pytest.mark.parametrize("place", [0, 4], ids=["magic byte", "schema's number"])
def test_a_record_with_a_spoilt_header_is_mended_as_json(site: Site, capfd, tmp_path, place: int):
    site.give(spoilt(site.read(), place, 200))
    site.run()
    assert dlq("show", "alpr.reads.raw/1/0") == 0
    assert "a whole PlateRead by today's schema" in capfd.readouterr().out
    assert dlq("show", "alpr.reads.raw/1/0", "--json") == 0
    (tmp_path / "shown.json").write_text(capfd.readouterr().out)
    assert dlq("redrive", "alpr.reads.raw/1/0", "--json", "shown.json") == 0
    site.run()
    assert [e["plate"]["text"] for e in site.records(DETECTED.name)] == ["KAX1234"]


def test_a_record_of_json_that_does_not_fit_is_a_usage_error(
    site: Site, capfd: pytest.CaptureFixture[str], tmp_path: Path
):
    site.give(b"junk")
    site.run()
    (tmp_path / "r.json").write_text('{"at": "noon"}')
    assert dlq("redrive", "alpr.reads.raw/1/0", "--json", "r.json") == 2
    assert "r.json is no record of alpr.reads.raw" in capfd.readouterr().err


def test_filters_limits_and_the_newest_first(site: Site, codec: Codec, log: Log, capfd):
    site.give(*[bytes([1, n]) for n in range(30)], None)
    site.run()
    other = log.read(RAW.name, 1, 0, 1)[0]._replace(topic=DETECTED.name, partition=2)
    log.append(DLQ.name, 2, [dead_letter(codec, other, "project", "refused", "no such zone")])

    def places(*arguments: str) -> list[str]:
        assert dlq("list", "--json", *arguments) == 0
        return [json.loads(line)["place"] for line in capfd.readouterr().out.splitlines()]

    assert len(places()) == 32
    assert places("--limit", "2") == ["alpr.plates.detected/2/0", "alpr.reads.raw/1/30"]
    assert places("--step", "project") == ["alpr.plates.detected/2/0"]
    assert places("--topic", DETECTED.name) == ["alpr.plates.detected/2/0"]
    assert places("--reason", "unreadable") == ["alpr.reads.raw/1/30"]
    assert places("--until", "1h") == []
    assert len(places("--since", "1h")) == 32
    assert dlq("list", "--since", "yesterday") == 2


def test_a_letter_told_twice_is_one_and_another_steps_is_another(site: Site, codec: Codec):
    site.give(site.read())
    (entry,) = site.log.read(RAW.name, 1, 0, 1)
    for step in ("index", "project", "index"):
        site.log.append(DLQ.name, 1, [dead_letter(codec, entry, step, "refused", "")])
    letters = DeadLetters(site.log, codec)
    steps = [dead.letter["step"] for dead in letters.newest(Wanted(), 10).letters]
    assert sorted(steps) == ["index", "project"]
    assert len(letters.oldest(Wanted(), 10).letters) == 1  # it is sent once for both


def test_what_is_no_dead_letter_is_counted_and_passed_over(site: Site, codec: Codec, capfd):
    site.log.append(DLQ.name, 1, [Append(b"k", b"junk"), Append(b"k", None)])
    assert dlq("list") == 0
    assert "2 records of alpr.dlq are no dead letters" in capfd.readouterr().err


@pytest.mark.parametrize(
    "headers",
    [
        {NOTE: b"\xff"},
        {NOTE: b""},
        {NOTE: b"done nowhere"},
        {NOTE: b"done alpr.reads.raw/-1/x"},
        {NOTE: b"sent alpr.reads.raw/1/0"},
        {CUT: b"\xff"},
        {CUT: b"many bytes"},
    ],
)
def test_a_header_that_nobody_here_wrote_is_counted_and_hides_nothing(
    site: Site, log: Log, capfd: pytest.CaptureFixture[str], headers: dict[str, bytes]
):
    site.give(b"junk")
    site.run()
    (letter,) = log.read(DLQ.name, site.partition, 0, 10)
    log.append(DLQ.name, site.partition, [Append(letter.key, letter.value, headers)])
    assert dlq("list") == 0
    told = capfd.readouterr()
    assert "alpr.reads.raw/1/0" in told.out
    assert "1 records of alpr.dlq are no dead letters" in told.err
    assert dlq("show", "alpr.reads.raw/1/0") == 0


def test_more_letters_than_one_reading_gives(site: Site, codec: Codec):
    count = 2 * BATCH + 10
    site.give(*[b"\1"] * count)
    site.run()
    found = DeadLetters(site.log, codec).oldest(Wanted(reason="magic"), count + 1)
    assert [dead.place.offset for dead in found.letters] == list(range(count))


def poisoned(site: Site, codec: Codec, count: int, **changes: Any) -> None:
    """Good records that some step stumbled over, as before its code was mended."""
    site.give(*[site.read(f"KAX{n:04d}", **changes) for n in range(count)])
    entries = site.log.read(RAW.name, 1, 0, count)
    dead = [dead_letter(codec, entry, "dedup", "poison", "ZeroDivisionError") for entry in entries]
    site.log.append(DLQ.name, 1, dead)


def test_a_cap_then_the_rest_in_order(site: Site, codec: Codec, capfd):
    poisoned(site, codec, 5)
    assert dlq("redrive", "--step", "dedup", "--max", "3", "--dry-run") == 0
    told = capfd.readouterr()
    assert told.out.count("would be sent") == 3
    assert "there are more than 3" in told.err
    assert site.log.end(RAW.name, 1) == 5

    for _ in range(3):
        assert dlq("redrive", "--step", "dedup", "--max", "3") == 0
    origins = [entry.headers["redriven"] for entry in site.log.read(RAW.name, 1, 5, 100)]
    assert origins == [f"1 alpr.reads.raw/1/{n}".encode() for n in range(5)]


def test_what_comes_back_is_not_sent_a_second_time_unless_asked_for(site: Site, codec: Codec):
    poisoned(site, codec, 1)
    assert dlq("redrive", "alpr.reads.raw/1/0") == 0
    assert dlq("redrive", "alpr.reads.raw/1/0") == 1  # sent already
    (again,) = site.log.read(RAW.name, 1, 1, 1)
    site.log.append(DLQ.name, 1, [dead_letter(codec, again, "dedup", "poison", "")])
    assert dlq("redrive", "--step", "dedup") == 1
    assert site.log.end(RAW.name, 1) == 2
    assert dlq("redrive", "--step", "dedup", "--again") == 0
    (third,) = site.log.read(RAW.name, 1, 2, 10)
    assert third.headers["redriven"] == b"2 alpr.reads.raw/1/1"


class CutOff:
    """A log that a process is killed before or after some append of."""

    def __init__(self, log: Log, appends: int, after: bool) -> None:
        self._log, self._left, self._after = log, appends, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def append(self, topic: str, partition: int, records: list[Append]):
        self._left -= 1
        if self._left > 0 or (self._left == 0 and self._after):
            offsets = self._log.append(topic, partition, records)
            if self._left:
                return offsets
        raise LogUnavailable("killed here")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("appends", range(1, 7))
def test_killed_anywhere_and_run_again_each_record_is_sent_once(
    site: Site, codec: Codec, appends: int, after: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("alpr.dlq.CHUNK", 2)
    poisoned(site, codec, 4)
    wanted = Wanted(step="dedup")
    found = DeadLetters(site.log, codec).oldest(wanted, 10).letters
    with pytest.raises(LogUnavailable):
        Redrive(CutOff(site.log, appends, after), codec).run(found)
    site.give(site.read("OTHER1"))  # others append meanwhile
    found = DeadLetters(site.log, codec).oldest(wanted, 10).letters
    done = Redrive(site.log, codec).run(found)
    assert not done.refused
    sent = [e.headers.get("redriven") for e in site.log.read(RAW.name, 1, 4, 100)]
    assert sorted(h for h in sent if h) == [f"1 alpr.reads.raw/1/{n}".encode() for n in range(4)]
    assert DeadLetters(site.log, codec).oldest(wanted, 10).letters == []


def test_reads_of_an_hour_ago_make_a_sighting_once_sent_in_the_order_of_their_capture(
    site: Site, codec: Codec, capfd
):
    then = NOW - 3_600_000_000
    reads = [
        site.read("KAX1234", captured_at=then + n * 200_000_000, track_id=f"t{n}")
        for n in (2, 0, 1)
    ]
    site.give(*reads)
    entries = site.log.read(RAW.name, 1, 0, 3)
    dead = [dead_letter(codec, entry, "dedup", "poison", "ZeroDivisionError") for entry in entries]
    site.log.append(DLQ.name, 1, dead)
    site.at = 3
    site.give(site.read("NEW1234"))
    site.run()
    assert dlq("redrive", "--step", "dedup") == 0
    assert "without asking the view what is sighted already: there is none yet" in (
        capfd.readouterr().err
    )
    sent = site.log.read(RAW.name, 1, 4, 10)
    assert [entry.value for entry in sent] == [reads[1], reads[2], reads[0]]
    site.run()
    for n in range(3):
        assert dlq("redrive", f"alpr.reads.raw/1/{n}", "--again") == 0
    site.run()
    assert [r["reason"] for r in site.records(REJECTED.name)] == ["duplicate"] * 3
    latest = {e["event_id"]: e for e in site.records(DETECTED.name) if "event_id" in e}
    (event,) = [e for e in latest.values() if e["plate"]["text"] == "KAX1234"]
    assert (event["captured_at"], event["camera_id"]) == (then, "gate")


@pytest.fixture
def view(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SightingsView]:
    monkeypatch.setenv("ALPR_DATABASE_URL", postgres_url)
    with closing(SightingsView(postgres_url, LOG)) as made:
        yield made


def test_reads_of_cars_that_the_view_shows_are_left_out_unless_asked_for(
    site: Site, codec: Codec, view: SightingsView, capfd
):
    minute = 60_000_000
    seen: Any = {"camera_id": "gate", "first_seen": NOW - 9 * minute, "last_seen": NOW - 6 * minute}
    shown = [
        sighting(0, text="KAX0000", at=NOW - 8 * minute, **seen),
        sighting(1, text="KAX0001", at=NOW - 8 * minute, **seen | {"camera_id": "yard"}),
        sighting(2, text="KAX0002", at=NOW - 8 * minute, **seen, camera_group="drive"),
        sighting(3, text="KAX0003", at=NOW - 8 * minute, **seen, status="retracted"),
    ]
    view.apply(0, 0, shown, len(shown))
    reads = [
        site.read("KAX000O", captured_at=NOW - 2 * minute),  # near in text and time
        site.read("KAX0000", captured_at=NOW),
        site.read("KAX0001", captured_at=NOW - 7 * minute),
        site.read("KAX0002", captured_at=NOW - 7 * minute),
        site.read("KAX0003", captured_at=NOW - 7 * minute),
        site.read("KAX0002", captured_at=NOW - 7 * minute, camera_id="x", camera_group="drive"),
        site.read("KAX0000", captured_at=1 << 60),
    ]
    site.give(*reads)
    entries = site.log.read(RAW.name, 1, 0, len(reads))
    site.log.append(DLQ.name, 1, [dead_letter(codec, e, "dedup", "poison", "") for e in entries])

    assert dlq("redrive", "--step", "dedup", "--dry-run") == 1
    told = capfd.readouterr()
    assert told.out.count("would be sent") == 5
    assert [line.split(": ", 1) for line in told.err.splitlines()] == [
        [f"alpr.reads.raw/1/{n}", f"not sent, already sighted as {event_id(m)}; --anyway sends it"]
        for n, m in ((0, 0), (5, 2))
    ]
    assert dlq("redrive", "--step", "dedup") == 1
    assert site.log.end(RAW.name, 1) == len(reads) + 5
    assert dlq("redrive", "--step", "dedup", "--anyway") == 0
    assert site.log.end(RAW.name, 1) == len(reads) + 7


def test_a_view_that_is_away_is_said_once_and_stops_nothing(
    site: Site, codec: Codec, capfd, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ALPR_DATABASE_URL", "postgresql://alpr@127.0.0.1:1/alpr_db")
    poisoned(site, codec, 3)
    assert dlq("redrive", "--step", "dedup") == 0
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("sent without asking the view what is sighted already: no connection")


def test_a_record_cut_for_its_size_is_sent_from_its_place_while_it_is_there(
    site: Site, codec: Codec, capfd
):
    big = site.read(reader="r" * 6_000_000)
    site.give(big)
    (entry,) = site.log.read(RAW.name, 1, 0, 1)
    site.log.append(DLQ.name, 1, [dead_letter(codec, entry, "dedup", "poison", "")])
    assert dlq("redrive", "alpr.reads.raw/1/0") == 0
    (_, sent) = site.log.read(RAW.name, 1, 0, 10)
    assert (sent.value, sent.key) == (big, b"gate")

    site.log.trim(RAW.name, NOW + 86_400_000_000)
    dead = DeadLetters(site.log, codec).at(Place(RAW.name, 1, 0))[0]
    with pytest.raises(DlqError, match="gone from its topic"):
        Redrive(site.log, codec, again=True).ready(dead)


def test_a_tombstone_that_a_view_refused_is_sent_again_as_one(site: Site, codec: Codec):
    site.log.append(DETECTED.name, 1, [Append(b"event", None)])
    (entry,) = site.log.read(DETECTED.name, 1, 0, 1)
    site.log.append(DLQ.name, 1, [dead_letter(codec, entry, "project", "refused", "")])
    assert dlq("redrive", "alpr.plates.detected/1/0") == 0
    (_, sent) = site.log.read(DETECTED.name, 1, 0, 10)
    assert (sent.key, sent.value) == (b"event", None)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["show", "raw/1"], 2, "'raw/1' is no place: give TOPIC/PARTITION/OFFSET"),
        (["show", "alpr.reads.raw/1/7"], 1, "there is no dead letter of alpr.reads.raw/1/7"),
        (["redrive"], 2, "say which"),
        (["redrive", "--step", "x", "--value", "f"], 2, "--value and --json mend one record"),
        (["redrive", "alpr.reads.raw/1/7", "--step", "x"], 2, "names one record"),
        (["list", "--limit", "0"], 2, "0 is below 1"),
        ([], 2, "the following arguments are required: list|show|redrive"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(site: Site, capfd, arguments, code, told):
    assert dlq(*arguments) == code
    err = capfd.readouterr().err
    assert told in err
    assert len(err.splitlines()) == 1


def test_every_topic_has_records_that_can_be_looked_into(site: Site, codec: Codec):
    from alpr.spoilt import reading

    for topic in TOPICS.values():
        assert reading(topic.name, b"\0" * 30) is not None
    assert reading("no.topic", b"") is None


def test_reading_ends_at_the_field_whose_bytes_are_wrong(site: Site):
    from alpr.spoilt import reading

    whole = site.read()
    best = reading(RAW.name, whole)
    assert best is not None
    assert (best.record, best.complete, best.ends) == ("PlateRead", True, len(whole))
    text = next(f for f in best.fields if f.name == "text")
    assert whole[text.start : text.end] == b"\x0eKAX1234"
    cut = reading(RAW.name, whole[: text.start + 3])
    assert cut is not None
    assert (cut.ends, cut.failed) == (text.start, ("text", "string"))


def test_times_of_the_command_line(log: Log):
    from alpr.moments import moment, shown

    assert moment("--since", "90s", 100_000_000) == 10_000_000
    assert moment("--since", "1970-01-01T01:00:00+01:00", 0) == 0
    assert moment("--since", "2027-01-15T08:00:00.5", 0) == at(0) + 500_000
    assert shown(at(0) + 500_000) == "2027-01-15 08:00:00.500Z"
    assert shown(1 << 62) == f"{1 << 62} µs"


def test_raw_gives_the_bytes_and_nothing_else(site: Site, capfdbinary):
    site.give(b"\1\xff\n")
    site.run()
    assert dlq("show", "alpr.reads.raw/1/0", "--raw") == 0
    assert capfdbinary.readouterr().out == b"\1\xff\n"
