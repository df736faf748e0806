"""How the whole system is, for the API's page: what each part tells of itself, as plain data."""

import json
import platform
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Any

import psutil

from alpr.commands.doctor import checks
from alpr.commands.topics import GROUPS
from alpr.errors import AlprError
from alpr.settings import EMBEDDED, Settings
from alpr.ticker import retention
from alpr.wiring import Database, open_codec, open_log
from api.system import Part, System
from eventlog.address import masked
from eventlog.log import Log, LogError
from eventlog.span import span
from images.store import ImageError
from projections.errors import ViewError
from rules.grammar import grammar
from rules.version import rules_version
from schemas.codec import Codec, DecodeError, SchemaError
from schemas.topics import METRICS, TOPICS

FLOWS = {
    "alpr-dedup": "dedup",
    "alpr-storage-consumer": "project",
    "alpr-elasticsearch-consumer": "index",
    "alpr-alert-engine": "alerts",
    "alpr-notify": "notify",
    "alpr-metrics": "metrics",
}
MINUTE_US = 60_000_000
HOUR = 60  # minutes that are told
STALE_US = 150_000_000  # up.json is rewritten every minute
_CAMERAS = 50  # told, those that read most
_PACKAGES = ("bytewax", "fastapi", "psycopg2-binary", "onnxruntime")


def open_system(settings: Settings, database: Database, clock: Callable[[], int]) -> System:
    """What asks the parts of the settings' system; ``clock`` gives microseconds UTC."""
    log = _Opened(lambda: (open_log(settings), open_codec(settings)))
    parts = (
        Part("processes", lambda: processes(settings, clock())),
        Part("lag", lambda: log.ask(lambda opened, _: lag(opened, bool(settings.search_url)))),
        Part("rates", lambda: log.ask(lambda opened, codec: rates(opened, codec, clock())), 10.0),
        Part("storage", lambda: storage(settings, database, log.ask(_records)), 10.0),
        Part("servers", lambda: servers(settings, database), 30.0),
        Part("versions", lambda: versions(settings), 3600.0),
        Part("retention", lambda: dict(retention(settings)), 3600.0),
        Part("settings", settings.shown, 3600.0),
    )
    return System(parts, (AlprError, LogError, ViewError, SchemaError, ImageError, OSError))


class _Opened:
    """A log that is opened when it is first asked, by one thread at a time."""

    def __init__(self, open_both: Callable[[], tuple[Log, Codec]]) -> None:
        self._open = open_both
        self._both: tuple[Log, Codec] | None = None
        self._turn = threading.Lock()

    def ask(self, question: Callable[[Log, Codec], Any]) -> Any:
        with self._turn:
            if self._both is None:
                self._both = self._open()
            return question(*self._both)


def processes(settings: Settings, now: int) -> dict[str, Any]:
    """What `alpr up` wrote of the processes it keeps; ``here`` is False where it does not run."""
    try:
        told = json.loads((settings.home / "up.json").read_text())
        pid = told["pid"]
    except (OSError, ValueError, KeyError):
        return {"here": False, "processes": [], "others": [], "failure": None, "at": None}
    here = psutil.pid_exists(pid) and now - told["at"] < STALE_US
    return {
        "here": here,
        "at": datetime.fromtimestamp(told["at"] / 1e6, UTC),
        "processes": [{"name": name, **one} for name, one in told["processes"].items()],
        "others": [{"name": name, "resident_bytes": size} for name, size in told["others"].items()],
        "failure": told["failure"],
    }


def lag(log: Log, search: bool) -> list[dict[str, Any]]:
    """Of each flow and topic it reads: how many records it has yet to read, by what it noted.

    Without OpenSearch the flow that fills it does not run, and is told only if it once did."""
    ends = {name: _ends(log, name) for names in GROUPS.values() for name in names}
    found: list[dict[str, Any]] = []
    for group, names in GROUPS.items():
        for name in names:
            at = log.marks(group, name)
            if FLOWS[group] == "index" and not search and not at:
                continue
            found.append(
                {
                    "flow": FLOWS[group],
                    "topic": name,
                    "partitions": len(at),
                    "of": len(ends[name]),
                    "behind": sum(max(0, ends[name].get(p, 0) - n) for p, n in at.items()),
                    "end": sum(ends[name].values()),
                }
            )
    return found


