"""The only place that builds adapters: which one is behind an interface, the settings' URLs say."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from random import Random
from typing import IO, TYPE_CHECKING, Protocol, cast

from alpr.errors import ConfigError
from alpr.settings import EMBEDDED, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alpr.log_copy import LogCopy
    from api.audit import Privacy
    from api.intake import Intake
    from api.subscriptions import Subscribing
    from api.tokens import Tokens
    from eventlog.confluent import ConfluentRegistry
    from eventlog.log import Log
    from eventlog.sqlite import SqliteLog
    from images.s3 import Bucket
    from images.store import ImageStore
    from images.upload import Uploads
    from notify.channel import Channel
    from notify.service import Parts
    from projections.access import AccessKeys
    from projections.alert_queries import AlertQueries
    from projections.alert_view import AlertView
    from projections.analytics import Analytics
    from projections.camera_queries import CameraQueries
    from projections.evidence import Evidence
    from projections.finding import Finder
    from projections.keeping import Chore
    from projections.people_queries import PeopleQueries
    from projections.people_view import PeopleView
    from projections.queries import SightingQueries
    from projections.search_view import SearchView
    from projections.view import SightingsView
    from rules.forgetting import Forgotten
    from rules.pseudonym import Pseudonyms
    from schemas.codec import Codec
    from schemas.records import Node

_log = logging.getLogger(__name__)

_SEARCH_S = 5.0  # then PostgreSQL answers, whose queries may take as long
LINK_LIFE_S = 7 * 86_400
"""How long a link to a picture, as messages carry it, may be opened."""

# Rooms are imported where they are built: a process loads only what it works with.


class Database(Protocol):
    """A PostgreSQL to work with until ``stop``."""

    @property
    def url(self) -> str:
        """Where it is; may hold a password."""
        ...

    def ensure(self) -> bool:
        """Bring it up where it died, True then. Raises projections.errors.EmbeddedError."""
        ...

    def stop(self) -> None:
        """Leave it."""
        ...


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL that somebody else runs."""

    url: str

    def ensure(self) -> bool:
        """Who runs it sees to it."""
        return False

    def stop(self) -> None:
        """Nothing to leave."""


@contextmanager
def flow_settings(name: str) -> Iterator[Settings]:
    """The settings of a process that is one flow, its log lines, traces, counts for Prometheus.

    What keeps it from starting ends the process with one line and the exit code of ``alpr``.
    """
    import os
    import sys

    from alpr.cli import exit_code, ours, told
    from alpr.logs import configure
    from alpr.process import begin_process
    from alpr.settings import load

    configure()
    try:
        settings = load(os.environ)
        begin_process(name, settings)
        if settings.metrics_port:
            serve_counts(settings.metrics_port)
        yield settings
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not ours(error):
            raise
        print(f"ERROR {told(None, error)}", file=sys.stderr)
        sys.exit(exit_code(error))


def serve_counts(port: int) -> None:
    """Serve what this process counts to Prometheus, on loopback. Raises Busy."""
    from prometheus_client import start_http_server

    from alpr.errors import Busy

    try:
        start_http_server(port, addr="127.0.0.1")
    except OSError as error:
        raise Busy(
            f"port {port} cannot be had for metrics: {error.strerror}; stop what listens there, or "
            "set ALPR_METRICS_PORT to another"
        ) from error


def open_log(settings: Settings, *, waits: bool = False, leaps: bool = False) -> "Log":
    """The log; an embedded one is made if there is none. Raises eventlog.log.LogError.

    With ``waits`` opening it and appending wait while Kafka is away, and say so once. ``leaps``
    is for who reads a little in many places.
    """
    if settings.on_kafka:
        from eventlog.kafka import KafkaLog
        from eventlog.kafka_url import KafkaAddress

        address = KafkaAddress.parse(settings.log_url)
        return KafkaLog(address, settings.log_partitions, waits=waits, leaps=leaps)
    from eventlog.sqlite import SqliteLog

    return SqliteLog(settings.log_folder, settings.log_partitions)


def hold_partitions(settings: Settings, log_uuid: str) -> IO[bytes]:
    """This machine's only dedup on the settings' partitions, while the file is open.

    Raises alpr.errors.AlprError, as Busy where another process works on one of them.
    """
    from alpr.layout import Stores

    return Stores(settings, log_uuid).hold()


