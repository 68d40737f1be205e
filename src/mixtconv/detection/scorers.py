"""Scores of classes over the time of a recording: a row for each frame, or for each window.

| model | scored | frames that pass the network |
|---|---|---|
| causal | each frame, with all before it (`FrameScorer`) | each once |
| of `--frame-labels` | each frame, in overlapping clips (`ClipScorer`) | each twice |
| other | windows, as in a timeline (`WindowScorer`) | those of each window |

All make one pass over a recording; memory is that of a clip or a window, whatever its length.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mixtconv._types import Precision
from mixtconv.detection.settings import ScoreTimes, StoredEvents
from mixtconv.inference.engines.base import import_engine
from mixtconv.inference.loading import load_streaming_recognizer
from mixtconv.inference.predicting import VideoRecognizer, scores_of_logits
from mixtconv.inference.streams import StreamRecognizer
from mixtconv.models.spec import PICTURES, ModelSpec, is_exported
from mixtconv.video.live import StreamFrame, at_rate
from mixtconv.video.reader import DEFAULT_RATE, frame_rate
from mixtconv.video.sources import open_source
from mixtconv.video.windows import WindowPlan, window_views

if TYPE_CHECKING:
    from mixtconv.inference.torch_recognizers import Recognizer

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ScoredStep:
    """A frame or a window of a recording."""

    start: float
    """Seconds since the first frame."""
    end: float
    """Seconds; of a frame, that of the next one at the rate at which frames are scored."""
    scores: Floats
    """(K,), probabilities."""


class EventScorer(ABC):
    """A model that scores recordings.

    Args:
        spec: the model.
        notes: what its file says of the run that made it, and of events.
        times: when scores are taken, before what is stored.
    """

    def __init__(self, spec: ModelSpec, notes: Mapping[str, Any], times: ScoreTimes) -> None:
        self.spec, self.notes = spec, notes
        self.stored = StoredEvents.from_notes(notes, spec.classes)
        self.times = times.over(self.stored.times)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the scores."""
        return self.spec.classes

    def steps(self, recording: Path) -> Iterator[ScoredStep]:
        """The scores of a recording in order, each step as soon as its frames are decoded.

        Raises:
            UnreadableVideoError: there is no frame.
            ValueError: a folder of pictures, which have no times, or times that are not known.
        """
        refuse_pictures(recording)
        return self._steps(recording)

    @abstractmethod
    def _steps(self, recording: Path) -> Iterator[ScoredStep]:
        """The scores of a file."""

    def fitted_times(self, recording: Path, seconds: float) -> ScoreTimes:
        """When to score recordings like this one, where the times are not given.

        The rate at which training saw frames; if by segments, as many of them in an action.

        Args:
            recording: one of them, of which the frame rate is taken.
            seconds: the usual length of an action.
        """
        if self.times.fps is None and self.spec.sampling == "segment":
            return ScoreTimes(fps=round(self.spec.num_frames / seconds, 3))
        return ScoreTimes(fps=self.times.fps or round(self.frames_per_second(recording), 3))

    def frames_per_second(self, recording: Path) -> float:
        """Frames a second that are scored.

        Raises:
            ValueError: it is not known.
        """
        return scored_rate(self.spec, self.times, source_rate(recording))


def load_scorer(
    model: str | Path,
    times: ScoreTimes | None = None,
    *,
    device: str = "auto",
    precision: Precision = "auto",
) -> EventScorer:
    """Load a model that scores recordings over time.

    Args:
        model: a model file, the folder of one or `hf:owner/name`; or an exported one.
        times: when scores are taken; what is None is as its file says.
        device, precision: as for `load_recognizer`.

    Raises:
        ValueError: a file that is no model, or times that do not fit it.
    """
    times = times or ScoreTimes()
    options: dict[str, Any] = {"device": device, "precision": precision}
    if is_exported(model):
        from mixtconv.inference.engine_recognizers import (  # noqa: PLC0415
            EngineRecognizer,
            EngineStreamingRecognizer,
        )
        from mixtconv.inference.engines.opening import open_engine  # noqa: PLC0415

        engine = open_engine(model)
        if engine.description.is_streaming:
            return FrameScorer(EngineStreamingRecognizer(engine, **options), times)
        return WindowScorer(EngineRecognizer(engine, **options), times)
    import_engine("torch", model)
    from mixtconv.inference.torch_recognizers import Recognizer  # noqa: PLC0415
    from mixtconv.models import read_metadata  # noqa: PLC0415

    about = read_metadata(model)
    spec = ModelSpec.from_dict(about["spec"])
    if spec.causal and spec.modality in PICTURES:
        return FrameScorer(load_streaming_recognizer(model, **options), times)
    recognizer = Recognizer(model, **options)
    if about["notes"].get("frame_labels") and spec.modality in PICTURES:
        return ClipScorer(recognizer, times)
    return WindowScorer(recognizer, times)


