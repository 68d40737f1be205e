"""`mixtconv report`: from the folders of runs to a page."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mixtconv._names import count_of
from mixtconv.data.datasets.catalog import default_split
from mixtconv.evaluation.evaluate import Evaluation
from mixtconv.evaluation.settings import EvaluationSettings, SplitChoice
from mixtconv.reporting.content import make_report
from mixtconv.reporting.events import score_events
from mixtconv.reporting.inputs import find_data, find_runs
from mixtconv.reporting.scored_runs import ScoredRuns, ShowStage, score_runs
from mixtconv.reporting.settings import ReportData, ReportScale
from mixtconv.video.pictures import Unreadable
from mixtconv.visualization.drawing import check_picture_path
from mixtconv.visualization.number_text import joined
from mixtconv.visualization.report.page import write_report
from mixtconv.visualization.results import EventScores

MAX_NAMES_IN_TITLE = 4


@dataclass(frozen=True)
class RunsReport:
    """A page about training runs, and its scores."""

    path: Path
    """File of the page."""
    data: str
    """The videos as given."""
    scored: ScoredRuns
    events: tuple[EventScores, ...] = ()
    """Of the runs that find events in recordings."""
    without_events: tuple[str, ...] = ()
    """Sentences about events that are not scored."""

    @property
    def num_videos(self) -> int:
        return self.scored.runs[0].evaluation.num_videos

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """Videos that any of the models could not read."""
        by_path = {
            video.path: video
            for run in self.scored.runs
            for evaluation in run.evaluations
            for video in evaluation.unreadable
        }
        return tuple(by_path.values())

    @property
    def remarks(self) -> list[str]:
        """Sentences about what is missing on the page."""
        remarks = [f"{run.name}: {text}" for run in self.scored.runs for text in run.run.remarks]
        remarks += self.without_events
        return remarks + list(self.scored.maps.notes if self.scored.maps else ())

    @property
    def columns(self) -> list[str]:
        """Column headings of the table."""
        protocols = [evaluation.protocol for evaluation in self.scored.runs[0].evaluations]
        scores = [f"{name} % {protocol}" for protocol in protocols for name in self._scores]
        return ["run", "model", "params", "MACs", *scores, "neighbourhood %"]

    @property
    def rows(self) -> list[list[object]]:
        """Rows of the table."""
        neighbourhood = self._neighbourhood_accuracies()
        return [
            [
                run.name,
                run.spec.name,
                run.complexity.params,
                run.complexity.macs,
                *(value for evaluation in run.evaluations for value in _scores(evaluation)),
                neighbourhood.get(run.name, float("nan")),
            ]
            for run in self.scored.runs
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv report --format json` prints them."""
        neighbourhood = self._neighbourhood_accuracies()
        return {
            "report": str(self.path),
            "data": self.data,
            "num_videos": self.num_videos,
            "runs": [
                {
                    "name": run.name,
                    "model": run.spec.name,
                    "file": str(run.run.model),
                    "params": run.complexity.params,
                    "macs": run.complexity.macs,
                    "epochs": None if run.run.epochs is None else len(run.run.epochs),
                    "scores": [
                        {
                            "protocol": evaluation.protocol,
                            **asdict(evaluation.several or evaluation.accuracy),
                        }
                        for evaluation in run.evaluations
                    ],
                    "neighbourhood_accuracy": neighbourhood.get(run.name),
                }
                for run in self.scored.runs
            ],
            "events": [asdict(each) for each in self.events],
            "remarks": self.remarks,
            "unreadable": [video.to_dict() for video in self.unreadable],
        }

    @property
    def _scores(self) -> tuple[str, str]:
        """What the first scores of an evaluation are called."""
        several = self.scored.runs[0].spec.several_labels
        return ("mAP", "macro F1") if several else ("top-1", "top-5")

    def _neighbourhood_accuracies(self) -> dict[str, float]:
        """By run, if defined."""
        maps = self.scored.maps.maps if self.scored.maps else ()
        return {item.name: item.accuracy for item in maps if math.isfinite(item.accuracy)}


def report_runs(
    runs: Sequence[str | Path],
    data: ReportData,
    out: str | Path,
    *,
    settings: EvaluationSettings,
    scale: ReportScale,
    title: str | None = None,
    seed: int = 0,
    progress: ShowStage,
) -> RunsReport:
    """Score training runs on the same videos, and write a page about them.

    Args:
        runs: folders of runs, or model files.
        data: the videos; by default those that the runs were trained with.
        out: file of the page.
        settings: which of the videos, and how they are read; by default those that the runs held
            out, of other videos those that `evaluate_model` takes.
        scale: how much the page shows.
        title: of the page.
        seed: seed of the choice of clips for the maps, and of these.
        progress: makes a progress bar for a stage.

    Raises:
        ValueError: runs or data that cannot be used, or runs with different classes or videos.
        OSError: the page cannot be written.
    """
    path = check_picture_path(out, [".html"])
    named, classes = find_runs(runs)
    source = find_data(named, data)
    split = settings.split
    if split is None:  # of a run's own data only the held-out videos measure anything
        split = "val" if data.data is None else default_split(source, classes=classes)
    scored = score_runs(
        named, source, settings=replace(settings, split=split), scale=scale, seed=seed,
        progress=progress,
    )  # fmt: skip
    settings = replace(settings, split=split)
    events, missing = score_events(scored, source, path, settings=settings, progress=progress)
    name = source.data if source.root is None else f"{source.data} in {source.root}"
    report = make_report(
        scored,
        title=title or f"{_listed(list(named))} on {name}",
        intro=[_intro(scored, name, split)],
        events=events,
        num_examples=scale.num_examples,
    )
    return RunsReport(write_report(report, path), name, scored, events, tuple(missing))


def _scores(evaluation: Evaluation) -> tuple[float, float]:
    """The scores that the table shows."""
    if (several := evaluation.several) is not None:
        return several.mean_average_precision, several.macro_f1
    return evaluation.accuracy.top1, evaluation.accuracy.top5


def _listed(names: Sequence[str]) -> str:
    return joined(names) if len(names) <= MAX_NAMES_IN_TITLE else f"{len(names)} models"


_SPLITS: dict[SplitChoice, str] = {
    "val": "those held out for validation",
    "train": "those for training",
    "test": "its test split",
    "all": "all that there are, including any that a model was trained on",
}


def _intro(scored: ScoredRuns, data: str, split: SplitChoice) -> str:
    models = count_of(len(scored.runs), "model")
    videos = count_of(scored.runs[0].evaluation.num_videos, "video")
    return f"{models} scored on {videos} of {data}: {_SPLITS[split]}."