def hold_alerts(settings: Settings, log_uuid: str) -> IO[bytes]:
    """This machine's only alerts flow on the log, while the file is open. Raises Busy."""
    from alpr.alerts_store import hold

    return hold(settings, log_uuid)


def open_codec(settings: Settings, *, waits: bool = False) -> "Codec":
    """Records to bytes and back, against the log's schema registry.

    An embedded registry is made, and gets today's schemas, by whoever opens it; one of Kafka by
    ``alpr topics create`` alone. With ``waits`` that one is waited for, as by ``open_log``.
    """
    from schemas.codec import Codec

    if settings.on_kafka:
        return Codec(open_registry(settings, waits=waits))
    from eventlog.registry import SqliteRegistry

    codec = Codec(SqliteRegistry(settings.log_folder))
    codec.register()
    return codec


def open_registry(settings: Settings, *, waits: bool = False) -> "ConfluentRegistry":
    """The schema registry of a log on Kafka; what it tells is kept under ALPR_HOME.

    Raises schemas.codec.RegistryUnavailable.
    """
    from eventlog.confluent import PATIENCE_S, ConfluentRegistry

    patience_s = inf if waits else PATIENCE_S
    return ConfluentRegistry(settings.registry_url, settings.home, patience_s)


def open_edge_log(settings: Settings) -> "SqliteLog":
    """The log that the edge writes to: always in a folder of its machine."""
    from eventlog.sqlite import SqliteLog

    return SqliteLog(settings.edge_log_folder, settings.log_partitions)


def open_edge_codec(settings: Settings) -> "Codec":
    """Records to bytes for the edge's log, whose registry lies beside it and needs no server."""
    from eventlog.registry import SqliteRegistry
    from schemas.codec import Codec

    codec = Codec(SqliteRegistry(settings.edge_log_folder))
    codec.register()
    return codec


def open_copy(settings: Settings, folder: Path) -> "LogCopy":
    """What copies the log in a folder into the settings' log on Kafka.

    Raises eventlog.log.LogError where either cannot be reached.
    """
    from alpr.log_copy import GROUP, LogCopy, Translator
    from eventlog.exactly_once import ExactlyOnce
    from eventlog.kafka_url import KafkaAddress
    from eventlog.registry import SqliteRegistry
    from eventlog.sqlite import SqliteLog

    source = SqliteLog(folder, create=False)
    target = open_log(settings)
    translator = Translator(SqliteRegistry(folder), open_registry(settings), target.partitions)
    appender = ExactlyOnce(KafkaAddress.parse(settings.log_url), f"{GROUP}-{source.uuid}")
    return LogCopy(source, translator, appender, target.uuid)


def open_images(settings: Settings) -> "ImageStore":
    """Where evidence pictures are kept. Raises images.store.ImageError."""
    bucket = open_bucket(settings)
    if bucket is not None:
        from images.cache import PictureCache
        from images.s3 import S3Store

        return S3Store(bucket, PictureCache(settings.images_folder))
    from images.store import FolderStore

    return FolderStore(settings.images_folder)


def open_intake(
    settings: Settings, database: Database, clock: "Callable[[], int]"
) -> "tuple[Intake, Uploads | None]":
    """What takes the reads of other programs, and what sends their pictures to the bucket, if any.

    Their pictures wait in a folder of their own: an edge here works on its own. ``clock`` gives
    microseconds UTC. Raises images.store.ImageError.
    """
    from api.intake import Around, Intake, remembering
    from edge.foreign.given import HOST, Known
    from projections.senders import Senders

    senders = Senders(database.url)

    def known(camera_id: str) -> "Known | None":
        found = senders.camera(camera_id)
        return Known(found[0], cast("Node", found[1])) if found else None

    images, uploads = open_images(settings), None
    bucket = open_bucket(settings)
    if bucket is not None:
        from images.cache import PictureCache
        from images.s3 import S3Store
        from images.upload import Uploads

        cache = PictureCache(settings.home / "ingest-images")
        images = S3Store(bucket, cache)
        keep = settings.images_cache_days
        uploads = Uploads(bucket, cache, chance=Random(), keep_days=keep)
    stay_s = settings.dedup.window_s + 2 * settings.dedup.lateness_s
    intake = Intake(
        lambda: (open_log(settings), open_codec(settings)),
        images,
        clock,
        stay_us=int(stay_s * 1e6),
        around=Around(remembering(known), lambda: senders.open(HOST)),
    )
    return intake, uploads


