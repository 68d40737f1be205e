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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mixtconv._atomic_write import write_atomically
from mixtconv._names import count_of
from mixtconv._quiet import only_errors
from mixtconv._types import Precision
from mixtconv.data.datasets.catalog import VideoCatalog
from mixtconv.data.frame_cache import FrameCache
from mixtconv.data.listing import VideoSample
from mixtconv.fitting.ladder import WARMUP, Candidate, candidates, form_of
from mixtconv.fitting.settings import FitSettings
from mixtconv.models import VideoClassifier
from mixtconv.models.device import autocast, resolve_device
from mixtconv.models.feature_head import FeatureClassifier
from mixtconv.training.data import LARGEST_CACHED_IMAGE
from mixtconv.training.features import trunk_features
from mixtconv.training.fit import CHANNELS_LAST_PAYS, train
from mixtconv.training.head_run import make_trunk, with_head
from mixtconv.training.head_search import candidates as head_candidates
from mixtconv.training.initial_weights import InitialModel, make_initial_model
from mixtconv.training.record import seconds_of_checkpoint
from mixtconv.training.run_folder import RunFiles, load_settings
from mixtconv.training.settings import TrainingSettings

_SAID_BEFORE = tuple(f"mixtconv.training.{name}" for name in ("plan", "data", "fit"))
"""Loggers of a training whose lines the fit has given for all of them."""
NUM_TIMED = 3
"""Steps of which the fastest is a recipe's cost."""
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
    epochs: int
    """Epochs that it took."""
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
    def cost(self) -> "TrainingCost":
        """What trainings by the same recipe cost."""
        outside = self.seconds - self.epochs * self.epoch_seconds
        return TrainingCost(max(outside, 0.0), self.epoch_seconds / self.num_train)


@dataclass(frozen=True)
class TrainingCost:
    """What a training costs, in seconds."""

    fixed: float
    """Outside its epochs."""
    clip: float
    """Of one clip in one epoch."""

    def epochs(self, seconds: float, *, num_train: int) -> float:
        """Passes over so many clips that fit into a time."""
        return max(0.0, seconds - self.fixed) / (self.clip * num_train)

    def seconds(self, epochs: int, *, num_train: int) -> float:
        """Time of so many passes over so many clips."""
        return self.fixed + epochs * num_train * self.clip


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
        writer.writerow(["path", "label", "split"])
        for split, chosen in (("train", trained), ("val", held)):
            for sample in chosen:
                class_name = self.catalog.classes[sample.label]
                writer.writerow([sample.path.absolute(), class_name, split])
        path = self.folder / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.getvalue().encode())
        return ClipList(path, len(trained), len(held))


def _spread(samples: Sequence[VideoSample], part: float) -> list[VideoSample]:
    """A part of every class's samples, evenly spread over them, at least one."""
    number: Counter[int] = Counter()
    chosen = []
    for sample in samples:
        place = number[sample.label]
        number[sample.label] += 1
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
        last.epoch,
        before + time.time() - start,
        sum(epoch.seconds for epoch in result.epochs) / len(result.epochs),
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


def with_usable_weights(
    settings: FitSettings, classes: tuple[str, ...], *, device: torch.device
) -> FitSettings:
    """Settings whose weights are those that the user's model starts from in all trainings.

    Raises:
        ValueError: a model or weights that cannot be used, which is found before any video is read.
    """
    if settings.model is None and settings.weights in ("auto", "none"):
        return settings
    recipe = candidates(settings, is_camera_still=True, device=device.type)[0]
    initial = _initial(TrainingSettings(data="", **recipe.settings), classes)
    if settings.model is None or settings.weights != "auto":
        return settings
    return replace(settings, weights="imagenet" if initial.weights == "ImageNet" else "none")


def _initial(training: TrainingSettings, classes: tuple[str, ...]) -> InitialModel:
    """What a training starts from; of a head alone, the frozen trunk."""
    return (make_initial_model if training.train == "all" else make_trunk)(training, classes)


@dataclass(frozen=True)
class Cost:
    """What a recipe costs here."""

    recipe: Candidate
    """In the arithmetic that is fastest."""
    step: float
    """Seconds of a training step, by clip."""
    once: float = 0.0
    """Seconds of a clip's features where a head alone is trained; they are kept."""


def measure_cost(recipe: Candidate, settings: FitSettings, classes: tuple[str, ...]) -> Cost | str:
    """Measure a recipe on a few steps.

    On a CPU bfloat16 takes half the time of float32 where the processor has instructions for it,
    and several times as long where it has none, so both are measured.

    Returns:
        Why the recipe cannot be used, if its model or its weights are unavailable.
    """
    try:
        return _cost(recipe, settings, classes)
    except (ValueError, OSError) as error:
        return str(error)


def _cost(recipe: Candidate, settings: FitSettings, classes: tuple[str, ...]) -> Cost:
    device = resolve_device(settings.device)
    training = TrainingSettings(data="", **recipe.settings)
    is_whole = training.train == "all"
    model = _initial(training, classes).model.to(device)
    if device.type in CHANNELS_LAST_PAYS:
        model.to(memory_format=torch.channels_last)
    spec, size, once = model.spec, training.batch_size, 0.0
    shape = (spec.num_frames, spec.snippet.channels, spec.image_size, spec.image_size)
    clips = torch.randint(0, 256, (size if is_whole else 1, *shape), dtype=torch.uint8)
    if not is_whole:
        once = (1 + training.crops) * _least_time(lambda: trunk_features(model, clips))
        clips = trunk_features(model, clips).expand(size, -1, -1, -1, -1)
        head = with_head(training, head_candidates(training)[0], model)
        model = FeatureClassifier(head).to(device).train()
    labels = torch.arange(size, device=device) % len(classes)
    precisions: tuple[Precision, ...] = ("32", "bf16") if device.type == "cpu" else ("auto",)
    times = {name: _step_time(model, clips, labels, name) / size for name in precisions}
    fastest = min(times, key=lambda name: times[name])
    fast = replace(recipe, settings={**recipe.settings, "precision": fastest})
    return Cost(fast, times[fastest], once)


def _step_time(
    model: VideoClassifier, clips: Tensor, labels: Tensor, precision: Precision
) -> float:
    """Seconds of a training step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)

    def step() -> None:
        with autocast(precision, labels.device):
            loss = F.cross_entropy(model(model.normalize(clips)).float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    return _least_time(step)


def _least_time(work: Callable[[], object]) -> float:
    """Seconds of some work, the fastest of a few times."""
    times = []
    for _ in range(NUM_TIMED + 1):  # the first also warms up
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times[1:])
