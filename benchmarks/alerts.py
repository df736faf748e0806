"""How long after a read was appended a webhook hears of it: dedup, alerts and notify as processes.

    python -m benchmarks.alerts [--cars 300] [--every 0.2] [--kafka]

Each car's plate is on a list, read once, at a steady pace, on a system of its own: embedded, or
with ``--kafka`` on the broker and registry of ALPR_TEST_KAFKA and ALPR_TEST_REGISTRY or of
``tests.servers``. The time runs from the moment before the append to the moment at which the
receiver has the whole request. Beside it, in the same run and at the same pace, a bare path: append
to a topic, a loop that polls it as often and posts the plate. One JSON line a figure.
"""

import argparse
import json
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from alpr.settings import Settings, load
from alpr.wiring import open_codec, open_database, open_log
from benchmarks.dedup import tell
from benchmarks.kafka import servers
from eventlog.log import Append, Log
from notify.store import begin
from schemas.codec import Codec
from schemas.topics import RAW, REJECTED
from tests.alpr.system import alpr, flows, process
from tests.alpr.town import Town

WARM = ("06AZ0001", "06YJ2222")
PATIENCE_S = 60.0
POLL_S = 0.005
CAMERA = "gate"


class Receiver:
    """Notes when each plate was heard of."""

    def __init__(self) -> None:
        self.heard: dict[str, float] = {}
        self.alerts: dict[str, tuple[float, float]] = {}
        """By plate, the capture of its first frame and when it was heard of."""
        heard, alerts = self.heard, self.alerts

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                alert, now = body["alert"], time.time()
                heard.setdefault(alert["plate"], now)
                if alert.get("first_at"):
                    first = datetime.fromisoformat(alert["first_at"]).timestamp()
                    alerts.setdefault(alert["plate"], (first, now))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/alerts"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def plates(number: int) -> list[str]:
    """Texts that no two of are alike."""
    letters = "ACEFHJKLMNPRTUVX"
    return [
        f"34{letters[n % 16]}{letters[(n // 16 + n) % 16]}{1111 + n * 379 % 8889}"
        for n in range(number)
    ]


def waits(heard: dict[str, float], sent: dict[str, float]) -> list[float]:
    """Milliseconds from sending to hearing, of all; fails where one was not heard."""
    deadline = time.monotonic() + PATIENCE_S
    while len(heard.keys() & sent.keys()) < len(sent) and time.monotonic() < deadline:
        time.sleep(0.05)
    if missing := sent.keys() - heard.keys():
        raise SystemExit(f"{len(missing)} of {len(sent)} were not heard of, as {min(missing)}")
    return sorted(1000 * (heard[plate] - at) for plate, at in sent.items())


def whole(settings: Settings, log: Log, codec: Codec, cars: int, every: float) -> list[float]:
    """From a read to a webhook, through dedup, alerts and notify."""
    with ExitStack() as stack:
        receiver = stack.enter_context(closing(Receiver()))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        database = open_database(settings)
        stack.callback(database.stop)
        begin(database.url, log)  # else notify would begin with what comes once it is there
        rules = Path(folder) / "rules.yaml"
        rules.write_text(
            "rules:\n- name: Listed\n  conditions: {watchlist: {kinds: [deny]}}\n"
            f"  actions: [{{type: webhook, url: '{receiver.url}'}}]\n"
        )
        texts = [*WARM, *plates(cars)]
        listed = Path(folder) / "list.csv"
        listed.write_text("plate,kind\n" + "".join(f"{text},deny\n" for text in texts))
        for command in (("rules", "apply", str(rules)), ("watchlist", "import", str(listed))):
            code, said = alpr(settings, *command)
            if code:
                raise SystemExit(said)
        sent: dict[str, float] = {}
        running = flows(settings, "dedup", "alerts")
        town = Town(log, codec, {CAMERA: {}})
        with running, process(settings, "notify"), process(settings, "ticker"), closing(town):
            town.live()
            for text in texts:
                began = time.time()
                town.passes(CAMERA, text, int(began * 1e6) - town.now, reads=1)
                if text in WARM:  # pays for starting, and is not counted
                    waits(receiver.heard, {text: began})
                else:
                    sent[text] = began
                time.sleep(max(0.0, every - (time.time() - began)))
            return waits(receiver.heard, sent)


def bare(log: Log, codec: Codec, cars: int, every: float) -> list[float]:
    """The same without deciding anything: append, poll, decode, post."""
    sent: dict[str, float] = {}
    over = threading.Event()
    with closing(Receiver()) as receiver, ExitStack() as stack:

        def loop() -> None:
            at = log.end(REJECTED.name, 0)
            with httpx.Client(trust_env=False) as client:
                while not over.is_set():
                    entries = log.read(REJECTED.name, 0, at, 500)
                    for entry in entries:
                        at = entry.offset + 1
                        _, record = codec.decode(entry.value or b"")
                        client.post(receiver.url, json={"alert": {"plate": record["text"]}})
                    if not entries:
                        time.sleep(POLL_S)

        thread = threading.Thread(target=loop)
        thread.start()
        stack.callback(thread.join)
        stack.callback(over.set)
        from tests.rules.world import read

        time.sleep(0.5)
        for text in plates(cars):
            value = codec.encode(RAW.name, "PlateRead", read(0, text))
            sent[text] = began = time.time()
            log.append(REJECTED.name, 0, [Append(b"gate", value)])
            time.sleep(max(0.0, every - (time.time() - began)))
        return waits(receiver.heard, sent)


@contextmanager
def system(kafka: bool) -> Iterator[Settings]:
    """Settings of an empty system."""
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="alpr-bench-"))
        chosen = {
            "ALPR_HOME": home,
            "ALPR_LOG_PARTITIONS": "2",
            "ALPR_NOTIFY_ALLOW": "127.0.0.1",
        }
        if kafka:
            url, registry = stack.enter_context(servers(Path(home) / "servers"))
            joint = "&" if "?" in url else "?"
            chosen["ALPR_LOG_URL"] = f"{url}{joint}prefix=b{secrets.token_hex(6)}."
            chosen["ALPR_REGISTRY_URL"] = registry
        settings = load(chosen, None)
        if kafka:
            alpr(settings, "topics", "create")
        yield settings


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cars", type=int, default=300)
    parser.add_argument("--every", type=float, default=0.2, help="seconds from car to car")
    parser.add_argument("--kafka", action="store_true")
    chosen = parser.parse_args(arguments)
    with system(chosen.kafka) as settings, closing(open_log(settings)) as log:
        codec = open_codec(settings)
        reference = bare(log, codec, chosen.cars, chosen.every)
        times = whole(settings, log, codec, chosen.cars, chosen.every)
    for name, found in (("bare", reference), ("read_to_webhook", times)):
        p99 = found[int(len(found) * 0.99) - 1]
        tell(
            f"alerts.{name}",
            statistics.median(found),
            "ms",
            p99=round(p99, 1),
            most=round(found[-1], 1),
            cars=len(found),
            log="kafka" if chosen.kafka else "sqlite",
            ratio=round(statistics.median(found) / statistics.median(reference), 2),
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