def open_pseudonyms(settings: Settings) -> "Pseudonyms":
    """The names of plates in the audit, and for who may not see plates; their key is made on first
    use. Raises images.store.ImageError.
    """
    from images.links import secret_of
    from rules.pseudonym import Pseudonyms

    lost = "what the audit tells of plates is then told no more; better bring the old one back"
    return Pseudonyms(secret_of(settings.pseudonym_key_file, lost))


def open_privacy(settings: Settings, database: Database) -> "Privacy":
    """What writes down who looks at plates, and hides them from who may not see them."""
    import time

    from api.audit import Privacy, Writer
    from projections.audit_queries import AuditQueries

    return Privacy(
        open_pseudonyms(settings),
        Writer(lambda: (open_log(settings), open_codec(settings))),
        lambda: time.time_ns() // 1000,
        pseudonyms=settings.pseudonyms,
        reasons=settings.reason_required,
        queries=AuditQueries(database.url),
    )


def open_bucket(settings: Settings) -> "Bucket | None":
    """The pictures' bucket, to make or to check; None where they stay in a folder.

    Asks it nothing. Raises images.store.ImageError.
    """
    if settings.images_url.startswith("file:"):
        return None
    from images.address import S3Address
    from images.s3 import Bucket

    return Bucket(S3Address.parse(settings.images_url))


def open_uploads(settings: Settings) -> "Uploads | None":
    """What sends pictures to their bucket while it is entered; None where they stay in a folder.

    Raises images.store.ImageError.
    """
    bucket = open_bucket(settings)
    if bucket is None:
        return None
    from images.cache import PictureCache
    from images.upload import Uploads

    cache = PictureCache(settings.images_folder)
    return Uploads(bucket, cache, chance=Random(), keep_days=settings.images_cache_days)


def open_database(settings: Settings) -> Database:
    """The read model's database; the embedded one is started and shared by all who open it.

    Raises projections.errors.EmbeddedError.
    """
    if settings.database_url != EMBEDDED:
        return Server(settings.database_url)
    from projections.embedded import EmbeddedPostgres

    return EmbeddedPostgres(settings.home / "postgres")


def reviving(database: Database) -> "Callable[[], None]":
    """Brings a database up where it died, and says so; for who waits for it."""

    def revive() -> None:
        if database.ensure():
            _log.warning("the database had died and is up again")

    return revive


def open_view(settings: Settings, database: Database, log_uuid: str) -> "SightingsView":
    """The writer of the sightings' view; makes its tables. Raises projections.errors.ViewError."""
    from projections.timescale import Policies
    from projections.view import SightingsView

    policies = Policies(retain_days=settings.retention_view_days or None)
    return SightingsView(database.url, log_uuid, policies=policies)


def open_alert_view(database: Database, log_uuid: str) -> "AlertView":
    """The writer of the alerts' view; makes its tables. Raises projections.errors.ViewError."""
    from projections.alert_view import AlertView

    return AlertView(database.url, log_uuid)


def open_people_view(database: Database, log_uuid: str) -> "PeopleView":
    """The writer of what people said and did; makes its tables.

    Raises projections.errors.ViewError.
    """
    from projections.people_view import PeopleView

    return PeopleView(database.url, log_uuid)


def open_alert_queries(database: Database) -> "AlertQueries":
    """What is asked of alerts, rules and watchlists."""
    from projections.alert_queries import AlertQueries

    return AlertQueries(database.url)


def open_camera_queries(database: Database) -> "CameraQueries":
    """What is asked of cameras."""
    from projections.camera_queries import CameraQueries

    return CameraQueries(database.url)


def open_people_queries(database: Database) -> "PeopleQueries":
    """What is asked of corrections."""
    from projections.people_queries import PeopleQueries

    return PeopleQueries(database.url)


