"""`mixtconv stream MODEL SOURCE`."""

import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from mixtconv._names import visible
from mixtconv._strict_json import to_json
from mixtconv._types import Precision
from mixtconv.cli.commands import Format
from mixtconv.video.live import SourceSettings

if TYPE_CHECKING:
    from mixtconv.inference.streams import RecognizedFrame

SECONDS_BETWEEN_LINES = 1.0
"""A table has a line for each change of the label, and one after this time without a change."""

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

    Recognition never lags behind a live source: the newest frame is taken, those before it are
    dropped and counted. The exit status is 1 if the source broke off or stalled.

    Args:
        model: Causal model (mixtconv train --causal, mixtconv convert --causal): a file, the
            folder of one, or hf:owner/name of the Hugging Face hub; or an exported one (mixtconv
            export --streaming).
        source: camera:0, a URL, a video file, or - for raw RGB frames on standard input.
        settings: How the source is read.
        fps: Frames a second that are recognized, by their times; default all. Choose the rate at
            which training saw frames: that of its videos over --frame-stride.
        top_k: Number of labels of each frame.
        device: auto, cpu, cuda, cuda:0 or mps.
        precision: Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere.
        format: table has a line for each change of the label and each second, json one a frame.
    """
    from mixtconv.inference.loading import load_streaming_recognizer
    from mixtconv.inference.streams import recognize_stream, sampling_note
    from mixtconv.video.live import BrokenSourceError
    from mixtconv.video.sources import open_source

    recognizer = load_streaming_recognizer(model, device=device, precision=precision)
    num_recognized, status = 0, 0
    show = _table_printer(several=recognizer.spec.several_labels)
    with open_source(source, settings) as opened:
        if fps is None:
            logger.info("%s", sampling_note(recognizer.spec, opened.frames_per_second))
        try:
            for frame in recognize_stream(recognizer, opened, frames_per_second=fps, top_k=top_k):
                if format == "json":
                    _write_line(to_json(frame.to_dict()))
                else:
                    show(frame)
                num_recognized += 1
        except KeyboardInterrupt:
            logger.info("stopped")
        except BrokenPipeError:  # the reader of the labels has gone; spare Python's own complaint
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except BrokenSourceError as error:
            logger.error("%s", error)
            status = 1
        logger.info("%d frames recognized, %d dropped", num_recognized, opened.num_dropped)
    return status


def _table_printer(*, several: bool) -> Callable[["RecognizedFrame"], None]:
    """What prints a line at each change of the label, and each second without one.

    Args:
        several: whether all labels hold, which then all count; else the first.
    """
    printed: RecognizedFrame | None = None

    def names(frame: "RecognizedFrame") -> set[str]:
        return {item.label for item in frame.labels.predictions[: None if several else 1]}

    def show(frame: "RecognizedFrame") -> None:
        nonlocal printed
        ranking = frame.labels.predictions
        if printed is None:
            _write_line(f"{'seconds':>10}  {'frame':>8}  {'dropped':>8}  label")
        elif (
            names(frame) == names(printed)
            and abs(frame.seconds - printed.seconds) < SECONDS_BETWEEN_LINES
        ):
            return
        printed = frame
        labels = visible(", ".join(f"{item.label} {item.score:.2f}" for item in ranking))
        labels = labels or "(no label)"
        _write_line(f"{frame.seconds:10.2f}  {frame.number:8}  {frame.num_dropped:8}  {labels}")

    return show


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()  # a program that reads a pipe wants it now
