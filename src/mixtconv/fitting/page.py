"""The page about a fit: the finished model on clips that it has not seen, and how it was found."""

from dataclasses import dataclass
from pathlib import Path

from mixtconv.data.listing import DataSource
from mixtconv.evaluation.evaluate import Evaluation
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.reporting.content import make_report
from mixtconv.reporting.scored_runs import ShowStage, score_runs
from mixtconv.reporting.settings import ReportScale
from mixtconv.training.run_folder import read_run
from mixtconv.visualization.report.page import write_report


@dataclass(frozen=True)
class ScoredPart:
    """A model and the clips that the page shows it on."""

    name: str
    """Name of the model on the page."""
    model: Path
    """Folder of its run."""
    data: DataSource
    """The clips."""
    reading: EvaluationSettings
    """Which of them, and how they are read."""
    about: str
    """What the clips are, in a sentence."""


def write_fit_page(
    part: ScoredPart,
    path: Path,
    *,
    title: str,
    intro: list[str],
    lists: dict[str, list[str]],
    with_maps: bool,
    progress: ShowStage,
) -> Evaluation:
    """Score a model and write the page about it.

    Args:
        part: the model and the clips.
        path: file of the page.
        title: of the page.
        intro: paragraphs on top, before the sentence on the clips.
        lists: lists of sentences below that, by their titles.
        with_maps: draw maps of the features as well, which takes some seconds.
        progress: makes a progress bar for a stage.

    Returns:
        The scores.
    """
    scored = score_runs(
        {part.name: read_run(part.model)},
        part.data,
        settings=part.reading,
        scale=ReportScale() if with_maps else ReportScale(max_clips=0),
        progress=progress,
    )
    report = make_report(scored, title=title, intro=[*intro, part.about], lists=lists)
    write_report(report, path)
    return scored.runs[0].evaluation