def open_queries(database: Database) -> "SightingQueries":
    """What the API asks the view."""
    from projections.queries import SightingQueries

    return SightingQueries(database.url)


def open_analytics(settings: Settings, database: Database) -> "Analytics":
    """What analytics are answered from: OpenSearch where there is one, else PostgreSQL.

    Raises projections.errors.AccessRefused for an ALPR_SEARCH_URL that cannot be used.
    """
    from projections.analytics_rollups import RollupAnalytics

    rollups = RollupAnalytics(database.url)
    if not settings.search_url:
        return rollups
    from projections.analytics_search import SearchAnalytics
    from projections.search_server import SearchServer

    return SearchAnalytics(SearchServer(settings.search_url), rollups)


def open_finder(settings: Settings, queries: "SightingQueries") -> "Finder":
    """Who answers searches: OpenSearch, with PostgreSQL behind it, or PostgreSQL alone.

    Raises projections.errors.AccessRefused for an ALPR_SEARCH_URL that cannot be used.
    """
    from projections.finding import PlainFinder

    if not settings.search_url:
        return PlainFinder(queries)
    from projections.search_queries import SearchFinder
    from projections.search_server import SearchServer

    return SearchFinder(SearchServer(settings.search_url, timeout_s=_SEARCH_S), queries)


def open_chores(settings: Settings, database: Database) -> "list[Chore]":
    """What ``alpr keep`` does."""
    from projections.camera_retention import CameraRetention
    from projections.forgetting import Forgetting
    from projections.listed import Listed
    from projections.naming import Naming
    from projections.plate_index import PlateIndex
    from projections.rollups import Rollups

    pseudonyms = open_pseudonyms(settings)
    log = open_log(settings, waits=True)
    return [
        PlateIndex(database.url, named=pseudonyms.of),
        Listed(database.url),
        Naming(database.url, pseudonyms),
        Rollups(database.url),
        Forgetting(database.url, log, open_codec(settings, waits=True)),
        CameraRetention(database.url, log, open_images(settings)),
    ]


def open_forgetting(
    settings: Settings,
    database: Database,
    log: "Log",
    tell: "Callable[[str], None]" = lambda _: None,
) -> "Callable[[str, str, str], Forgotten]":
    """What forgets a plate, for whom (as records name people) and why."""
    import time

    from alpr.forget import Forgetting
    from projections.forgetting import ends, watch_over
    from projections.plate_index import PlateIndex
    from projections.schema import migrate_beside

    forgetting = Forgetting(
        log,
        open_codec(settings),
        open_images(settings),
        open_pseudonyms(settings),
        clock=lambda: time.time_ns() // 1000,
        tell=tell,
    )

    def forget(plate: str, actor: str, reason: str) -> "Forgotten":
        migrate_beside(database.url)
        before = ends(log)
        done = forgetting.forget(
            plate, actor, reason, lambda found: watch_over(database.url, found, before)
        )
        index = PlateIndex(database.url)
        try:
            index.forget([plate])
        finally:
            index.close()
        return done

    return forget


def open_evidence(database: Database) -> "Evidence":
    """What people said of a sighting whose evidence is taken away."""
    from projections.evidence import Evidence

    return Evidence(database.url)


def open_keys(database: Database) -> "AccessKeys":
    """Who may ask the API."""
    from projections.access import AccessKeys

    return AccessKeys(database.url)


def open_tokens(settings: Settings) -> "Tokens | None":
    """Whose tokens the API takes; None where no key for them is set. Raises ConfigError."""
    from api.tokens import TokenError, Tokens

    texts = {"secret": settings.jwt_secret, "public": ""}
    for name, file in (("secret", "jwt_secret_file"), ("public", "jwt_public_key_file")):
        path = getattr(settings, file)
        if path:
            try:
                texts[name] = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(
                    f"ALPR_{file.upper()}={path} cannot be read: {error}; name a file that is there"
                ) from error
            if not texts[name]:
                raise ConfigError(f"ALPR_{file.upper()}={path} is empty: write the key into it")
    if not any(texts.values()):
        return None
    try:
        secret = texts["secret"].encode()
        return Tokens(secret, texts["public"], settings.jwt_audience, settings.jwt_issuer)
    except TokenError as error:
        raise ConfigError(
            f"a key for tokens cannot be used: {error}; see ALPR_JWT_SECRET_FILE and "
            "ALPR_JWT_PUBLIC_KEY_FILE"
        ) from error


