"""The trainings of a fit: each an ordinary run in a folder of its own, on a list of clips.

A trial trains on all folds but one and scores that one; the last training takes all clips. What is
done is kept in `fit.json`, from which a fit that was stopped goes on.
"""

import csv
import io
import math
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixtconv._atomic_write import write_text_atomically
from mixtconv._names import count_of
from mixtconv._quiet import only_errors
from mixtconv.data.datasets.catalog import VideoCatalog
from mixtconv.data.frame_cache import FrameCache
from mixtconv.data.list_columns import label_column
from mixtconv.data.listing import VideoSample, one_label
from mixtconv.fitting.costs import TrainingCost
from mixtconv.fitting.ladder import WARMUP, Candidate, form_of
from mixtconv.fitting.settings import FitSettings
from mixtconv.training.data import LARGEST_CACHED_IMAGE
from mixtconv.training.fit import train
from mixtconv.training.run_folder import RunFiles, load_settings
from mixtconv.training.run_origin import seconds_of_checkpoint
from mixtconv.training.settings import TrainingSettings
from mixtconv.video.segment import border_texts

_BORDERS = {False: ("start", "end"), True: ("start_frame", "end_frame")}
"""Whether a segment is in frames -> the columns of its start and end."""
_SAID_BEFORE = tuple(f"mixtconv.training.{name}" for name in ("plan", "data", "fit"))
"""Loggers of a training whose lines the fit has given for all of them."""
WHOLE = 0.8
"""Part of its epochs after which a training that the time has ended is scored like a whole one."""
LEAST_SECONDS = 5.0
"""That a training gets even where no time is left."""


class TimeLimit:
    """The time of a fit.

    Args:
        minutes: in all.
        start: `time.monotonic()` at its start; by default now.
    """

    def __init__(self, minutes: float, *, start: float | None = None) -> None:
        self.seconds = 60 * minutes
        self.start = time.monotonic() if start is None else start

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    @property
    def left(self) -> float:
        """Seconds to the end, at least 0."""
        return max(0.0, self.seconds - self.spent)


@dataclass(frozen=True)
class Trial:
    """A finished training."""

    settings: Mapping[str, Any]
    """Settings of its recipe."""
    num_train: int
    """Clips that it trained on."""
    num_val: int
    """Clips that were held out."""
    planned: int
    """Epochs that it was to take."""
    epochs: float
    """Epochs that it took; of the last one perhaps a part."""
    seconds: float
    """In all, from loading to the model file."""
    epoch_seconds: float
    """Of an epoch, in the mean."""
    top1: float | None
    """Percent of the held-out clips; None without any."""
    loss: float | None
    """Mean cross entropy of the held-out clips."""

    @property
    def is_whole(self) -> bool:
        """Whether it took (nearly) all of its epochs, so that its score is that of its recipe."""
        return self.epochs >= WHOLE * self.planned

    @property
    def rank(self) -> tuple[float, float]:
        """Smaller is better: few clips tell accuracies apart badly, so the loss decides."""
        return (math.inf if self.loss is None else self.loss, -(self.top1 or 0.0))

    @property
    def percent(self) -> str:
        """Its score for people."""
        if self.top1 is None or self.loss is None:
            return "not scored in time"
        return f"{self.top1:.0f} % (loss {self.loss:.2f})"

    @property
    def cost(self) -> TrainingCost:
        """What trainings by the same recipe cost."""
        outside = self.seconds - self.epochs * self.epoch_seconds
        return TrainingCost(max(outside, 0.0), self.epoch_seconds / self.num_train)


@dataclass(frozen=True)
class ClipList:
    """A list of clips that a training takes."""

    path: Path
    """The CSV."""
    num_train: int
    """Clips to train on."""
    num_val: int
    """Clips to score."""


@dataclass(frozen=True)
class Training:
    """A training that a fit needs."""

    name: str
    """In the record of the fit."""
    recipe: Candidate
    data: ClipList
    epochs: int
    """Passes over the clips, of which only the last is scored."""
    folder: Path
    """Of its run."""
    seconds: float = 0.0
    """That it is expected to take; with less left it is not begun."""

    def __str__(self) -> str:
        return f"{self.name} ({count_of(self.epochs, 'epoch')})"


