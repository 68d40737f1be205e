"""How a stream is read: flag, help text and YAML key are one field."""

from dataclasses import dataclass

DEFAULT_RATE = 25.0
"""Frames a second of a source that does not say its own."""


@dataclass(frozen=True)
class SourceSettings:
    """How a source is read."""

    input_size: str | None = None
    """Width and height of raw frames on standard input, such as 640x480."""
    input_fps: float = DEFAULT_RATE
    """Frames a second of raw frames on standard input."""
    stall_seconds: float = 10.0
    """A live source that gives no frame for so long has failed."""

    def __post_init__(self) -> None:
        if not self.input_fps > 0:
            raise ValueError(f"--input-fps is {self.input_fps}; give more than 0")
        if not self.stall_seconds > 0:
            raise ValueError(f"--stall-seconds is {self.stall_seconds}; give more than 0")
