"""`mixtconv check DATA`, `mixtconv check NAME --root ROOT`."""

from mixtconv._types import Precision
from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress
from mixtconv.data.listing import DataSource
from mixtconv.data.workers import Backend
from mixtconv.models.spec import Modality


def check(
    data: DataSource,
    *,
    min_frames: int = 2,
    modality: Modality | None = None,
    quick: bool = False,
    workers: int | None = None,
    engine: Backend = "local",
    model: str | None = None,
    device: str = "auto",
    precision: Precision = "auto",
) -> Result:
    """List every video and every line of a dataset that cannot be used as it is.

    Faults are missing, unreadable, damaged and too short videos, invalid labels, copies and groups
    on both sides of the split, and lines that cannot be parsed. Videos on both sides that nearly
    coincide are named, and are no faults. Nothing is written. The exit status is 1 if there is a
    fault.

    Args:
        data: The videos.
        min_frames: Videos with fewer frames are too short; one frame shows no motion.
        modality: Input of the model; default each video may be RGB or optical flow.
        quick: Decode the first frame of every video, as training does before it starts, not all.
        workers: Videos that are checked at the same time; default one a core.
        engine: What checks them: local (threads of this process) or ray (see docs/clusters.md).
        model: Model file whose features are compared too: names videos whose nearest ones have
            another label, and pairs of other labels or splits that are nearly the same; no faults.
        device: Of that model: auto, cpu, cuda, cuda:0 or mps.
        precision: Its arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere.
    """
    from mixtconv._names import first_few
    from mixtconv.data.checking.run import check as look

    recognizer = None
    if model is None and (device, precision) != ("auto", "auto"):
        raise ValueError("--device and --precision belong to --model: give it, or leave them out")
    if model is not None:
        from mixtconv.inference.embeddings import load_embedder

        recognizer = load_embedder(model, device=device, precision=precision)
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
    notes = list(report.notes)
    for names, what in (
        ([entry.video for entry in report.absent], "not there, no fault"),
        (report.unused, "not taken as videos"),
    ):
        if names:
            notes.append(f"{what}, {len(names)}: {first_few(names)}")
    counts = ", ".join(f"{number} {kind}" for kind, number in report.counts.items()) or "none"
    total = Table(
        ["data", "videos", "frames", "faults"],
        [[str(report.source), report.num_videos, report.num_frames, counts]],
    )
    tables = [Table(*report.table())] if report.faults else []
    if report.look_alikes:
        columns, rows = report.table_of_look_alikes()
        tables.append(Table(columns, rows, title=_shown(len(rows), len(report.look_alikes))))
    content = report.to_dict()
    if recognizer is not None:
        from mixtconv.data.datasets.scanning import scan_videos
        from mixtconv.inference.neighbours import review_neighbours

        with progress("comparing with neighbours") as show:
            review = review_neighbours(recognizer, scan_videos(data).videos, progress=show)
        content["neighbours"] = review.to_dict()
        tables += [Table(*each, title=title) for title, each in review.tables().items()]
        notes += review.notes
    return Result(content, [*tables, total], notes, status=1 if report.faults else 0)


def _shown(number: int, total: int) -> str:
    """Which rows a table has, if not all."""
    return "" if number == total else f"the first {number} of {total}, --format json has all"