class FrameScorer(EventScorer):
    """A causal model, frame by frame, as on a stream."""

    def __init__(self, recognizer: StreamRecognizer, times: ScoreTimes) -> None:
        super().__init__(recognizer.spec, recognizer.notes, times)
        self.recognizer = recognizer
        refuse_windows(times, "a causal model")

    def _steps(self, recording: Path) -> Iterator[ScoredStep]:
        rate = self.frames_per_second(recording)
        with self.recognizer.start() as stream:
            for frame, start, end in scored_frames(recording, rate):
                logits = stream.push(frame.to_rgb(), top_k=1).logits
                yield ScoredStep(start, end, scores_of_logits(logits, self.spec))


class ClipScorer(EventScorer):
    """A model of whole clips that knows the label of each frame, in `overlapping_clips`."""

    def __init__(self, recognizer: "Recognizer", times: ScoreTimes) -> None:
        super().__init__(recognizer.spec, recognizer.notes, times)
        self.recognizer = recognizer
        refuse_windows(times, "a model of --frame-labels")

    def _steps(self, recording: Path) -> Iterator[ScoredStep]:
        rate = self.frames_per_second(recording)
        keep = self.recognizer.reader.keep
        frames = (
            (keep(f.to_rgb()), start, end) for f, start, end in scored_frames(recording, rate)
        )
        return overlapping_clips(frames, self.spec, self.recognizer.frame_logits)


class WindowScorer(EventScorer):
    """Any other model, on windows, whose scores are those of `predict --window`."""

    def __init__(self, recognizer: VideoRecognizer, times: ScoreTimes) -> None:
        super().__init__(recognizer.spec, recognizer.notes, times)
        self.recognizer = recognizer
        refuse_rate(times)

    def _steps(self, recording: Path) -> Iterator[ScoredStep]:
        plan = window_plan(self.spec, self.times, lambda: source_rate(recording))
        for window, views in window_views(self.recognizer.reader, recording, plan):
            scores = scores_of_logits(self.recognizer.view_logits(views), self.spec)
            yield ScoredStep(float(window.start), float(window.end), scores)

    def fitted_times(self, recording: Path, seconds: float) -> ScoreTimes:
        if self.spec.sampling == "dense":
            seconds = self.spec.num_frames / self.frames_per_second(recording)
        window = self.times.window or _in_seconds(seconds)
        return ScoreTimes(window=window, stride=self.times.stride or _quarter(window))


