"""`mixtconv fit`: from clips to the best recognizer that a time allows.

    look at the clips -> try recipes on one fold -> train the best one on all clips
        -> train it on each fold, for the estimate -> score val/ once, advise, report

Every choice is made from the training part. A `val/` or `test/` in the data is scored once, at the
end, by the finished model. `model.safetensors` is the best model so far from the first trial on and
`fit.json` is written after every step, so that a fit can be stopped at any moment and go on.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from mixtconv._names import count_of, first_few
from mixtconv.data.datasets.catalog import VideoCatalog, list_videos, load_catalog
from mixtconv.data.folds import Grouping, divide_into_folds
from mixtconv.data.frame_cache import (
    FrameCache,
    cache_pays,
    cached_form,
    default_folder,
    fill_cache,
)
from mixtconv.data.listing import DataSource, VideoSample
from mixtconv.data.protocol import Protocol
from mixtconv.data.stillness import evenly_chosen
from mixtconv.data.transforms import least_training_side
from mixtconv.evaluation.evaluate import evaluate_model
from mixtconv.evaluation.settings import EvaluationSettings, SplitChoice
from mixtconv.fitting.choosing import choose
from mixtconv.fitting.estimate import HeldOut, estimate, give_advice
from mixtconv.fitting.ladder import small_recipe
from mixtconv.fitting.page import ScoredPart, write_fit_page
from mixtconv.fitting.record import FINAL, FitRecord, FitRun, Plan
from mixtconv.fitting.settings import FitSettings
from mixtconv.fitting.survey import MAX_SURVEYED, Survey, survey_clips
from mixtconv.fitting.trials import Training, TrainingLists
from mixtconv.models.spec import ModelSpec
from mixtconv.reporting.scored_runs import ShowStage

logger = logging.getLogger(__name__)

RESERVE_SECONDS = 6.0
"""Kept for scoring and the report, with `RESERVE_PER_CLIP` for every clip that is scored there."""
RESERVE_PER_CLIP = 0.02


@dataclass(frozen=True)
class FitResult:
    """A finished fit."""

    model: Path
    report: Path
    record: FitRecord


def fit(settings: FitSettings, *, progress: ShowStage, start: float | None = None) -> FitResult:
    """Make the best recognizer of some clips that the time allows.

    Args:
        settings: the clips, the time, and what is fixed.
        progress: makes a bar for a stage: `with progress("name") as show: show(done, total)`.
        start: `time.monotonic()` from which the time counts; by default now.

    Raises:
        ValueError: settings or clips that cannot be used.
        OSError: a file cannot be written.
        KeyboardInterrupt: after the best model so far was written.
    """
    run = FitRun(settings, start=start)
    with run.side_by_side:
        return _fit(run, progress)


def _fit(run: FitRun, progress: ShowStage) -> FitResult:
    settings = run.settings
    catalog, has_held_out = _training_part(settings)
    seen, frames = _decode(catalog, settings, progress)
    bad = _unreadable(seen, frames, skip=settings.skip_unreadable)
    readable = [sample for sample in catalog.train if sample.path not in bad]
    catalog = replace(catalog, train=tuple(readable))
    if len(seen) == len(readable) + len(bad):
        run.frames = frames
    survey = survey_clips(catalog, frames)
    run.record.survey = survey.sentences()
    for sentence in run.record.survey:
        logger.info("%s", sentence)
    num_folds, grouping, folds = _divide(catalog, survey, settings)
    lists = TrainingLists(catalog, folds, run.files.folder / "lists")
    run.reserve = RESERVE_SECONDS + RESERVE_PER_CLIP * len(catalog.val or catalog.train)
    plan = run.record.plan or choose(run, survey, lists, num_folds=num_folds)
    run.record.plan = plan
    held = _train(run, plan, lists, progress=progress)
    if held:
        run.record.estimate = estimate(
            held,
            classes=catalog.classes,
            groups=grouping.origin,
            num_clips=len(catalog.train),
        )
        logger.info("%s", run.record.estimate)
    else:
        logger.warning("no time for an estimate by cross-validation; give more --minutes")
    run.record.advice = give_advice(
        held,
        classes=catalog.classes,
        nearly_same=[(survey.keys[a], survey.keys[b]) for a, b in survey.nearly_same],
        curve=_learning_curve(run, plan, lists) if held else (),
    )
    for sentence in run.record.advice.sentences():
        logger.info("%s", sentence)
    report = _report(run, has_held_out=has_held_out, has_folds=bool(held), progress=progress)
    return FitResult(run.files.model, report, run.record)


def _training_part(settings: FitSettings) -> tuple[VideoCatalog, bool]:
    """The clips that all choices are made from, and whether the data hold out others."""
    catalog = load_catalog(settings, keep_missing=settings.skip_unreadable)
    listing = list_videos(settings, classes=catalog.classes, keep_missing=True)
    if any(video.split not in (None, "train") for video in listing.videos):
        return catalog, True
    return replace(catalog, train=(*catalog.train, *catalog.val), val=()), False


def _decode(
    catalog: VideoCatalog, settings: FitSettings, progress: ShowStage
) -> tuple[tuple[VideoSample, ...], FrameCache]:
    """The clips decoded and shrunk once, as all trainings of the small networks take them.

    Of more than are kept on disk (`cache_pays`), some that are spread over all of them.
    """
    recipe = small_recipe(settings)
    spec = ModelSpec(
        recipe["model"],
        catalog.classes,
        num_frames=recipe["num_frames"],
        image_size=recipe["image_size"],
    )
    side = least_training_side(spec.image_size, recipe["crop_scales"])
    form = cached_form(spec, Protocol(), training_side=side)
    assert form is not None  # of pictures
    samples, folder = catalog.train, default_folder()
    if len(samples) > MAX_SURVEYED and not cache_pays(
        [sample.path for sample in samples], form, folder
    ):
        samples = tuple(evenly_chosen(samples, MAX_SURVEYED))
    with progress("decoding the clips") as show:
        frames = fill_cache([sample.path for sample in samples], folder, form, progress=show)
    return samples, frames


def _unreadable(samples: Sequence[VideoSample], frames: FrameCache, *, skip: bool) -> set[Path]:
    """The clips that could not be decoded, if there may be any."""
    bad = [sample.path for sample in samples if sample.path not in frames]
    if bad and not skip:
        raise ValueError(
            f"{count_of(len(bad), 'video')} cannot be read: {first_few(bad)}; mixtconv check says "
            "why; repair or remove them, or leave them out with --skip-unreadable"
        )
    for path in bad:
        logger.warning("left out, cannot be read: %s", path)
    return set(bad)


def _divide(
    catalog: VideoCatalog, survey: Survey, settings: FitSettings
) -> tuple[int, Grouping, tuple[int, ...]]:
    """The number of folds, what they keep together, and the fold of every clip.

    Where groups would leave a fold's training without a class, every clip is a group of its own.
    """
    labels = np.array([sample.label for sample in catalog.train])
    num_folds = settings.folds
    if num_folds is None:
        num_folds = 5 if settings.minutes >= 30 else 3
    least = int(np.bincount(labels, minlength=len(catalog.classes)).min())
    used = max(2, min(num_folds or 2, least))  # trials need one that is held out
    alone = Grouping(
        tuple(map(str, range(len(labels)))),
        "nothing, since no sessions were found: if clips of one session are on both sides, the "
        "score in a new one is lower",
    )
    folds = np.zeros(len(labels), dtype=np.int64)
    for grouping in (survey.grouping(used) or alone, alone):
        if grouping.num_groups < used:
            continue
        folds = divide_into_folds(
            labels.tolist(), grouping.names, num_folds=used, seed=settings.seed
        )
        if all(set(labels[folds != fold]) == set(labels) for fold in range(used)):
            break
    else:  # of a class with a single clip, none can be held out
        single = [label for label, number in enumerate(np.bincount(labels)) if number == 1]
        folds[np.isin(labels, single)] = -1
    return num_folds and used, grouping, tuple(folds.tolist())


def _train(run: FitRun, plan: Plan, lists: TrainingLists, *, progress: ShowStage) -> list[HeldOut]:
    """The training on all clips, and beside it those of the folds for which there is time.

    Returns:
        The clips of every fold, scored by the model of the others.
    """
    folder = run.files.folder
    final = Training(FINAL, plan.recipe, lists.write("all"), plan.epochs, folder)
    folds = [_fold(run, plan, lists, fold) for fold in range(plan.num_folds)]
    trials = run.train(final, *folds)[1:]
    names = {sample.path.absolute(): sample.key for sample in lists.catalog.train}
    held = []
    for job, trial in zip(folds, trials, strict=True):
        if trial is None:
            continue
        with progress(f"scoring {job.name}") as show:
            scored = evaluate_model(
                job.folder,
                str(job.data.path),
                settings=_reading(run.settings, "val"),
                progress=show,
            )
        scores = scored.scores
        probabilities = scores.probabilities().numpy() * scores.readable.numpy()[:, None]
        keys = tuple(names[sample.path] for sample in scored.samples)
        held.append(HeldOut(keys, scores.labels.numpy(), probabilities))
    return held


def _fold(run: FitRun, plan: Plan, lists: TrainingLists, fold: int) -> Training:
    """The training on the clips of all other folds."""
    data = lists.write(f"fold-{fold + 1}", held_out=fold)
    # As many steps as on all clips: less training would make the estimate too low.
    epochs = round(plan.epochs * len(lists.folds) / data.num_train)
    folder = run.files.folder / "folds" / str(fold + 1)
    seconds = plan.cost.seconds(epochs, num_train=data.num_train)
    return Training(f"fold {fold + 1}", plan.recipe, data, epochs, folder, seconds)


def _learning_curve(run: FitRun, plan: Plan, lists: TrainingLists) -> list[tuple[float, float]]:
    """The first fold's score with a quarter, a half and all of the clips, if there is time."""
    whole = run.record.trials.get("fold 1")
    if whole is None:
        return []
    jobs = []
    for percent, name in {25: "a quarter of the clips", 50: "half of the clips"}.items():
        data = lists.write(f"part-{percent}", held_out=0, part=percent / 100)
        epochs = whole.epochs * whole.num_train // data.num_train  # as many steps, again
        folder = run.files.folder / "parts" / str(percent)
        jobs.append(Training(name, plan.recipe, data, epochs, folder, whole.seconds))
    rounds = math.ceil(len(jobs) / run.side_by_side.num_processes)
    if any(run.trial(job) is None for job in jobs) and rounds * whole.seconds > run.left:
        return []
    trials = [*run.train(*jobs), whole]
    return [
        (trial.num_train / whole.num_train, trial.top1 or 0.0)
        for trial in trials
        if trial is not None
    ]


