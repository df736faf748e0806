"""From embedded to production, as docs/production.md tells it: nothing is lost, doubled or renamed.

One system makes the move, commands and processes as a person would run them; the tests look at
what it left.
"""

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import psycopg2
import pytest

from alpr.settings import Settings, load
from alpr.wiring import open_codec, open_database, open_edge_codec, open_edge_log, open_log
from benchmarks.site import Item, Site
from benchmarks.traffic import HOUR, START
from dataflows.dedup import Dedup
from eventlog.kafka_cluster import Cluster
from eventlog.kafka_url import KafkaAddress
from eventlog.log import Append, Entry, Log
from eventlog.span import span
from projections.compare import Shown, contents
from projections.errors import ViewError
from projections.search_contents import search_contents
from projections.search_index import delete, generations
from projections.search_server import SearchServer
from rules.grammar import grammar
from schemas.codec import Codec
from schemas.topics import DETECTED, DLQ, RAW, REJECTED
from tests.alpr.system import alpr, database, flows, process
from tests.servers import free_port

pytestmark = pytest.mark.slow

CAMERAS, EMBEDDED, PARTITIONS = 16, 2, 4
OVER = ("ended", "retracted")
TRACE = {"traceparent": b"00-4bf92f35-01"}
Record = tuple[bytes | None, bytes, int, str]


@dataclass
class Move:
    """What there was before, in between and after; each command's exit code and words."""

    said: dict[str, tuple[int, str]] = field(default_factory=dict)
    open_before: int = 0
    embedded: dict[str, Counter[Record]] = field(default_factory=dict)
    copied: dict[str, Counter[Record]] = field(default_factory=dict)
    unwanted: list[Entry] = field(default_factory=list)
    embedded_rows: dict[str, Any] = field(default_factory=dict)
    old: dict[str, Any] = field(default_factory=dict)
    new: dict[str, Any] = field(default_factory=dict)
    shown: list[Shown] = field(default_factory=list)
    found: list[Shown] = field(default_factory=list)
    rows: dict[str, Any] = field(default_factory=dict)


def test_open_sightings_are_not_copied(moved: Move):
    assert moved.open_before > 10
    code, said = moved.said["copy while open"]
    assert code == 1
    assert f"{moved.open_before} sightings are open" in said
    assert "run `alpr log close`" in said


def test_close_ends_what_killed_edges_left_open(moved: Move):
    code, said = moved.said["close"]
    assert code == 0
    assert "no sighting is open" in said
    assert {event["status"] for event in moved.old.values()} == set(OVER)


def test_every_decision_arrives_once_with_key_headers_and_time(moved: Move):
    assert sum(moved.embedded[DETECTED.name].values()) > 1000
    assert moved.copied == moved.embedded
    assert moved.unwanted == []


def test_a_copy_that_is_through_has_nothing_to_do(moved: Move):
    assert moved.said["copy"][0] == 0
    code, said = moved.said["copy again"]
    assert code == 0
    assert "0 records copied" in said


def test_the_views_show_what_the_embedded_one_showed(moved: Move):
    assert len(moved.embedded_rows) > 300
    assert moved.embedded_rows.keys() == moved.old.keys()
    assert {key: moved.rows.get(key) for key in moved.embedded_rows} == moved.embedded_rows
    assert moved.found == moved.shown


def test_reads_after_the_cut_over_are_new_sightings_in_both_views(moved: Move):
    assert len(moved.new) > 30
    assert moved.new.keys().isdisjoint(moved.old)
    both = moved.old | moved.new
    assert {one.event_id: one.revision for one in moved.found} == {
        key: event["revision"] for key, event in both.items()
    }


def test_replay_calls_both_views_identical(moved: Move):
    for view in ("timescale", "opensearch"):
        code, said = moved.said[f"replay {view}"]
        assert (code, "identical, hour by hour" in said) == (0, True), said


def test_history_is_compared_from_the_cut_over_on(moved: Move):
    """What was decided before has no reads in this log: that is not said to vanish."""
    code, said = moved.said["history"]
    assert code == 0, said
    assert json.loads(said.splitlines()[-1])["differences"] == {}


# The move


