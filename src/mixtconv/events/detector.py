"""Events in scores over time: in those of a whole recording, or step by step as they come.

Both give exactly the same events. What is computed for each step is small: a sum of scores less
that of some steps ago, two comparisons a class; what stretches become is in `joining`. Memory is
that of the steps that are averaged, however long the stream.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mixtconv.events.event import Event, EventMessage, OpenEvent, in_order
from mixtconv.events.joining import EventJoiner
from mixtconv.events.scores import (
    MILLION,
    ScoreSequence,
    Seconds,
    SmoothedScores,
    Whole,
    check_steps,
    event_columns,
    refuse_disorder,
    thresholds,
    to_whole,
)
from mixtconv.events.settings import EventSettings


def find_events(scores: ScoreSequence, settings: EventSettings) -> list[Event]:
    """The events of a recording, by start, end and class: those that `EventDetector` gives.

    Args:
        scores: of the recording.
        settings: for its classes.

    Raises:
        ValueError: settings that are not for these classes.

    >>> steps = [(n, n + 1, [p]) for n, p in enumerate([0, 0.75, 0.75, 0.25, 0.75, 0, 0, 0, 0.5])]
    >>> settings = EventSettings(smoothing_seconds=0, bridge_seconds=1.5, min_seconds=2)
    >>> find_events(ScoreSequence.of(["wave"], steps), settings)
    [Event(label='wave', start=1.0, end=5.0, score=0.625)]
    """
    settings.require_classes(scores.classes)
    smoothed = SmoothedScores(
        scores,
        smoothing_seconds=settings.smoothing_seconds,
        hold_seconds=settings.hold_seconds,
    )
    return events_of(smoothed, settings)


def events_of(smoothed: SmoothedScores, settings: EventSettings) -> list[Event]:
    """The events of a recording whose scores are smoothed already, as `settings` say."""
    runs = smoothed.runs(settings)
    joiner = EventJoiner(
        smoothed.classes,
        [settings.rule_of(label) for label in smoothed.classes],
        exclusive=settings.exclusive,
        steps=_AllSteps(smoothed, settings),
        announces=False,
    )
    for column, start, end in zip(
        runs.columns.tolist(), runs.starts.tolist(), runs.ends.tolist(), strict=True
    ):
        joiner.begin(column, start)
        joiner.end(column, end)
    joiner.finish()
    events = [message.event for message in joiner.messages]
    found = [event for event in events if isinstance(event, Event)]
    return in_order(found)


class _AllSteps:
    """All steps of a recording."""

    def __init__(self, smoothed: SmoothedScores, settings: EventSettings) -> None:
        self._borders = smoothed.borders(int(to_whole(settings.lag_seconds))).tolist()
        self._totals = smoothed.totals

    def index_at(self, time: int) -> int:
        return bisect_left(self._borders, time)

    def total(self, column: int, index: int) -> int:
        return int(self._totals[column, index])


class _RecentSteps:
    """The latest steps of a stream."""

    def __init__(self, num_classes: int) -> None:
        self.count = 0  # steps so far
        self.total_now: Whole = np.zeros(num_classes, np.int64)
        self.starts: deque[int] = deque()
        self.borders: deque[int] = deque()
        self._totals: deque[Whole] = deque()  # before each of these steps

    def append(self, start: int, border: int, scores: Whole) -> None:
        self.starts.append(start)
        self.borders.append(border)
        self._totals.append(self.total_now)
        self.total_now = self.total_now + scores
        self.count += 1

    def forget_before(self, index: int) -> None:
        while self._first < index:
            self.starts.popleft()
            self.borders.popleft()
            self._totals.popleft()

    @property
    def _first(self) -> int:
        return self.count - len(self.starts)

    def start(self, index: int) -> int:
        return self.starts[index - self._first]

    def border(self, index: int) -> int:
        return self.borders[index - self._first]

    def totals(self, index: int) -> Whole:
        return self.total_now if index == self.count else self._totals[index - self._first]

    def index_at(self, time: int) -> int:
        return self._first + bisect_left(self.borders, time)

    def total(self, column: int, index: int) -> int:
        return int(self.totals(index)[column])


class EventDetector:
    """Finds events while scores come in, step by step.

    Args:
        classes: class names, in the order of the scores.
        settings: for these classes.

    Raises:
        ValueError: settings that are not for these classes.

    >>> settings = EventSettings(smoothing_seconds=0, bridge_seconds=1.5, min_seconds=2)
    >>> detector = EventDetector(["wave"], settings)
    >>> for n, p in enumerate([0, 0.75, 0.75, 0.25, 0.75, 0, 0, 0]):
    ...     for message in detector.push(n, n + 1, [p]):
    ...         print(n, message.to_dict())
    3 {'state': 'started', 'label': 'wave', 'start': 1.0, 'score': 0.75}
    7 {'state': 'ended', 'label': 'wave', 'start': 1.0, 'end': 5.0, 'score': 0.625}
    """

    def __init__(self, classes: Sequence[str], settings: EventSettings) -> None:
        self.classes = tuple(classes)
        settings.require_classes(self.classes)
        self.settings = settings
        self._columns = np.array(event_columns(self.classes, settings))
        self._enter, self._leave = thresholds(self.classes, settings)
        self._window = int(to_whole(settings.smoothing_seconds))
        self._lag = int(to_whole(settings.lag_seconds))
        self._hold = int(to_whole(settings.hold_seconds))
        self._steps = _RecentSteps(len(self.classes))
        self._joiner = EventJoiner(
            self.classes,
            [settings.rule_of(label) for label in self.classes],
            exclusive=settings.exclusive,
            steps=self._steps,
            announces=True,
        )
        self._is_active = np.zeros(len(self._columns), bool)
        self._first = 0  # of the steps that are averaged
        self._time = 0  # where the step begins for which their average holds
        self._onward = 0  # times since the last break begin here
        self._last: tuple[float, float] | None = None
        self._is_finished = False
        self._sums, self._count = np.zeros(len(self.classes), np.int64), 1

    def push(self, start: Seconds, end: Seconds, scores: npt.ArrayLike) -> list[EventMessage]:
        """Give it the next step, a frame or a window.

        Args:
            start, end: of the step, in seconds.
            scores: (K,), probabilities.

        Returns:
            What has become certain with it, in order.

        Raises:
            ValueError: a step that is not after the one before, scores that are no probabilities,
                or a detector that was finished.
        """
        if self._is_finished:
            raise ValueError("the detector was finished; make a new one for another stream")
        row = np.asarray(scores, dtype=np.float64)
        if row.shape != (len(self.classes),):
            raise ValueError(f"got scores {row.shape}; give one of each of {len(self.classes)}")
        times = float(start), float(end)
        check_steps(self.classes, np.array(times[:1]), np.array(times[1:]), row[None])
        if self._last is not None:
            refuse_disorder(self._last, times)
        self._steps.forget_before(self._first - 1)
        self._append(int(to_whole(times[0])), int(to_whole(times[1])), to_whole(row))
        self._last = times
        self._decide()
        return self._take_messages()

    @property
    def averages(self) -> tuple[float, npt.NDArray[np.float64]]:
        """What the thresholds were compared with at the latest step.

        Returns:
            The time of an event that begins or ends with it, in seconds, and the averaged scores
            (K,).
        """
        return self._time / MILLION, self._sums / (self._count * MILLION)

    def open_events(self) -> list[OpenEvent]:
        """The events that have started and not ended, by onset, with their scores so far."""
        return self._joiner.open_events(self._time)

    def finish(self, end: float | None = None) -> list[EventMessage]:
        """The stream has ended, and with it every event that is open.

        Args:
            end: where it ended in seconds, if that is before the end of the last step.

        Returns:
            What has become certain with it, in order.
        """
        if self._last is not None and not self._is_finished:
            if end is not None:
                self._last = self._last[0], max(min(self._last[1], end), self._last[0])
            self._end_all()
        self._is_finished = True
        self._joiner.finish()
        return self._take_messages()

    def _append(self, start: int, end: int, scores: Whole) -> None:
        """Find out where a step begins, as `SmoothedScores` does."""
        border = start
        if self._last is None:
            self._onward = start
        else:
            last_start, last_end = map(int, to_whole(self._last))
            if start - last_end > self._hold:
                self._end_all()
                self._onward, self._first = start, self._steps.count
            elif start < last_end:
                border = (last_start + last_end + start + end) // 4
        border = max(border - self._lag, self._onward)
        if self._last is not None:
            border = max(border, self._steps.borders[-1] + 1)
        self._steps.append(start, border, scores)

    def _decide(self) -> None:
        """Find out which classes are active at the latest step, and tell the joiner."""
        steps, last = self._steps, self._steps.count - 1
        oldest = steps.starts[-1] - self._window
        while self._first < last and steps.start(self._first) <= oldest:
            self._first += 1
        count = last + 1 - self._first
        sums = steps.total_now - steps.totals(self._first)  # (K,)
        self._sums, self._count = sums, count
        is_on = sums[self._columns] >= self._enter * count  # (E,)
        stays = sums[self._columns] >= self._leave * count
        if self.settings.exclusive:
            is_on &= self._columns == sums.argmax()
            stays &= self._columns == sums.argmax()
        is_active = is_on | (self._is_active & stays)
        middle = (self._first + last) // 2
        self._time = steps.border(middle)
        for column in self._columns[self._is_active & ~is_active].tolist():
            self._joiner.end(column, self._time)
        for column in self._columns[is_active & ~self._is_active].tolist():
            self._joiner.begin(column, self._time)
        # The next average holds for a later step if the middle moves on even with one step more.
        moves_on = self._window == 0 or (self._first + last + 1) // 2 > middle
        for column in self._columns[is_active].tolist():
            self._joiner.advance(column, self._time, goes_on=moves_on)
        self._joiner.expire(self._time)
        self._is_active = is_active

    def _end_all(self) -> None:
        """Nothing is known after the last step: what is active ends with it."""
        assert self._last is not None
        end = max(int(to_whole(self._last[1])), self._steps.borders[-1] + 1)
        for column in self._columns[self._is_active].tolist():
            self._joiner.end(column, end)
        self._is_active[:] = False
        self._time = end

    def _take_messages(self) -> list[EventMessage]:
        messages, self._joiner.messages = self._joiner.messages, []
        return messages
