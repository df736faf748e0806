"""``alpr topics``: make the log's topics, schemas and bucket; list them with their lag."""

import argparse
from collections.abc import Iterator
from contextlib import closing

from alpr.errors import ConfigError
from alpr.layout import listed
from alpr.log_copy import GROUP as COPY
from alpr.log_copy import backlog
from alpr.settings import Settings
from alpr.ticker import retention
from alpr.wiring import open_bucket, open_codec, open_edge_log, open_log, open_registry
from eventlog.log import Log
from schemas.publish import register
from schemas.topics import (
    ALERTS,
    AUDIT,
    CAMERAS,
    CORRECTIONS,
    DAY_US,
    DETECTED,
    DLQ,
    RAW,
    REJECTED,
    TOPICS,
)

GROUPS = {
    "alpr-dedup": (RAW.name,),
    "alpr-storage-consumer": (
        *(DETECTED.name, ALERTS.name),
        *(CORRECTIONS.name, AUDIT.name, CAMERAS.name),
    ),
    "alpr-elasticsearch-consumer": (DETECTED.name,),
    "alpr-alert-engine": (DETECTED.name,),
    "alpr-notify": (ALERTS.name,),
    "alpr-metrics": (RAW.name, REJECTED.name, DETECTED.name, DLQ.name),
}
"""Whose lag is shown, and the topics they read."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Two commands in one."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="create|list")
    text = "make the topics, register the schemas, make the pictures' bucket"
    create = commands.add_parser(
        "create", help=text, description=f"{text}; a deployment runs it, as often as it likes"
    )
    text = "partitions, records and retention of every topic, and each reader's lag"
    commands.add_parser("list", help=text, description=text)
    create.add_argument(
        "--replication", type=int, default=1, metavar="N",
        help="copies of each partition of a new topic (1); 3 where there are three brokers",
    )  # fmt: skip


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Do it; exit code 0."""
    if arguments.action == "create":
        _create(settings, arguments.replication)
        bucket = open_bucket(settings)
        if bucket is not None:
            bucket.ensure(settings.images_retention_days)
            print(f"{bucket.address.where} keeps pictures {settings.images_retention_days} days")
    else:
        log = open_log(settings)
        for line in _listed(log, settings):
            print(line)
        log.close()
    return 0


def _create(settings: Settings, replication: int) -> None:
    if replication < 1:
        raise ConfigError(f"--replication {replication} is below 1; give 1 or more")
    if not settings.on_kafka:
        log = open_log(settings)
        open_codec(settings)
        print(f"the embedded log in {settings.log_folder} has its topics and schemas")
        log.close()
        return
    from eventlog.kafka_cluster import create_topics
    from eventlog.kafka_url import KafkaAddress

    address = KafkaAddress.parse(settings.log_url)
    done = create_topics(address, settings.log_partitions, replication, retention(settings))
    for line in done or ["every topic is as it should be"]:
        print(line)
    registry = open_registry(settings)
    register(registry)
    print(f"every schema is registered at {registry.shown}")
    registry.close()


def _listed(log: Log, settings: Settings) -> Iterator[str]:
    kept = retention(settings)
    yield f"{'topic':<22}{'partitions':>10}{'records':>14}  kept"
    ends: dict[str, dict[int, int]] = {}
    for name, topic in TOPICS.items():
        numbers = range(log.partitions(name))
        ends[name] = {partition: log.end(name, partition) for partition in numbers}
        count = sum(end - log.lowest(name, p) for p, end in ends[name].items())
        age = kept.get(name, topic.retention_us)
        text = "for ever" if age is None else f"{age / DAY_US:g} days"
        text += ", then compacted" if topic.compacted else ""
        yield f"{name:<22}{len(numbers):>10}{count:>14,}  {text}"
    yield ""
    yield f"{'reader':<30}{'of topic':<22}{'lag':>12}  partitions"
    for group, name in ((group, name) for group, names in GROUPS.items() for name in names):
        marks = log.marks(group, name)
        if marks:
            lag = sum(max(0, ends[name][p] - position) for p, position in marks.items())
            others = ends[name].keys() - marks.keys()
            unread = [p for p in others if ends[name][p] > log.lowest(name, p)]
            text = f", nobody has read {listed(unread)}" if unread else ""
            yield f"{group:<30}{name:<22}{lag:>12,}  {len(marks)} of {log.partitions(name)}{text}"
        else:
            yield f"{group:<30}{name:<22}{'-':>12}  not seen yet"
    edge = settings.edge_log_folder
    if settings.on_kafka and (edge / "log.db").exists():
        with closing(open_edge_log(settings)) as source:
            lag = backlog(source, log.uuid)
        yield f"{COPY:<30}{RAW.name:<22}{lag:>12,}  of {edge}"