@pytest.fixture(scope="module")
def moved(
    kafka: str,
    registry: str,
    postgres15: str,
    opensearch: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Move]:
    """Embedded life, the cut-over, life on Kafka."""
    folder = tmp_path_factory.mktemp("cut-over")
    port = {"ALPR_API_PORT": str(free_port())}
    embedded = load(
        {"ALPR_HOME": str(folder / "embedded"), "ALPR_LOG_PARTITIONS": str(EMBEDDED)} | port, None
    )
    joint = "&" if "?" in kafka else "?"
    with closing(SearchServer(opensearch)) as server:
        for generation in generations(server):
            delete(server, generation.name)
    with database(postgres15) as url:
        production = load(
            {
                "ALPR_HOME": str(folder / "production"),
                "ALPR_LOG_URL": f"{kafka}{joint}prefix=t{secrets.token_hex(6)}.",
                "ALPR_LOG_PARTITIONS": str(PARTITIONS),
                "ALPR_REGISTRY_URL": registry,
                "ALPR_DATABASE_URL": url,
                "ALPR_SEARCH_URL": opensearch,
            }
            | port,
            None,
        )
        move = Move()
        try:
            live_embedded(embedded, move)
            cut_over(embedded, production, move)
            live_on_kafka(production, move)
            yield move
        finally:
            Cluster(KafkaAddress.parse(production.log_url)).drop()


def live_embedded(settings: Settings, move: Move) -> None:
    """A city's edges, of which some are killed; dedup and project, which are killed at last."""
    site = Site(1, cameras=CAMERAS, hours=0.3, partitions=EMBEDDED)
    killed, end = {f"cam-{n:03d}".encode() for n in range(0, CAMERAS, 2)}, site.end_us - 60_000_000
    items = [i for i in site.records() if not (i.key in killed and i.appended_at > end)]
    with closing(open_log(settings)) as log:
        codec = open_codec(settings)
        append(log, codec, items)
        with flows(settings, "dedup", "project"), closing_database(settings) as url:
            come_to_show(lambda: contents(url), fold(settings, log))
        move.open_before = sum(e["status"] not in OVER for e in latest(log, codec).values())


def cut_over(embedded: Settings, production: Settings, move: Move) -> None:
    """The steps of docs/production.md."""
    folder = ("--from", str(embedded.log_folder))
    move.said["topics"] = alpr(production, "topics", "create")
    move.said["copy while open"] = alpr(production, "log", "copy", *folder)
    move.said["close"] = alpr(embedded, "log", "close")
    with closing(open_log(embedded)) as log:
        codec = open_codec(embedded)
        move.embedded = {t: records(log, codec, t) for t in (DETECTED.name, REJECTED.name)}
        move.old = latest(log, codec)
    with closing_database(embedded) as url:
        move.embedded_rows = rows(url)
    with closing(open_log(production)) as log:
        # Killed when the first records of a transaction are on their way, then anywhere.
        for pause in (0.0, 0.1):
            before = written(log)
            with process(production, "log", "copy", *folder) as copy:
                until(lambda before=before: written(log) > before or copy.poll() is not None)
                time.sleep(pause)
                copy.kill()
        move.said["copy"] = alpr(production, "log", "copy", *folder)
        move.said["copy again"] = alpr(production, "log", "copy", *folder)
        codec = open_codec(production)
        move.copied = {t: records(log, codec, t) for t in (DETECTED.name, REJECTED.name)}
        move.unwanted = [
            entry for t in (RAW.name, DLQ.name) for part in partitions(log, t) for entry in part
        ]


