"""Events of files: scored as `mixtconv predict --events` does, frame by frame or in windows.

| model | decoded | scored |
|---|---|---|
| causal | frames | as one more stream beside the live ones |
| of `--frame-labels` | what its reader keeps of frames | in overlapping clips |
| other | views of windows | batched, as those of timelines |
"""

import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mixtconv.detection.predict import messages
from mixtconv.detection.scorers import (
    ScoredStep,
    overlapping_clips,
    refuse_rate,
    refuse_windows,
    scored_rate,
    window_plan,
)
from mixtconv.detection.settings import EventOptions, ScoreTimes, StoredEvents
from mixtconv.events.curves import ScoreCurves
from mixtconv.events.detector import EventDetector
from mixtconv.events.event import Event, in_order
from mixtconv.events.settings import EventSettings
from mixtconv.inference.predicting import scores_of_logits
from mixtconv.models.spec import PICTURES
from mixtconv.serve.answers import (
    EventAnswer,
    EventsAnswer,
    ModelEvents,
    ScoresAnswer,
    VideoFacts,
)
from mixtconv.serve.decoder_process import EventReading, FrameViews, Job
from mixtconv.serve.errors import ServiceError
from mixtconv.serve.live import LiveRecognition
from mixtconv.serve.recognition import FrameClip, Recognition
from mixtconv.serve.settings import ServeSettings
from mixtconv.video.reader import DEFAULT_RATE


@dataclass(frozen=True)
class ChosenEvents:
    """How events are found for one request."""

    times: ScoreTimes
    """When scores are taken."""
    settings: EventSettings
    """From scores to events."""


class EventRecognition:
    """Finds the events of files.

    Args:
        recognition: recognizes files.
        live: recognizes streams, None if the model cannot.
        settings: limits.

    Raises:
        ValueError: the model file has damaged settings of events.
    """

    def __init__(
        self, recognition: Recognition, live: LiveRecognition | None, *, settings: ServeSettings
    ) -> None:
        self._recognition, self._live, self._settings = recognition, live, settings
        recognizer = recognition.recognizer
        self._spec = recognizer.spec
        self.stored = StoredEvents.from_notes(recognizer.notes, self._spec.classes)
        self._form: Literal["windows", "pictures", "kept"] = "windows"
        if live is not None:
            self._form = "pictures"
        elif recognizer.notes.get("frame_labels") and self._spec.modality in PICTURES:
            self._form = "kept"

    def about(self) -> ModelEvents:
        """What is known of events, for the description of the model."""
        needs = None
        try:
            self.choose(EventOptions())
        except ServiceError as error:
            needs = error.message
        return ModelEvents(
            scored="windows" if self._form == "windows" else "frames",
            settings=self.stored.settings.to_dict(),
            times=asdict(self.stored.times),
            needs=needs,
        )

    def choose(self, options: EventOptions) -> ChosenEvents:
        """The settings of a request: what is stored, but for what the request says.

        Raises:
            ServiceError: they do not fit the model, or each other.
        """
        try:
            times = options.times.over(self.stored.times)
            if self._form == "windows":
                refuse_rate(options.times)
                window_plan(self._spec, times, lambda: float(DEFAULT_RATE))
            else:
                refuse_windows(options.times, "the model")
                scored_rate(self._spec, times, float(DEFAULT_RATE))
            return ChosenEvents(times, options.applied(self.stored.settings))
        except ValueError as error:  # it names flags
            raise ServiceError("invalid", str(error).replace("--", "")) from error

    async def find(self, path: Path, chosen: ChosenEvents, *, with_scores: bool) -> EventsAnswer:
        """The events of a video; if the task is cancelled, decoding ends too.

        Raises:
            ServiceError: the video is refused or cannot be read, or the service is overloaded.
        """
        limits = self._settings
        max_frames = limits.max_windows * self._spec.num_frames  # as much work as those windows
        job = Job(
            path,
            limits.decode_seconds,
            max_windows=limits.max_windows,
            reading=EventReading(chosen.times, self._form, max_frames),
        )
        answer: EventsAnswer = await self._recognition.in_thread(
            self._find, job, chosen.settings, with_scores
        )
        return answer

    def _find(
        self, job: Job, settings: EventSettings, with_scores: bool, cancelled: threading.Event
    ) -> EventsAnswer:
        classes = self._spec.classes
        detector = EventDetector(classes, settings)
        curves = ScoreCurves(classes) if with_scores else None
        read = {"windows": self._of_windows, "pictures": self._of_stream, "kept": self._of_clips}
        with closing(self._recognition.decoders.read(job, cancelled=cancelled)) as answers:
            facts = next(answers)
            assert isinstance(facts, VideoFacts)
            with closing(read[self._form](answers)) as steps:
                said = [message.event for message in messages(detector, steps, curves)]
        events = in_order(event for event in said if isinstance(event, Event))
        shown = curves.shown({event.label for event in events}) if curves is not None else ()
        return EventsAnswer(
            events=[EventAnswer(**event.to_dict()) for event in events],
            thresholds={k: list(v) for k, v in settings.thresholds(classes).items()},
            scores=None if curves is None else ScoresAnswer(**curves.to_dict(list(shown))),
            video=facts,
        )

    def _of_windows(self, answers: Iterator[Any]) -> Generator[ScoredStep, None, None]:
        for window, logits in self._recognition.scored_windows(answers):
            yield ScoredStep(window.start, window.end, scores_of_logits(logits, self._spec))

    def _of_stream(self, answers: Iterator[Any]) -> Generator[ScoredStep, None, None]:
        assert self._live is not None
        with self._live.file_stream() as push:
            for frame in answers:
                assert isinstance(frame, FrameViews)
                logits = push(frame.frames[0, 0]).logits
                yield ScoredStep(frame.start, frame.end, scores_of_logits(logits, self._spec))

    def _of_clips(self, answers: Iterator[Any]) -> Generator[ScoredStep, None, None]:
        kept = ((frame.frames[:, 0], frame.start, frame.end) for frame in answers)
        return overlapping_clips(
            kept, self._spec, lambda clip: self._recognition.submit(FrameClip(clip)).result()
        )
