"""`mixtconv report`: from the folders of runs to a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixtconv.data.dataset import Unreadable
from mixtconv.data.source import DataSource
from mixtconv.evaluation.reading import Reading
from mixtconv.models import read_metadata
from mixtconv.models.location import MODEL_FILE
from mixtconv.training.report_settings import ReportData, ReportScale
from mixtconv.training.run_folder import TrainedRun, read_run
from mixtconv.training.run_report import Progress, ScoredRuns, make_report, score_runs
from mixtconv.visualization.drawing import check_picture_path
from mixtconv.visualization.number_text import joined
from mixtconv.visualization.report import write_report

MAX_NAMES_IN_TITLE = 4


@dataclass(frozen=True)
class RunsReport:
    """The page and what it says of the scores."""

    path: Path
    data: str
    """The videos as the user named them."""
    scored: ScoredRuns

    @property
    def num_videos(self) -> int:
        return self.scored.runs[0].scores.num_videos

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """Videos that any of the models could not read."""
        found = {
            video.path: video
            for run in self.scored.runs
            for evaluation in run.evaluations
            for video in evaluation.unreadable
        }
        return tuple(found.values())

    @property
    def remarks(self) -> list[str]:
        """Sentences about what is missing on the page."""
        remarks = [f"{run.name}: {text}" for run in self.scored.runs for text in run.run.remarks]
        return remarks + list(self.scored.maps.notes if self.scored.maps else ())

    @property
    def columns(self) -> list[str]:
        """Heads of the table for people."""
        protocols = [evaluation.protocol for evaluation in self.scored.runs[0].evaluations]
        scores = [f"{name} % {protocol}" for protocol in protocols for name in ("top-1", "top-5")]
        return ["run", "model", "params", "MACs", *scores, "neighbourhood %"]

    @property
    def rows(self) -> list[list[object]]:
        """Rows of the table for people."""
        near = self._neighbourhoods()
        return [
            [
                run.name,
                run.spec.name,
                run.complexity.params,
                run.complexity.macs,
                *(
                    value
                    for evaluation in run.evaluations
                    for value in (evaluation.accuracy.top1, evaluation.accuracy.top5)
                ),
                near.get(run.name, float("nan")),
            ]
            for run in self.scored.runs
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv report --format json` prints them."""
        near = self._neighbourhoods()
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
                            "top1": evaluation.accuracy.top1,
                            "top5": evaluation.accuracy.top5,
                            "mean_class_accuracy": evaluation.accuracy.mean_class_accuracy,
                        }
                        for evaluation in run.evaluations
                    ],
                    "neighbourhood_accuracy": near.get(run.name),
                }
                for run in self.scored.runs
            ],
            "remarks": self.remarks,
            "unreadable": [
                {"path": video.path, "reason": video.reason} for video in self.unreadable
            ],
        }

    def _neighbourhoods(self) -> dict[str, float]:
        """Neighbourhood accuracies by run, where they are defined."""
        maps = self.scored.maps.maps if self.scored.maps else ()
        return {item.name: item.accuracy for item in maps if item.accuracy == item.accuracy}


def report_runs(
    runs: Sequence[str | Path],
    data: ReportData,
    out: str | Path,
    *,
    reading: Reading,
    scale: ReportScale,
    title: str | None = None,
    seed: int = 0,
    progress: Progress,
) -> RunsReport:
    """Score training runs on the same videos, and write a page about them.

    Args:
        runs: folders of runs, or model files.
        data: the videos; by default those that the runs were trained with.
        out: file of the page.
        reading: which of the videos, and how they are read.
        scale: how much stands on the page.
        title: of the page.
        seed: seed of the choice of clips for the maps, and of these.
        progress: makes a bar for a stage.

    Raises:
        ValueError: runs or data that cannot be used, runs of other classes or videos.
        OSError: the page cannot be written.
    """
    path = check_picture_path(out, [".html"])
    found = dict(zip(_names(runs), map(read_run, runs), strict=True))
    _check_classes(found)
    source = _data_of(found, data)
    scored = score_runs(found, source, reading=reading, scale=scale, seed=seed, progress=progress)
    name = source.data if source.root is None else f"{source.data} in {source.root}"
    path.parent.mkdir(parents=True, exist_ok=True)
    report = make_report(
        scored,
        title=title or f"{_listed(list(found))} on {name}",
        intro=[_intro(scored, name, reading)],
        num_examples=scale.num_examples,
    )
    return RunsReport(write_report(report, path), name, scored)


def _names(runs: Sequence[str | Path]) -> list[str]:
    """What runs are called: the last parts of their paths, as many as tell them apart."""
    parts = []
    for run in runs:
        path = Path(run)
        if path.name == MODEL_FILE and len(path.parts) > 1:
            path = path.parent
        parts.append(path.resolve().parts if str(path) in (".", "..") else path.parts)
    if len(set(parts)) < len(parts):
        twice = next(run for run, own in zip(runs, parts, strict=True) if parts.count(own) > 1)
        raise ValueError(f"{twice} is given twice; give each run once")
    count = 1
    while len({own[-count:] for own in parts}) < len(parts):
        count += 1
    return ["/".join(own[-count:]).removesuffix(".safetensors") for own in parts]


def _check_classes(runs: dict[str, TrainedRun]) -> None:
    classes = {name: read_metadata(run.model)["spec"]["classes"] for name, run in runs.items()}
    first, *others = classes
    for other in others:
        if classes[other] != classes[first]:
            raise ValueError(
                f"{first} knows {len(classes[first])} classes and {other} {len(classes[other])}, "
                "or they are others or in another order; a report compares models of the same "
                "classes"
            )


def _data_of(runs: dict[str, TrainedRun], data: ReportData) -> DataSource:
    """The videos that are asked for, or those that all runs were trained with."""
    if data.data is not None:
        return DataSource(data.data, data.root, data.official_split, data.class_order)
    if data.root is not None:
        raise ValueError("--root belongs to a known dataset; give its name as --data")
    sources = {
        name: DataSource(own.data, own.root, own.official_split, own.class_order)
        for name, run in runs.items()
        if (own := run.settings) is not None
    }
    if not sources:
        raise ValueError(
            f"no config.yaml lies beside {next(iter(runs.values())).model}, so the videos that it "
            "was trained with are not known; give --data"
        )
    if len(set(sources.values())) > 1:
        named = ", ".join(f"{name} with {source.data}" for name, source in sources.items())
        raise ValueError(f"the runs were trained with other videos ({named}); give --data")
    return next(iter(sources.values()))


def _listed(names: Sequence[str]) -> str:
    return joined(names) if len(names) <= MAX_NAMES_IN_TITLE else f"{len(names)} models"


def _intro(scored: ScoredRuns, data: str, reading: Reading) -> str:
    evaluation = scored.runs[0].scores
    which = f"split {reading.split}" if reading.split else "its val split, or all without one"
    models = "1 model" if len(scored.runs) == 1 else f"{len(scored.runs)} models"
    return f"{models} scored on {evaluation.num_videos} videos of {data} ({which})."
