"""`mixtconv prepare DATA`."""

from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress
from mixtconv.data.listing import DataSource
from mixtconv.data.preparation.form import PreparedForm
from mixtconv.data.workers import Backend


def prepare(
    data: DataSource,
    form: PreparedForm,
    *,
    out: str,
    recordings: bool = False,
    workers: int | None = None,
    engine: Backend = "local",
) -> Result:
    """Rewrite the videos of a dataset in a form in which single frames are fast to read.

    With --flow their optical flow is written instead, as training with --modality flow takes it.
    The originals stay as they are. A stopped run continues where it was: a finished video is
    skipped, unless its original or a flag has changed. An unreadable video is reported, the others
    are still prepared, and the exit status is then 1.

    Args:
        data: The videos.
        form: Format of the prepared videos.
        out: Folder to write to, new, empty or of an earlier run.
        recordings: Prepare the recordings of a list of segments as a whole, and write the list of
            segments beside them, with the same times; default a file for each segment.
        workers: Videos that are prepared at the same time; default one a core.
        engine: What prepares them: local (threads of this process) or ray (see docs/clusters.md).
    """
    from mixtconv._names import first_few
    from mixtconv.data.preparation.run import prepare as write

    with progress("preparing videos") as show:
        report = write(
            data,
            out=out,
            form=form,
            recordings=recordings,
            workers=workers,
            engine=engine,
            progress=show,
        )
    notes = list(report.notes)
    if report.ignored:
        number = len(report.ignored)
        notes.insert(0, f"not taken as videos, {number}: {first_few(report.ignored)}")
    tables = [
        Table(
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
    ]
    if report.unreadable:
        rows = [[str(video.path), video.reason] for video in report.unreadable]
        tables.append(Table(["cannot be read", "because"], rows))
    return Result(report.to_dict(), tables, notes, status=1 if report.unreadable else 0)
