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
from numpy.typing import NDArray

from mixtconv._folder_lock import alone_in
from mixtconv.data.folds import Grouping, divide_by_sessions, in_recordings
from mixtconv.data.listing import DataSource, one_label
from mixtconv.evaluation.evaluate import evaluate_model
from mixtconv.evaluation.scores_file import SavedScores
from mixtconv.evaluation.settings import EvaluationSettings, SplitChoice
from mixtconv.fitting.choosing import NONE_TO_HOLD_OUT, choose
from mixtconv.fitting.clips import decode, readable, training_part
from mixtconv.fitting.costs import with_usable_weights
from mixtconv.fitting.estimate import HeldOut, estimate, give_advice
from mixtconv.fitting.page import ScoredPart, write_fit_page
from mixtconv.fitting.record import FINAL, Division, FitRecord, FitRun, Plan
from mixtconv.fitting.settings import FitSettings
from mixtconv.fitting.survey import LOOK_FORM, MAX_SURVEYED, Survey, survey_clips
from mixtconv.fitting.trials import Training, TrainingLists
from mixtconv.reporting.scored_runs import ShowStage

logger = logging.getLogger(__name__)

RESERVE_SECONDS = 6.0
"""Kept for scoring and the report, with `RESERVE_PER_CLIP` for every clip that is scored there."""
RESERVE_PER_CLIP = 0.02
MANY_FOLDS_MINUTES = 30
"""Minutes from which more folds are trained."""


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
    with alone_in(Path(settings.out), "fit"):
        run = FitRun(settings, start=start)
        with run.naming_what_is_kept(), run.side_by_side:
            return _fit(run, progress)


def _fit(run: FitRun, progress: ShowStage) -> FitResult:
    catalog, has_held_out = training_part(run.settings)
    run.settings = with_usable_weights(run.settings, catalog.classes, device=run.device)
    settings = run.settings
    frames, seen = decode(catalog, settings, progress)
    catalog = readable(catalog, seen, frames, skip=settings.skip_unreadable)
    if all(sample.video in frames for sample in catalog.train) and frames.form != LOOK_FORM:
        run.frames = frames
    run.keep_to(catalog, known=frames.keys)
    survey = survey_clips(catalog, frames)
    run.record.survey = survey.sentences()
    for sentence in run.record.survey:
        logger.info("%s", sentence)
    division = run.division or run.keep_division(_divide(survey, settings))
    lists = TrainingLists(catalog, division.folds, run.files.folder / "lists")
    num_folds = lists.num_folds if settings.folds != 0 else 0
    num_scored = len(catalog.val) + (len(catalog.train) if num_folds or not catalog.val else 0)
    run.reserve = RESERVE_SECONDS + RESERVE_PER_CLIP * num_scored
    plan = run.record.plan or choose(run, survey, lists, num_folds=num_folds)
    run.record.plan = plan
    # A fit that goes on may have time for folds that the plan had none for.
    order = _order(lists)[: num_folds if settings.resume else plan.num_folds]
    held = _train(run, plan, lists, division.grouping, order, progress=progress)
    if held:
        run.record.estimate = estimate(
            held,
            classes=catalog.classes,
            groups=division.grouping.origin,
            num_clips=len(catalog.train),
        )
        logger.info("%s", run.record.estimate)
    elif num_folds:
        logger.warning("no time for an estimate by cross-validation; give more --minutes")
    elif settings.folds != 0:
        logger.warning("no estimate: %s", NONE_TO_HOLD_OUT)
    run.record.advice = give_advice(
        held,
        classes=catalog.classes,
        nearly_same=survey.nearly_same,
        curve=_learning_curve(run, plan, lists) if held else (),
    )
    for sentence in run.record.advice.sentences():
        logger.info("%s", sentence)
    scored_fold = held[0].fold if held else None
    report = _report(run, has_held_out=has_held_out, scored_fold=scored_fold, progress=progress)
    return FitResult(run.files.model, report, run.record)


def _divide(survey: Survey, settings: FitSettings) -> Division:
    """Folds by sessions, where they are known and enough of them can be held out.

    Else by recordings, of which segments are parts, or by clips.
    """
    labels = [one_label(sample.label) for sample in survey.catalog.train]
    wanted = settings.folds
    if wanted is None:
        wanted = 5 if settings.minutes >= MANY_FOLDS_MINUTES else 3
    # Of a class with a single clip none can be held out; trials need a fold even without estimate.
    least = min((number for number in np.bincount(labels).tolist() if number > 1), default=2)
    num_folds = max(2, min(wanted, least))
    sessions = survey.grouping(num_folds)
    found, by_sessions = divide_by_sessions(
        labels,
        sessions,
        recordings=survey.recordings,
        num_folds=num_folds,
        seed=settings.seed,
    )
    folds = tuple(found.tolist())
    if sessions is not None and by_sessions:
        return Division(sessions, folds)
    recordings = in_recordings(survey.recordings)
    if recordings is not None and recordings == sessions:
        return Division(recordings, folds)
    why = "no sessions were found"
    if sessions is not None:
        why = f"most of them have all clips of some class ({sessions.origin})"
    elif len(survey.looks) < len(labels):
        why = f"of more than {MAX_SURVEYED} clips sessions are not looked for"
    if recordings is not None:
        return Division(replace(recordings, origin=f"{recordings.origin}, since {why}"), folds)
    alone = Grouping(
        tuple(map(str, range(len(labels)))),
        f"nothing, since {why}: if clips of one session are on both sides, the score in a new one "
        "is lower",
    )
    return Division(alone, folds)


