"""`mixtconv prepare DATA`."""

import logging

from mixtconv.cli.console import Format, print_json, print_table, progress
from mixtconv.data.listing import DataSource
from mixtconv.data.preparation.form import PreparedForm
from mixtconv.data.workers import Backend

logger = logging.getLogger(__name__)


def prepare(
    data: DataSource,
    form: PreparedForm,
    *,
    out: str,
    workers: int | None = None,
    engine: Backend = "local",
    format: Format = "table",
) -> int:
    """Write the videos of a dataset again, in a form of which single frames are read fast.

    With --flow their optical flow is written instead, as training with --modality flow takes it.
    The originals stay as they are. A run that was stopped goes on where it was; a video that is
    done is not done again, unless its original or a flag has changed. A video that cannot be read
    is named, the others are still prepared, and the exit status is then 1.

    Args:
        data: The videos.
        form: What the videos shall be like.
        out: Folder to write to, new, empty or of an earlier run.
        workers: Videos to work on at a time; default one a core.
        engine: What works on them: local (threads of this process) or ray (see docs/clusters.md).
        format: How the result is printed, table or json.
    """
    from mixtconv._names import first_few
    from mixtconv.data.preparation.run import prepare as write

    with progress("preparing videos") as show:
        report = write(data, out=out, form=form, workers=workers, engine=engine, progress=show)
    if report.ignored:
        number = len(report.ignored)
        logger.warning("not taken as videos, %d: %s", number, first_few(report.ignored))
    for note in report.notes:
        logger.warning("%s", note)
    if format == "json":
        print_json(report.to_dict())
        return 1 if report.unreadable else 0
    print_table(
        ["data to train on", "prepared", "as before", "unreadable", "MB before", "MB now"],
        [
            [
                str(report.data),
                report.num_prepared,
                report.num_kept,
                len(report.unreadable),
                report.bytes_before / 1e6,
                report.bytes_after / 1e6,
            ]
        ],
    )
    if report.unreadable:
        rows = [[str(video.path), video.reason] for video in report.unreadable]
        print_table(["cannot be read", "because"], rows)
    return 1 if report.unreadable else 0
