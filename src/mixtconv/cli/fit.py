"""`mixtconv fit CLIPS`."""

import time

from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress
from mixtconv.fitting.settings import FitSettings


def fit(settings: FitSettings) -> Result:
    """Make the best recognizer of your clips that a time allows, and say how sure it is.

    Looks at the clips, tries recipes, trains the best one on all clips, estimates its score on
    sessions that it has not seen, and writes model, report and advice. Every choice is given with
    its reason, and is fixed by its flag.

    Args:
        settings: The clips, the time, and what is fixed.
    """
    start = time.monotonic()  # loading torch takes seconds of the time as well
    from mixtconv.fitting.fit import fit as fit_clips

    result = fit_clips(settings, progress=progress, start=start)
    record = result.record
    estimate, held_out = record.estimate, record.held_out
    row = [
        str(result.model),
        *((estimate.top1, estimate.margin) if estimate else ("not estimated", "")),
        held_out["top1"] if held_out else "none held out",
        record.seconds / 60,
    ]
    columns = ["model", "expected top-1 %", "give or take", "held-out top-1 %", "minutes"]
    return Result(
        {"model": str(result.model), "report": str(result.report), **record.to_dict()},
        [Table(columns, [row])],
        [f"open {result.report}"],
    )
