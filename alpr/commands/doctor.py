"""``alpr doctor``: whether each server of the settings is there, what it means if not, the cure."""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from alpr.settings import EMBEDDED, Settings
from alpr.ticker import retention
from alpr.wiring import open_bucket, open_log, open_registry
from eventlog.address import masked
from schemas.codec import schema_text
from schemas.topics import TOPICS, subject

PATIENCE_S = 5.0  # a server that takes longer counts as away


class Wrong(Exception):
    """A server answers and is not set up; the text names cause and cure."""


@dataclass(frozen=True, slots=True)
class Check:
    """One server: ``ask`` tells in a few words what is there, or raises; ``means`` is for then."""

    name: str
    where: str
    means: str
    ask: Callable[[], str]


def configure(parser: argparse.ArgumentParser) -> None:
    """No flags."""
    parser.description = (
        "Ask the log, the schema registry, the database, the search and the pictures of the "
        "settings whether they are there and set up; exit code 1 if one is not."
    )


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print what was found; 0, or 1 if a server is not as it should be."""
    failed = 0
    for check in checks(settings):
        try:
            found = check.ask()
        except Exception as error:  # whatever it is, the next server is asked too
            failed += 1
            text = masked(" ".join(str(error).split()) or type(error).__name__)
            print(f"FAILED    {check.name:<9}{check.where}\n{'':<10}{text}")
            print(f"{'':<10}until then: {check.means}")
        else:
            print(f"ok        {check.name:<9}{check.where}: {found}")
    return 1 if failed else 0


def checks(settings: Settings) -> Iterator[Check]:
    """What there is to ask, in the order in which things depend on each other."""
    if settings.on_kafka:
        yield Check(
            "log",
            masked(settings.log_url),
            "edges keep their reads in their own log and lose none; no new sightings are made, and "
            "what is stored can still be asked",
            lambda: _kafka(settings),
        )
        yield Check(
            "registry",
            masked(settings.registry_url),
            "processes that run go on with the schemas they know; on a machine that has not run "
            "before none starts",
            lambda: _registry(settings),
        )
    else:
        yield Check(
            "log",
            str(settings.log_folder),
            "nothing can be read or made",
            lambda: _embedded_log(settings),
        )
    if settings.database_url == EMBEDDED:
        yield Check("database", EMBEDDED, "", lambda: "started by those who use it")
    else:
        yield Check(
            "database",
            masked(settings.database_url),
            "nothing can be asked and nobody can log in; sightings go on into the log, and the "
            "view catches up",
            lambda: _database(settings),
        )
    if settings.search_url:
        yield Check(
            "search",
            masked(settings.search_url),
            "the view in OpenSearch stands still and catches up later; all else goes on",
            lambda: _search(settings),
        )
    yield Check(
        "images",
        masked(settings.images_url),
        "pictures wait on the edges' disks; sightings go on without them to be seen",
        lambda: _images(settings),
    )


def _kafka(settings: Settings) -> str:
    from eventlog.kafka_cluster import Cluster
    from eventlog.kafka_topics import days
    from eventlog.kafka_url import KafkaAddress

    cluster = Cluster(KafkaAddress.parse(settings.log_url), PATIENCE_S)
    counts = cluster.check(settings.log_partitions)
    wrong = [
        f"{key} of {topic} is {old} ({days(old)}), not {new} ({days(new)})"
        if key.endswith(".ms")
        else f"{key} of {topic} is {old}, not {new}"
        for topic, other in cluster.differences(retention(settings)).items()
        for key, (old, new) in other.items()
    ]
    if wrong:
        raise Wrong(f"{'; '.join(wrong)}: set it with `alpr topics create`")
    return f"{len(counts)} topics, {settings.log_partitions} partitions"


def _registry(settings: Settings) -> str:
    registry = open_registry(settings)
    known = set(registry.subjects())
    missing = [
        subject(topic.name, record)
        for topic in TOPICS.values()
        for record in topic.records
        if not _has(registry.find, known, subject(topic.name, record), schema_text(record))
    ]
    if missing:
        raise Wrong(
            f"it lacks {', '.join(missing)} as this release writes them: "
            "register them with `alpr topics create`"
        )
    return f"{len(known)} subjects"


def _has(find: Callable[[str, str], int], known: set[str], name: str, text: str) -> bool:
    try:
        return name in known and find(name, text) > 0
    except KeyError:
        return False


def _embedded_log(settings: Settings) -> str:
    if not (settings.log_folder / "log.db").exists():
        return "not there yet, made at the first start"
    log = open_log(settings)
    log.close()
    return f"{settings.log_partitions} partitions"


def _database(settings: Settings) -> str:
    from projections.database import connect, scalar

    connection = connect(settings.database_url, "public", statement_timeout_ms=5000)
    try:
        return f"PostgreSQL {scalar(connection, 'SHOW server_version')}"
    finally:
        connection.close()


def _search(settings: Settings) -> str:
    from projections.search_server import SearchServer

    server = SearchServer(settings.search_url, timeout_s=PATIENCE_S)
    try:
        server.check()
    finally:
        server.close()
    return "OpenSearch answers"


def _images(settings: Settings) -> str:
    bucket = open_bucket(settings)
    if bucket is None:
        return "a folder"
    bucket.check()
    return "the bucket is there"
