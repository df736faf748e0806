"""``alpr api``: the query API and its pages over HTTP."""

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from alpr.errors import Busy
from alpr.process import begin_process
from alpr.rules_file import refused
from alpr.settings import Settings
from alpr.wiring import (
    open_alert_queries,
    open_analytics,
    open_camera_queries,
    open_codec,
    open_database,
    open_evidence,
    open_finder,
    open_forgetting,
    open_images,
    open_intake,
    open_keys,
    open_log,
    open_people_queries,
    open_privacy,
    open_queries,
    open_subscribing,
    open_tokens,
)

if TYPE_CHECKING:
    from alpr.wiring import Database
    from api.backtests import Backtest
    from api.cameras import Cameras
    from api.forgetting import Forget
    from projections.access import AccessKeys
    from rules.alerts.rule import Rule
    from rules.forgetting import Forgotten

_log = logging.getLogger(__name__)
# A backtest or a large file computes in a thread, and who asks meanwhile waits for several of its
# turns: with Python's 5 ms an answer of 3 ms took 15, measured with one backtest running.
_TURN_S = 0.000_5
_AGAIN_S = 5  # until a database that was away is asked again for the first link


def configure(parser: argparse.ArgumentParser) -> None:
    """Where to listen."""
    parser.add_argument("--host", help="address; beyond loopback keys are asked (ALPR_API_HOST)")
    parser.add_argument("--port", type=int, help="port (ALPR_API_PORT)")
    parser.add_argument(
        "--proxy",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="a proxy before it whose X-Forwarded-For and -Proto are believed, beside those of "
        "ALPR_API_PROXIES; may be repeated",
    )


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; exit code 0."""
    from alpr.dlq_desk import DlqDesk
    from alpr.system import open_system
    from api.app import create_app
    from api.backtests import Backtests
    from api.counted import Counted
    from api.forgetting import Forgettings
    from api.routes import Parts
    from api.serve import Certificate, ServeError, serve
    from api.voice import Voice
    from api.watching import Watching
    from images.links import SignedLinks, secret_of

    begin_process("api", settings, arguments.debug)
    # uvicorn ends well and then raises the signal again, which must not keep us from leaving the
    # database.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    sys.setswitchinterval(_TURN_S)
    if arguments.host:
        settings = settings.changed(api_host=arguments.host)
    host = settings.api_host
    port = settings.api_port if arguments.port is None else arguments.port
    database = open_database(settings)
    ended = threading.Event()
    try:
        queries = open_queries(database)
        counts = open_analytics(settings, database)
        keys = open_keys(database) if settings.authenticated else None
        watching = Watching(
            open_alert_queries(database),
            Voice(lambda: (open_log(settings), open_codec(settings)), _now),
            Backtests(_backtest(settings)),
            people=open_people_queries(database),
            refused=refused,
        )
        intake, uploads = open_intake(settings, database, _now)
        privacy = open_privacy(settings, database)
        parts = Parts(
            counted=Counted(lambda: (open_log(settings), open_codec(settings))),
            links=SignedLinks(secret_of(settings.link_secret_file)),
            watching=watching,
            placed=_cameras(settings, database),
            privacy=privacy,
            counts=counts,
            finder=open_finder(settings, queries),
            intake=intake,
            people=open_evidence(database),
            subscribing=open_subscribing(settings, database),
            desk=DlqDesk(settings, _now),
            whole=open_system(settings, database, _now),
            forgettings=Forgettings(_forget(settings, database)),
        )
        app = create_app(
            queries,
            open_images(settings),
            parts,
            keys=keys,
            hosts=(*settings.api_hosts, *_public_host(settings)),
            cors_origins=settings.api_cors,
            tokens=open_tokens(settings) if keys is not None else None,
            rate=settings.api_rate,
        )
        if keys is not None:
            scheme = "https" if settings.tls_cert else "http"
            address = f"{scheme}://{_named(host, settings.api_hosts)}:{port}"
            threading.Thread(
                target=_tell_first_link, args=(keys, address, ended), name="link", daemon=True
            ).start()
        certificate = None
        if settings.tls_cert:
            certificate = Certificate(Path(settings.tls_cert), Path(settings.tls_key))
        with uploads or nullcontext():
            serve(app, host, port, (*settings.api_proxies, *arguments.proxy), certificate)
        asked = (queries, counts, watching.queries, watching.people, privacy.queries, keys)
        for one in asked:
            if one is not None:
                one.close()
    except ServeError as error:
        raise Busy(str(error)) from error
    finally:
        ended.set()
        database.stop()
    return 0


def _forget(settings: Settings, database: "Database") -> "Forget":
    """What forgets a plate, as the API asks for it."""

    def forget(plate: str, actor: str, reason: str, tell: Callable[[str], None]) -> "Forgotten":
        with closing(open_log(settings)) as log:
            return open_forgetting(settings, database, log, tell)(plate, actor, reason)

    return forget


def _cameras(settings: Settings, database: "Database") -> "Cameras":
    """What is asked of cameras; the log is opened when somebody asks for their health."""
    from api.cameras import Cameras
    from api.heartbeats import Heartbeats

    heartbeats = Heartbeats(lambda: (open_log(settings), open_codec(settings)), _now)
    return Cameras(open_camera_queries(database), heartbeats)


def _backtest(settings: Settings) -> "Backtest":
    """What tries rules on the settings' log, as the API asks for it."""

    def run(
        rules: "Sequence[Rule] | None", since: int, progress: Callable[[float, str], None]
    ) -> dict[str, Any]:
        from alpr.backtest import backtest

        told = 0.0, "reads the alerts that were"

        def step(done: int, total: int) -> None:
            nonlocal told
            told = done / max(total, 1), f"{done:,} of {total:,} records"
            progress(*told)

        def stop() -> bool:
            progress(*told)  # raises where it is to end
            return False

        with closing(open_log(settings, leaps=True)) as log:
            return backtest(log, open_codec(settings), rules, since, _now(), step, stop).plain()

    return run


def _tell_first_link(keys: "AccessKeys", address: str, ended: threading.Event) -> None:
    """Print how to become the administrator, as long as there never was one."""
    from projections.errors import ViewError

    while not ended.is_set():
        try:
            token = keys.first_link()
        except ViewError as error:
            _log.warning("no key can be checked, so nobody gets in: %s", error)
            ended.wait(_AGAIN_S)
            continue
        if token is not None:
            told = (
                "There is no administrator yet. This link makes the first one's key, once, "
                f"within 24 hours: {address}/login#token={token}\n"
            )
            sys.stderr.write(told)  # at once, its end included: the server's lines come between
            sys.stderr.flush()
        return


def _named(host: str, names: tuple[str, ...]) -> str:
    """What to call this server in a link."""
    if names:
        return names[0]
    try:
        number = ip_address(host)
    except ValueError:
        return host
    if number.is_unspecified:
        return "localhost"
    return f"[{number}]" if number.version == 6 else str(number)


def _now() -> int:
    """Microseconds UTC."""
    return time.time_ns() // 1000


def _public_host(settings: Settings) -> tuple[str, ...]:
    """The host that links in messages lead to, as a browser sends it; () where none is set."""
    host = urlsplit(settings.public_url).netloc.rpartition("@")[2]
    return (host,) if host else ()


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(0)
