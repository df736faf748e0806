"""What every answer carries and what is counted of it: plain ASGI, which costs microseconds."""

from collections.abc import Callable
from time import perf_counter

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eventlog.tracing import tracing

# Seconds. From a cached row to the seeds' slowest promise (100 ms), then to what people notice.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

# Everything is served from here: no script or style of elsewhere, and none inline. Pictures may
# come from their own store, which a browser asks of where a redirect leads to, too.
_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'"
)

# No page here uses any of these, so a script that got in could not either.
_PERMISSIONS = ", ".join(
    f"{feature}=()"
    for feature in (
        *("camera", "display-capture", "geolocation", "microphone", "midi", "payment"),
        *("publickey-credentials-get", "screen-wake-lock", "usb", "xr-spatial-tracking"),
    )
)
_HSTS = "max-age=31536000"  # a year, this name alone; sent where the browser speaks https


class HttpMetrics:
    """Requests counted and timed by route template, so that ids do not become labels."""

    def __init__(self, listeners: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._total = Counter(
            "http_requests",
            "Requests answered",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Seconds from a request to the end of its answer; streams are not in it",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        live = Gauge("live_listeners", "Streams open now", registry=self._registry)
        live.set_function(listeners)

    def count(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """Note one answer; ``seconds`` is None for a stream, which ends when its listener goes."""
        self._total.labels(method, route, str(status)).inc()
        if seconds is not None:
            self._seconds.labels(method, route).observe(seconds)

    def add(self, collector: Collector) -> None:
        """Serve what another collects, too."""
        self._registry.register(collector)

    def exposition(self) -> Response:
        """All of it in Prometheus's text format."""
        body = generate_latest(self._registry)
        return Response(body, headers={"content-type": CONTENT_TYPE_LATEST})


class Observed:
    """Middleware: counts the answer and gives it its security headers."""

    _METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

    def __init__(self, app: ASGIApp, metrics: HttpMetrics, pictures: str = "") -> None:
        self._app = app
        self._metrics = metrics
        self._policy = f"{_POLICY}; img-src 'self' {pictures}" if pictures else _POLICY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; unhandled failures are counted as 500."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        traces = tracing()
        if traces is None:
            await self._observe(scope, receive, send)
            return
        asking = dict(scope["headers"]).get(b"traceparent", b"")
        with traces.request(scope["method"], asking) as span:
            status = await self._observe(scope, receive, send)
            span.update_name(f"{scope['method']} {_template(scope)}")
            span.set_attribute("http.route", _template(scope))
            span.set_attribute("http.response.status_code", status)

    async def _observe(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Pass the request on; the status of its answer."""
        started = perf_counter()
        status, stream = 500, False

        async def observed(message: Message) -> None:
            nonlocal status, stream
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                stream = headers.get("content-type", "").startswith("text/event-stream")
                headers["x-content-type-options"] = "nosniff"
                headers["x-frame-options"] = "DENY"
                headers["referrer-policy"] = "same-origin"
                headers["cross-origin-resource-policy"] = "same-origin"
                headers.setdefault("cache-control", "no-store")
                headers["content-security-policy"] = self._policy
                headers["cross-origin-opener-policy"] = "same-origin"
                headers["permissions-policy"] = _PERMISSIONS
                if scope["scheme"] == "https":
                    headers["strict-transport-security"] = _HSTS
                for name, value in scope.get("state", {}).get("headers", {}).items():
                    headers[name] = value
            await send(message)

        try:
            await self._app(scope, receive, observed)
        finally:
            method = scope["method"] if scope["method"] in self._METHODS else "other"
            seconds = None if stream else perf_counter() - started
            self._metrics.count(method, _template(scope), status, seconds)
        return status


def _template(scope: Scope) -> str:
    """``/events/{event_id}`` for a request that a route took, else ``unmatched``."""
    route = scope.get("route")
    return getattr(route, "path_format", None) or "unmatched"


def install(app: FastAPI, listeners: Callable[[], int], pictures: str = "") -> HttpMetrics:
    """Observe every request of an application; ``listeners`` counts its open streams.

    ``pictures`` is another origin that pages may show pictures from, '' for none.
    """
    metrics = HttpMetrics(listeners)
    app.add_middleware(Observed, metrics=metrics, pictures=pictures)
    return metrics
