"""Settings of the service: flag, help text and YAML key are one field."""

from dataclasses import dataclass, fields

from mixtconv._names import flag, refuse_below
from mixtconv._types import Precision

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Names of the local machine."""


@dataclass(frozen=True)
class Binding:
    """Address and access control."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is every one of this machine."""
    port: int = 8000
    """Port to listen on; 0 takes a free one, which is printed."""
    host_names: str | None = None
    """Host names that requests may use, with commas between them, such as actions.example.org:
    needed behind a proxy. Default those of this machine, or any if --host admits other machines."""
    token_file: str | None = None
    """File with the token that every request must send; or set MIXTCONV_SERVE_TOKEN. Default
    none."""
    allow: str | None = None
    """What requests may name instead of sending a file: folders and beginnings of URLs, with commas
    between them, such as /srv/clips,https://media.example.org/clips/. Default nothing."""
    allow_private: bool = False
    """Let allowed URLs lead to addresses of private networks and of this machine."""
    no_page: bool = False
    """Leave the web page out."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"--port is {self.port}; give 0 to 65535")

    def names(self, *, is_private: bool) -> frozenset[str] | None:
        """Host names that requests may use, None for any.

        A page of another site can point a name of its own at this machine (DNS rebinding); a
        request that uses such a name is refused.

        Args:
            is_private: whether only this machine can reach the service.

        >>> sorted(Binding(host_names="a.example").names(is_private=True) or ())
        ['127.0.0.1', '[::1]', 'a.example', 'localhost']
        """
        if self.host_names is None:
            return LOOPBACK_NAMES if is_private else None
        names = {name.strip().lower() for name in self.host_names.split(",")}
        return LOOPBACK_NAMES | (names - {""})


@dataclass(frozen=True)
class Limits:
    """Request limits; docs/serving.md has the answers to requests beyond them."""

    max_upload_mb: float = 100.0
    """Largest file, in megabytes."""
    max_video_seconds: float = 600.0
    """Longest video, in seconds."""
    max_megapixels: float = 9.0
    """Largest picture of a video, in millions of pixels; 4K has 8.3."""
    max_ratio: float = 8.0
    """Longer side of a picture by the shorter one, at most: pictures are scaled by the shorter."""
    max_windows: int = 1000
    """Most windows of a timeline, or in which events are found; of models that score frames as many
    as clips of so many windows have."""
    decode_seconds: float = 30.0
    """Longest time to decode one video; for a timeline or events the time spent waiting for
    windows or frames."""
    decode_memory_mb: float = 2048.0
    """Memory that decoding one video may take, in megabytes (Linux)."""
    send_seconds: float = 60.0
    """Longest time that a client may take to send a request."""
    max_requests: int = 64
    """Requests in work or waiting; one more is answered with 503."""
    max_streams: int = 4
    """Open live streams."""
    idle_seconds: float = 30.0
    """A live stream that sends no frame for this long is closed."""
    stop_seconds: float = 30.0
    """Longest time for requests in flight to finish after SIGTERM or Ctrl-C."""

    def __post_init__(self) -> None:
        for field in fields(Limits):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"{flag(field.name)} is {value:g}; give more than 0")


@dataclass(frozen=True)
class Batching:
    """Batching of requests."""

    batch_size: int = 8
    """Most videos (or windows) that pass the network together; 1 is no batching."""
    batch_wait_ms: float = 5.0
    """Longest time that a video waits for others, in milliseconds."""

    def __post_init__(self) -> None:
        refuse_below(1, self, "batch_size")
        refuse_below(0, self, "batch_wait_ms")


@dataclass(frozen=True)
class ServeSettings(Limits, Batching, Binding):
    """Protocol, workers and device.

    With those that it inherits, all settings of the service.
    """

    protocol: str = "1x1"
    """Views of every video: clips x crops, such as 1x1, 2x3, 1x10 or 10x3, or nonlocal-10x3."""
    workers: int | None = None
    """Processes that decode; default one per core."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:0 or mps."""
    precision: Precision = "auto"
    """Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere."""

    def __post_init__(self) -> None:
        for group in (Binding, Batching, Limits):
            group.__post_init__(self)
        refuse_below(1, self, "workers")