def overlapping_clips(
    frames: Iterable[tuple[Any, float, float]],
    spec: ModelSpec,
    frame_logits: Callable[[list[Any]], npt.NDArray[Any]],
) -> Generator[ScoredStep, None, None]:
    """The scores of every frame of a recording, by a model of clips.

    Clips of T frames follow each other at half their length. A frame is in two of them; its logits
    are averaged, those in the middle of a clip counting more, as they see most around them. They
    are certain half a clip later; the last clip ends with the recording, and adds to those that are
    not certain yet. A recording shorter than a clip repeats its last frame.

    Args:
        frames: what a reader has kept of each, with its start and its end in seconds.
        spec: the model.
        frame_logits: of T frames their logits (T, K).
    """
    length = spec.num_frames
    weights = np.minimum(np.arange(length) + 1, length - np.arange(length)).astype(float)
    kept: deque[Any] = deque(maxlen=length)  # the pictures of the latest clip
    waiting: deque[list[Any]] = deque()  # frames that are in a clip to come, or half done
    hop = max(1, length // 2)
    num_fresh, until_clip = 0, length

    def add_clip() -> None:
        """Score the latest clip, and add its logits to those of its frames."""
        pictures = [*kept, *[kept[-1]] * (length - len(kept))]
        logits = frame_logits(pictures)[: len(kept)]  # (T, K)
        for row, weight, entry in zip(
            logits[::-1], weights[: len(kept)][::-1], reversed(waiting), strict=False
        ):
            entry[2] = entry[2] + weight * row
            entry[3] += weight

    def step(start: float, end: float, total: Any, weight: float) -> ScoredStep:
        return ScoredStep(start, end, scores_of_logits(total / weight, spec))

    for picture, start, end in frames:
        kept.append(picture)
        waiting.append([start, end, 0.0, 0.0])
        num_fresh += 1
        if num_fresh == until_clip:
            add_clip()
            num_fresh, until_clip = 0, hop
            while len(waiting) > length - hop:  # those are in no later clip
                yield step(*waiting.popleft())
    if num_fresh:
        add_clip()  # the last clip ends with the recording
    for entry in waiting:
        yield step(*entry)


def scored_rate(spec: ModelSpec, times: ScoreTimes, source_rate: float) -> float:
    """Frames a second that are scored, of a source at a rate.

    Raises:
        ValueError: it is not known.

    >>> spec = ModelSpec("mstnet_resnet18", ("a", "b"), sampling="dense", frame_stride=8)
    >>> scored_rate(spec, ScoreTimes(), 24.0), scored_rate(spec, ScoreTimes(fps=5), 24.0)
    (3.0, 5)
    """
    if times.fps is not None:
        return times.fps
    if spec.sampling == "segment":
        raise ValueError(
            f"the model was trained on {spec.num_frames} frames spread over a whole clip, which "
            "says no rate of frames: give --fps, or run mixtconv tune-events, which finds it"
        )
    return source_rate / spec.frame_stride


def window_plan(
    spec: ModelSpec, times: ScoreTimes, rate_of_source: Callable[[], float]
) -> WindowPlan:
    """The windows that are scored: by default those of a clip of dense sampling.

    Args:
        spec: the model.
        times: of windows.
        rate_of_source: asked for the frames a second of the recording, if those are needed.

    Raises:
        ValueError: their length is not known, or is none.

    >>> spec = ModelSpec("mstnet_resnet18", ("a", "b"), 8, sampling="dense", frame_stride=4)
    >>> window_plan(spec, ScoreTimes(), lambda: 16.0)
    WindowPlan(length=Fraction(2, 1), stride=Fraction(1, 2), in_frames=False)
    """
    if times.window is None and spec.sampling == "segment":
        raise ValueError(
            f"the model was trained on {spec.num_frames} frames spread over a whole clip, which "
            "says no length of windows: give --window, or run mixtconv tune-events, which finds it"
        )
    window = times.window
    if window is None:
        window = _in_seconds(spec.num_frames / scored_rate(spec, times, rate_of_source()))
    return WindowPlan.parse(window, times.stride or _quarter(window))


def scored_frames(recording: Path, rate: float) -> Iterator[tuple[StreamFrame, float, float]]:
    """The frames of a recording at a rate, each with its start and its end in seconds."""
    with open_source(str(recording)) as source:
        period = 1 / min(rate, source.frames_per_second or rate)
        latest: StreamFrame | None = None
        for frame in at_rate(source, rate):
            if latest is not None:
                yield latest, latest.seconds, latest.seconds + period
            latest = frame
        if latest is not None:  # which ends with the recording
            end = min(latest.seconds + period, source.end_seconds(rate))
            yield latest, latest.seconds, end


def refuse_pictures(*recordings: Path) -> None:
    """Raise a ValueError for a folder of pictures, which have no times."""
    for recording in recordings:
        if recording.is_dir():
            raise ValueError(
                f"{recording} is a folder of pictures, which have no times: events need a video "
                "file"
            )


def source_rate(recording: Path) -> float:
    """Frames a second of a recording."""
    return float(frame_rate(recording) or DEFAULT_RATE)


def refuse_windows(times: ScoreTimes, model: str) -> None:
    """Raise a ValueError if times are those of windows."""
    if times.window is not None or times.stride is not None:
        raise ValueError(f"{model} scores each frame: give --fps in place of --window and --stride")


def refuse_rate(times: ScoreTimes) -> None:
    """Raise a ValueError if times are those of frames."""
    if times.fps is not None:
        raise ValueError(
            f"--fps is {times.fps:g}, and the model scores windows: give --window and --stride"
        )


def _quarter(window: str) -> str:
    plan = WindowPlan.parse(window)
    return f"{max(plan.length // 4, 1)}f" if plan.in_frames else _in_seconds(plan.length / 4)


def _in_seconds(seconds: float | Fraction) -> str:
    """A duration as `WindowPlan` reads it, to the millisecond."""
    return f"{float(seconds):.3f}".rstrip("0").rstrip(".") + "s"
