"""`mixtconv report RUN...`."""

import logging

from mixtconv._names import count_of
from mixtconv.cli.console import Format, print_json, print_table, progress
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.reporting.settings import ReportData, ReportScale

logger = logging.getLogger(__name__)


def report(
    runs: list[str],
    data: ReportData,
    reading: EvaluationSettings,
    scale: ReportScale,
    *,
    title: str | None = None,
    seed: int = 0,
    out: str = "report.html",
    format: Format = "table",
) -> int:
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
        format: How the scores are printed, table or json.
    """
    from mixtconv.reporting.runs import report_runs

    result = report_runs(
        runs, data, out, settings=reading, scale=scale, title=title, seed=seed, progress=progress
    )
    for video in result.unreadable:
        logger.warning("counted as wrong, cannot be read: %s (%s)", video.path, video.reason)
    for remark in result.remarks:
        logger.warning("%s", remark)
    if format == "json":
        print_json(result.to_dict())
    else:
        print_table(result.columns, result.rows, title=count_of(result.num_videos, "video"))
    logger.info("wrote %s", result.path)
    return 1 if result.unreadable else 0
