"""The choice of a recipe by trials on a fold that is held out, and of what fits into the time.

what each candidate costs -> trials of the candidates -> trials of the best with one thing
    changed (mirrored clips, another learning rate) -> epochs and folds by the time left
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from mixtconv._names import count_of, first_few
from mixtconv.data.labels import mirror_labels
from mixtconv.fitting.costs import Cost, TrainingCost, measure_cost
from mixtconv.fitting.ladder import QUICK_MINUTES, Candidate, candidates, mirrored
from mixtconv.fitting.record import FitRun, Plan
from mixtconv.fitting.survey import Survey
from mixtconv.fitting.trials import Training, TrainingLists, Trial

logger = logging.getLogger(__name__)

NONE_TO_HOLD_OUT = "no clip can be held out, as each class has a single clip or recording"

LADDER_SHARE = 0.2
"""Part of the time that goes to trying recipes, at most."""
FEATURES_SHARE = 0.3
"""Part of the time that goes to features that are kept, at most."""
TRIAL_EPOCHS = (4, 8)
"""Least and most passes of a trial."""
EPOCHS = (3, 60)
"""Least and most passes of the last training."""
GOOD_EPOCHS = 20
"""Passes of the last training that come before further folds of the estimate."""
FOLDED_EPOCHS = 8
"""Passes of the last training that come before any fold."""
MAX_TRIED = 3000
"""Clips of a trial; of more, so many are taken."""
OVERHEAD = 1.3
"""The time of a training over that of its steps alone: loading, scoring, files."""
PLANNED = 0.95
"""Part of the time left that is planned for: a machine's speed varies."""
OTHER_RATES = {"slower": 0.4, "faster": 2.5}
"""Learning rates that are tried, over that of the recipe."""
RATE_MARGIN = 0.03
"""Part by which another rate's loss must be smaller: differences between seeds are as large."""


def choose(run: FitRun, survey: Survey, lists: TrainingLists, *, num_folds: int) -> Plan:
    """Choose the recipe by trials, then the epochs by the time that is left.

    Args:
        run: the fit.
        survey: its clips.
        lists: those of its trainings.
        num_folds: folds of the cross-validation, if there is time for it.

    Raises:
        ValueError: none of the recipes can be used.
    """
    chooser = _Chooser(run, survey, lists)
    recipe = chooser.recipe()
    return chooser.plan(recipe, num_folds)