def open_search(settings: Settings, log_uuid: str) -> "SearchView":
    """The writer of the view in OpenSearch; makes its index.

    Raises projections.errors.ViewError, alpr.errors.ConfigError where ALPR_SEARCH_URL is not set.
    """
    from projections.search_view import SearchView

    if not settings.search_url:
        raise ConfigError(
            "ALPR_SEARCH_URL is not set, so search stays in PostgreSQL and needs no index flow: "
            "set it to https://USER:PASSWORD@HOST:PORT to have the view in OpenSearch"
        )
    retain_days = settings.retention_view_days or None
    return SearchView(settings.search_url, log_uuid, retain_days=retain_days)


def open_deliveries(settings: Settings, database: Database, log: "Log", codec: "Codec") -> "Parts":
    """What alerts are delivered with, for notify.service.Service.

    Servers and secrets of its channels are variables of the environment, or stand in ``.env``.
    Raises images.store.ImageError.
    """
    import time

    from dataflows.dead_letters import dead_letter
    from eventlog.redriven import redriven
    from images.links import SignedLinks, secret_of
    from notify.ledger import DeadLetters
    from notify.pictures import Pictures
    from notify.service import Parts

    links = SignedLinks(secret_of(settings.link_secret_file))
    page = public_url(settings)

    def link(address: str) -> str:
        return f"{page}/pictures/{links.token(address, time.time() + LINK_LIFE_S)}"

    return Parts(
        database.url,
        log,
        codec,
        open_channels(settings),
        Pictures(open_images(settings), link),
        DeadLetters(
            lambda entry, reason, detail: dead_letter(codec, entry, "notify", reason, detail),
            lambda entry: redriven(entry.topic, entry.headers) > 0,
        ),
        page=page,
        revive=reviving(database),
        beside=_sightings_out(settings, database),
    )


def open_subscribing(settings: Settings, database: Database) -> "Subscribing":
    """Who is told of sightings by webhook, as the API and the command line keep it."""
    from api.subscriptions import Subscribing
    from images.links import secret_of
    from notify.net import Unusable, shown
    from notify.sightings import secret_for
    from projections.subscriptions import Subscriptions

    def readable(url: str) -> str:
        try:
            return shown(url)
        except Unusable as error:
            raise ValueError(str(error)) from None

    secret = secret_of(settings.link_secret_file)
    return Subscribing(Subscriptions(database.url), readable, lambda key: secret_for(secret, key))


def _sightings_out(settings: Settings, database: Database) -> "Mapping[str, Callable[[], float]]":
    """What tells subscribers of sightings, by the name of its thread; several send at once."""
    from ipaddress import ip_network

    from images.links import secret_of
    from notify.net import Post
    from notify.sightings import Follower, Sender
    from projections.subscribed import Subscribed

    url = database.url
    secret = secret_of(settings.link_secret_file)
    post = Post([ip_network(one) for one in settings.notify_allow])
    queries = Subscribed(url, connections=4)
    name = open_pseudonyms(settings).of if settings.pseudonyms else None
    senders = {
        f"sightings {number}": Sender(url, queries, post, secret, Random(), name=name).step
        for number in range(3)
    }
    return {"sightings": Follower(url, queries).step, **senders}


def open_channels(settings: Settings) -> "Mapping[str, Channel]":
    """The channels that actions name, by their type."""
    import os
    from ipaddress import ip_network

    from dotenv import dotenv_values

    from notify.channels import open_channels as channels

    file = dotenv_values(".env", interpolate=False)
    written = {name: value or "" for name, value in file.items()}
    return channels(written | dict(os.environ), [ip_network(one) for one in settings.notify_allow])


def public_url(settings: Settings) -> str:
    """Where people open the API and its pages, without a / at the end."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    host = settings.api_hosts[0] if settings.api_hosts else settings.api_host
    host = "localhost" if host in ("0.0.0.0", "::") else host
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.api_port}"
