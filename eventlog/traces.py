"""Traces: each sighting is one, from the frame that opened it to the pages that show it.

A trace's id and its first span's are made from the sighting's id, so that any process can add to
a sighting's trace knowing nothing but that id, and a person who has an event finds its trace. On
the log a read carries its own context in the header ``traceparent``
(https://www.w3.org/TR/trace-context/), to which the step that it causes is linked.
"""

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache

from opentelemetry import trace
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags

TRACEPARENT = "traceparent"
_FORM = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")

Value = str | int | float | bool


class KnownIds(threading.local):
    """The ids that the next span without a parent is to have, by thread; None: any."""

    next: tuple[int, int] | None = None


class Traces:
    """Adds spans to the traces of sightings.

    ``sampled`` tells of a trace id whether its trace is kept; every process has to say the same.
    ``known`` is what the tracer's ids are made from.
    """

    def __init__(
        self, tracer: trace.Tracer, sampled: Callable[[int], bool], known: KnownIds
    ) -> None:
        self.tracer = tracer
        self._sampled = sampled
        self._known = known

    def context(self, event_id: str) -> SpanContext:
        """The first span of a sighting's trace: the frame that opened it."""
        trace_id, span_id = _ids(event_id)
        flags = TraceFlags.SAMPLED if self._sampled(trace_id) else TraceFlags.DEFAULT
        return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))

    def headers(self, event_id: str) -> dict[str, bytes]:
        """What a record carries that belongs to a sighting's trace."""
        context = self.context(event_id)
        text = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        return {TRACEPARENT: text.encode()}

    def frame(self, event_id: str, began: int, ended: int, **told: Value) -> None:
        """The first span of a trace: from the capture of a frame until its read is on the log.

        Times are microseconds UTC.
        """
        self._known.next = _ids(event_id)
        try:
            span = self.tracer.start_span(
                "frame", trace.set_span_in_context(trace.INVALID_SPAN), start_time=began * 1000
            )
        finally:
            self._known.next = None
        span.set_attributes(told)
        span.end(max(began, ended) * 1000)

    def step(
        self,
        name: str,
        event_id: str,
        began: int,
        ended: int | None = None,
        *,
        cause: Mapping[str, bytes] | None = None,
        **told: Value,
    ) -> None:
        """Something that was done about a sighting; times in microseconds UTC, until now if open.

        ``cause`` are the headers of the record that brought it about.
        """
        context = self.context(event_id)
        if not context.trace_flags.sampled:
            return
        brought = context_of(cause or {})
        links = [Link(brought)] if brought and brought.trace_id != context.trace_id else []
        span = self.tracer.start_span(
            name,
            trace.set_span_in_context(NonRecordingSpan(context)),
            links=links,
            start_time=began * 1000,
            attributes={"sighting": event_id, **told},
        )
        span.end((now() if ended is None else max(began, ended)) * 1000)

    def looked_at(self, event_id: str) -> None:
        """Link what is being answered to the trace of the sighting that it shows."""
        trace.get_current_span().add_link(self.context(event_id))

    @contextmanager
    def request(self, method: str, traceparent: bytes) -> Iterator[trace.Span]:
        """The span of a request to the API, going on a trace of whoever asks.

        It is the current one meanwhile, so that log lines name it.
        """
        asking = context_of({TRACEPARENT: traceparent})
        parent = NonRecordingSpan(asking) if asking else trace.INVALID_SPAN
        span = self.tracer.start_span(method, trace.set_span_in_context(parent), SpanKind.SERVER)
        with trace.use_span(span, end_on_exit=True):
            yield span


def context_of(headers: Mapping[str, bytes]) -> SpanContext | None:
    """The span that a record's or a request's headers name; None for none or a broken one."""
    found = _FORM.fullmatch(headers.get(TRACEPARENT, b""))
    if found is None:
        return None
    flags = TraceFlags(int(found[3], 16) & TraceFlags.SAMPLED)
    context = SpanContext(int(found[1], 16), int(found[2], 16), True, flags)
    return context if context.is_valid else None


def now() -> int:
    """Microseconds UTC."""
    return time.time_ns() // 1000


@lru_cache(4096)
def _ids(event_id: str) -> tuple[int, int]:
    digest = hashlib.sha256(b"sighting " + event_id.encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])
