"""The report as one HTML file that holds everything it shows and loads nothing from the network.

`report.html.j2` is the page and `report.css` its style; `tables.py`, `sections.py` and `summary.py`
make what they show.
"""

from importlib.resources import files
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mixtconv._atomic_write import write_atomically
from mixtconv.visualization.confusion import confusion_order, row_shares
from mixtconv.visualization.report.sections import (
    class_rows,
    confusion_section,
    curve_rows,
    curves,
    example_section,
    kernel_section,
)
from mixtconv.visualization.report.summary import summary_sentences
from mixtconv.visualization.report.tables import (
    maps_section,
    protocol_rows,
    protocols,
    score_table,
    settings_section,
)
from mixtconv.visualization.results import Report

OPEN_EXAMPLES = 8
"""Examples shown at once; the others can be unfolded."""
LONG_LIST = 30
"""Number of rows from which a table scrolls."""


def write_report(report: Report, path: str | Path) -> Path:
    """Write the report to a file, and return its path."""
    path = Path(path)
    write_atomically(path, render_report(report).encode())
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
    folder = files("mixtconv.visualization.report")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((folder / "report.html.j2").read_text(encoding="utf-8"))
    counts = sum(row_shares(result.confusion) for result in report.results)
    order = confusion_order(np.asarray(counts))
    return template.render(
        report=report,
        css=Markup((folder / "report.css").read_text(encoding="utf-8")),
        summary=summary_sentences(report),
        scores=score_table(report.results),
        protocols=protocols(report.results),
        protocol_rows=protocol_rows(report.results),
        curves=curves(report.results),
        curve_rows=curve_rows(report.results),
        classes=class_rows(report, order),
        confusions=[
            confusion_section(report, order, index) for index in range(len(report.results))
        ],
        examples=example_section(report),
        open_examples=OPEN_EXAMPLES,
        kernels=[
            kernel_section(index, result)
            for index, result in enumerate(report.results)
            if result.kernels
        ],
        maps=maps_section(report, order),
        settings=settings_section(report),
        long_list=LONG_LIST,
    )