class _Chooser:
    """Chooses recipe and epochs for a fit.

    Args:
        run: the fit.
        survey: its clips.
        lists: those of its trainings.
    """

    def __init__(self, run: FitRun, survey: Survey, lists: TrainingLists) -> None:
        self.run = run
        self.survey = survey
        self.lists = lists
        self.num_tried = min(lists.num_train(held_out=0), MAX_TRIED)
        self.costs: dict[str, Cost] = {}
        """What trials cost, by name: without features that the last training takes as well."""
        self.features: dict[str, float] = {}
        """Seconds of the features of a clip, by candidate."""

    def recipe(self) -> Candidate:
        """The best of the recipes that the time allows to try.

        Raises:
            ValueError: none of them can be used.
        """
        run = self.run
        time = LADDER_SHARE * run.left
        end = run.limit.spent + time
        items = self._affordable(time)
        if self.lists.num_folds == 0:
            return self._untried(items[0])
        end += max(self.features.values()) * self.num_tried
        if run.settings.flip is None:
            items = [mirrored(item, flip=False) for item in items]
        best = items[0]
        if len(items) == 1:
            run.decide(best, best.reason)
        else:
            epochs = self._epochs(items, time / 2)
            if epochs >= TRIAL_EPOCHS[0]:
                best = self._compare(items, epochs)
            else:
                run.decide(best, f"{best.reason}; no time to compare it with others")
        return self._improve(best, end - run.limit.spent)

    def _untried(self, item: Candidate) -> Candidate:
        """The likeliest recipe, where no clip can be held out to try others."""
        why = f"others are not tried: {NONE_TO_HOLD_OUT}"
        self.run.decide(item, f"{item.reason}; {why}")
        if self.run.settings.flip is not None:
            return item
        self.run.say({"flip": False}, why)
        return mirrored(item, flip=False)

    def _affordable(self, time: float) -> list[Candidate]:
        """The candidates that can be used and tried within the time, at least one."""
        run = self.run
        items = candidates(
            run.settings, is_camera_still=self.survey.is_camera_still, device=run.device.type
        )
        affordable: list[Candidate] = []
        reasons = []
        for item, cost in zip(items, self._costs(items), strict=False):
            if isinstance(cost, str):
                logger.info("%s is not tried: %s", item.name, cost)
                reasons.append(cost)
                continue
            seconds = cost.step * OVERHEAD * self.num_tried * TRIAL_EPOCHS[0]
            once = cost.once * len(self.lists.folds)
            if affordable and (seconds > time / 2 or once > FEATURES_SHARE * run.left):
                logger.info(
                    "%s is not tried: an epoch takes about %.0f s, too long for %g minutes",
                    item.name,
                    cost.step * len(self.lists.folds) + once,
                    run.settings.minutes,
                )
                continue
            self.costs[item.name] = replace(cost, once=0.0)
            self.features[item.name] = cost.once
            affordable.append(cost.recipe)
        if not affordable:
            listed = "; ".join(dict.fromkeys(reasons))
            raise ValueError(f"none of the recipes can be used: {listed}")
        return affordable

    def _costs(self, items: Sequence[Candidate]) -> list[Cost | str]:
        """What each costs, or why it cannot be used; in little time only up to the first usable."""
        settings, classes = self.run.settings, self.survey.classes
        costs: dict[int, Cost | str] = {}
        if settings.minutes >= QUICK_MINUTES:
            tasks = [partial(measure_cost, item, settings, classes) for item in items]
            self.run.side_by_side.run(tasks, costs.__setitem__)
            return [costs[place] for place in range(len(items))]
        for place, item in enumerate(items):  # even a look at the others takes seconds
            costs[place] = measure_cost(item, settings, classes)
            if isinstance(costs[place], Cost):
                break
        return list(costs.values())

    def _compare(self, items: Sequence[Candidate], epochs: int) -> Candidate:
        """The one that recognizes the fold that is held out best."""
        trials = self._try(items, epochs)
        best = min(items, key=lambda item: trials[item.name].rank)
        scores = ", ".join(f"{name} {trial.percent}" for name, trial in trials.items())
        reason = f"of {scores} on a fold that was held out, after {count_of(epochs, 'epoch')}"
        self.run.decide(best, reason)
        return best

    def _improve(self, best: Candidate, time: float) -> Candidate:
        """The recipe with those changes by which the fold is recognized better."""
        plain = self.run.record.trials.get(f"trial {best.name}")
        tried = [] if plain else [best]
        changes: dict[str, Candidate] = {}
        epochs = math.ceil(plain.epochs) if plain else 0
        for name, item in self._changes(best).items():  # those for which there is time
            epochs = epochs or self._epochs([*tried, item], time)
            if epochs >= TRIAL_EPOCHS[0] and self._seconds([*tried, item], epochs) <= time:
                changes[name] = item
                tried.append(item)
        if changes:
            trials = self._try(tried, epochs)
            scores = {name: trials[item.name] for name, item in changes.items()}
            best = self._changed(best, plain or trials[best.name], scores)
        if self.run.settings.flip is None and "mirrored" not in changes:
            reason = "no time to try whether a mirrored clip shows the same"
            self.run.say({"flip": False}, reason)
        return best

    def _changes(self, best: Candidate) -> dict[str, Candidate]:
        """A recipe with one thing changed, by what is: what is left open, the first ones first."""
        changes: dict[str, Mapping[str, Any]] = {}
        if self.run.settings.flip is None:
            changes["mirrored"] = {"flip": True}
        if self.run.settings.lr is None:
            for name, factor in OTHER_RATES.items():
                changes[name] = {"lr": round(factor * best.settings["lr"], 6)}
        items = {
            name: Candidate(f"{best.name}-{name}", {**best.settings, **change}, best.reason)
            for name, change in changes.items()
        }
        cost = self.costs[best.name]
        for name, item in items.items():  # other crops have other features
            once = self.features[best.name] if name == "mirrored" else 0.0
            self.costs[item.name] = replace(cost, recipe=item, once=once)
        return items

    def _changed(self, best: Candidate, plain: Trial, trials: Mapping[str, Trial]) -> Candidate:
        """The recipe with the changes that help."""
        settings, run = dict(best.settings), self.run
        if "mirrored" in trials:
            trial = trials["mirrored"]
            settings["flip"] = trial.rank < plain.rank
            pairs = mirror_labels(self.survey.classes).pairs
            exchanged = f" ({first_few([' and '.join(pair) for pair in pairs])} exchanged)"
            reason = (
                f"{trial.percent} with mirrored clips{exchanged if pairs else ''} and "
                f"{plain.percent} without, on a fold that was held out"
            )
            run.say({"flip": settings["flip"]}, reason)
        rates = {name: trial for name, trial in trials.items() if name in OTHER_RATES}
        if rates:
            tried = {trial.settings["lr"]: trial for trial in (plain, *rates.values())}
            loss = {rate: trial.rank[0] for rate, trial in tried.items()}
            least = min(loss, key=lambda rate: loss[rate])
            if loss[least] < (1 - RATE_MARGIN) * loss[plain.settings["lr"]]:
                settings["lr"] = least
            scores = ", ".join(f"{rate:g} {trial.percent}" for rate, trial in tried.items())
            run.say({"lr": settings["lr"]}, f"of {scores} on a fold that was held out")
        return replace(best, settings=settings)

    def _try(self, items: Sequence[Candidate], epochs: int) -> dict[str, Trial]:
        """A trial of each, by its name."""
        part = self.num_tried / self.lists.num_train(held_out=0)
        data = self.lists.write("trial", held_out=0, part=part)
        folder = self.run.files.folder / "trials"
        jobs = [
            Training(f"trial {item.name}", item, data, epochs, folder / item.name) for item in items
        ]
        trials = self.run.train(*jobs)
        return {
            item.name: trial
            for item, trial in zip(items, trials, strict=True)
            if trial is not None  # always: a trial without time still gets some
        }

    def _epochs(self, items: Sequence[Candidate], time: float) -> int:
        """Passes of trials of all of them that fit into a time, at most those of a trial."""
        fitting = (n for n in range(TRIAL_EPOCHS[1], 0, -1) if self._seconds(items, n) <= time)
        return next(fitting, 0)

    def _seconds(self, items: Sequence[Candidate], epochs: int) -> float:
        """Time of trials of all of them, side by side."""
        loads = [0.0] * self.run.side_by_side.num_processes
        costs = [self.costs[item.name] for item in items]
        for time in sorted((epochs * c.step * OVERHEAD + c.once for c in costs), reverse=True):
            loads[loads.index(min(loads))] += time * self.num_tried
        return max(loads)

    def plan(self, recipe: Candidate, num_folds: int) -> Plan:
        """Epochs of the last training and folds, such that all fits into the time.

        Every fold takes as many steps as the last training, so that it is as well trained.
        """
        run = self.run
        processes = run.side_by_side.num_processes
        num_clips = len(self.lists.folds)
        tried = run.record.trials.get(f"trial {recipe.name}")
        cost = TrainingCost(0.0, self.costs[recipe.name].step * OVERHEAD)
        if tried is not None and not self.features[recipe.name]:
            cost = tried.cost
        if run.settings.epochs is not None:
            return Plan(recipe, run.settings.epochs, num_folds, cost)

        def affordable(folds: int) -> float:  # epochs of each training
            rounds = math.ceil((1 + folds) / processes)
            return cost.epochs(PLANNED * run.left / rounds, num_train=num_clips)

        # First a good model, then folds: one of them already gives an estimate.
        scored = max(
            (n for n in range(1, num_folds + 1) if affordable(n) >= GOOD_EPOCHS),
            default=int(num_folds > 0 and affordable(1) >= FOLDED_EPOCHS),
        )
        epochs = max(EPOCHS[0], min(int(affordable(scored)), EPOCHS[1]))
        trainings = f"{processes} trainings at a time" if processes > 1 else "one by one"
        validation = (
            f"with {scored} of {count_of(num_folds, 'fold')}" if scored else "without folds"
        )
        rounds = math.ceil((1 + scored) / processes)
        minutes = rounds * cost.seconds(epochs, num_train=num_clips) / 60
        reason = (
            f"about {num_clips * cost.clip:.1f} s each, {trainings}; {validation} {minutes:.1f} of "
            f"{run.settings.minutes:g} minutes"
        )
        run.say({"epochs": epochs}, reason)
        return Plan(recipe, epochs, scored, cost)
