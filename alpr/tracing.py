"""Sends this process's traces to a collector, where the environment names one.

The variables are OpenTelemetry's own: OTEL_EXPORTER_OTLP_ENDPOINT (HTTP, port 4318 by custom),
OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER_ARG (the share of sightings that is traced).
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from alpr.errors import ConfigError
from eventlog.tracing import install

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

    from eventlog.traces import Traces

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def trace_to_collector(process: str, environ: Mapping[str, str] = os.environ) -> None:
    """Trace as ``alpr-PROCESS``, if an endpoint is named and tracing is not disabled.

    Raises ConfigError.
    """
    named = any(environ.get(name, "").strip() for name in ENDPOINTS)
    if not named or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # A collector that is away costs traces, not a line every few seconds.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    install(traces(process, _share(environ), BatchSpanProcessor(OTLPSpanExporter())))


def traces(process: str, share: float, *processors: "SpanProcessor") -> "Traces":
    """Traces of a share of all sightings, 0 to 1, given to span processors of the SDK."""
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    from eventlog.traces import KnownIds, Traces

    known = KnownIds()

    class Ids(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            return known.next[0] if known.next else super().generate_trace_id()

        def generate_span_id(self) -> int:
            return known.next[1] if known.next else super().generate_span_id()

    bound = TraceIdRatioBased.get_bound_for_rate(share)
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(share)),
        resource=Resource.create({SERVICE_NAME: f"alpr-{process}"}),
        id_generator=Ids(),
    )
    for processor in processors:
        provider.add_span_processor(processor)
    return Traces(
        provider.get_tracer("ovr-alpr"),
        lambda trace_id: trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < bound,
        known,
    )


def _share(environ: Mapping[str, str]) -> float:
    text = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip() or "1"
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigError(
            f"OTEL_TRACES_SAMPLER_ARG={text} is no share of the sightings: give 0 to 1, such as 0.1"
        )
    return share
