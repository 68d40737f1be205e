"""`mixtconv stream MODEL SOURCE`."""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixtconv._names import visible
from mixtconv._strict_json import to_json
from mixtconv._types import Precision
from mixtconv.cli.commands import Format
from mixtconv.detection.settings import EventSwitch, StoredEvents
from mixtconv.events.event import Event
from mixtconv.video.live import SourceSettings

if TYPE_CHECKING:
    from mixtconv.events.event import EventMessage
    from mixtconv.inference.streams import RecognizedFrame

SECONDS_BETWEEN_LINES = 1.0
"""A table has a line for each change of the label, and one after this time without a change."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StreamFinding(EventSwitch):
    """Events in place of labels: a line when one starts, and one when it has ended."""

    @property
    def shared(self) -> tuple[str, ...]:
        return ("fps",)


def stream(
    model: str,
    source: str,
    settings: SourceSettings,
    finding: StreamFinding,
    *,
    top_k: int = 1,
    device: str = "auto",
    precision: Precision = "auto",
    format: Format = "table",
) -> int:
    """Recognize frame by frame, with a causal model; Ctrl-C ends it.

    With --events, say when something starts and when it has ended.

    Recognition never lags behind a live source: the newest frame is taken, those before it are
    dropped and counted. The exit status is 1 if the source broke off or stalled.

    Args:
        model: Causal model (mixtconv train --causal, mixtconv convert --causal): a file, the
            folder of one, or hf:owner/name of the Hugging Face hub; or an exported one (mixtconv
            export --streaming).
        source: camera:0, a URL, a video file, or - for raw RGB frames on standard input.
        settings: How the source is read.
        finding: Events in place of labels: a line when one starts, and one when it has ended.
        top_k: Number of labels of each frame.
        device: auto, cpu, cuda, cuda:0 or mps.
        precision: Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere.
        format: table has a line for each change of the label and each second, json one a frame.
    """
    from mixtconv.detection.scorers import refuse_windows, scored_rate
    from mixtconv.detection.streams import StreamEvents
    from mixtconv.inference.loading import load_streaming_recognizer
    from mixtconv.inference.streams import recognize_stream, sampling_note
    from mixtconv.video.live import BrokenSourceError
    from mixtconv.video.reader import DEFAULT_RATE
    from mixtconv.video.sources import open_source

    recognizer = load_streaming_recognizer(model, device=device, precision=precision)
    stored = StoredEvents()
    if finding.events:
        stored = StoredEvents.from_notes(recognizer.notes, recognizer.classes)
    times = finding.times.over(stored.times)
    refuse_windows(times, "a stream")
    fps = times.fps
    num_recognized, status = 0, 0
    show = _table_printer(several=recognizer.spec.several_labels)
    found: StreamEvents | None = None
    with open_source(source, settings) as opened:
        if finding.events:
            rate = opened.frames_per_second or float(DEFAULT_RATE)
            fps = scored_rate(recognizer.spec, times, rate)
            chosen = finding.applied(stored.settings)
            found = StreamEvents(recognizer.spec, chosen, min(fps, rate))
        elif fps is None:
            logger.info("%s", sampling_note(recognizer.spec, opened.frames_per_second))
        try:
            for frame in recognize_stream(recognizer, opened, frames_per_second=fps, top_k=top_k):
                if found is not None:
                    _write_events(found.push(frame.seconds, frame.labels.logits), format)
                elif format == "json":
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
        if found is not None:
            end = None if opened.is_live else opened.end_seconds(rate)
            _write_events(found.finish(end), format)
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


def _write_events(messages: "Sequence[EventMessage]", format: Format) -> None:
    for message in messages:
        if format == "json":
            _write_line(to_json(message.to_dict()))
            continue
        event = message.event
        end = f"{event.end:10.2f}" if isinstance(event, Event) else " " * 10
        _write_line(
            f"{event.start:10.2f}  {end}  {message.state:7}  {visible(event.label)} "
            f"{event.score:.2f}"
        )


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()  # a program that reads a pipe wants it now
