"""How `mixtconv stream` says what it sees, while it sees it.

`mixtconv stream MODEL SOURCE`.
"""

import json
import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from mixtconv._types import Precision
from mixtconv.cli.console import Format
from mixtconv.video.live import SourceSettings

if TYPE_CHECKING:
    from mixtconv.inference.streams import SeenFrame

SECONDS_BETWEEN_LINES = 1.0
"""A line for people is printed at a new label, and as often as this."""


class _Lines:
    """For people: a line at each change of the label and each second."""

    def __init__(self) -> None:
        self._label: str | None = None
        self._seconds = 0.0

    def __call__(self, seen: "SeenFrame") -> None:
        best = seen.labels.predictions[0]
        waited = abs(seen.seconds - self._seconds)
        if self._label is None:
            _write(f"{'seconds':>10}  {'frame':>8}  {'dropped':>8}  label")
        elif best.label == self._label and waited < SECONDS_BETWEEN_LINES:
            return
        self._label, self._seconds = best.label, seen.seconds
        ranking = ", ".join(f"{each.label} {each.score:.2f}" for each in seen.labels.predictions)
        _write(f"{seen.seconds:10.2f}  {seen.number:8}  {seen.num_dropped:8}  {ranking}")


def _json_line(seen: "SeenFrame") -> None:
    _write(json.dumps(seen.to_dict()))


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()  # whoever reads a pipe wants it now


PRINTERS: dict[str, Callable[[], Callable[["SeenFrame"], None]]] = {
    "table": _Lines,
    "json": lambda: _json_line,
}
"""Format -> what makes a printer of frames."""


logger = logging.getLogger(__name__)


def stream(
    model: str,
    source: str,
    settings: SourceSettings,
    *,
    fps: float | None = None,
    top_k: int = 1,
    device: str = "auto",
    precision: Precision = "auto",
    format: Format = "table",
) -> int:
    """Recognize frame by frame, with a causal model; Ctrl-C ends it.

    A live source is never fallen behind: the newest frame is taken, those before it are dropped and
    counted. The exit status is 1 where the source broke off or stalled.

    Args:
        model: Causal model (mixtconv train --causal, mixtconv convert --causal): a file, the
            folder of one, or hf:owner/name of the Hugging Face hub; or an exported one (mixtconv
            export --streaming).
        source: camera:0, a URL, a video file, or - for raw RGB frames on standard input.
        settings: How the source is read.
        fps: Frames a second that are recognized, by their times; default all. Choose the rate at
            which training saw frames: that of its videos over --frame-stride.
        top_k: How many labels of each frame.
        device: auto, cpu, cuda, cuda:0 or mps.
        precision: Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere.
        format: table has a line for each change of the label and each second, json one a frame.
    """
    from mixtconv.inference.loading import load_streaming_recognizer
    from mixtconv.inference.streams import recognize_stream, sampling_note
    from mixtconv.video.live import BrokenSourceError
    from mixtconv.video.sources import open_source

    recognizer = load_streaming_recognizer(model, device=device, precision=precision)
    num_recognized, status, show = 0, 0, PRINTERS[format]()
    with open_source(source, settings) as opened:
        if fps is None:
            logger.info("%s", sampling_note(recognizer.spec, opened.frames_per_second))
        try:
            for seen in recognize_stream(recognizer, opened, frames_per_second=fps, top_k=top_k):
                show(seen)
                num_recognized += 1
        except KeyboardInterrupt:
            logger.info("stopped")
        except BrokenPipeError:  # whoever read the labels has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except BrokenSourceError as error:
            logger.error("%s", error)
            status = 1
        logger.info("%d frames recognized, %d dropped", num_recognized, opened.num_dropped)
    return status
