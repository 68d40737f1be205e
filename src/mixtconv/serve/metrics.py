"""Metrics of the service, in the format of Prometheus."""

from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one service.

    >>> metrics = Metrics()
    >>> metrics.lost_decoders.labels("crash").inc()
    >>> b'mixtconv_decoders_replaced_total{reason="crash"} 1.0' in metrics.text()
    True
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        common: dict[str, Any] = {"registry": self._registry, "namespace": "mixtconv"}
        self.requests = Counter("requests", "Requests answered.", ["route", "status"], **common)
        self.request_seconds = Histogram(
            "request_seconds", "Time to answer.", ["route"], buckets=_SECONDS, **common
        )
        self.in_flight = Gauge(
            "requests_in_flight", "Requests that are worked on or wait.", **common
        )
        self.upload_bytes = Counter("received_bytes", "Bytes of requests received.", **common)
        self.decode_seconds = Histogram(
            "decode_seconds", "Time to read the views of a video.", buckets=_SECONDS, **common
        )
        self.lost_decoders = Counter(
            "decoders_replaced", "Decoders that were replaced, and why.", ["reason"], **common
        )
        self.batch_size = Histogram(
            "batch_size", "Videos and windows that passed the network together.", buckets=_SIZES,
            **common,
        )  # fmt: skip
        self.batch_seconds = Histogram(
            "batch_seconds", "Time of the network for a batch.", buckets=_SECONDS, **common
        )
        self.waiting = Gauge(
            "batch_waiting", "Videos and windows that wait for the network.", **common
        )
        self.live_streams = Gauge("live_streams", "Live streams that are open.", **common)
        self.live_frames = Counter("live_frames", "Frames of live streams recognized.", **common)

    def saw_batch(self, size: int, seconds: float) -> None:
        """Count a batch."""
        self.batch_size.observe(size)
        self.batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """All metrics."""
        return generate_latest(self._registry)
