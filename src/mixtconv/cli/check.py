"""`mixtconv check DATA`, `mixtconv check NAME --root ROOT`."""

import logging

from mixtconv.cli.console import Format, print_json, print_table, progress
from mixtconv.data.listing import DataSource
from mixtconv.data.workers import Backend
from mixtconv.models.spec import Modality

logger = logging.getLogger(__name__)


def check(
    data: DataSource,
    *,
    min_frames: int = 2,
    modality: Modality | None = None,
    quick: bool = False,
    workers: int | None = None,
    engine: Backend = "local",
    format: Format = "table",
) -> int:
    """List every video and every line of a dataset that cannot be used as it stands.

    Missing and unreadable videos, damaged and too short ones, labels that cannot be, lines that
    cannot be read. Nothing is written. The exit status is 1 if there is a fault.

    Args:
        data: The videos.
        min_frames: Videos with fewer frames are too short; one frame shows no motion.
        modality: What a model sees of the videos; default each may be a video or its optical flow.
        quick: Decode the first frame of every video, as training does before it starts, not all.
        workers: Videos to work on at a time; default one a core.
        engine: What works on them: local (threads of this process) or ray (see docs/clusters.md).
        format: How the result is printed, table or json.
    """
    from mixtconv._names import first_few
    from mixtconv.data.checking.run import check as look

    with progress("checking videos") as show:
        report = look(
            data,
            min_frames=min_frames,
            modality=modality,
            quick=quick,
            workers=workers,
            engine=engine,
            progress=show,
        )
    if format == "json":
        print_json(report.to_dict())
        return 1 if report.faults else 0
    for note in report.notes:
        logger.warning("%s", note)
    for number, names, what in (
        (len(report.absent), [entry.video for entry in report.absent], "not there, no fault"),
        (len(report.unused), report.unused, "not taken as videos"),
    ):
        if number:
            logger.warning("%s, %d: %s", what, number, first_few(names))
    if report.faults:
        print_table(*report.table())
    counts = ", ".join(f"{number} {kind}" for kind, number in report.counts.items()) or "none"
    print_table(
        ["data", "videos", "frames", "faults"],
        [[str(report.source), report.num_videos, report.num_frames, counts]],
    )
    return 1 if report.faults else 0
