"""Which recipe is chosen by given scores, and what fits into the time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixtconv.data.datasets.catalog import VideoCatalog
from mixtconv.data.listing import VideoSample
from mixtconv.fitting import choosing
from mixtconv.fitting.costs import Cost
from mixtconv.fitting.ladder import Candidate, candidates
from mixtconv.fitting.record import FitRun, Plan
from mixtconv.fitting.settings import FitSettings
from mixtconv.fitting.side_by_side import SideBySide
from mixtconv.fitting.survey import ClipLook, Survey
from mixtconv.fitting.trials import Training, TrainingLists, Trial

CLASSES = ("hop left", "hop right")
NUM_CLIPS = 60
SECONDS = 0.01 / choosing.OVERHEAD
"""Of a step by clip, so that a clip of an epoch takes a hundredth of a second."""

Losses = dict[str, float]
Choose = Callable[..., tuple[Plan, list[Training]]]


@pytest.fixture
def choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Choose:
    """Chooses for 60 clips of two classes, by the losses of trials as they are given."""
    samples = tuple(VideoSample(tmp_path / f"{i}.mp4", i % 2, str(i)) for i in range(NUM_CLIPS))
    looks = tuple(
        ClipLook(sample, 20, 64, 48, np.zeros((12, 12, 16), np.float32)) for sample in samples
    )
    catalog = VideoCatalog(CLASSES, samples, (), "", tmp_path)
    survey = Survey(catalog, looks)
    lists = TrainingLists(catalog, [i // 2 % 3 for i in range(NUM_CLIPS)], tmp_path / "lists")

    def cost(recipe: Any, settings: Any, classes: Any) -> Cost | str:
        return "no weights" if recipe.name == "frozen" else Cost(recipe, SECONDS)

    monkeypatch.setattr(choosing, "measure_cost", cost)

    def make(losses: Losses, *, processes: int = 1, **settings: Any) -> Any:
        run = FitRun(FitSettings("clips", out=str(tmp_path / "fit"), device="cpu", **settings))
        run.side_by_side.__exit__()
        run.side_by_side = SideBySide(1)
        run.side_by_side.num_processes = processes
        monkeypatch.setattr(run.side_by_side, "run", _in_turn)
        jobs: list[Training] = []

        def train(*new: Training) -> list[Trial]:
            jobs.extend(new)
            for job in new:
                epoch = 0.01 * job.data.num_train
                seconds = (job.epochs * epoch + 2, epoch)
                numbers = (job.data.num_train, job.data.num_val, job.epochs, job.epochs, *seconds)
                loss = losses[job.name.removeprefix("trial ")]
                run.record.trials[job.name] = Trial(job.recipe.settings, *numbers, 50.0, loss)
            return [run.record.trials[job.name] for job in new]

        monkeypatch.setattr(run, "train", train)
        return choosing.choose(run, survey, lists, num_folds=3), jobs

    return make


def _in_turn(tasks: Any, done: Callable[[int, Any], None]) -> None:
    for place, task in enumerate(tasks):
        done(place, task())


SAME = dict.fromkeys(
    [f"{name}{change}" for name in ("motion", "rgb") for change in
     ("", "-mirrored", "-slower", "-faster")], 1.0
)  # fmt: skip


@pytest.mark.parametrize("best", ["motion", "rgb"])
def test_the_smallest_loss_on_the_fold_decides(choose: Choose, best: str) -> None:
    plan, jobs = choose(SAME | {best: 0.5, f"{best}-slower": 0.5})
    assert plan.recipe.settings["modality"] == best
    # The others are changes of the best alone, on the same clips for as many epochs.
    assert [job.name for job in jobs[2:]] == [
        f"trial {best}-{name}" for name in ("mirrored", "slower", "faster")
    ]
    assert len({(job.data, job.epochs) for job in jobs}) == 1


@pytest.mark.parametrize(
    ("loss", "flip", "rate"),
    [
        ({}, False, 1.0),
        ({"motion-mirrored": 0.99}, True, 1.0),
        ({"motion-slower": 0.98}, False, 1.0),  # no more than seeds differ
        ({"motion-slower": 0.9, "motion-faster": 0.95}, False, 0.4),
        ({"motion-faster": 0.9, "motion-mirrored": 0.8}, True, 2.5),
    ],
)
def test_a_change_is_kept_if_it_helps(
    choose: Choose, loss: Losses, flip: bool, rate: float
) -> None:
    plan, jobs = choose(SAME | {"rgb": 2.0} | loss)
    before = jobs[0].recipe.settings
    assert plan.recipe.settings == {
        **before, "flip": flip, "lr": pytest.approx(rate * before["lr"])
    }  # fmt: skip


def test_what_is_fixed_is_not_tried(choose: Choose) -> None:
    plan, jobs = choose(SAME, modality="rgb", flip=True, lr=0.1)
    assert jobs == []
    assert (plan.recipe.settings["flip"], plan.recipe.settings["lr"]) == (True, 0.1)


def test_in_little_time_the_first_usable_recipe_is_taken(
    choose: Choose, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed(settings: FitSettings, **facts: Any) -> list[Candidate]:
        motion, *_ = candidates(settings, **facts)
        return [Candidate("frozen", motion.settings, ""), motion, Candidate("rgb", {}, "")]

    monkeypatch.setattr(choosing, "candidates", listed)
    plan, _ = choose(SAME, minutes=1.0)
    assert plan.recipe.name == "motion"


def test_the_reason_why_no_recipe_can_be_used_is_given(choose: Choose) -> None:
    with pytest.raises(ValueError, match="none of the recipes can be used: no weights"):
        choose(SAME, weights="imagenet")


def test_without_time_for_trials_nothing_is_mirrored(choose: Choose) -> None:
    plan, jobs = choose(SAME, minutes=0.2)
    assert jobs == [] and plan.recipe.settings["flip"] is False
    assert plan.recipe.settings["image_size"] == 48  # a fit of less than two minutes


@pytest.mark.parametrize(
    ("processes", "minutes", "folds", "epochs"),
    [
        # 19/20 of 15 s make 24 epochs of 60 clips at 0.01 s, or 12 and as many with a fold.
        (1, 15 / 60, 1, 12),
        (1, 60 / 60, 3, 24),
        (2, 15 / 60, 1, 24),  # the fold costs nothing
        (2, 30 / 60, 3, 24),
        (4, 15 / 60, 3, 24),
        (4, 100, 3, 60),  # no more than help
    ],
)
def test_epochs_and_folds_fit_into_the_time(
    choose: Choose, processes: int, minutes: float, folds: int, epochs: int
) -> None:
    fixed = {"modality": "motion", "flip": False, "lr": 0.01}
    plan, _ = choose({}, processes=processes, minutes=minutes, **fixed)
    assert (plan.num_folds, plan.epochs) == (folds, pytest.approx(epochs, abs=1))


def test_seconds_outside_epochs_are_planned_for(choose: Choose) -> None:
    # Of each of four trainings, which are given 19/20 of 15 s, 2 s are not in its epochs of 0.6 s.
    plan, _ = choose(SAME, modality="motion", flip=False, minutes=1.0)
    assert (plan.num_folds, plan.epochs) == (3, pytest.approx((0.95 * 15 - 2) / 0.6, abs=1))
    assert plan.cost.seconds(10, num_train=NUM_CLIPS) == pytest.approx(2 + 10 * 0.6)