def live_on_kafka(settings: Settings, move: Move) -> None:
    """The same cameras go on by an edge and its forwarder; both views are rebuilt meanwhile."""
    site = Site(2, cameras=CAMERAS, hours=0.05, partitions=PARTITIONS, start_us=START + HOUR)
    with flows(settings, "dedup", "project", "index"), closing(open_log(settings)) as log:
        codec = open_edge_codec(settings)
        with closing(open_edge_log(settings)) as edge:
            items = [item for item in site.records() if item.key is not None]
            append(edge, codec, items)
        move.said["forward"] = alpr(settings, "log", "copy")
        assert f"{len(items)} records copied" in move.said["forward"][1]
        until(lambda: sum(map(len, partitions(log, RAW.name))) == len(items))
        move.new = fold(settings, log)
        come_to_show(lambda: contents(settings.database_url), move.old | move.new)
        come_to_show(lambda: search_contents(settings.search_url), move.old | move.new)
        for view in ("timescale", "opensearch"):
            move.said[f"replay {view}"] = alpr(settings, "replay", "--view", view)
        history = ("replay", "--flow", "dedup", "--since", "2025-01-01T00:00:00Z", "--diff")
        move.said["history"] = alpr(settings, *history, "--json")
    move.shown = list(contents(settings.database_url))
    move.found = list(search_contents(settings.search_url))
    move.rows = rows(settings.database_url)


# Its parts


def append(log: Log, codec: Codec, items: list[Item]) -> None:
    """Records as edges append them."""
    by_partition: dict[int, list[Append]] = {}
    for item in items:
        value = codec.encode(RAW.name, item.name, item.record)
        record = Append(item.key, value, TRACE, item.appended_at)
        by_partition.setdefault(item.partition, []).append(record)
    for partition, appended in by_partition.items():
        log.append(RAW.name, partition, appended)


def fold(settings: Settings, log: Log) -> dict[str, Any]:
    """The sightings of the raw log as decided by a run that nothing disturbs."""
    codec, events = open_codec(settings), {}
    for entries in partitions(log, RAW.name):
        for made in Dedup(codec, settings.dedup, grammar()).batch(entries).detected:
            name, record = codec.decode(made.value or b"")
            if name == "PlateEvent":
                events[record["event_id"]] = record
    return events


def records(log: Log, codec: Codec, topic: str) -> Counter[Record]:
    """What a topic says, without what is about its own partitions."""
    found: Counter[Record] = Counter()
    for entry in chain.from_iterable(partitions(log, topic)):
        name, record = codec.decode(entry.value or b"")
        if name not in ("Progress", "CameraState"):
            headers = repr(sorted(entry.headers.items())).encode()
            found[entry.key, headers, entry.appended_at, repr((name, record))] += 1
    return found


def latest(log: Log, codec: Codec) -> dict[str, Any]:
    """The last word on every sighting."""
    found: dict[str, Any] = {}
    for entry in chain.from_iterable(partitions(log, DETECTED.name)):
        name, record = codec.decode(entry.value or b"")
        if name == "PlateEvent":
            known = found.setdefault(record["event_id"], record)
            if known["revision"] < record["revision"]:
                found[record["event_id"]] = record
    return found


def partitions(log: Log, topic: str) -> list[list[Entry]]:
    """All that a topic holds, by partition; at once, as each may end in a wait for what comes."""

    def whole(partition: int) -> list[Entry]:
        return list(span(log, topic, partition, 0, log.end(topic, partition)))

    with ThreadPoolExecutor(PARTITIONS) as pool:
        return list(pool.map(whole, range(log.partitions(topic))))


def written(log: Log) -> int:
    """Offsets given out on the topics that are copied."""
    return sum(
        log.end(topic.name, p)
        for topic in (DETECTED, REJECTED)
        for p in range(log.partitions(topic.name))
    )


def come_to_show(shown: Callable[[], Iterator[Shown]], events: Mapping[str, Any]) -> None:
    """Wait until a view shows the last word on all sightings, and nothing else."""
    wanted, found = revisions_of(events), {}
    deadline = time.monotonic() + 90
    while found != wanted and time.monotonic() < deadline:
        time.sleep(0.2)
        with suppress(ViewError):  # its tables or its index are being made
            found = {one.event_id: one.revision for one in shown()}
    assert found == wanted


def revisions_of(events: Mapping[str, Any]) -> dict[str, int]:
    return {key: event["revision"] for key, event in events.items()}


def rows(url: str) -> dict[str, Any]:
    """Every sighting of the view, with every column."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT event_id::text, to_jsonb(e) FROM alpr.plate_events e")
        return dict(cursor.fetchall())


@contextmanager
def closing_database(settings: Settings) -> Iterator[str]:
    database = open_database(settings)
    try:
        yield database.url
    finally:
        database.stop()


def until(true: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
