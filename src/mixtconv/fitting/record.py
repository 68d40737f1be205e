"""What a fit has done so far: its choices, its trainings, its scores, in `fit.json`."""

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from mixtconv._atomic_write import encoded, write_atomically
from mixtconv._names import flag
from mixtconv._stopping import Stopped
from mixtconv._strict_json import to_json
from mixtconv.data.contents import recorded_contents, refuse_changed, write_contents
from mixtconv.data.datasets.catalog import VideoCatalog
from mixtconv.data.folds import Grouping
from mixtconv.data.frame_cache import FrameCache
from mixtconv.data.listing import one_label
from mixtconv.fitting.costs import TrainingCost
from mixtconv.fitting.estimate import Advice, Estimate
from mixtconv.fitting.ladder import Candidate
from mixtconv.fitting.settings import FitSettings
from mixtconv.fitting.side_by_side import SideBySide, processes_that_pay
from mixtconv.fitting.trials import TimeLimit, Training, Trial, run_trial
from mixtconv.models.device import resolve_device
from mixtconv.training.plan import videos_by_name
from mixtconv.training.run_folder import RunFiles
from mixtconv.video.segment import Video

logger = logging.getLogger(__name__)

CHOSEN = ("model", "weights", "modality", "num_frames", "image_size", "lr")
"""What the choice of a recipe decides."""

_FREE_TO_CHANGE = {"minutes", "out", "resume", "workers", "device"}
"""Settings that a fit may go on with other values of."""

FINAL = "final"
"""Name of the training on all clips."""


@dataclass(frozen=True)
class Choice:
    """Something that was decided."""

    settings: dict[str, Any]
    """By the names of the flags that fix them."""
    reason: str

    def __str__(self) -> str:
        flags = [_as_flag(name, value) for name, value in self.settings.items()]
        return f"{' '.join(flags)}: {self.reason}"


def _as_flag(name: str, value: Any) -> str:
    return f"{flag(name)} {str(value).lower() if isinstance(value, bool) else value}"


@dataclass(frozen=True)
class Division:
    """The clips of a fit in folds."""

    grouping: Grouping
    """What is kept together."""
    folds: tuple[int, ...]
    """The fold of every clip; -1 is never held out."""


@dataclass(frozen=True)
class Plan:
    """The last training and the cross-validation."""

    recipe: Candidate
    epochs: int
    num_folds: int
    """Folds of the cross-validation; 0 for none."""
    cost: TrainingCost
    """Of each of these trainings."""


