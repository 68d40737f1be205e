"""Which head on frozen features, at which rate and decay: all candidates in one pass over them.

As the probes of "V-JEPA 2" (arXiv 2506.09985): every batch of features is read once and trains all
heads, each with its own optimiser. Different here: a candidate is scored by cross-validation within
the training videos, and after a quarter and after half of the epochs the worse half of those
that are left ends ("Successive Halving", arXiv 1502.07943).

A candidate is trained as a run would train it alone: its weights, its dropout and the order of the
clips depend on the seed and the step, not on the other candidates.
"""

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from mixtconv._atomic_write import write_atomically
from mixtconv._strict_json import to_json
from mixtconv.data.dataset import VideoBatch, VideoItem, collate, video_loader
from mixtconv.data.folds import (
    divide_by_sessions,
    in_recordings,
    named_groups,
    recordings_of,
)
from mixtconv.data.listing import VideoSample, one_label, strata
from mixtconv.evaluation.metrics import mean_of_classes
from mixtconv.evaluation.scoring import view_logits
from mixtconv.models.feature_head import FeatureClassifier
from mixtconv.models.spec import Head
from mixtconv.training.data import epoch_sampler
from mixtconv.training.features import FeatureClips, FeatureViews
from mixtconv.training.loss import ClipLoss
from mixtconv.training.module import BatchPlan, seed_step
from mixtconv.training.optimizer import (
    make_optimizer,
    make_schedule,
)
from mixtconv.training.plan import RunPlan
from mixtconv.training.settings import TrainingSettings

logger = logging.getLogger(__name__)

HEAD_LRS = (0.005, 0.015)
"""Learning rates for 64 clips; heads learn at higher ones than whole networks."""
HEAD_DECAYS = (0.01, 0.1)


@dataclass(frozen=True)
class Candidate:
    """A head and how it is trained."""

    feature_head: Head
    less_mean: bool
    lr: float
    """As `TrainingSettings.lr`."""
    weight_decay: float

    def __str__(self) -> str:
        less = " less their mean" if self.less_mean else ""
        return (
            f"{self.feature_head} on features{less}, rate {self.lr:g}, decay {self.weight_decay:g}"
        )

    def settings(self, settings: TrainingSettings) -> TrainingSettings:
        """The settings of a run that trains this head."""
        return replace(settings, lr=self.lr, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class CandidateScore:
    """A candidate and its scores on the videos that it was not trained on."""

    candidate: Candidate
    top1: float
    """In percent, over all folds."""
    mean_class_accuracy: float
    """The mean of the classes' accuracies, over all folds."""
    top1_folds: tuple[float, ...]
    """Of each fold."""
    loss: float
    epochs: int
    """For which it was trained."""


class FoldScore(NamedTuple):
    """How a trained head scores the N videos of a fold."""

    loss: float
    """The sum over its videos that can be read."""
    right: Tensor
    """bool (N,); unreadable ones are wrong."""
    labels: Tensor
    """int64 (N,)."""


Score = Callable[[FeatureClassifier, int], FoldScore]
"""Scores a trained head on a fold."""
MakeHead = Callable[[Candidate], FeatureClassifier]
"""Makes the untrained recognizer of a candidate, on features; the same one every time."""


def candidates(settings: TrainingSettings) -> list[Candidate]:
    """The grid that the settings ask for.

    >>> len(candidates(TrainingSettings("clips", train="head")))
    20
    """
    heads: tuple[Head, ...] = ("average", "attention", "blocks")
    if settings.feature_head is not None:
        heads = (settings.feature_head,)
    elif settings.causal:  # attention sees all frames at once
        heads = ("average", "blocks")
    removals = (False, True) if settings.less_mean is None else (settings.less_mean,)
    kinds = [
        (head, less_mean)
        for head, less_mean in product(heads, removals)
        if not (head == "average" and less_mean)  # which is zero
    ]
    if not kinds:
        raise ValueError(
            "the average over a clip of features less their mean is zero: leave out --less-mean, "
            "or give --feature-head blocks or attention"
        )
    lrs = settings.head_lrs or ([settings.lr] if settings.lr is not None else HEAD_LRS)
    decays = settings.head_decays
    if decays is None:
        given = settings.weight_decay
        decays = [given] if given is not None else list(HEAD_DECAYS)
    grid = product(kinds, lrs, decays)
    return [Candidate(head, less, lr, decay) for (head, less), lr, decay in grid]


def make_folds(samples: Sequence[VideoSample], count: int, *, seed: int) -> Tensor:
    """The part that each video is in: int64 (N,), -1 for videos that all heads are trained on.

    Every class is spread evenly; sessions that the list or the names tell are kept together, unless
    too few of them can be held out without leaving a class untrained. Recordings are never divided.

    Raises:
        ValueError: no class has two videos, or two recordings with segments of it.
    """
    labels = strata([sample.label for sample in samples])
    keys, groups = [sample.key for sample in samples], [sample.group for sample in samples]
    recordings = recordings_of(samples)
    sessions = named_groups(keys, labels, groups, recordings=recordings)
    folds, is_whole = divide_by_sessions(
        labels, sessions, recordings=recordings, num_folds=count, seed=seed
    )
    if sessions is not None and not is_whole:
        logger.warning(
            "heads are compared on folds that divide %s: most of these have all clips of some "
            "class, which could not be trained without them",
            sessions.origin,
        )
    if folds.max() < 0:
        raise ValueError(
            "heads are compared on videos that are held out, and no class has two"
            f"{' recordings' if in_recordings(recordings) else ''}: give one head "
            "with --feature-head, --less-mean, --lr and --weight-decay"
        )
    return torch.from_numpy(folds)


class _Member:
    """A candidate in training, on the clips outside one fold."""

    def __init__(
        self, candidate: Candidate, fold: int, make: MakeHead, plan: RunPlan, num_clips: int
    ) -> None:
        settings = candidate.settings(plan.settings)
        self.candidate, self.fold, self.settings = candidate, fold, settings
        self.model = make(candidate).to(plan.device).train()
        self.loss = ClipLoss(settings, plan.catalog.train, self.model.spec)
        self.optimizer = make_optimizer(self.model, settings)
        batches = BatchPlan(num_clips, settings.batch_size, 1)
        self.schedule: LambdaLR = make_schedule(
            self.optimizer, settings, steps_per_epoch=batches.steps_per_epoch
        )
        self.precision = plan.precision
        self.device = plan.device

    def step(self, features: Tensor, labels: Tensor, number: int) -> None:
        """One step on clips that are not in the fold."""
        seed_step(self.settings.seed, number, 0, 0)
        bf16 = self.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            loss = self.loss(self.model, features, labels)
        self.optimizer.zero_grad()
        loss.backward()
        if self.settings.clip_gradient:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_gradient)
        self.optimizer.step()
        self.schedule.step()

    def skip(self) -> None:
        """The step of a batch without a clip outside the fold: the rate goes on all the same."""
        self.optimizer.zero_grad()
        self.optimizer.step()  # changes nothing without gradients
        self.schedule.step()