def _report(run: FitRun, *, has_held_out: bool, has_folds: bool, progress: ShowStage) -> Path:
    """Score clips that the model was not trained on, and write the page."""
    settings, record, folder = run.settings, run.record, run.files.folder
    if has_held_out:
        part = ScoredPart(
            "fit",
            folder,
            settings,
            _reading(settings, None),
            "The scores are those of the part that the data hold out, val or test. Nothing was "
            "chosen by it, and it was scored once.",
        )
    elif has_folds:
        part = ScoredPart(
            "fold 1",
            folder / "folds" / "1",
            DataSource(str(folder / "lists" / "fold-1.csv")),
            _reading(settings, "val"),
            "The scores are those of the first fold, by a model that was trained on the others by "
            "the same recipe. The model of the fit was trained on all clips.",
        )
    else:
        part = ScoredPart(
            "fit",
            folder,
            DataSource(str(folder / "lists" / "all.csv")),
            _reading(settings, "all"),
            "The scores are those of the clips that the model was trained on, which says nothing "
            "about others: there was no time to hold any out.",
        )
    lists = {
        "The clips": record.survey,
        "What would help": record.advice.sentences() if record.advice else [],
        "How the model was chosen": [str(choice) for choice in record.choices],
    }
    expected = [f"{_capital(str(record.estimate))}."] if record.estimate else []
    path = folder / "report.html"
    with run.saved():
        evaluation = write_fit_page(
            part,
            path,
            title=f"{folder.name}: fitted to {Path(settings.data).name}",
            intro=expected,
            lists={
                name: [f"{_capital(text)}." for text in texts]
                for name, texts in lists.items()
                if texts
            },
            with_maps=run.limit.left > RESERVE_SECONDS,
            progress=progress,
        )
        if has_held_out:
            accuracy = asdict(evaluation.accuracy)
            record.held_out = {"num_clips": evaluation.num_videos, **accuracy}
            logger.info(
                "held-out part of the data: %.1f %% top-1 of %d clips",
                evaluation.accuracy.top1,
                evaluation.num_videos,
            )
    return path


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _reading(settings: FitSettings, split: SplitChoice | None) -> EvaluationSettings:
    return EvaluationSettings(split=split, device=settings.device, workers=settings.workers)
