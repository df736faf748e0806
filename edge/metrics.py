"""What the edge counts while it runs, for Prometheus; nobody listens unless told to."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from images.upload import UploadCounts


class EdgeMetrics:
    """Every metric of the edge, by camera, in a registry of the caller's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        camera = ["camera_id"]
        self.fps = Gauge("alpr_fps", "Frames processed a second, lately", camera, registry=registry)
        self.plates = Counter(
            "alpr_plates_detected", "Reads of plates emitted", camera, registry=registry
        )
        self.latency = Histogram(
            "alpr_processing_latency_seconds",
            "From taking a frame out of the buffer to its reads being in the log",
            camera,
            registry=registry,
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
        )
        self.dropped = Gauge(
            "alpr_frames_dropped",
            "Frames dropped because newer ones came",
            camera,
            registry=registry,
        )
        self.pictures_failed = Counter(
            "alpr_pictures_failed", "Evidence pictures not kept", camera, registry=registry
        )


class UploadMetrics(Collector):
    """What of the pictures has reached S3, as of the moment it is asked for."""

    def __init__(self, counts: "Callable[[], UploadCounts]") -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """Three families without labels."""
        counts = self._counts()
        yield CounterMetricFamily(
            "alpr_pictures_uploaded", "Pictures sent to S3", value=counts.uploaded
        )
        yield CounterMetricFamily(
            "alpr_picture_uploads_failed", "Tries to send one that failed", value=counts.failed
        )
        yield GaugeMetricFamily(
            "alpr_pictures_waiting", "Pictures on this disk not sent yet", value=counts.waiting
        )