@dataclass
class FitRecord:
    """What a fit has done so far, as `fit.json` holds it."""

    data: str
    minutes: float
    settings: dict[str, Any] = field(default_factory=dict)
    """Those that it was begun with and keeps to."""
    clips: str = ""
    """Hash of the names, labels and groups of the clips."""
    survey: list[str] = field(default_factory=list)
    """Sentences about the clips."""
    choices: list[Choice] = field(default_factory=list)
    trials: dict[str, Trial] = field(default_factory=dict)
    """By name, those of folds and of the last training among them."""
    plan: Plan | None = None
    """What follows from the choices; a fit that goes on keeps to it."""
    estimate: Estimate | None = None
    held_out: dict[str, Any] | None = None
    """Scores of the `val/` or `test/` of the data."""
    advice: Advice | None = None
    seconds: float = 0.0
    """All, of this and of earlier calls."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **asdict(self),
            "estimate": self.estimate.to_dict() if self.estimate else None,
            "advice": self.advice.to_dict() if self.advice else None,
        }


class FitRun:
    """A fit in its folder: trains, and keeps the record and the best model so far.

    Args:
        settings: of the fit.
        start: `time.monotonic()` from which its time counts; by default now.

    Raises:
        ValueError: the folder holds another fit, or none to go on with, or one with other settings.
    """

    def __init__(self, settings: FitSettings, *, start: float | None = None) -> None:
        self.settings = settings
        self.limit = TimeLimit(settings.minutes, start=start)
        self.reserve = 0.0
        """Seconds kept for the end."""
        self.frames: FrameCache | None = None
        """Frames of the clips, once they are decoded; None of too many."""
        self.files = RunFiles(Path(settings.out))
        self.record_file = self.files.folder / "fit.json"
        self.folds_file = self.files.folder / "lists" / "folds.json"
        self.device = resolve_device(settings.device)
        self.record = self._begin()
        self._seconds_before = self.record.seconds
        self.side_by_side = SideBySide(processes_that_pay(self.device), module=run_trial.__module__)

    def _begin(self) -> FitRecord:
        """A new record, or that of the fit that goes on."""
        settings, folder = self.settings, self.files.folder
        if settings.resume:
            if not self.record_file.exists():
                raise ValueError(f"{folder} holds no fit to go on with: leave out --resume")
            return _read_record(self.record_file, settings)
        if self.record_file.exists() or self.files.config.exists():
            raise ValueError(
                f"{folder} holds a fit or a run already: give --resume to go on, or another --out"
            )
        folder.mkdir(parents=True, exist_ok=True)
        return FitRecord(settings.data, settings.minutes, _decisive(settings))

    def keep_to(self, catalog: VideoCatalog, *, known: Mapping[Video, str]) -> None:
        """Refuse other clips than those that the fit was begun with.

        Args:
            catalog: the clips.
            known: `contents.content_key` of some.

        Raises:
            ValueError: clips were added, left out, changed or given another label or group.
        """
        lines = [
            f"{sample.key}\t{catalog.classes[one_label(sample.label)]}\t{sample.group}"
            for sample in catalog.train
        ]
        clips = hashlib.sha256(encoded("\n".join(lines))).hexdigest()
        if self.record.clips not in ("", clips):
            raise ValueError(
                f"the clips of {self.settings.data} are not those that the fit in "
                f"{self.files.folder} was begun with: go on with the same, or give another --out"
            )
        begun = f"the fit in {self.files.folder}"
        contents = recorded_contents(videos_by_name(catalog), known=known)
        if self.record.clips:
            refuse_changed(self.files.videos, contents, begun=begun)
        else:
            write_contents(self.files.videos, contents)
        self.record.clips = clips

    @property
    def division(self) -> Division | None:
        """The division of a fit that goes on; of a new one None."""
        if not (self.settings.resume and self.folds_file.exists()):
            return None
        try:
            values = json.loads(self.folds_file.read_text())
            grouping = Grouping(tuple(values["groups"]), values["origin"])
            return Division(grouping, tuple(values["folds"]))
        except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise _not_of_a_fit(self.folds_file, error) from error

    def keep_division(self, division: Division) -> Division:
        """Write the division, which other minutes or a fuller disk would make another."""
        values = {
            "origin": division.grouping.origin,
            "groups": division.grouping.names,
            "folds": division.folds,
        }
        self.folds_file.parent.mkdir(exist_ok=True)
        write_atomically(self.folds_file, to_json(values).encode(), alone=True)
        return division

    def decide(self, recipe: Candidate, reason: str) -> None:
        """Record the choice of a recipe; what the user has fixed is none."""
        names = set(CHOSEN) - set(self.settings.fixed())
        if self.settings.model is not None or self.settings.weights != "auto":
            names -= {"weights"}
        chosen = {name: recipe.settings[name] for name in CHOSEN if name in names}
        if chosen:
            self.say(chosen, reason)

    def say(self, settings: dict[str, Any], reason: str) -> None:
        """Record a choice, and tell the user."""
        choice = Choice(settings, reason)
        self.record.choices.append(choice)
        logger.info("chosen: %s", choice)

    @property
    def left(self) -> float:
        """Seconds left without those kept for the end, at least 0."""
        return max(0.0, self.limit.left - self.reserve)

    def train(self, *jobs: Training) -> list[Trial | None]:
        """Trainings side by side; one that is done, by the same recipe, is not done again.

        Returns:
            What came of each; None of those for which there was no time.
        """
        todo = [job for job in jobs if self.trial(job) is None]
        if todo:
            logger.info("training %s", ", ".join(map(str, todo)))
        with self.saved():  # what was decided so far, for a fit that is killed in these trainings
            for job in todo:
                self.record.trials.pop(job.name, None)  # by another recipe, or not to its end
        if any(job.name == FINAL for job in todo):
            self._point_to_last_training()
        # The last training gets what is kept for the end as well: nothing else makes up for it.
        ends = [time.time() + (self.limit.left if job.name == FINAL else self.left) for job in todo]
        tasks = [
            partial(run_trial, job, self.settings, frames=self.frames, end=end)
            for job, end in zip(todo, ends, strict=True)
        ]
        self.side_by_side.run(tasks, lambda place, trial: self._keep(todo[place], trial))
        return [self.trial(job) for job in jobs]

    def trial(self, job: Training) -> Trial | None:
        """What came of a training, if it is done."""
        done = self.record.trials.get(job.name)
        if done is None or done.planned != job.epochs:
            return None
        # The arithmetic is what is faster here, which may be another when a fit goes on.
        same = {**done.settings, "precision": None} == {**job.recipe.settings, "precision": None}
        return done if same else None

    def _keep(self, job: Training, trial: Trial | None) -> None:
        if trial is None:
            logger.warning("no time for %s: it takes about %.0f s", job.name, job.seconds)
            return
        with self.saved():
            self.record.trials[job.name] = trial
            if job.name == FINAL:
                self._hand_out(job.folder)
            elif job.name.startswith("trial") and FINAL not in self.record.trials:
                tried = (t for name, t in self.record.trials.items() if name.startswith("trial"))
                if trial.rank == min(item.rank for item in tried):
                    write_atomically(
                        self.files.model, RunFiles(job.folder).model.read_bytes(), alone=True
                    )
        if trial.top1 is not None:
            logger.info(
                "%s: %.1f %% of %d held-out clips, %.0f s",
                job.name,
                trial.top1,
                trial.num_val,
                trial.seconds,
            )

    def _point_to_last_training(self) -> None:
        """Without any trial, make the model that of the last training's latest epoch, by a link."""
        model = self.files.model
        if self._has_trials:
            return
        with suppress(OSError):  # a system without links: Ctrl-C copies it, a killed fit has none
            model.unlink(missing_ok=True)
            model.symlink_to(RunFiles(Path(FINAL)).model)

    @property
    def _has_trials(self) -> bool:
        return any(name.startswith("trial") for name in self.record.trials)

    def _hand_out(self, folder: Path) -> None:
        """Copy the model of the last training, its settings and its record into the fit's folder.

        Until it has ended, the model there is that of the best trial: in the middle of a training,
        at its high learning rate, a network may recognize nothing yet.
        """
        run, files = RunFiles(folder), self.files
        for source, target in (
            (run.config, files.config),
            (run.metrics, files.metrics),
            (run.model, files.model),
        ):
            if source.exists():  # of a training that was stopped, the last one may be missing
                write_atomically(target, source.read_bytes(), alone=True)

    @contextmanager
    def naming_what_is_kept(self) -> Iterator[None]:
        """Say what a fit that a signal ends in the block goes on with, and copy its best model.

        Raises:
            Stopped: a signal has ended it, and something is kept.
        """
        try:
            yield
        except KeyboardInterrupt as stop:
            is_done = FINAL in self.record.trials
            if not is_done and not self._has_trials:
                self._hand_out(self.files.folder / FINAL)
            if not self.record_file.exists():
                raise
            model = self.files.model
            best = f", and {model} is the best model so far" if model.exists() else ""
            kept = f"{self.record_file} has what is done{best}"
            raise Stopped.after(stop, kept, go_on="resume") from stop

    @contextmanager
    def saved(self) -> Iterator[None]:
        """Write the record after a step, also one that was stopped."""
        try:
            yield
        finally:
            self.record.seconds = self._seconds_before + self.limit.spent
            text = to_json(self.record.to_dict(), indent=2)
            write_atomically(self.record_file, text.encode(), alone=True)


