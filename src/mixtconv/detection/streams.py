"""Events of a live stream, said as they start and end."""

import numpy.typing as npt

from mixtconv.events.detector import EventDetector
from mixtconv.events.event import EventMessage, OpenEvent
from mixtconv.events.settings import EventSettings
from mixtconv.inference.predicting import scores_of_logits
from mixtconv.models.spec import ModelSpec


class StreamEvents:
    """Events of the frames of a stream, whose clock may jump.

    If the clock jumps back, times go on from where they were, so that no event ends before it
    starts. After more than `hold_seconds` without a frame every event ends where the frames did.

    Args:
        spec: the model.
        settings: from scores to events.
        frames_per_second: rate of the frames; one lasts as long as its period.

    Raises:
        ValueError: settings for other classes.

    >>> spec = ModelSpec("mstnet_resnet18", ("wave", "nothing"), causal=True)
    >>> stream = StreamEvents(spec, EventSettings(smoothing_seconds=0, background=("nothing",)), 10)
    >>> frames = [(n / 10, [9.0 * (3 <= n < 12), 1.0]) for n in range(30)]
    >>> said = [message for frame in frames for message in stream.push(*frame)]
    >>> [(m.state, m.event.label, round(m.event.start, 1)) for m in said]
    [('started', 'wave', 0.3), ('ended', 'wave', 0.3)]
    """

    def __init__(self, spec: ModelSpec, settings: EventSettings, frames_per_second: float) -> None:
        self._spec = spec
        self._detector = EventDetector(spec.classes, settings)
        self._period = 1 / frames_per_second
        self._last, self._shift = 0.0, 0.0

    def push(self, seconds: float, logits: npt.ArrayLike) -> list[EventMessage]:
        """Give it the logits (K,) of the next frame; what has become certain with it."""
        now = seconds + self._shift
        if now < self._last:
            now = self._last + self._period
            self._shift = now - seconds
        self._last = now
        return self._detector.push(now, now + self._period, scores_of_logits(logits, self._spec))

    def open_events(self) -> list[OpenEvent]:
        """The events that have started and not ended."""
        return self._detector.open_events()

    def finish(self, end: float | None = None) -> list[EventMessage]:
        """The stream has ended, and with it every event that is open.

        Args:
            end: where it ended in seconds, if that is known.
        """
        return self._detector.finish(None if end is None else end + self._shift)