class TrainingLists:
    """Lists of the clips of trainings, written as CSVs.

    Args:
        catalog: the clips.
        folds: (N,), the fold of each clip; -1 is never held out.
        folder: where the lists are written.
    """

    def __init__(self, catalog: VideoCatalog, folds: Sequence[int], folder: Path) -> None:
        self.catalog = catalog
        self.folds = tuple(folds)
        self.folder = folder

    @property
    def num_folds(self) -> int:
        """Folds that can be held out."""
        return max(self.folds) + 1

    def num_train(self, *, held_out: int) -> int:
        """Clips to train on where a fold is held out."""
        return sum(fold != held_out for fold in self.folds)

    def write(self, name: str, *, held_out: int | None = None, part: float = 1.0) -> ClipList:
        """Write one list.

        Args:
            name: of the file.
            held_out: the fold to score; None trains on all clips.
            part: of every class's clips to train on, how many are.
        """
        samples = list(zip(self.catalog.train, self.folds, strict=True))
        held = [sample for sample, fold in samples if held_out is not None and fold == held_out]
        trained = _spread([sample for sample, fold in samples if fold != held_out], part)
        text = io.StringIO()
        writer = csv.writer(text)
        has_groups = any(sample.group for sample, _ in samples)
        columns = ["path", label_column(self.catalog.classes), "split"]
        # Those of both units, if there are both: a line has times in one of them.
        units = sorted({sample.span.in_frames for sample, _ in samples if sample.span is not None})
        columns += ["group"] if has_groups else []
        writer.writerow([*columns, *(name for unit in units for name in _BORDERS[unit])])
        for split, chosen in (("train", trained), ("val", held)):
            for sample in chosen:
                class_name = self.catalog.classes[one_label(sample.label)]
                row = [sample.path.absolute(), class_name, split]
                row += [sample.group] if has_groups else []
                for unit in units:
                    span = sample.span
                    own = span is not None and span.in_frames == unit
                    row += border_texts(span) if span is not None and own else ("", "")
                writer.writerow(row)
        path = self.folder / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(path, text.getvalue(), alone=True)
        return ClipList(path, len(trained), len(held))


def _spread(samples: Sequence[VideoSample], part: float) -> list[VideoSample]:
    """A part of every class's samples, evenly spread over them, at least one."""
    number: Counter[int] = Counter()
    chosen = []
    for sample in samples:
        label = one_label(sample.label)
        place = number[label]
        number[label] += 1
        if place == 0 or int(place * part) > int((place - 1) * part):
            chosen.append(sample)
    return chosen


def run_trial(
    job: Training, settings: FitSettings, *, frames: FrameCache | None, end: float
) -> Trial | None:
    """Do a training of a fit; one that was stopped in its folder goes on.

    Args:
        job: what is trained on what.
        settings: of the fit.
        frames: of the clips, if they are kept.
        end: time (`time.time()`) at which it stops, with what it has.

    Returns:
        None where too little time is left to begin.

    Raises:
        ValueError: the recipe cannot be used, for instance because its weights are unavailable.
    """
    start, checkpoint = time.time(), RunFiles(job.folder).checkpoint
    before = seconds_of_checkpoint(checkpoint) if checkpoint.exists() else 0.0
    if job.seconds and job.seconds - before > end - start:
        return None
    # Kept frames are read as fast as they are trained on, and every core has its training.
    image_size = job.recipe.settings["image_size"]
    reads_kept = frames is not None and (
        image_size <= LARGEST_CACHED_IMAGE
        or frames.form == form_of(job.recipe.settings, classes=("any",))
    )
    training = TrainingSettings(
        data=str(job.data.path),
        out=str(job.folder),
        **{
            "epochs": job.epochs,
            "warmup_epochs": WARMUP * job.epochs,
            "val_every": job.epochs,
            "val_fraction": 0.2 if job.data.num_val else 0.0,
            "keep": "last",
            "whole_file": True,  # for another machine
            "seed": settings.seed,
            "workers": 0 if settings.workers is None and reads_kept else settings.workers,
            "device": settings.device,
            "skip_unreadable": settings.skip_unreadable,
            **job.recipe.settings,
        },
    )
    seconds = max(end - start, LEAST_SECONDS)
    resume = _can_resume(training)
    before = before if resume else 0.0
    seconds += before  # the minutes of a run are those of all its calls
    with only_errors(*_SAID_BEFORE):  # what they say, the fit has said before
        result = train(replace(training, resume=resume, minutes=seconds / 60), frames=frames)
    last = result.epochs[-1]
    return Trial(
        dict(job.recipe.settings),
        job.data.num_train,
        job.data.num_val,
        job.epochs,
        last.epoch if last.part == 1 else last.epoch - 1 + last.part,
        before + time.time() - start,
        sum(row.seconds for row in result.epochs) / sum(row.part for row in result.epochs),
        None if math.isnan(last.top1) else last.top1,
        None if math.isnan(last.val_loss) else last.val_loss,
    )


def _can_resume(training: TrainingSettings) -> bool:
    """Whether the folder holds the same run, begun before; another one there is removed."""
    files = RunFiles(Path(training.out))
    if not files.config.exists():
        return False
    if not training.changed_from(load_settings(files.config)):
        return True
    shutil.rmtree(files.folder)
    return False