def _train(
    run: FitRun,
    plan: Plan,
    lists: TrainingLists,
    grouping: Grouping,
    numbers: Sequence[int],
    *,
    progress: ShowStage,
) -> list[HeldOut]:
    """The training on all clips, and beside it those of some folds, if there is time for them.

    Returns:
        The clips of every fold, scored by the model of the others.
    """
    all_clips = lists.write("all")
    final = Training(FINAL, plan.recipe, all_clips, plan.epochs, run.files.folder / FINAL)
    folds = [_fold(run, plan, lists, number) for number in numbers]
    trials = run.train(final, *folds)[1:]
    groups = dict(zip(lists.catalog.train, grouping.names, strict=True))
    own = {sample.video: sample for sample in lists.catalog.train}
    held = []
    for number, job, trial in zip(numbers, folds, trials, strict=True):
        if trial is None:
            continue
        if not trial.is_whole:
            logger.warning(
                "%s is left out of the estimate: it was cut short after %.3g of %d epochs",
                *(job.name, trial.epochs, trial.planned),
            )
            continue
        with progress(f"scoring {job.name}") as show:
            scored = evaluate_model(
                job.folder,
                str(job.data.path),
                settings=_reading(run.settings, "val"),
                progress=show,
            )
        samples = [own[sample.video] for sample in scored.samples]
        held.append(
            HeldOut(
                number,
                tuple(sample.key for sample in samples),
                np.array([sample.label for sample in samples]),
                _probabilities(scored.scores, lists.catalog.classes),
                tuple(groups[sample] for sample in samples),
            )
        )
    return held


def _probabilities(scores: SavedScores, classes: Sequence[str]) -> NDArray[np.float32]:
    """(N, K) in the order of `classes`, which may be another than that of a list's classes."""
    probabilities = np.zeros((len(scores.keys), len(classes)), dtype=np.float32)
    places = [classes.index(name) for name in scores.classes]
    readable = scores.readable.numpy()[:, None]
    probabilities[:, places] = scores.probabilities().numpy() * readable
    return probabilities


def _order(lists: TrainingLists) -> list[int]:
    """Folds in the order in which they are scored: the one that has chosen the recipe last."""
    return [*range(1, lists.num_folds), 0]


def _fold(run: FitRun, plan: Plan, lists: TrainingLists, fold: int) -> Training:
    """The training on the clips of all other folds."""
    data = lists.write(f"fold-{fold + 1}", held_out=fold)
    # As many steps as on all clips: less training would make the estimate too low.
    epochs = round(plan.epochs * len(lists.folds) / data.num_train)
    folder = run.files.folder / "folds" / str(fold + 1)
    seconds = plan.cost.seconds(epochs, num_train=data.num_train)
    return Training(f"fold {fold + 1}", plan.recipe, data, epochs, folder, seconds)


def _learning_curve(run: FitRun, plan: Plan, lists: TrainingLists) -> list[tuple[float, float]]:
    """A fold's score with a quarter, a half and all of the clips, if there is time."""
    fold = _order(lists)[0]
    whole = run.record.trials.get(f"fold {fold + 1}")
    if whole is None:
        return []
    jobs = []
    for percent, name in {25: "a quarter of the clips", 50: "half of the clips"}.items():
        data = lists.write(f"part-{percent}", held_out=fold, part=percent / 100)
        epochs = round(whole.epochs * whole.num_train / data.num_train)  # as many steps, again
        folder = run.files.folder / "parts" / str(percent)
        jobs.append(Training(name, plan.recipe, data, epochs, folder, whole.seconds))
    rounds = math.ceil(len(jobs) / run.side_by_side.num_processes)
    if any(run.trial(job) is None for job in jobs) and rounds * whole.seconds > run.left:
        logger.info(
            "no time to try how much more clips would help: it takes about %.0f s",
            rounds * whole.seconds,
        )
        return []
    points = [
        (trial.num_train / whole.num_train, trial.top1)
        for trial in (*run.train(*jobs), whole)
        if trial is not None and trial.top1 is not None and trial.is_whole
    ]
    return points if len(points) > 1 else []


def _report(
    run: FitRun, *, has_held_out: bool, scored_fold: int | None, progress: ShowStage
) -> Path:
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
    elif scored_fold is not None:
        number = scored_fold + 1
        part = ScoredPart(
            f"fold {number}",
            folder / "folds" / str(number),
            DataSource(str(folder / "lists" / f"fold-{number}.csv")),
            _reading(settings, "val"),
            f"The scores are those of fold {number}, by a model that was trained on the others by "
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
