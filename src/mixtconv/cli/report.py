"""`mixtconv report RUN...`."""

from typing import TYPE_CHECKING

from mixtconv._names import count_of
from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.reporting.settings import ReportData, ReportScale

if TYPE_CHECKING:
    from mixtconv.reporting.runs import RunsReport


def report(
    runs: list[str],
    data: ReportData,
    reading: EvaluationSettings,
    scale: ReportScale,
    *,
    title: str | None = None,
    seed: int = 0,
    out: str = "report.html",
) -> Result:
    """Write a page about one training run or several side by side.

    The page holds everything it shows: scores, curves, confusions, maps of features, examples,
    kernels, settings. An unreadable video is reported and counts as wrong; the exit status is then
    1.

    Args:
        runs: Folders of training runs, or model files.
        data: The videos; by default those that the runs were trained with.
        reading: Which of them, and how they are read.
        scale: How much the page shows.
        title: Title of the page.
        seed: Seed of the choice of clips for the maps, and of the maps.
        out: File of the page, .html; one that is there is replaced.
    """
    from mixtconv.reporting.runs import report_runs

    result = report_runs(
        runs, data, out, settings=reading, scale=scale, title=title, seed=seed, progress=progress
    )
    unreadable = [f"counted as wrong, cannot be read: {video}" for video in result.unreadable]
    return Result(
        result.to_dict(),
        [Table(result.columns, result.rows, count_of(result.num_videos, "video"))],
        [*unreadable, *result.remarks, *_events(result), f"wrote {result.path}"],
        status=1 if result.unreadable else 0,
    )


def _events(result: "RunsReport") -> list[str]:
    """A sentence about the events of each run that finds them."""
    return [
        f"{each.name}: {each.num_events} events annotated, {each.num_found} found, mAP@0.5 "
        f"{each.average_precision:.1f} %, F1@50 {each.f1:.1f} %; wrote "
        f"{result.path.with_name(each.page)}"
        for each in result.events
    ]