def train_members(
    grid: Sequence[Candidate],
    folds: Tensor,
    clips: FeatureClips,
    plan: RunPlan,
    make: MakeHead,
    *,
    score: Score,
) -> list[CandidateScore]:
    """Train all candidates outside every fold, and score them inside.

    Args:
        grid: the candidates.
        folds: int64 (N,), the part that each video is in.
        clips: features to train on.
        plan: recipe; its number of epochs holds.
        make: makes the untrained head of a candidate.
        score: see `Score`.

    Returns:
        The scores of all, best first.
    """
    settings = plan.settings
    count, measure = int(folds.max()) + 1, settings.measure(several=False)
    running = {
        each: [_Member(each, fold, make, plan, len(clips)) for fold in range(count)]
        for each in grid
    }
    scores: dict[Candidate, CandidateScore] = {}
    step = 0
    for epoch in range(settings.epochs):
        sampler = epoch_sampler(clips.samples, settings)
        sampler.set_epoch(epoch)
        loader = video_loader(clips, sampler, batch_size=settings.batch_size, workers=0)
        for batch in loader:
            _step_all([member for row in running.values() for member in row], batch, folds, step)
            step += 1
        is_last = epoch + 1 == settings.epochs
        is_rung = epoch + 1 in (math.ceil(settings.epochs / 4), math.ceil(settings.epochs / 2))
        if is_last or (is_rung and len(running) > 1):
            for candidate, members in running.items():
                scores[candidate] = _scored(candidate, members, score, epoch + 1)
            if not is_last:
                leading = ranked(
                    [scores[candidate] for candidate in running], settings.measure(several=False)
                )
                kept = {each.candidate for each in leading[: math.ceil(len(leading) / 2)]}
                running = {each: row for each, row in running.items() if each in kept}
                logger.info(
                    "heads: %d of %d go on after %d epochs, the best has %.1f %%",
                    *(
                        len(running),
                        len(grid),
                        epoch + 1,
                        getattr(leading[0], measure),
                    ),
                )
    return ranked(list(scores.values()), measure)


