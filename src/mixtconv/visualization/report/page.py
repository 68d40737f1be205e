"""The report as one HTML file that holds everything it shows and loads nothing from the network.

`report.html.j2` is the page and `report.css` its style; `pictures.py`, `tables.py` and `summary.py`
make what it cannot take from the results as they are.
"""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixtconv._atomic_write import write_text_atomically
from mixtconv._names import duration
from mixtconv.visualization.confusion import confusion_order, row_shares, top_confusions
from mixtconv.visualization.embedding import NUM_NEIGHBOURS
from mixtconv.visualization.feature_map import are_numbered, mark_svg
from mixtconv.visualization.frame_sheet import FRAMES_IN_A_ROW, frame_uris
from mixtconv.visualization.inline_svg import page_css, page_template
from mixtconv.visualization.kernels import time_shares
from mixtconv.visualization.number_text import in_common_unit
from mixtconv.visualization.report.pictures import (
    confusion_pictures,
    curve_pictures,
    kernel_pictures,
    map_pictures,
    matrix_name,
    size_in_words,
)
from mixtconv.visualization.report.summary import summary_sentences
from mixtconv.visualization.report.tables import (
    best_score,
    calibration_errors,
    protocol_columns,
    protocols,
    score_columns,
    settings_section,
)
from mixtconv.visualization.results import ModelResult, Report

OPEN_EXAMPLES = 8
"""Examples shown at once; the others can be unfolded."""
OPEN_KERNEL_SITES = 6
"""Places whose kernels are shown at once; those between them can be unfolded."""
LONG_LIST = 30
"""Number of rows from which a table scrolls."""


def write_report(report: Report, path: str | Path) -> Path:
    """Write the report to a file, and return its path."""
    path = Path(path)
    write_text_atomically(path, render_report(report))
    return path


def render_report(report: Report) -> str:
    """Write the report as one HTML page. The same report gives the same text.

    >>> from mixtconv.visualization import ModelResult
    >>> result = ModelResult(
    ...     "tsn_resnet18", "TSN", frames=8, top1=75.0, top5=100.0, params=11_000_000,
    ...     macs=14_000_000_000, seconds=60.0, confusion=np.array([[3, 1], [1, 3]]),
    ... )
    >>> page = render_report(Report("Two motions", ("Opening", "Closing"), (result,)))
    >>> page.count("<svg"), "Closing" in page
    (2, True)
    """
    results = report.results
    shares = [row_shares(result.confusion, result.totals) for result in results]
    order = confusion_order(np.sum(shares, axis=0))
    labels = report.maps.labels if report.maps else np.empty(0, np.int64)
    places = np.argsort(order)[labels]
    return page_template("report/report.html.j2").render(
        report=report,
        css=page_css(),
        summary=summary_sentences(report),
        best_score=best_score,
        calibration_errors=calibration_errors(results),
        in_common_unit=in_common_unit,
        duration=duration,
        protocols=protocols(results),
        by_protocol=list(zip(*(result.protocol_scores for result in results), strict=True)),
        curves=curve_pictures(results),
        order=order,
        recognized=[_recognized(result) for result in results],
        confusions=[confusion_pictures(report, order, index) for index in range(len(results))],
        top_confusions=top_confusions,
        score_columns=score_columns(report),
        protocol_columns=protocol_columns(report),
        matrix_name=matrix_name(report),
        frame_uris=frame_uris,
        frames_in_a_row=FRAMES_IN_A_ROW,
        open_examples=OPEN_EXAMPLES,
        kernels=[kernel_pictures(report, index) for index in range(len(results))],
        open_sites=_open_sites,
        size_in_words=size_in_words,
        time_shares=time_shares,
        maps=map_pictures(report, places),
        shown_places=np.unique(places).tolist(),
        mark_svg=mark_svg,
        are_numbered=are_numbered(report.classes),
        num_neighbours=NUM_NEIGHBOURS,
        settings=settings_section(report),
        nan=math.nan,
        long_list=LONG_LIST,
    )


def _recognized(result: ModelResult) -> NDArray[np.float64]:
    """Share of each class's clips that were recognized, in percent; NaN for a class without."""
    shares = 100 * row_shares(result.confusion, result.totals).diagonal()
    return np.where(result.totals > 0, shares, np.nan)


def _open_sites(count: int) -> list[int]:
    """Which of so many places are shown at once: the first, the last, and some between them."""
    spread = np.linspace(0, count - 1, min(count, OPEN_KERNEL_SITES))
    return spread.round().astype(int).tolist()
