"""One trace from the frame to the page, at a collector of OpenTelemetry's protocol; log lines."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from alpr.errors import ConfigError
from alpr.logs import JsonPrinter, Lines, configure
from alpr.tracing import trace_to_collector, traces
from eventlog.traces import Traces, context_of
from eventlog.tracing import install, tracing
from tests.alpr.test_alerts_arrive import free_port, wait
from training.driveby import render

ROOT = Path(__file__).parents[2]
SIGHTING = "6f1c2c52-0d4e-5c43-9d6a-2f7f3d0c1a9b"
OTHER = "11111111-0d4e-5c43-9d6a-2f7f3d0c1a9b"


class Collector:
    """Takes traces over HTTP as a collector does."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, str, str, str]] = []  # trace, process, name, parent
        kept = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                for told in ExportTraceServiceRequest.FromString(body).resource_spans:
                    named = {one.key: one.value.string_value for one in told.resource.attributes}
                    for scope in told.scope_spans:
                        for span in scope.spans:
                            ids = (span.trace_id.hex(), named["service.name"])
                            kept.append((*ids, span.name, span.parent_span_id.hex()))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def spans() -> Iterator[tuple[Traces, InMemorySpanExporter]]:
    kept = InMemorySpanExporter()
    made = traces("test", 1.0, SimpleSpanProcessor(kept))
    install(made)
    yield made, kept
    install(None)


@pytest.mark.slow
def test_a_sighting_is_one_trace_from_the_frame_to_those_who_watch(tmp_path: Path):
    clip = tmp_path / "drive-by.mp4"
    render(clip, seconds=8)
    cameras = tmp_path / "cameras.yaml"
    cameras.write_text(yaml.safe_dump({"cameras": [{"id": "GATE-1", "source": str(clip)}]}))
    port = free_port()
    with closing(Collector()) as collector, ExitStack() as stack:
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("ALPR_", "OTEL_"))} | {
            "ALPR_HOME": str(tmp_path / "home"),
            "ALPR_CAMERAS": str(cameras),
            "ALPR_ALERT_RULES": str(tmp_path / "none.yaml"),
            "ALPR_API_PORT": str(port),
            "ALPR_LOG_FORMAT": "json",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        out = stack.enter_context((tmp_path / "up.txt").open("wb"))
        command = [sys.executable, "-m", "alpr", "up"]
        up = subprocess.Popen(command, env=environ, cwd=ROOT, stdout=out, stderr=out)
        stack.callback(up.wait)
        stack.callback(up.send_signal, signal.SIGINT)
        api = f"http://127.0.0.1:{port}"

        def listen() -> None:
            while up.poll() is None:
                try:
                    with httpx.stream("GET", f"{api}/events/stream", timeout=30) as events:
                        for _ in events.iter_lines():
                            pass
                except httpx.HTTPError:
                    time.sleep(0.2)

        threading.Thread(target=listen, daemon=True).start()

        def whole() -> set[str]:
            steps: dict[str, set[str]] = defaultdict(set)
            for trace, process, name, _ in list(collector.spans):
                steps[trace].add(f"{process} {name}")
            wanted = {"alpr-edge frame", "alpr-dedup dedup", "alpr-project project",
                      "alpr-api tell"}  # fmt: skip
            return {trace for trace, found in steps.items() if found >= wanted}

        found = wait(whole).pop()
        # Every step hangs on the frame.
        parents = {p for trace, _, name, p in collector.spans if trace == found and name != "frame"}
        assert len(parents) == 1
        assert {p for t, _, name, p in collector.spans if t == found and name == "frame"} == {""}
        events = httpx.get(f"{api}/events/recent").json()["events"]
        assert found in {
            f"{traces('x', 1.0).context(event['event_id']).trace_id:032x}" for event in events
        }
        httpx.get(f"{api}/sightings/{events[0]['event_id']}", headers={"accept": "text/html"})
        wait(lambda: [1 for _, _, n, _ in list(collector.spans) if n.startswith("GET /sightings")])
    lines = [json.loads(line) for line in (tmp_path / "up.txt").read_text().splitlines()]
    assert {"up", "edge", "api"} <= {line["process"] for line in lines}
    assert all({"time", "level", "message"} <= set(line) for line in lines)


def test_any_process_finds_a_sightings_trace_by_its_id(
    spans: tuple[Traces, InMemorySpanExporter],
):
    one, kept = spans
    one.frame(SIGHTING, 1_000_000, 1_200_000, camera="GATE-1")
    another = traces("other", 1.0, SimpleSpanProcessor(kept))
    another.step("dedup", SIGHTING, 1_300_000, 1_310_000, status="tentative")
    frame, step = kept.get_finished_spans()
    assert frame.parent is None
    assert frame.context is not None
    assert step.parent is not None
    assert (step.parent.trace_id, step.parent.span_id) == (
        frame.context.trace_id,
        frame.context.span_id,
    )
    assert frame.start_time == 1_000_000_000
    assert "plate" not in str(dict(step.attributes or {}))


def test_a_step_that_another_frame_brought_about_is_linked_to_it(
    spans: tuple[Traces, InMemorySpanExporter],
):
    one, kept = spans
    one.step("dedup", SIGHTING, 0, 1, cause=one.headers(OTHER))
    one.step("dedup", SIGHTING, 0, 1, cause=one.headers(SIGHTING))
    one.step("dedup", SIGHTING, 0, 1, cause={"traceparent": b"00-broken"})
    links = [[link.context.trace_id for link in s.links] for s in kept.get_finished_spans()]
    assert links == [[one.context(OTHER).trace_id], [], []]


def test_every_process_leaves_out_the_same_sightings(
    spans: tuple[Traces, InMemorySpanExporter],
):
    _, kept = spans
    edge = traces("edge", 0.3, SimpleSpanProcessor(kept))
    view = traces("view", 0.3, SimpleSpanProcessor(kept))
    for number in range(200):
        event_id = f"{number:08x}-0d4e-5c43-9d6a-2f7f3d0c1a9b"
        edge.frame(event_id, 0, 1)
        view.step("project", event_id, 1, 2)
    by_name: dict[str, set[int]] = defaultdict(set)
    for span in kept.get_finished_spans():
        assert span.context is not None
        by_name[span.name].add(span.context.trace_id)
    assert by_name["frame"] == by_name["project"]
    assert 30 < len(by_name["frame"]) < 90


def test_what_a_header_names_is_believed_only_in_its_form():
    good = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    found = context_of({"traceparent": good})
    assert found is not None
    assert f"{found.trace_id:032x}" == "4bf92f3577b34da6a3ce929d0e0e4736"
    zeros = b"00-00000000000000000000000000000000-00f067aa0ba902b7-01"
    for broken in (b"", b"00", good + b"-", good.upper(), zeros, b"\xff" * 55):
        assert context_of({"traceparent": broken}) is None


def test_without_a_collector_nothing_is_traced():
    for environ in ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, {"OTEL_SDK_DISABLED": "true"}):
        trace_to_collector("api", environ)
        assert tracing() is None
    broken = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318", "OTEL_TRACES_SAMPLER_ARG": "often"}
    with pytest.raises(ConfigError, match="give 0 to 1"):
        trace_to_collector("api", broken)
    assert tracing() is None