def _step_all(members: Sequence[_Member], batch: VideoBatch, folds: Tensor, step: int) -> None:
    """One pass over a batch: every member learns from the clips outside its fold."""
    own = folds[batch.indices]
    device = members[0].device
    features, labels = batch.frames.to(device).float(), batch.labels.to(device)
    for member in members:
        rows = (own != member.fold).nonzero().flatten().to(device)
        if len(rows):
            member.step(features[rows], labels[rows], step)
        else:
            member.skip()


def _scored(
    candidate: Candidate,
    members: Sequence[_Member],
    score: Score,
    epochs: int,
) -> CandidateScore:
    found = [score(member.model, member.fold) for member in members]
    hits = torch.cat([fold.right for fold in found]).double()
    labels = torch.cat([fold.labels for fold in found])
    return CandidateScore(
        candidate,
        top1=100 * float(hits.mean()),
        mean_class_accuracy=100 * mean_of_classes(hits, labels),
        top1_folds=tuple(100 * float(fold.right.double().mean()) for fold in found),
        loss=sum(fold.loss for fold in found) / len(hits),
        epochs=epochs,
    )


def ranked(scores: list[CandidateScore], measure: str) -> list[CandidateScore]:
    """The best first: those trained longest, then by a measure, then by loss."""
    return sorted(scores, key=lambda each: (-each.epochs, -getattr(each, measure), each.loss))


def search_heads(
    plan: RunPlan, clips: FeatureClips, views: FeatureViews, make: MakeHead
) -> list[CandidateScore]:
    """Compare the heads of the grid by cross-validation within the training videos.

    Args:
        plan: the run; its settings say the grid, folds and epochs.
        clips: features of the training videos to train on.
        views: features of the same videos to score.
        make: makes the untrained head of a candidate.

    Returns:
        The scores of all, best first.

    Raises:
        ValueError: fewer training videos than folds.
    """
    settings, grid = plan.settings, candidates(plan.settings)
    if plan.catalog.several:
        raise ValueError(
            "heads are compared by how many videos are right, and here a video may have several "
            "labels: give one head with --feature-head, --less-mean, --lr and --weight-decay"
        )
    count = min(settings.folds, len(views.samples))
    if count < 2:
        raise ValueError(
            f"{len(views.samples)} training videos are too few to compare heads; give one head "
            "with --feature-head, --less-mean, --lr and --weight-decay"
        )
    epochs = settings.search_epochs or math.ceil(settings.epochs / 3)
    short = replace(plan, settings=replace(settings, epochs=epochs))
    folds = make_folds(views.samples, count, seed=settings.seed)

    def score(model: FeatureClassifier, fold: int) -> FoldScore:
        inside = (folds == fold).nonzero().flatten().tolist()
        labels = [one_label(views.samples[index].label) for index in inside]
        return _score(model, [views[index] for index in inside], labels, plan)

    logger.info(
        "%d heads are compared on %d parts of the training videos, %d epochs",
        *(len(grid), int(folds.max()) + 1, epochs),
    )
    scores = train_members(grid, folds, clips, short, make, score=score)
    for each in scores[:5]:
        logger.info("%.1f %% (loss %.3f): %s", each.top1, each.loss, each.candidate)
    return scores


@torch.inference_mode()
def _score(
    model: FeatureClassifier, items: list, labels: Sequence[int], plan: RunPlan
) -> FoldScore:
    model.eval()
    batch = collate(items)
    readable = [place for place, item in enumerate(items) if isinstance(item, VideoItem)]
    right = torch.zeros(len(items), dtype=torch.bool)
    loss = 0.0
    if len(batch.labels):
        logits = view_logits(
            model,
            batch.frames,
            plan.protocol,
            mirroring=plan.mirroring,
            batch_size=plan.settings.batch_size,
        ).cpu()
        right[readable] = logits.argmax(dim=1) == batch.labels
        loss = float(F.cross_entropy(logits, batch.labels, reduction="sum"))
    model.train()
    return FoldScore(loss, right, torch.tensor(labels))


def write_search(path: Path, scores: Sequence[CandidateScore]) -> None:
    """Write the scores of a search as JSON, the best first."""
    write_atomically(path, to_json([asdict(each) for each in scores], indent=2).encode())


def read_search(path: Path) -> Candidate:
    """The best candidate of a search that was written.

    Raises:
        ValueError: a file that does not hold one.
    """
    try:
        return Candidate(**json.loads(path.read_text())[0]["candidate"])
    except (TypeError, KeyError, IndexError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} does not hold the comparison of heads ({error!r}): remove it, and they are "
            "compared again"
        ) from error
