"""The scores of annotated recordings, and the events that are found in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from mixtconv._types import Progress
from mixtconv.data.background import BACKGROUND
from mixtconv.data.datasets.catalog import load_labelled_videos
from mixtconv.data.datasets.scanning import as_source
from mixtconv.data.listing import DataSource
from mixtconv.data.recordings import AnnotatedRecording, annotated_recordings
from mixtconv.detection.scorers import EventScorer, ScoredStep
from mixtconv.evaluation.evaluate import DEFAULT_VAL_FRACTION
from mixtconv.evaluation.settings import SplitChoice
from mixtconv.events.event import AnnotatedEvent
from mixtconv.events.scores import ScoreSequence
from mixtconv.models.spec import ModelSpec
from mixtconv.video.pictures import Unreadable, UnreadableVideoError


@dataclass(frozen=True)
class ScoredRecordings:
    """Annotated recordings and the scores of a model over their time."""

    recordings: tuple[AnnotatedRecording, ...]
    """All of them."""
    scores: dict[str, ScoreSequence]
    """Name -> scores; of one that cannot be read, none at any time."""
    unreadable: tuple[Unreadable, ...]
    """Those that could not be read."""
    classes: tuple[str, ...]
    """Class names."""

    @cached_property
    def truths(self) -> dict[str, list[AnnotatedEvent]]:
        """Name -> what is annotated."""
        return {
            each.key: [
                AnnotatedEvent(self.classes[s.label], float(s.start), float(s.end))
                for s in each.stretches
            ]
            for each in self.recordings
        }

    @cached_property
    def durations(self) -> dict[str, float]:
        """Name -> length in seconds."""
        return {each.key: float(each.seconds) for each in self.recordings}


def load_recordings(
    data: str | Path | DataSource,
    spec: ModelSpec,
    notes: Mapping[str, Any],
    *,
    split: SplitChoice | None = None,
) -> tuple[AnnotatedRecording, ...]:
    """The annotated recordings of data, without those of background.

    Args:
        data, split: as for `load_labelled_videos`; with `labels="several"` two stretches may have
            the same borders, also for a model of one label.
        spec: of the model whose events are compared with them.
        notes: of its file, which say what its training held out.

    Raises:
        ValueError: data that cannot be used, or in which nothing but background is annotated.
    """
    samples = load_labelled_videos(
        data,
        classes=spec.classes,
        split=split,
        val_fraction=notes.get("val_fraction", DEFAULT_VAL_FRACTION),
        group=notes.get("group"),
        several=spec.several_labels or as_source(data).labels == "several",
        keep_missing=True,
    )
    nothing = [label for label, name in enumerate(spec.classes) if name == BACKGROUND]
    recordings = annotated_recordings(samples, without=nothing)
    if not any(each.stretches for each in recordings):
        raise ValueError(
            f"{data.data if isinstance(data, DataSource) else data}: nothing is annotated in its "
            "recordings; give a list of segments (video,label,start,end) or an annotation file"
        )
    return recordings


def score_recordings(
    scorer: EventScorer,
    recordings: tuple[AnnotatedRecording, ...],
    *,
    progress: Progress = lambda *numbers: None,
) -> ScoredRecordings:
    """The scores of a model over the time of recordings.

    Args:
        scorer: the model.
        recordings: with what is annotated in them.
        progress: called with the number of seconds scored, and of all.

    Raises:
        ValueError: a folder of pictures, or times of scores that are not known.
    """
    scores, unreadable = {}, []
    done, total = Fraction(0), sum((each.seconds for each in recordings), Fraction(0))
    for each in recordings:
        steps: list[ScoredStep] = []
        try:
            for step in scorer.steps(each.path):
                steps.append(step)
                progress(int(done + Fraction(step.end)), int(total))
        except UnreadableVideoError as error:
            unreadable.append(Unreadable(each.path, error.reason_in(each.path)))
            steps = []
        done += each.seconds
        scores[each.key] = as_sequence(scorer.classes, steps)
    return ScoredRecordings(recordings, scores, tuple(unreadable), scorer.classes)


def as_sequence(classes: tuple[str, ...], steps: "list[ScoredStep]") -> ScoreSequence:
    """Steps as the scores of a whole recording."""
    return ScoreSequence.of(classes, ((step.start, step.end, step.scores) for step in steps))


def typical_seconds(recordings: tuple[AnnotatedRecording, ...]) -> float:
    """Median length of what is annotated."""
    lengths = sorted(s.end - s.start for each in recordings for s in each.stretches)
    return float(lengths[len(lengths) // 2])


def first_readable(recordings: tuple[AnnotatedRecording, ...]) -> Path:
    """A recording that can be read.

    Raises:
        ValueError: none can be.
    """
    for each in recordings:
        if each.error is None:
            return each.path
    raise ValueError(f"no recording can be read: {recordings[0].error}")