def _decisive(settings: FitSettings) -> dict[str, Any]:
    """The settings that a fit keeps to, as JSON holds them."""
    names = {field.name for field in fields(settings)} - _FREE_TO_CHANGE
    return {name: getattr(settings, name) for name in sorted(names)}


def _not_of_a_fit(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} does not hold the record of a fit ({error!r}): give another --out")


def _read_record(path: Path, settings: FitSettings) -> FitRecord:
    """The record of a fit that goes on: its trainings, and its choices if all were made.

    Raises:
        ValueError: no record of a fit, or one that was begun with other settings.
    """
    now = _decisive(settings)
    try:
        values = json.loads(path.read_text())
        before = values["settings"]
        record = FitRecord(settings.data, settings.minutes, now, values["clips"])
        record.seconds = values["seconds"]
        trials = {name: Trial(**trial) for name, trial in values["trials"].items()}
        # Before the plan all are done again, which goes on in their folders and is short: with
        # other minutes other recipes and epochs may be compared.
        if values["plan"] is not None:
            # Those that the time has ended go on.
            whole = {name for name, trial in trials.items() if trial.epochs >= trial.planned}
            record.trials = {name: trials[name] for name in trials if name in whole}
            record.choices = [Choice(**choice) for choice in values["choices"]]
            recipe = Candidate(**values["plan"].pop("recipe"))
            cost = TrainingCost(**values["plan"].pop("cost"))
            record.plan = Plan(recipe, cost=cost, **values["plan"])
        changed = [name for name in now if before[name] != now[name]]
    except (AttributeError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _not_of_a_fit(path, error) from error
    if "data" in changed:
        raise ValueError(
            f"{path.parent} was begun with {before['data']}: go on with the same, or give another "
            "--out"
        )
    if changed:
        raise ValueError(
            f"{path.parent} was begun with other settings ({', '.join(map(flag, changed))}): go on "
            "with the same, or give another --out"
        )
    return record