def rates(log: Log, codec: Codec, now: int) -> dict[str, Any]:
    """Of the last hour, by what the metrics flow counted: totals, minutes, latencies, cameras."""
    start = now // MINUTE_US * MINUTE_US - (HOUR - 1) * MINUTE_US
    minutes: dict[str, list[int]] = {name: [0] * HOUR for name in ("reads", "rejected", "events")}
    latency: dict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    cameras: dict[str, dict[str, int]] = defaultdict(lambda: {"reads": 0, "rejected": 0})
    dead = 0
    for point in _points(log, codec, start):
        name, labels, count = point["name"], point["labels"], point["count"]
        at = (point["minute"] - start) // MINUTE_US
        if not 0 <= at < HOUR:
            continue
        if name == "alpr_read_latency_seconds":
            minutes["reads"][at] += count
            cameras[labels["camera"]]["reads"] += count
        elif name == "alpr_reads_rejected":
            minutes["rejected"][at] += count
            cameras[labels["camera"]]["rejected"] += count
        elif name == "alpr_sightings":
            minutes["events"][at] += count
        elif name == "alpr_dead_letters":
            dead += count
        if name in ("alpr_read_latency_seconds", "alpr_event_latency_seconds"):
            known = latency[name]
            known[0] += count
            known[1] += point["sum"]
            known[2] = max(known[2], point["maximum"])
    most = sorted(cameras.items(), key=lambda one: (-one[1]["reads"], one[0]))[:_CAMERAS]
    return {
        "since": datetime.fromtimestamp(start / 1e6, UTC),
        "minutes": minutes,
        "totals": {name: sum(values) for name, values in minutes.items()} | {"dead": dead},
        "latency": {
            name: {"mean": total / count, "maximum": maximum, "count": int(count)}
            for name, (count, total, maximum) in latency.items()
            if count
        },
        "cameras": [{"camera_id": name, **counts} for name, counts in most],
    }


def storage(settings: Settings, database: Database, records: Mapping[str, int]) -> dict[str, Any]:
    """The log's topics, with their size where it is a folder; the database's; the disks."""
    sizes: dict[str, int] = {}
    if not settings.on_kafka:
        for topic in TOPICS:
            parts = settings.log_folder.glob(f"{topic}.db*")
            sizes[topic] = sum(part.stat().st_size for part in parts)
    disks = {
        "data": settings.home,
        "edge's log": settings.edge_log_folder,
        "pictures": settings.images_folder,
    }
    found: dict[str, dict[str, Any]] = {}
    for name, folder in disks.items():
        there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
        usage = shutil.disk_usage(there)
        found[name] = {"folder": str(folder), "free": usage.free, "total": usage.total}
    return {
        "topics": [
            {"topic": name, "records": number, "bytes": sizes.get(name)}
            for name, number in records.items()
        ],
        "database_bytes": _asked(database, "SELECT pg_database_size(current_database())"),
        "disks": found,
    }


def servers(settings: Settings, database: Database) -> list[dict[str, Any]]:
    """Each server of the settings: where it is, what it says it is, or why it is not as it
    should be and what that means.
    """
    found: list[dict[str, Any]] = []
    for check in checks(settings):
        one: dict[str, Any] = {"name": check.name, "where": check.where, "means": check.means}
        one |= {"told": None, "error": None}
        try:
            embedded = check.name == "database" and settings.database_url == EMBEDDED
            one["told"] = _version(database) if embedded else check.ask()
        except Exception as error:  # whatever it is, the next server is asked too
            one["error"] = masked(" ".join(str(error).split()) or type(error).__name__)
        found.append(one)
    return found


def versions(settings: Settings) -> dict[str, Any]:
    """The program, its rules, its schemas, and what it stands on."""
    published = files("schemas") / "published"
    return {
        "program": _package("ovr-alpr"),
        "rules": rules_version(settings.dedup, grammar()),
        "python": platform.python_version(),
        "packages": {name: _package(name) for name in _PACKAGES},
        "schemas": {
            record.name: sum(1 for _ in record.iterdir())
            for record in sorted(published.iterdir(), key=lambda one: one.name)
            if record.is_dir()
        },
    }


def _records(log: Log, _: Codec) -> dict[str, int]:
    return {
        name: sum(
            max(0, log.end(name, p) - log.lowest(name, p)) for p in range(log.partitions(name))
        )
        for name in TOPICS
    }


def _ends(log: Log, topic: str) -> dict[int, int]:
    return {p: log.end(topic, p) for p in range(log.partitions(topic))}


def _points(log: Log, codec: Codec, start: int) -> list[Any]:
    """The points appended since a time; those of a minute come after it."""
    found: list[Any] = []
    for partition, first in log.since(METRICS.name, start).items():
        end = log.end(METRICS.name, partition)
        for entry in span(log, METRICS.name, partition, first, end):
            try:
                name, point = codec.decode(entry.value or b"")
            except DecodeError:
                continue  # nobody's dead letter: points are only looked at
            if name == "MetricPoint":
                found.append(point)
    return found


def _asked(database: Database, statement: str) -> Any:
    from projections.database import connect, scalar

    with closing(connect(database.url, "public", statement_timeout_ms=3000)) as connection:
        return scalar(connection, statement)


def _version(database: Database) -> str:
    return f"PostgreSQL {_asked(database, 'SHOW server_version')}, embedded"


def _package(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
