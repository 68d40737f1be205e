"""What a section is given: the device, the sizes, the time that is left, and where figures go."""

import gc
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from mixtconv._names import first_line


@dataclass(frozen=True)
class Sizes:
    """Networks and clips; the defaults are those of the paper."""

    backbone: str = "resnet50"
    image_size: int = 224
    num_frames: int = 8
    clips: tuple[int, ...] = (32, 1)
    """Clips at a time at inference: one that fills the GPU, and one alone."""
    training_clips: int = 16
    operation_clips: int = 16
    streams: tuple[int, ...] = (1, 16, 64)
    transformer: str = "vit_base_patch16_clip_quickgelu_224"
    transformer_size: int = 224
    rounds: int = 12
    precisions: tuple[str, ...] = ("bf16", "tf32", "float32")
    large: bool = True
    """Clips of more values than 32 bits count are checked, where memory permits."""


SMALL = Sizes(
    backbone="test_resnet",
    image_size=32,
    num_frames=2,
    clips=(2,),
    training_clips=2,
    operation_clips=1,
    streams=(2,),
    transformer="test_vit",
    transformer_size=32,
    rounds=1,
    precisions=("bf16",),
    large=False,
)
"""Sizes of `--small`: everything runs, and nothing is measured."""


@dataclass
class Run:
    """A section's run.

    Args:
        device: a GPU, or the CPU to prove the script.
        sizes: networks and clips.
        send: takes the kind of a message (`rows`, `skipped`, `errors`) and what is recorded.
        deadline: when the section's time is up, by `time.monotonic`.
    """

    device: torch.device
    sizes: Sizes
    send: Callable[[str, dict[str, Any]], None]
    deadline: float = field(default=float("inf"))

    @property
    def on_gpu(self) -> bool:
        """Whether this is a measurement."""
        return self.device.type == "cuda"

    def record(self, **row: Any) -> None:
        """Record one row of figures."""
        self.send("rows", row)

    def seconds_left(self) -> float:
        """Seconds until the section's time is up."""
        return self.deadline - time.monotonic()

    def has_time(self, what: str, seconds: float) -> bool:
        """Whether so many seconds are left; what is skipped for lack of them is recorded."""
        left = self.seconds_left()
        if left < seconds:
            reason = f"{seconds:g} s were expected and {max(left, 0):.0f} s left"
            self.send("skipped", {"what": what, "reason": reason})
        return left >= seconds

    @contextmanager
    def attempt(self, what: str, *, passes: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Record an error inside, and go on after it; a GPU that is out of order ends the section.

        A kernel's illegal access is reported by a later call and by all calls after that. What
        memory does not suffice for is skipped: that is no fault.

        Args:
            what: was attempted.
            passes: errors that are not for here.
        """
        try:
            yield
        except passes:
            raise
        except Exception as error:
            if isinstance(error, torch.OutOfMemoryError):
                self.send("skipped", {"what": what, "reason": "memory does not suffice"})
            else:
                self.send("errors", {"what": what, "error": describe(error)})
            traceback.clear_frames(error.__traceback__)  # they hold what was allocated
            self.free()
            if self.on_gpu:
                torch.cuda.synchronize()

    def free(self) -> None:
        """Give memory of the GPU back that nothing uses."""
        if self.on_gpu:
            gc.collect()
            torch.cuda.empty_cache()


def describe(error: BaseException) -> str:
    """The kind and the first line of an error."""
    return f"{type(error).__name__}: {first_line(error)}"