def test_log_lines_are_objects_that_name_the_trace_they_belong_to(
    spans: tuple[Traces, InMemorySpanExporter],
):
    one, _ = spans
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    out = io.StringIO()
    try:
        configure(stream=out, form="json", process="api")
        with one.request("GET", b"") as span:
            logging.getLogger("api.guard").warning("a wrong\nkey")
        logging.getLogger("api.guard").error("outside")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    inside, outside = map(json.loads, out.getvalue().splitlines())
    assert (inside["process"], inside["level"], inside["message"]) == (
        "api", "WARNING", "a wrong\nkey",
    )  # fmt: skip
    assert inside["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert "trace_id" not in outside


def test_one_log_of_many_processes_stays_a_line_an_object():
    out = io.StringIO()
    tell = JsonPrinter(out, lambda: 0.0)
    child = (
        '{"time": "2026-11-21T10:00:00+00:00", "process": "", "level": "ERROR", "message": "bad"}'
    )
    for level, message in Lines().feed(child.encode() + b"\nTraceback (most recent call last)\n"):
        tell("dedup", level, message)
    first, second = map(json.loads, out.getvalue().splitlines())
    assert (first["process"], first["level"], first["message"]) == ("dedup", "ERROR", "bad")
    assert (second["process"], second["level"]) == ("dedup", "ERROR")
    assert second["time"] == "1970-01-01T00:00:00.000+00:00"
