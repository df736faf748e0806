"""A record spoilt by one byte on Kafka: the flows go on, it is mended, and both views have it."""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from alpr.settings import Settings, load
from alpr.wiring import open_codec, open_log
from eventlog.kafka_cluster import Cluster
from eventlog.kafka_url import KafkaAddress
from eventlog.log import Append, Entry, Log
from eventlog.span import span
from projections.compare import Shown, contents
from projections.errors import ViewError
from projections.search_contents import search_contents
from schemas.codec import Codec
from schemas.topics import RAW, REJECTED, partition_of
from tests.alpr.system import alpr, database, environ, flows
from tests.rules.world import read

pytestmark = pytest.mark.slow

PARTITIONS = 2
SECOND = 1_000_000
Views = tuple[list[Shown], list[Shown]]


@pytest.fixture
def settings(
    kafka: str, registry: str, postgres15: str, search: str, tmp_path: Path
) -> Iterator[Settings]:
    joint = "&" if "?" in kafka else "?"
    with database(postgres15) as url:
        made = load(
            {
                "ALPR_HOME": str(tmp_path / "home"),
                "ALPR_LOG_URL": f"{kafka}{joint}prefix=t{secrets.token_hex(6)}.",
                "ALPR_LOG_PARTITIONS": str(PARTITIONS),
                "ALPR_REGISTRY_URL": registry,
                "ALPR_DATABASE_URL": url,
                "ALPR_SEARCH_URL": search,
            },
            None,
        )
        assert alpr(made, "topics", "create")[0] == 0
        yield made
        Cluster(KafkaAddress.parse(made.log_url)).drop()


class Cameras:
    """Reads of two cameras on the log, of now."""

    def __init__(self, log: Log, codec: Codec) -> None:
        self._log, self._codec = log, codec
        self.now = time.time_ns() // 1000

    def read(self, camera: str, text: str, seconds: float) -> bytes:
        at = self.now + int(seconds * SECOND)
        record = read(0, text, camera_id=camera, captured_at=at, confidence=0.99)
        return self._codec.encode(RAW.name, "PlateRead", record)

    def append(self, camera: str, value: bytes) -> str:
        """The record's place."""
        key = camera.encode()
        partition = partition_of(key, PARTITIONS)
        (offset,) = self._log.append(RAW.name, partition, [Append(key, value, {"h": b"1"})])
        return f"{RAW.name}/{partition}/{offset}"


def test_a_record_spoilt_by_one_byte_is_listed_shown_and_redriven_into_both_views(
    settings: Settings, tmp_path: Path
):
    with closing(open_log(settings)) as log, flows(settings, "dedup", "project", "index"):
        cameras = Cameras(log, open_codec(settings))
        good = cameras.read("gate", "KAX1234", 0)
        at = good.index(b"\x0eKAX1234")  # the length of the text
        place = cameras.append("gate", good[:at] + b"\x7e" + good[at + 1 :])
        cameras.append("yard", cameras.read("yard", "BCD5678", 0))
        until(lambda: texts(views(settings)) == (["BCD5678"], ["BCD5678"]))

        (letter,) = listed(settings)
        assert (letter["topic"], letter["step"], letter["reason"]) == (
            RAW.name, "decode", "unreadable",
        )  # fmt: skip
        code, said = alpr(settings, "dlq", "show", place)
        assert (code, "cannot be read" in said) == (0, True), said
        code, said = alpr(settings, "dlq", "redrive", place)
        assert code == 1, said
        assert "would come straight back" in said

        mended = tmp_path / "record"
        mended.write_bytes(raw(settings, place)[:at] + good[at : at + 1] + good[at + 1 :])
        code, said = alpr(settings, "dlq", "redrive", place, "--value", str(mended))
        assert code == 0, said
        both = ["BCD5678", "KAX1234"]
        until(lambda: texts(views(settings)) == (both, both))
        here, there = views(settings)
        assert here == there

        code, said = alpr(settings, "dlq", "redrive", place, "--value", str(mended))
        assert "was sent again already" in said
        again = [e for e in everything(log, RAW.name) if "redriven" in e.headers]
        assert [(e.value, e.headers) for e in again] == [
            (good, {"h": b"1", "redriven": f"1 {place}".encode()})
        ]


def test_a_read_mended_when_its_camera_has_gone_on_by_minutes_is_a_sighting_in_both_views_once(
    settings: Settings,
):
    with closing(open_log(settings)) as log, flows(settings, "dedup", "project", "index"):
        codec = open_codec(settings)
        cameras = Cameras(log, codec)
        good = cameras.read("gate", "KAX1234", -600)
        place = cameras.append("gate", b"\1" + good[1:])
        cameras.append("gate", cameras.read("gate", "BCD5678", 0))
        until(lambda: texts(views(settings)) == (["BCD5678"], ["BCD5678"]))
        mended = settings.home / "record"
        mended.write_bytes(good)
        code, said = alpr(settings, "dlq", "redrive", place, "--value", str(mended))
        assert code == 0, said
        both = ["BCD5678", "KAX1234"]
        until(lambda: texts(views(settings)) == (both, both))
        (sighting,) = [one for one in views(settings)[0] if one.plate_normalized_text == "KAX1234"]

        again = ("dlq", "redrive", place, "--value", str(mended), "--again")
        code, said = alpr(settings, *again)
        assert code == 1, said
        assert f"already sighted as {sighting.event_id}; --anyway sends it" in said
        code, said = alpr(settings, *again, "--anyway")
        assert code == 0, said
        until(lambda: everything(log, REJECTED.name) != [])
        (refused,) = everything(log, REJECTED.name)
        record: Any = codec.decode(refused.value or b"")[1]
        assert (record["reason"], record["read"]["text"]) == ("duplicate", "KAX1234")

        later = time.time_ns() // 1000 + 61 * SECOND
        tick = codec.encode(RAW.name, "Tick", {"at": later})
        partition = partition_of(b"gate", PARTITIONS)
        log.append(RAW.name, partition, [Append(b"tick", tick, appended_at=later)])
        until(lambda: [ends(view, "KAX1234") for view in views(settings)] == [["ended"]] * 2)
        here, there = views(settings)
        assert here == there
        assert texts((here, there)) == (both, both)


def ends(view: list[Shown], text: str) -> list[str]:
    return [one.status for one in view if one.plate_normalized_text == text]


def listed(settings: Settings) -> list[Any]:
    code, said = alpr(settings, "dlq", "list", "--json")
    assert code == 0, said
    return [json.loads(line) for line in said.splitlines()]


def raw(settings: Settings, place: str) -> bytes:
    """A dead letter's bytes, as a shell takes them into a file."""
    command = [sys.executable, "-m", "alpr", "dlq", "show", place, "--raw"]
    return subprocess.run(command, env=environ(settings), capture_output=True, check=True).stdout


def views(settings: Settings) -> Views:
    """What PostgreSQL and OpenSearch show; nothing while they are being made."""
    here: list[Shown] = []
    there: list[Shown] = []
    with suppress(ViewError):
        here = list(contents(settings.database_url))
        there = list(search_contents(settings.search_url))
    return here, there


def texts(both: Views) -> tuple[list[str], list[str]]:
    here, there = ([one.plate_normalized_text for one in view] for view in both)
    return sorted(here), sorted(there)


def everything(log: Log, topic: str) -> list[Entry]:
    parts = range(log.partitions(topic))
    return [e for p in parts for e in span(log, topic, p, 0, log.end(topic, p))]


def until(true: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.2)
